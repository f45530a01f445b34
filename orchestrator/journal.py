"""``runs/<run id>/run.json``: what a run may have made, written before it is made.

Written whole each time, to a draft that replaces the file in one step, and synced: whatever kills the run, the file
that a recovery reads is the last one that was complete.
"""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from orchestrator.text_file import replace_text

FILE = "run.json"
StackStatus = Literal["may exist", "destroyed"]


class Entry(BaseModel):
    """A journal's contents. ``settings`` are the run's, as JSON: they hold no credentials."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    run_id: str
    pid: int
    host: str
    started: AwareDatetime
    settings: dict[str, Any]
    backend_url: str
    stacks: dict[str, StackStatus] = {}
    ended: Literal["done", "failed", "interrupted", "resources remain"] | None = None


class Journal:
    """The journal of the run that this process drives."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self._path = folder / FILE
        self._entry = entry
        self._write()

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
        return cls(folder, entry)

    def stack(self, name: str, status: StackStatus) -> None:
        """``may exist`` before the stack's first create, ``destroyed`` after its destroy."""
        self._entry.stacks[name] = status
        self._write()

    def end(self, status: Literal["done", "failed", "interrupted", "resources remain"]) -> None:
        """How the run ended."""
        self._entry.ended = status
        self._write()

    def _write(self) -> None:
        replace_text(self._path, self._entry.model_dump_json(indent=2) + "\n")
