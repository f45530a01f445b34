"""A rehearsed function whose process serves HTTP itself, as on Cloud Run and behind Azure's host."""

import http.client
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.rehearsal.front_door import Answer, Request
from orchestrator.rehearsal.function_process import FunctionProcess

_POLL_SECONDS = 0.02
# Of one connection only: https://www.rfc-editor.org/rfc/rfc9110.html#section-7.6.1
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class FunctionFailedError(Exception):
    """The function gave no answer: the text says why, its output says more."""


class FunctionTimedOutError(FunctionFailedError):
    """It took too long."""


class HttpFunction:
    """One instance: a process with a loopback port of its own, which it finds in ``port_variable``.

    It has ``start_seconds`` until it listens. Serves one request at a time; ``output`` is all that it wrote.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        cwd: Path,
        environment: Mapping[str, str],
        port_variable: str,
        memory_mib: int,
        start_seconds: float,
    ) -> None:
        self._port = _free_port()
        self._memory_mib = memory_mib
        self._busy = threading.Lock()
        self.output: list[str] = []
        self._process = FunctionProcess(
            command,
            folder=folder,
            cwd=cwd,
            environment={**environment, port_variable: str(self._port)},
            memory_mib=memory_mib,
            on_end=lambda: None,
        )
        self._ready_until = time.monotonic() + start_seconds
        self._start_seconds = start_seconds

    @property
    def ended(self) -> bool:
        """Whether the process is gone: the next request needs a new instance."""
        return self._process.status is not None

    def ask(self, request: Request, timeout: float) -> Answer:
        """Hand a request to the function; ``timeout`` in seconds, of which the start takes none.

        Raises:
            FunctionFailedError: it did not start, ended, took too long or too much memory.
        """
        with self._busy:
            try:
                self._wait_until_it_listens()
                return self._forward(request, timeout)
            finally:
                with suppress(FileNotFoundError):  # It has been ended, and its folder is gone.
                    self.output += self._process.new_output()

    def end(self) -> None:
        """End the process."""
        self._process.kill()

    def _wait_until_it_listens(self) -> None:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            if self.ended:
                raise FunctionFailedError(self._why_it_ended())
            if time.monotonic() > self._ready_until:
                self.end()
                raise FunctionFailedError(f"it did not listen within {self._start_seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def _forward(self, request: Request, timeout: float) -> Answer:
        url = urlsplit(request.url)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            target = f"{url.path}?{url.query}" if url.query else url.path
            connection.request(request.method, target, request.body or None, {**headers, "host": url.netloc})
            answer = connection.getresponse()
            body = answer.read()
        except TimeoutError as error:
            self.end()  # Its late answer must not meet the next request.
            raise FunctionTimedOutError(f"it timed out after {timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self.end()
            raise FunctionFailedError(self._why_it_ended()) from error
        finally:
            connection.close()
        dropped = {*_HOP_BY_HOP, "date", "server", "set-cookie"}
        kept = {name: answer.getheader(name, "") for name in answer.headers if name.lower() not in dropped}
        return Answer(answer.status, kept, body, tuple(answer.headers.get_all("Set-Cookie", [])))

    def _why_it_ended(self) -> str:
        if self._process.out_of_memory:
            return f"it used more than {self._memory_mib} MiB of memory"
        return f"its process ended with status {self._process.status}"


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
        return port
