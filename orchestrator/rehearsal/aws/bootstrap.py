"""The runtime of a rehearsed function: runs inside its process, speaks Lambda's Runtime API, imports nothing of ours.

Started as ``python -I -S bootstrap.py`` by ``functions.py``: only the standard library, the function's archive, its
layers and the runtime's own boto3 are on ``sys.path``, as on Lambda
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
"""

import http.client
import importlib
import json
import os
import sys
import time
import traceback


class Context:
    """The handler's second argument.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def __init__(self, headers: "http.client.HTTPMessage") -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Until the timeout."""
        return max(0, self._deadline_ms - int(time.time() * 1000))


def call(method: str, path: str, body: "bytes | None" = None) -> "tuple[http.client.HTTPMessage, bytes]":
    """One request to the Runtime API: (headers, content) of its answer."""
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, f"/2018-06-01/runtime/{path}", body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300:  # noqa: PLR2004
        raise RuntimeError(f"Runtime API: {answer.status} {content.decode()}")
    return answer.headers, content


def describe(error: BaseException) -> bytes:
    """The error for the Runtime API; its traceback, less our own frame, goes to the log."""
    trace = traceback.format_exception(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
    sys.stderr.write(
        f"[ERROR] {type(error).__name__}: {error}\nTraceback (most recent call last):\n" + "".join(trace[1:])
    )
    sys.stderr.flush()
    return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}).encode()


def main() -> None:
    """Import the handler, then answer events for as long as we live."""
    sys.path[:0] = json.loads(os.environ.pop("_REHEARSAL_PATH"))
    module, _, function = os.environ["_HANDLER"].rpartition(".")
    try:
        handler = getattr(importlib.import_module(module), function)
    except BaseException as error:  # noqa: BLE001 - whatever the module does, Lambda says that init failed.
        call("POST", "init/error", describe(error))
        sys.exit(1)
    while True:
        headers, event = call("GET", "invocation/next")
        request = headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            answer = json.dumps(handler(json.loads(event), Context(headers))).encode()
        except Exception as error:  # noqa: BLE001
            call("POST", f"invocation/{request}/error", describe(error))
        else:
            sys.stdout.flush()
            call("POST", f"invocation/{request}/response", answer)


if __name__ == "__main__":
    main()
