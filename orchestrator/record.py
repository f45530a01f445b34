"""What is known of a run while it runs, and the result that is made of it at the end."""

import platform
import sys
import threading
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from orchestrator.clouds import Answer, Remaining
from orchestrator.console import Console
from orchestrator.engine import StackEvent
from orchestrator.errors import InterruptedRunError, OrchestratorError, OverCeilingError, ResourcesRemainError
from orchestrator.path_record import PathRecord
from orchestrator.phases import Phases
from orchestrator.query import Query
from orchestrator.report import Resources, Result
from orchestrator.settings import Settings
from stacks.naming import Names

_SDKS = (
    *("pulumi", "pulumi-aws", "pulumi-azure-native", "pulumi-gcp"),
    *("azure-identity", "azure-mgmt-resource", "boto3", "google-cloud-bigquery", "google-cloud-storage"),
)
Status = Literal["done", "failed", "refused", "interrupted", "resources remain"]


class Record:
    """Filled by the run's threads; ``directory`` is ``results/<run id>``, where the events go line by line."""

    def __init__(self, settings: Settings, query: Query, names: Names, directory: Path, console: Console) -> None:
        self.names = names
        self.directory = directory
        self.phases = Phases(console)
        self.data_source = ""
        self.cli_version: str | None = None
        self.bytes_processed: int | None = None
        self.bytes_billed: int | None = None
        self.cost_usd: float | None = None
        self.package_bytes: int | None = None
        self.extract_sha256: str | None = None
        self.answer: Answer | None = None
        self.remaining: list[Remaining] = []
        self.path = PathRecord()
        self._settings = settings
        self._query = query
        self._console = console
        self._created = self._destroyed = 0
        # The engine waits for its event listener: a slow disk must not slow it.
        self._events: SimpleQueue[StackEvent | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write_events, daemon=True)
        self._writer.start()

    def found_data(self, source: str) -> None:
        """Where the tables come from: said before anything runs, and in every result."""
        self.data_source = source
        self._console.note(f"Data: {source}")

    def event(self, event: StackEvent) -> None:
        """Take an event of the engine; returns at once."""
        self._events.put(event)

    def result(self, error: OrchestratorError | None) -> Result:
        """The run's result; nothing can be recorded afterwards."""
        self._events.put(None)
        self._writer.join()
        status = _status(error)
        answer = self.answer
        return Result(
            run_id=self.names.run_id,
            status=status,
            exit_code=error.exit_code if error else 0,
            mode=self._settings.mode,
            data_source=self.data_source,
            data_cloud=self._settings.data.cloud,
            compute_cloud=self._settings.compute.cloud,
            title=self._settings.analysis.title,
            query=self._query.sql,
            parameters={name: str(value) for name, value in self._query.parameters.items()},
            rows=answer.rows if answer else None,
            counts=answer.counts if answer else None,
            bytes_processed=self.bytes_processed,
            bytes_billed=self.bytes_billed,
            extract_sha256=self.extract_sha256,
            chart_sha256=sha256(answer.chart).hexdigest() if answer else None,
            cost_usd=self.cost_usd,
            package_bytes=self.package_bytes,
            phases=list(self.phases),
            critical_path=None if error else self.path.critical_path(self.phases),
            resources=Resources(created=self._created, destroyed=self._destroyed),
            remaining=self.remaining,
            error=str(error) if error else None,
            versions=self._versions(),
        )

    def _versions(self) -> dict[str, str]:
        cli = {"pulumi CLI": self.cli_version} if self.cli_version else {}
        return (
            cli
            | {name: version(name) for name in _SDKS}
            | {"python": platform.python_version(), "platform": sys.platform}
        )

    def _write_events(self) -> None:
        path = self.directory / "events.jsonl"
        while event := self._events.get():
            self.path.event(event)
            self._created += event.kind == "created"
            self._destroyed += event.kind == "deleted"
            if event.kind in {"creating", "created"}:
                self._console.phase_detail(f"{event.stack} stack", f"{event.kind} {event.name}")
            elif event.kind in {"deleting", "deleted"}:
                self._console.phase_detail(f"destroy {event.stack} stack", f"{event.kind} {event.name}")
            with suppress(OSError), path.open("a") as file:  # On a full disk, the report says so; the run goes on.
                file.write(event.to_json() + "\n")


def _status(error: OrchestratorError | None) -> Status:
    if error is None:
        return "done"
    if isinstance(error, ResourcesRemainError):
        return "resources remain"
    if isinstance(error, OverCeilingError):
        return "refused"
    return "interrupted" if isinstance(error, InterruptedRunError) else "failed"
