"""A command of the program, in a process that is forked and not started: what it imports is there already.

Each fault takes a run and often a recovery, and to start them anew would take eight seconds of each.
"""

import fcntl
import importlib
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from orchestrator import deadlines

# All that a run imports when it needs it. None of it may start a thread: a fork would lose it.
_IMPORTED = (
    "orchestrator.cli",
    *("stacks.data_gcp", "stacks.compute_aws", "stacks.compute_azure", "stacks.compute_gcp"),
    *("boto3", "azure.identity", "azure.mgmt.resource.resources"),
    *("google.cloud.bigquery", "google.cloud.storage.retry", "google.oauth2.id_token"),
    *("google.auth.compute_engine", "google.auth.transport.requests", "google.api_core.exceptions"),
)
_POLL_SECONDS = 0.02


def preload() -> None:
    """Import all that a run needs, in the environment of the clouds: google-auth reads it once and for all."""
    for name in _IMPORTED:
        importlib.import_module(name)


class Child:
    """``python -m orchestrator ARGUMENTS``, in ``folder``, with a home; what it says goes to ``<name>.err`` there.

    ``limits`` are deadlines (attributes of ``deadlines``) that it has in the place of the program's.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        home: Path,
        limits: Mapping[str, float],
    ) -> None:
        self.name = name
        self.said = ""
        self.code: int | None = None
        self._kept = folder / f"{name}.err"
        # Not to a file: what limits the size of files must not take the run's words.
        self._reader, writer = os.pipe()
        output = os.open(folder / f"{name}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reader)
            with _becoming(output, writer):
                _prepare(folder, home, limits)
                sys.argv = ["orchestrator", *arguments]
                # By its name, as `python -m` does: the program stands above us.
                runpy.run_module("orchestrator", run_name="__main__", alter_sys=True)
        os.close(writer)
        os.close(output)
        fcntl.fcntl(self._reader, fcntl.F_SETFL, os.O_NONBLOCK)

    def until(self, line: str, seconds: float) -> bool:
        """Wait until it has said the line; whether it has, and still runs."""
        deadline = time.monotonic() + seconds
        while f"{line}\n" not in self.said:
            if not self.runs() or time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return self.runs()

    def wait(self, seconds: float) -> bool:
        """Wait until it ends; whether it has."""
        deadline = time.monotonic() + seconds
        while self.runs():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def runs(self) -> bool:
        """Whether it still runs; what it has said by now is read."""
        if self.code is not None:
            return False
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        self._listen()
        if ended:
            self.code = os.waitstatus_to_exitcode(status)
            os.close(self._reader)
            self._kept.write_text(self.said)
        return self.code is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended does not mind."""
        if self.runs():
            os.kill(self.pid, number)

    def clis(self) -> list[psutil.Process]:
        """The Pulumi CLIs that it has started and that still run."""
        with suppress(psutil.NoSuchProcess):
            return [process for process in psutil.Process(self.pid).children() if _is_alive(process)]
        return []

    def limit_files(self, most_bytes: int) -> None:
        """No file that it, or what it starts, writes from now on may be longer: the disk is full."""
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.pid).rlimit(psutil.RLIMIT_FSIZE, (most_bytes, most_bytes))

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while heard := os.read(self._reader, 1 << 16):
                self.said += heard.decode("utf-8", "replace")


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@contextmanager
def _becoming(output: int, error: int) -> Iterator[None]:
    """The forked process: what it does in the block, it does with these files, and never comes back."""
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor, standard in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (error, 2)):
            os.dup2(descriptor, standard)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in ((0, "r"), (1, "w"), (2, "w")))
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter: a traceback and a 1
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - waits for threads, as an interpreter
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _prepare(folder: Path, home: Path, limits: Mapping[str, float]) -> None:
    for variable in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        del os.environ[variable]
    # The CLI's processes live for a second: without collecting garbage they take a third less of it.
    os.environ |= {"ORCHESTRATOR_HOME": str(home), "GOGC": "off"}
    os.chdir(folder)
    for attribute, seconds in limits.items():
        getattr(deadlines, attribute)  # One that there is not would limit nothing.
        setattr(deadlines, attribute, seconds)
