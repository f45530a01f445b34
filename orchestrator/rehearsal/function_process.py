"""The process of a rehearsed function: what the clouds have in common when they run one.

A package is unpacked read-only, its handler runs in a fresh process with the cloud's environment variables and no
others, within its memory, and what it writes is kept for the cloud's log.
"""

import io
import os
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

MIB = 1024 * 1024
_MEMORY_CHECK_SECONDS = 0.05


class FunctionProcess:
    """One process and those that it starts; ``on_end`` is called in another thread when it is gone, however it ended.

    ``memory_mib`` is for all of them.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        cwd: Path,
        environment: Mapping[str, str],
        memory_mib: int,
        on_end: Callable[[], None],
    ) -> None:
        self._memory_mib = memory_mib
        self._on_end = on_end
        # To a file, unbuffered: what the handler said before its answer is there when the answer is, even if killed.
        self._output = folder / "output"
        self._read_bytes = 0
        self.out_of_memory = False
        self.peak_bytes = 0
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        threading.Thread(target=self._wait, daemon=True).start()
        threading.Thread(target=self._watch_memory, daemon=True).start()

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it and what it started, which may outlive it; returns when it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def new_output(self) -> list[str]:
        """The lines that it wrote since the last time."""
        return self.new_bytes().decode("utf-8", "replace").splitlines()

    def new_bytes(self) -> bytes:
        """What it wrote since the last time, as it is."""
        with self._output.open("rb") as output:
            output.seek(self._read_bytes)
            written = output.read()
        self._read_bytes += len(written)
        return written

    def _wait(self) -> None:
        self._process.wait()
        self._on_end()

    def _watch_memory(self) -> None:
        while self.status is None:
            with suppress(psutil.NoSuchProcess):
                self.peak_bytes = max(self.peak_bytes, _memory(psutil.Process(self._process.pid)))
            if self.peak_bytes > self._memory_mib * MIB:
                self.out_of_memory = True
                self.kill()
                return
            time.sleep(_MEMORY_CHECK_SECONDS)


def _memory(process: psutil.Process) -> int:
    """Bytes in use; what a process that was forked shares with its parent counts once."""
    started = sum(child.memory_full_info().uss for child in process.children(recursive=True))
    return int(process.memory_info().rss + started)


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack read-only: nothing stops root, so a rehearsal as root cannot show a handler that writes there."""
    _make_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(folder)  # The module leaves out absolute paths and "..".
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def remove(folder: Path) -> None:
    """Remove a folder with what was unpacked in it."""
    _make_writable(folder)
    shutil.rmtree(folder)


def _make_writable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
