"""Where a rehearsed function is reached from outside: a loopback listener that hands each request to its cloud."""

import http.server
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

POLL_SECONDS = 0.05
"""How often a listener looks whether it is to stop: each destroy waits for it."""


Around = Callable[[Any], Any]
"""What stands in front of a server's own class of request handlers, http.server's or werkzeug's: it makes another."""


def as_it_is(handler: Any) -> Any:
    """Nothing in front of it."""
    return handler


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
    """What goes back. Its length is added to the headers; each of ``cookies`` is a header Set-Cookie of its own."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()


class Listener:
    """Listens on a free loopback port until it is closed, over TLS if there is a context for it."""

    def __init__(
        self, answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None, *, around: Around = as_it_is
    ) -> None:
        scheme = "https" if tls else "http"
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), around(_handler(answer, scheme)))
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
        def handle(self) -> None:
            with suppress(ConnectionError):  # A client that has hung up wants no answer.
                super().handle()

        def handle_request(self) -> None:
            host = self.headers.get("Host", "")
            length = int(self.headers.get("Content-Length") or 0)
            # Each of the clouds makes one of several: https://www.rfc-editor.org/rfc/rfc9110.html#section-5.3.
            headers = {name.lower(): ",".join(self.headers.get_all(name, [])) for name in self.headers}
            request = Request(
                self.command, f"{scheme}://{host}{self.path}", headers, self.rfile.read(length), self.client_address[0]
            )
            if "transfer-encoding" in headers:
                self.close_connection = True  # What comes of the body is no request.
                text = f"not supported in rehearsal: Transfer-Encoding: {headers['transfer-encoding']}"
                self.send_answer(Answer(HTTPStatus.NOT_IMPLEMENTED, {"Content-Type": "text/plain"}, text.encode()))
            else:
                self.send_answer(answer(request))

        def send_answer(self, answered: Answer) -> None:
            self.send_response(answered.status)
            for name, value in [*answered.headers.items(), *(("Set-Cookie", cookie) for cookie in answered.cookies)]:
                self.send_header(name, value)
            body = b"" if self.command == "HEAD" else answered.body
            if self.command != "HEAD":  # It would be that of the body which a GET gets.
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = do_OPTIONS = handle_request  # noqa: N815 - http.server's names
        do_POST = do_PUT = do_DELETE = do_PATCH = handle_request  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: standard error is the rehearsal's log."""

    return Door
