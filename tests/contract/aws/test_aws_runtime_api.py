"""The Runtime API, from both ends, beside AWS's own server of it, the Runtime Interface Emulator.

Where the side is that of a runtime, ours is our bootstrap and theirs awslambdaric: both talk to AWS's server, which
hands back the error documents that they post. Where it is that of a server, ours is our function host's and theirs
AWS's own; the test itself is the runtime.
"""

import contextlib
import http.client
import json
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rehearsal.aws.runtime_api import Invocation, Outcome, RuntimeApi
from tests.contract.parts import free_port, serving

ID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Says that it has started, and ends when its parent does.
WAITING = ("/bin/sh", "-c", 'exec >/dev/null 2>&1; : > "$0"; while kill -0 $PPID; do sleep 0.2; done')


@dataclass(frozen=True)
class Response:
    """What an HTTP server said."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def send(address: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
    """One request, tried again until the server listens."""
    until = time.monotonic() + 20
    while True:
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            content = answer.read()
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


@dataclass(frozen=True)
class Emulator:
    """AWS's server: where it takes events, and where it is the Runtime API."""

    events: str
    api: str

    def invoke(self, event: bytes, **headers: str) -> Response:
        """Lambda's Invoke."""
        return send(self.events, "POST", "/2015-03-31/functions/function/invocations", event, **headers)


@contextlib.contextmanager
def emulator(folder: Path, command: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[Emulator]:
    """Runs with one runtime, which is started with the first event."""
    made = Emulator(*(f"127.0.0.1:{free_port()}" for _ in range(2)))
    options = ["--runtime-interface-emulator-address", made.events, "--runtime-api-address", made.api]
    program = [str(folder / "aws-lambda-rie"), *options, *command]
    with serving(program, lambda line: "exec" in line, environment):
        yield made


# ---- Runtimes


@pytest.fixture
def runtime(
    aws_runtime: Path, part: Callable[[str], Path], tmp_path: Path
) -> Callable[..., contextlib.AbstractContextManager[Emulator]]:
    """Starts a side's runtime under AWS's server, with the text of the module "main"."""

    def start(code: str, handler: str = "main.handler") -> contextlib.AbstractContextManager[Emulator]:
        (tmp_path / "main.py").write_text(code)
        # A third file descriptor is for its log, which is no matter here.
        shell = ("/bin/sh", "-c", 'exec "$@" 3>/dev/null', "sh", sys.executable, "-I", "-S", "-u")
        environment = {
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": "20",
            "_HANDLER": handler,
            "_LAMBDA_TELEMETRY_LOG_FD": "3",
            "_REHEARSAL_PATH": json.dumps([str(tmp_path), str(aws_runtime)]),
        }
        return emulator(part("aws-lambda-rie"), (*shell, str(aws_runtime / "bootstrap.py")), environment)

    return start


RAISING = """
import sys
from decimal import Decimal

class StormError(Exception):
    pass

def fail(event):
    if event == "key":
        return {}["hail"]
    if event == "own":
        raise StormError("Hagel im März\\nim Keller")
    if event == "silent":
        raise StormError

def handler(event, context):
    if event == "set":
        return {1}
    return fail(event)
"""


@pytest.mark.parametrize(
    ("event", "kind", "message", "trace"),
    [
        ("key", "KeyError", "'hail'", [(19, "handler", "return fail(event)"), (10, "fail", 'return {}["hail"]')]),
        (
            "own",
            "StormError",
            "Hagel im März\nim Keller",
            [(19, "handler", "return fail(event)"), (12, "fail", 'raise StormError("Hagel im März\\nim Keller")')],
        ),
        ("silent", "StormError", "", [(19, "handler", "return fail(event)"), (14, "fail", "raise StormError")]),
        ("set", "Runtime.MarshalError", "Unable to marshal response: Object of type set is not JSON serializable", []),
    ],
    ids=["key", "own", "silent", "set"],
)
def test_the_error_document(
    *,
    runtime: Callable[..., contextlib.AbstractContextManager[Emulator]],
    tmp_path: Path,
    event: str,
    kind: str,
    message: str,
    trace: list[tuple[int, str, str]],
) -> None:
    with runtime(RAISING) as running:
        document = json.loads(running.invoke(json.dumps(event).encode()).content)
        assert json.loads(running.invoke(b'"fine"').content) is None
    assert re.fullmatch(ID, document.pop("requestId"))
    assert document == {
        "errorMessage": message,
        "errorType": kind,
        "stackTrace": [
            f'  File "{tmp_path}/main.py", line {line}, in {function}\n    {text}\n' for line, function, text in trace
        ],
    }


@pytest.mark.parametrize(
    ("code", "handler", "kind", "message"),
    [
        ("import hail", "main.handler", "ImportModuleError", "Unable to import module 'main': No module named 'hail'"),
        ("", "main.handler", "HandlerNotFound", "Handler 'handler' missing on module 'main'"),
        ("", "main", "MalformedHandlerName", "Bad handler 'main': not enough values to unpack (expected 2, got 1)"),
        ("", "sys.exit", "BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
    ],
    ids=["library", "handler", "no-dot", "built-in"],
)
def test_the_error_document_of_the_start(
    *,
    runtime: Callable[..., contextlib.AbstractContextManager[Emulator]],
    code: str,
    handler: str,
    kind: str,
    message: str,
) -> None:
    with runtime(code, handler) as running:
        document = json.loads(running.invoke(b"{}").content)
    assert document == {"errorMessage": message, "errorType": f"Runtime.{kind}", "requestId": "", "stackTrace": []}


def test_the_error_document_of_a_syntax_error(
    runtime: Callable[..., contextlib.AbstractContextManager[Emulator]], tmp_path: Path
) -> None:
    with runtime("hail = 1\nhail = (\n") as running:
        document = json.loads(running.invoke(b"{}").content)
    assert document == {
        "errorMessage": "Syntax error in module 'main': '(' was never closed (main.py, line 2)",
        "errorType": "Runtime.UserCodeSyntaxError",
        "requestId": "",
        "stackTrace": [f'  File "{tmp_path}/main.py" Line 2\n    hail = (\n'],
    }


def test_answers_under_awss_server(runtime: Callable[..., contextlib.AbstractContextManager[Emulator]]) -> None:
    event = '{"text": "Z\u00fcrich 東京"}'.encode()
    with runtime("def handler(event, context):\n    return event['text'] * event.get('times', 1)\n") as running:
        assert running.invoke(event).content == '"Z\u00fcrich 東京"'.encode()
        assert running.invoke(b'{"text": "hail", "times": 2}').content == b'"hailhail"'


# ---- Servers


class Served:
    """A server of the Runtime API with one event at a time."""

    def __init__(self, api: str, invoke: Callable[[bytes], Any], expects_us: Callable[[], bool]) -> None:
        self._api = api
        self._invoke = invoke
        self._expects_us = expects_us
        self._outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Response] = queue.SimpleQueue()
        self._asking = False

    def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """As the runtime."""
        return send(self._api, method, f"/2018-06-01/runtime/{path}", body)

    def next(self, event: bytes) -> tuple[str, Response]:
        """What the runtime is told of an event that comes in: its request's id, and all of it."""
        _in_background(lambda: self._outcomes.put(self._invoke(event)))
        until = time.monotonic() + 20
        while not self._expects_us() and time.monotonic() < until:
            time.sleep(0.02)
        self._ask()
        told = self._told.get(timeout=20)
        self._asking = False
        return told.headers["lambda-runtime-aws-request-id"], told

    def outcome(self) -> Any:
        """What the caller is told: the answer's or the error's bytes; None for an error's from our server.

        AWS's says it when the runtime asks for the next event.
        """
        self._ask()
        return self._outcomes.get(timeout=20)

    def _ask(self) -> None:
        if not self._asking:
            self._asking = True
            _in_background(lambda: self._told.put(self.send("GET", "invocation/next")))


def _in_background(call: Callable[[], None]) -> None:
    """What still waits when the server ends is let go."""

    def run() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            call()

    threading.Thread(target=run, daemon=True).start()


@pytest.fixture
def server(side: str, part: Callable[[str], Path], tmp_path: Path) -> Iterator[Served]:
    if side == "theirs":
        environment = {"AWS_LAMBDA_FUNCTION_NAME": "hop", "AWS_LAMBDA_FUNCTION_TIMEOUT": "20"}
        started = tmp_path / "started"
        with emulator(part("aws-lambda-rie"), (*WAITING, str(started)), environment) as running:
            yield Served(running.api, lambda event: running.invoke(event).content, started.exists)
        return
    invocations: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    ids = iter(f"8476a536-e9f4-11e8-9739-2dfe598c3fc{n}" for n in range(10))

    def told(event: bytes) -> Invocation:
        return Invocation(next(ids), event, int((time.time() + 20) * 1000))

    def invoke(event: bytes) -> bytes | None:
        invocations.put(told(event))
        return outcomes.get().answer

    api = RuntimeApi("arn:aws:lambda:us-east-1:012345678912:function:hop", invocations.get, outcomes.put)
    yield Served(api.address, invoke, lambda: True)
    # Whoever still waits is let go.
    invocations.put(told(b""))
    outcomes.put(Outcome(None))
    api.close()


EVENT = '{"text": "Z\u00fcrich \u6771\u4eac"}  '.encode()


def test_an_event(server: Served) -> None:
    before = time.time()
    request, told = server.next(EVENT)
    assert re.fullmatch(ID, request)
    assert (told.status, told.content) == (200, EVENT)
    assert told.headers["content-type"] == "application/json"
    arn = "arn:aws:lambda:us-east-1:012345678912:function:hop"
    assert told.headers["lambda-runtime-invoked-function-arn"] == arn
    deadline = int(told.headers["lambda-runtime-deadline-ms"]) / 1000
    assert before + 20 <= deadline + 0.001 <= time.time() + 20.5
    known = {"aws-request-id", "deadline-ms", "invoked-function-arn", "trace-id"}
    given = {name.removeprefix("lambda-runtime-") for name in told.headers if name.startswith("lambda-runtime-")}
    assert given | {"trace-id"} == known


def test_an_answer(server: Served) -> None:
    request, _ = server.next(EVENT)
    accepted = server.send("POST", f"invocation/{request}/response", b'{"hail": 11}')
    assert (accepted.status, json.loads(accepted.content)) == (202, {"status": "OK"})
    assert accepted.headers["content-type"] == "application/json"
    assert server.outcome() == b'{"hail": 11}'
    # The next event waits until the runtime asks for it.
    second, told = server.next(b"2")
    assert (told.content, second != request) == (b"2", True)
    server.send("POST", f"invocation/{second}/response", b"")
    assert server.outcome() == b""


def test_an_error(server: Served, side: str) -> None:
    request, _ = server.next(EVENT)
    document = b'{"errorMessage": "no hail", "errorType": "StormError"}'
    accepted = server.send("POST", f"invocation/{request}/error", document)
    assert (accepted.status, json.loads(accepted.content)) == (202, {"status": "OK"})
    # A function URL answers 502 whatever the document says: our host keeps it for nobody.
    assert server.outcome() == (document if side == "theirs" else None)


def test_another_requests_answer(server: Served) -> None:
    request, _ = server.next(EVENT)
    for kind in ("response", "error"):
        refused = server.send("POST", f"invocation/2{request[1:]}/{kind}", b"{}")
        expected = {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
        assert (refused.status, json.loads(refused.content)) == (400, expected)
    server.send("POST", f"invocation/{request}/response", b"1")
    assert server.outcome() == b"1"


def test_the_largest_answer(server: Served) -> None:
    largest = b"x" * (6 * 1024 * 1024 + 100)
    request, _ = server.next(EVENT)
    assert server.send("POST", f"invocation/{request}/response", largest).status == 202
    assert server.outcome() == largest


def test_an_answer_that_is_too_large(server: Served) -> None:
    request, _ = server.next(EVENT)
    refused = server.send("POST", f"invocation/{request}/response", b"x" * (6 * 1024 * 1024 + 101))
    message = "Exceeded maximum allowed payload size (6291556 bytes)."
    expected = {"errorMessage": message, "errorType": "RequestEntityTooLarge"}
    assert (refused.status, json.loads(refused.content)) == (413, expected)


@pytest.mark.parametrize("path", ["", "invocation/next/", "invocation", "restore/last"], ids=range(4))
def test_what_is_not_there(server: Served, path: str) -> None:
    server.next(EVENT)
    assert server.send("GET", path).status == 404
    assert server.send("POST", path, b"").status == 404
