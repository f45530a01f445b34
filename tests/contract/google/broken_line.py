"""A line to a server on this machine that a test can cut, or spoil, in the middle of a download."""

import re
import select
import socket
import socketserver
import threading
from collections.abc import Callable

_RANGE = re.compile(rb"\r\nrange: bytes=([0-9]+)-", re.IGNORECASE)
_ANSWER = 1 << 16


class Line:
    """Passes on what goes to and fro between Cloud Storage's client and ``port``.

    ``cuts`` are for the next downloads, in order: after so many bytes of the answer the connection is closed, and
    ``at_cut`` is called. In the answers to the downloads whose numbers are in ``spoils``, each "hail" becomes "rain".
    ``starts`` says from which byte on each was asked for.
    """

    def __init__(self, port: int) -> None:
        self.cuts: list[int] = []
        self.spoils: set[int] = set()
        self.starts: list[int] = []
        self.at_cut: Callable[[], None] = lambda: None
        line = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as server:
                    line._pass_on(self.request, server)

        self._listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._listener.server_address[1]}"

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown()
        self._listener.server_close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Until either side closes, or it is cut."""
        left, spoilt = None, False
        while True:
            for sender in select.select([client, server], [], [])[0]:
                data = sender.recv(_ANSWER)
                if not data:
                    return
                if sender is client:
                    if data.startswith(b"GET /download/"):
                        left = self.cuts.pop(0) if self.cuts else None
                        spoilt = len(self.starts) in self.spoils
                        asked = _RANGE.search(data)
                        self.starts.append(int(asked[1]) if asked else 0)
                    server.sendall(data)
                    continue
                client.sendall((data.replace(b"hail", b"rain") if spoilt else data)[:left])
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        self.at_cut()
                        return
