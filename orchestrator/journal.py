"""``runs/<run id>/run.json``: what a run may have made, written before it is made.

Written whole each time, to a draft that replaces the file in one step, and synced: whatever kills the run, the file
that a recovery reads is the last one that was complete. Should it be damaged nevertheless, or be an older version's, it
is read as far as it goes, and what it does not say is taken for the worst: the run's stacks may exist.

A run, or a recovery, holds a lock (``flock`` on a file beside it), which ends with its process however that ends.
"""

import fcntl
import hashlib
import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic_core import from_json

from orchestrator.errors import UsageError
from orchestrator.processes import is_alive
from orchestrator.text_file import KIB, read_bytes, replace_text
from stacks.naming import Names, is_run_id

FILE = "run.json"
VERSION = 3
_WITHOUT_DIGEST = (1, 2)
_LOCK = "lock"
# A run that was killed while it started a process leaves its lock to it until that has become another program.
_ABOUT_TO_START_SECONDS = 2.0
_ASK_AGAIN_SECONDS = 0.05
_MOST_BYTES = 1024 * KIB  # A journal has 2 KiB.
_MOST_PID = 2**31 - 1
STACKS = ("data", "compute")
StackStatus = Literal["not begun", "may exist", "destroyed"]


def command_line(*arguments: str) -> str:
    """A command of this program, with this Python and this home, so that it can be pasted as it stands."""
    home = os.environ.get("ORCHESTRATOR_HOME")
    prefix = f"ORCHESTRATOR_HOME={shlex.quote(home)} " if home else ""
    return f"{prefix}{shlex.join((sys.executable, '-m', 'orchestrator', *arguments))}"


def recovery_command(run_id: str) -> str:
    """What removes the rest of a run."""
    return command_line("recover", run_id)


@dataclass
class Entry:
    """A journal's contents. ``settings`` are the run's, as JSON: they hold no credentials.

    ``settings`` and ``backend_url`` are None where a damaged file does not say. ``ended`` only after the clouds have
    said that nothing of the run is left in them.
    """

    run_id: str
    pid: int | None
    host: str | None
    started: str | None
    settings: dict[str, Any] | None
    backend_url: str | None
    stacks: dict[str, StackStatus] = field(default_factory=lambda: dict.fromkeys(STACKS, "not begun"))
    ended: bool = False

    def begun(self) -> list[str]:
        """The stacks of which something may exist."""
        return [name for name, status in self.stacks.items() if status == "may exist"]


class Journal:
    """The journal of one run, for whoever holds its lock; both sides of the run write it."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self._path = folder / FILE
        self._entry = entry
        self._lock = threading.Lock()  # A slow write must not put an older text over a newer one.

    @property
    def entry(self) -> Entry:
        """What it says."""
        return self._entry

    def stack(self, name: str, status: StackStatus) -> None:
        """``may exist`` before the stack's first create, ``destroyed`` after its destroy.

        Raises:
            OSError: that it may exist could not be written, so it must not be made.
        """
        with self._lock, suppress(OSError) if status == "destroyed" else nullcontext():
            # Of a destroy that is not noted, a recovery finds that there is nothing to do.
            self._write(replace(self._entry, stacks=self._entry.stacks | {name: status}))

    def end(self) -> None:
        """Nothing of the run is left: the clouds have said so. On a full disk, a recovery will ask them once more."""
        with self._lock, suppress(OSError):
            self._write(replace(self._entry, ended=True))

    def _write(self, entry: Entry) -> None:
        said = asdict(entry)
        digest = _digest(entry.settings, entry.backend_url)  # Before the part that changes, which may be torn off.
        after = {name: said.pop(name) for name in ("stacks", "ended")}
        replace_text(self._path, json.dumps({"version": VERSION, **said, "digest": digest, **after}, indent=2) + "\n")
        self._entry = entry


@contextmanager
def begin(folder: Path, *, settings: dict[str, Any], backend_url: str) -> Iterator[Journal]:
    """Open the journal of a new run, which is named as its folder. Without a stack it does not outlive the block."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder):
        started = datetime.now(UTC).isoformat()
        entry = Entry(folder.name, os.getpid(), socket.gethostname(), started, settings, backend_url)
        journal = Journal(folder, entry)
        try:
            journal._write(entry)  # noqa: SLF001 - its own module
            yield journal
        finally:
            if set(journal.entry.stacks.values()) == {"not begun"}:
                for name in (FILE, _LOCK):
                    with suppress(OSError):
                        (folder / name).unlink()


@contextmanager
def take_over(folder: Path) -> Iterator[Journal]:
    """The journal of a run whose process is gone, to finish what it could not.

    Raises:
        UsageError: there is no such run here, or it may still be running, or another recovery is at work on it.
    """
    entry = read(folder)
    with _locked(folder, entry):
        if entry.host not in (None, socket.gethostname()):
            _refuse_young(folder, f", {entry.host}, as process {entry.pid}")
        yield Journal(folder, read(folder))  # Once more: whoever had the lock may have written.


def is_live(folder: Path) -> bool:
    """Whether a run, or a recovery of it, is at work on this machine."""
    try:
        with _locked(folder):
            return False
    except FileNotFoundError:
        return False
    except UsageError:
        return True


def is_elsewhere(folder: Path) -> bool:
    """Whether a run began on another machine, so lately that it may be at work there."""
    try:
        host = read(folder).host
    except UsageError:
        host = None if (folder / FILE).exists() else "another"
    return host not in (None, socket.gethostname()) and datetime.now(UTC) < Names(folder.name).expires


def adopt(folder: Path, *, settings: dict[str, Any], backend_url: str) -> None:
    """Begin the journal of a run of another machine, whose state is in a shared backend, for a recovery here.

    Raises:
        UsageError: the run may still be at work over there.
    """
    _refuse_young(folder, "")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stacks: dict[str, StackStatus] = dict.fromkeys(STACKS, "may exist")
    entry = Entry(folder.name, None, None, None, settings, backend_url, stacks)
    Journal(folder, entry)._write(entry)  # noqa: SLF001 - its own module


def unfinished(runs: Path) -> list[str]:
    """The runs below a folder that did not end, oldest first; one of them may still be at work.

    One whose journal cannot be read may not have ended; its own recovery says why it cannot.
    """
    found = sorted(path.parent for path in runs.glob(f"*/{FILE}") if is_run_id(path.parent.name))
    return [folder.name for folder in found if not _is_known_to_have_ended(folder)]


def read(folder: Path) -> Entry:
    """What the journal of a run says, as far as it can be read; a UsageError when there is none."""
    path = folder / FILE
    try:
        content = read_bytes(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        others = unfinished(folder.parent)
        raise UsageError(
            f"There is no run {folder.name} on this machine",
            details=f"looked for {path}",
            resolution=f"name one of these: {', '.join(others[-5:])}"
            if others
            else f"set ORCHESTRATOR_HOME if it was another one; or ask the clouds, `{_sweep_command(folder.name)}`.",
        ) from error
    except OSError as error:
        raise UsageError(
            f"The journal of run {folder.name} cannot be read",
            details=f"{error.strerror}: {path}",
            resolution=f"make it readable; or, without it, `{_sweep_command(folder.name)}`.",
        ) from error
    return _entry(folder.name, content)


def _is_known_to_have_ended(folder: Path) -> bool:
    with suppress(UsageError):
        return read(folder).ended
    return False


def _entry(run_id: str, content: bytes) -> Entry:
    """The worst that the text allows. Settings that are not as they were written would ask the wrong clouds.

    A text that names another run says nothing about this one.
    """
    said = _object(content)
    if said.get("run_id", run_id) != run_id:
        said = {}
    pid = _if(int, said.get("pid"))
    settings, backend = _if(dict, said.get("settings")), _if(str, said.get("backend_url"))
    if said.get("version") not in _WITHOUT_DIGEST and said.get("digest") != _digest(settings, backend):
        settings = backend = None
    stacks = _if(dict, said.get("stacks")) or {}
    return Entry(
        run_id=run_id,
        pid=pid if pid is not None and 0 < pid <= _MOST_PID else None,
        host=_if(str, said.get("host")),
        started=_if(str, said.get("started")),
        settings=settings if backend else None,
        backend_url=backend,
        stacks={name: _status(stacks.get(name)) for name in STACKS},
        ended=said.get("ended") is True,
    )


def _digest(settings: Any, backend_url: Any) -> str:
    return hashlib.sha256(json.dumps([settings, backend_url], sort_keys=True).encode()).hexdigest()


def _refuse_young(folder: Path, where: str) -> None:
    expires = Names(folder.name).expires
    if datetime.now(UTC) < expires:
        raise UsageError(
            f"Run {folder.name} may still be running",
            details=f"it was started on another machine{where}",
            resolution=f"recover it there, or from {expires:%Y-%m-%d %H:%M} UTC on here: no run lasts longer.",
        )


def _object(content: bytes) -> dict[str, Any]:
    """A JSON object, of which the end may be missing."""
    try:
        said = from_json(content, allow_partial=True)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _if(kind: Any, value: Any) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _status(said: Any) -> StackStatus:
    return said if said in ("not begun", "destroyed") else "may exist"


def _sweep_command(run_id: str) -> str:
    return command_line("sweep", "--run", run_id)


@contextmanager
def _locked(folder: Path, entry: Entry | None = None) -> Iterator[None]:
    # For writing, because NFS locks no other; the engine's processes do not inherit it.
    descriptor = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _ABOUT_TO_START_SECONDS
    try:
        while not _lock(descriptor):
            running = entry is not None and entry.pid is not None and is_alive(entry.pid)
            if entry is None or running or time.monotonic() > deadline:
                raise UsageError(
                    f"Run {folder.name} may still be running",
                    details=f"its process {entry.pid} is alive"
                    if running and entry
                    else "another recovery is at work on it",
                    resolution="wait for it, or end it, and try again.",
                )
            time.sleep(_ASK_AGAIN_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
