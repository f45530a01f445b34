"""The runtime of a rehearsed function: runs inside its process, speaks Lambda's Runtime API, imports nothing of ours.

Started as ``python -I -S bootstrap.py`` by ``functions.py``: only the standard library, the function's archive, its
layers and the runtime's own boto3 are on ``sys.path``, as on Lambda. What the handler gets and what becomes of its
answer, its errors and its log lines is as in AWS's own runtime client, which tests/contract holds beside it
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html,
https://github.com/aws/aws-lambda-python-runtime-interface-client).
"""

import decimal
import http.client
import importlib
import json
import logging
import os
import re
import sys
import time
import traceback
import uuid
from typing import Any, NoReturn

_UNHANDLED = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare "
    "cases, a Lambda runtime update can cause unexpected function behavior. For functions using managed runtimes, "
    "runtime updates can be triggered by a function change, or can be applied automatically. To determine if the "
    "runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with a "
    "change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the previous "
    "runtime version. For more information, see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)
_ASCII_ONLY = ("AWS_Lambda_python3.9", "AWS_Lambda_python3.10", "AWS_Lambda_python3.11")
_NO_BREAK_SPACE = "\u00a0"
# What kind of log event a frame holds: any, or an error.
_FRAME, _ERROR_FRAME = b"\xa5\x5a\x00\x03", b"\xa5\x5a\x00\x17"


class FaultError(Exception):
    """What the runtime itself finds wrong with a handler or its answer."""

    def __init__(self, kind: str, message: str, trace: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind = f"Runtime.{kind}"
        self.trace = trace


class Identity:
    """The caller's Cognito identity: a function URL has none."""

    cognito_identity_id: None = None
    cognito_identity_pool_id: None = None

    def __repr__(self) -> str:
        return "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


class Context:
    """The handler's second argument.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.client_context = None
        self.identity = Identity()
        self.tenant_id = None
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Until the timeout."""
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def w3c(self) -> dict[str, str]:
        """The caller's trace context: a function URL hands none over."""
        return {}

    def log(self, message: object) -> None:
        """One event in the log."""
        Log.write(str(message))

    def __repr__(self) -> str:
        shown = (
            *("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb"),
            *("function_version", "invoked_function_arn", "client_context", "identity", "tenant_id"),
        )
        return f"LambdaContext([{','.join(f'{name}={getattr(self, name)}' for name in shown)}])"


class Log(logging.Handler):
    """What the root logger writes, and the runtime's own errors: each one event, however many lines it has."""

    descriptor: int
    request = ""  # The id of the request that is being answered.

    @classmethod
    def write(cls, message: str, kind: bytes = _FRAME) -> None:
        """One frame: its kind, length, time in microseconds and text."""
        text = message.encode()
        stamp = (time.time_ns() // 1000).to_bytes(8, "big")
        os.write(cls.descriptor, kind + len(text).to_bytes(4, "big") + stamp + text)

    def emit(self, record: logging.LogRecord) -> None:
        """A record of the function's."""
        record.aws_request_id = self.request
        self.write(self.format(record))


def main() -> None:
    """Import the handler, then answer events for as long as we live."""
    sys.path[:0] = json.loads(os.environ.pop("_REHEARSAL_PATH"))
    Log.descriptor = int(os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD"))
    log = Log()
    logging.Formatter.converter = time.gmtime
    line = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    log.setFormatter(logging.Formatter(line, "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(log)
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - whatever the module raises, Lambda says that init failed.
        refuse_to_start(error)
    while True:
        headers, event = call("GET", "invocation/next")
        request = Log.request = headers["Lambda-Runtime-Aws-Request-Id"]
        if headers["Lambda-Runtime-Trace-Id"]:
            os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
        try:
            answer, content_type = marshal(handler(json.loads(event), Context(headers)))
        except Exception as error:  # noqa: BLE001
            told = describe(error, request)
            call("POST", f"invocation/{request}/error", json.dumps(told).encode())
        else:
            call("POST", f"invocation/{request}/response", answer, {"Content-Type": content_type})


def load(name: str) -> Any:
    """The handler, by "<module>.<function>".

    Raises:
        FaultError: there is none, or its module is none; whatever else the module raises comes as it is.
    """
    module, dot, function = name.rpartition(".")
    if not dot:
        raise FaultError(
            "MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        )
    if module.split(".")[0] in sys.builtin_module_names:
        raise FaultError("BuiltInModuleConflict", f"Cannot use built-in module {module} as a handler module")
    try:
        imported = importlib.import_module(module.replace("/", "."))
    except ImportError as error:
        raise FaultError("ImportModuleError", f"Unable to import module '{module}': {error}") from None
    except SyntaxError as error:
        where = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise FaultError("UserCodeSyntaxError", f"Syntax error in module '{module}': {error}", (where,)) from None
    if not hasattr(imported, function):
        raise FaultError("HandlerNotFound", f"Handler '{function}' missing on module '{module}'")
    return getattr(imported, function)


def refuse_to_start(error: Exception) -> NoReturn:
    """Say why there is no handler, and end."""
    logging.getLogger().warning(_UNHANDLED)
    told = describe(error, "")
    call("POST", "init/error", json.dumps(told).encode(), {"Lambda-Runtime-Function-Error-Type": told["errorType"]})
    sys.exit(1)


def describe(error: Exception, request: str) -> dict[str, Any]:
    """The error for the Runtime API; it goes to the log as well, as one event."""
    if isinstance(error, FaultError):
        kind, trace = error.kind, list(error.trace)
    else:
        frames = [(frame.filename, frame.lineno, frame.name, frame.line) for frame in _frames(error)]
        kind, trace = type(error).__name__, traceback.format_list(frames)  # type: ignore[arg-type]
    lines = [f"[ERROR] {kind}: {error}" if str(error) else f"[ERROR] {kind}", "Traceback (most recent call last):"]
    for element in trace:
        lines += [re.sub("^ +", lambda found: _NO_BREAK_SPACE * len(found[0]), line) for line in element.splitlines()]
    Log.write("\n".join(lines), _ERROR_FRAME)
    return {"errorMessage": str(error), "errorType": kind, "requestId": request, "stackTrace": trace}


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    """The traceback, less our own frames at its top."""
    frames = list(traceback.extract_tb(error.__traceback__))
    return next((frames[n:] for n, frame in enumerate(frames) if "/bootstrap.py" not in frame.filename), frames)


def marshal(answer: Any) -> tuple[bytes, str]:
    """(content, its type): bytes as they are, anything else as JSON.

    Raises:
        FaultError: it is neither.
    """
    if isinstance(answer, bytes):
        return answer, "application/unknown"
    numbers = _Numbers(ensure_ascii=os.environ["AWS_EXECUTION_ENV"] in _ASCII_ONLY)
    try:
        return numbers.encode(_plain(answer)).encode(), "application/json"
    except RecursionError:
        raise FaultError("MarshalError", "Unable to marshal response: Circular reference detected") from None
    except Exception as error:  # noqa: BLE001
        raise FaultError("MarshalError", f"Unable to marshal response: {error}") from None


class _Numbers(json.JSONEncoder):
    """JSON in which a Decimal is a number with all its digits."""

    _mark = uuid.uuid4().hex

    def default(self, o: Any) -> Any:
        if isinstance(o, decimal.Decimal):
            return float("nan") if o.is_nan() else f"{self._mark}{o}"
        return super().default(o)

    def encode(self, o: Any) -> str:
        return re.sub(f'"{self._mark}([^"]*)"', r"\1", super().encode(o))


def _plain(value: Any) -> Any:
    """What simplejson, which AWS uses, takes and json does not: named tuples are objects, bytes are text."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.decode() if isinstance(value, bytes) else value


def call(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPMessage, bytes]:
    """One request to the Runtime API: (headers, content) of its answer."""
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, f"/2018-06-01/runtime/{path}", body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300:  # noqa: PLR2004
        raise RuntimeError(f"Runtime API: {answer.status} {content.decode()}")
    return answer.headers, content


if __name__ == "__main__":
    main()
