"""Where a rehearsed function is reached from outside: a loopback listener that hands each request to its cloud."""

import http.server
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

POLL_SECONDS = 0.05
"""How often a listener looks whether it is to stop: each destroy waits for it."""


@dataclass(frozen=True)
class Request:
    """A request as it came in; ``headers`` has lower-case names, ``caller`` is an IP address."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    caller: str


@dataclass(frozen=True)
class Answer:
    """What goes back. Its length is added to the headers."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Listener:
    """Listens on a free loopback port until it is closed, over TLS if there is a context for it."""

    def __init__(self, answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> None:
        scheme = "https" if tls else "http"
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer, scheme))
        if tls:
            # The handshake is left to the request's own thread: a caller that never finishes it must not block others.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{scheme}://{self.address}"
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _handler(answer: Callable[[Request], Answer], scheme: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Door(http.server.BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            host = self.headers.get("Host", "")
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(
                self.command, f"{scheme}://{host}{self.path}", headers, self.rfile.read(length), self.client_address[0]
            )
            answered = answer(request)
            self.send_response(answered.status)
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answered.body)))
            self.end_headers()
            self.wfile.write(answered.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_request  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: standard error is the rehearsal's log."""

    return Door
