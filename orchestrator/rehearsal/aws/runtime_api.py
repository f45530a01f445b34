"""Lambda's Runtime API for one instance of a function: hands events to its runtime, takes answers and errors.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html says what there is; the words of refusals are those of
AWS's own server (https://github.com/aws/aws-lambda-runtime-interface-emulator, internal/lambda/rapi).
"""

import http.server
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from orchestrator.rehearsal.front_door import POLL_SECONDS

# 6 MB and 100 bytes, as Lambda's own error says (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
_ANSWER_LIMIT = 6 * 1024 * 1024 + 100
_PREFIX = "/2018-06-01/runtime/"


@dataclass(frozen=True)
class Invocation:
    """One event for the handler; the deadline is in ms since 1970."""

    request: str
    event: bytes
    deadline_ms: int


@dataclass(frozen=True)
class Outcome:
    """What the handler answered; None after an error, which is in the log already unless the process ``ended``."""

    answer: bytes | None
    ended: bool = False


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Listens on a free loopback port until it is closed.

    ``next_invocation`` waits for one, ``finish`` takes what became of it, or of the function's initialisation.
    """

    def __init__(self, arn: str, next_invocation: Callable[[], Invocation], finish: Callable[[Outcome], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arn = arn
        self.next_invocation = next_invocation
        self.finish = finish
        self.unanswered: str | None = None  # The request that has no answer yet.
        self.address = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: RuntimeApi

    def do_GET(self) -> None:
        if self.path != f"{_PREFIX}invocation/next":
            self._refuse(HTTPStatus.NOT_FOUND, "NotFound", f"not supported in rehearsal: GET {self.path}")
            return
        invocation = self.server.next_invocation()
        self.server.unanswered = invocation.request
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.server.arn,
            "Lambda-Runtime-Trace-Id": trace,
        }
        self._answer(HTTPStatus.OK, invocation.event, headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path.removeprefix(_PREFIX).split("/"):
            case ["init", "error"]:
                self._finish(None)
            case ["invocation", request, "response" | "error"] if request != self.server.unanswered:
                self._refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
            case ["invocation", _, "error"]:
                self._finish(None)
            case ["invocation", _, "response"] if len(body) > _ANSWER_LIMIT:
                # A runtime ends at this, and its end is what the caller hears of.
                message = f"Exceeded maximum allowed payload size ({_ANSWER_LIMIT} bytes)."
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", message)
            case ["invocation", _, "response"]:
                self._finish(body)
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "NotFound", f"not supported in rehearsal: POST {self.path}")

    def _finish(self, answer: bytes | None) -> None:
        self.server.unanswered = None
        self.server.finish(Outcome(answer))
        self._answer(HTTPStatus.ACCEPTED, json.dumps({"status": "OK"}).encode())

    def _refuse(self, status: HTTPStatus, kind: str, message: str) -> None:
        self._answer(status, json.dumps({"errorMessage": message, "errorType": kind}).encode())

    def _answer(self, status: HTTPStatus, content: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: standard error is the rehearsal's log."""
