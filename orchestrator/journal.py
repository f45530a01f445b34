"""``runs/<run id>/run.json``: what a run may have made, written before it is made.

Written whole each time, to a draft that replaces the file in one step, and synced: whatever kills the run, the file
that a recovery reads is the last one that was complete.
"""

import os
import shlex
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from orchestrator.errors import UsageError
from orchestrator.processes import is_alive
from orchestrator.text_file import replace_text

FILE = "run.json"
StackStatus = Literal["may exist", "destroyed"]


def recovery_command(run_id: str) -> str:
    """What removes the rest of a run: with this Python and this home, so that it can be pasted as it stands."""
    home = os.environ.get("ORCHESTRATOR_HOME")
    prefix = f"ORCHESTRATOR_HOME={shlex.quote(home)} " if home else ""
    return f"{prefix}{shlex.quote(sys.executable)} -m orchestrator recover {run_id}"


class Entry(BaseModel):
    """A journal's contents. ``settings`` are the run's, as JSON: they hold no credentials.

    ``ended`` only after the clouds have said that nothing of the run is left in them.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    run_id: str
    pid: int
    host: str
    started: AwareDatetime
    settings: dict[str, Any]
    backend_url: str
    stacks: dict[str, StackStatus] = {}
    ended: bool = False


class Journal:
    """The journal of one run; both sides of the run write it."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self._path = folder / FILE
        self._entry = entry
        self._lock = threading.Lock()  # A slow write must not put an older text over a newer one.

    @classmethod
    def begin(cls, folder: Path, *, run_id: str, settings: dict[str, Any], backend_url: str) -> "Journal":
        """Open the journal of a new run."""
        entry = Entry(
            run_id=run_id,
            pid=os.getpid(),
            host=socket.gethostname(),
            started=datetime.now(UTC),
            settings=settings,
            backend_url=backend_url,
        )
        journal = cls(folder, entry)
        journal._write()
        return journal

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """The journal of a run that was begun earlier; a UsageError when there is none that can be read."""
        try:
            return cls(folder, Entry.model_validate_json((folder / FILE).read_bytes()))
        except FileNotFoundError as error:
            others = sorted(path.parent.name for path in folder.parent.glob(f"*/{FILE}"))
            raise UsageError(
                f"There is no run {folder.name} on this machine",
                details=f"looked for {folder / FILE}",
                resolution=f"name one of these: {', '.join(others[-5:])}" if others else "there is nothing to recover.",
            ) from error
        except (OSError, ValidationError) as error:
            raise UsageError(
                f"The journal of run {folder.name} cannot be read",
                details=str(error),
                resolution=f"look into {folder / FILE}.",
            ) from error

    @property
    def entry(self) -> Entry:
        """What it says."""
        return self._entry

    def refuse_if_running(self) -> None:
        """Raise a UsageError when the run's process may be alive: nothing of a live run is touched."""
        entry = self._entry
        if entry.host != socket.gethostname():
            reason = f"it was started on another machine, {entry.host}, as process {entry.pid}"
        elif is_alive(entry.pid):
            reason = f"its process {entry.pid} is alive"
        else:
            return
        raise UsageError(
            f"Run {entry.run_id} may still be running",
            details=reason,
            resolution="wait for it, or end it, and try again there.",
        )

    def stack(self, name: str, status: StackStatus) -> None:
        """``may exist`` before the stack's first create, ``destroyed`` after its destroy."""
        with self._lock:
            self._entry.stacks[name] = status
            self._write()

    def end(self) -> None:
        """Nothing of the run is left: the clouds have said so."""
        with self._lock:
            self._entry.ended = True
            self._write()

    def _write(self) -> None:
        replace_text(self._path, self._entry.model_dump_json(indent=2) + "\n")
