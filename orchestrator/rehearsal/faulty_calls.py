"""In front of a cloud's HTTP servers: what the run's own clients ask goes wrong as it is told.

A call is told by who makes it. The stand-ins' own calls, and those of functions, go through as if nothing were here.
"""

import base64
import io
import json
import socket
import struct
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from orchestrator.rehearsal.call_refusals import REFUSALS, refusal
from orchestrator.rehearsal.faults import Call, Cloud, Fault, Faults
from orchestrator.rehearsal.front_door import Around

_FORM = "application/x-www-form-urlencoded"
# Closed like this, a connection is reset: https://man7.org/linux/man-pages/man7/socket.7.html
_NO_LINGER = struct.pack("ii", 1, 0)


def everybody(_headers: Mapping[str, str]) -> bool:
    """Only the run's clients come to this door."""
    return True


def is_signed_with(key_id: str, headers: Mapping[str, str]) -> bool:
    """Whether the call is signed with this access key of AWS."""
    return f"Credential={key_id}/" in headers.get("authorization", "")


def is_account(email: str, headers: Mapping[str, str]) -> bool:
    """Whether the call has a token of Google's that names this account, be it good or not."""
    parts = headers.get("authorization", "").split(".")
    if len(parts) != 3:  # noqa: PLR2004 - a JWT's header, claims and signature
        return False
    try:
        return bool(json.loads(base64.urlsafe_b64decode(parts[1] + "==")).get("email") == email)
    except ValueError:
        return False


def faulty(faults: Faults, cloud: Cloud, is_ours: Callable[[Mapping[str, str]], bool]) -> Around:
    """What to put around the handlers of the cloud's servers; ``is_ours`` is asked with a call's headers."""
    hooks = {"faults": faults, "cloud": cloud, "is_ours": staticmethod(is_ours)}
    return lambda handler: type("Faulty", (_Faulty, handler), hooks)


class _Faulty(BaseHTTPRequestHandler):
    """A handler with faults: they come in between a request's headers and what is made of it."""

    faults: ClassVar[Faults]
    cloud: ClassVar[Cloud]
    is_ours: ClassVar[Any]
    wfile: Any
    rfile: Any
    _spoiled: tuple[Fault, Any] | None = None

    def handle_one_request(self) -> None:
        """One request; an answer that is to be spoiled was caught, and goes out here."""
        super().handle_one_request()
        if self._spoiled is not None:
            fault, sent = self._spoiled
            self._spoiled, whole, self.wfile = None, self.wfile.getvalue(), sent
            sent.write(_spoil(whole, fault, self.faults))
            sent.flush()
            self.close_connection = True

    def parse_request(self) -> bool:
        """Whether there is a request to be answered: not if a fault has answered it, or never will."""
        if not super().parse_request():
            return False
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not self.is_ours(headers):
            return True
        call = self._call(headers)
        fault = self.faults.of_call(call)
        if fault is None:
            return True
        if fault.effect in ("truncated", "wrong checksum"):
            self._spoiled, self.wfile = (fault, self.wfile), io.BytesIO()
            return True
        self.close_connection = True
        if fault.effect in REFUSALS:
            self._refuse(call, fault, headers)
            return False
        if fault.effect == "hangs":
            fault.lifted.result()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        return False

    def _call(self, headers: Mapping[str, str]) -> Call:
        url, action = urlsplit(self.path), None
        # All that was sent is read, or a refusal would reset the connection while it is.
        if self.command in ("POST", "PUT", "PATCH") and "content-length" in headers:
            body = self.rfile.read(int(headers["content-length"]))
            self.rfile = io.BytesIO(body)
            if headers.get("content-type", "").startswith(_FORM):
                action = parse_qs(body.decode("utf-8", "replace")).get("Action", [None])[0]
        return Call(self.cloud, self.command, url.path, headers.get("x-amz-target") or action or url.query)

    def _refuse(self, call: Call, fault: Fault, headers: Mapping[str, str]) -> None:
        answer = refusal(call, fault.effect, headers)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _spoil(whole: bytes, fault: Fault, faults: Faults) -> bytes:
    """An answer of which half is missing, or the last byte of the body another one."""
    head, blank, body = whole.partition(b"\r\n\r\n")
    if fault.effect == "truncated":
        return head + blank + body[: len(body) // 2] if body else head[: len(head) // 2]
    chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
    end = len(body) - len(b"\r\n0\r\n\r\n") if chunked else len(body)
    if end <= 0:
        faults.take_back(fault)
        return whole
    return head + blank + body[: end - 1] + bytes([body[end - 1] ^ 1]) + body[end:]
