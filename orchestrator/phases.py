"""The phases of a run: shown while they run, kept for the report."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from orchestrator.console import Console
from orchestrator.errors import InterruptedRunError, OrchestratorError
from orchestrator.report import Phase

_ENDED = {"failed": "failed", "interrupted": "was interrupted"}


class Phases:
    """Records phases as they end; several may run side by side, each in its own thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended: list[Phase] = []
        self._lock = threading.Lock()
        self._over = False

    @contextmanager
    def phase(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a block and show it; the value shows a detail ("3 created") while it runs."""
        started, clock = datetime.now(UTC), time.monotonic()
        self._console.phase_started(name)
        failure: str | None = None
        status: Literal["done", "failed", "interrupted"] = "done"
        try:
            yield lambda detail: self._console.phase_detail(name, detail)
        except BaseException as error:
            status = "interrupted" if isinstance(error, InterruptedRunError) else "failed"
            failure = error.brief if isinstance(error, OrchestratorError) else f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds = time.monotonic() - clock
            self._end(Phase(name=name, started=started, seconds=seconds, status=status, reason=failure))

    def skip_missing(self, planned: tuple[str, ...]) -> None:
        """The run is over. Note each planned phase that never started, and why: the first one that did not get done.

        What still works in the background (a package that nobody needs any more) is not heard of again.
        """
        with self._lock:
            self._over = True
        missing = [name for name in planned if name not in [phase.name for phase in self._ended]]
        undone = next((phase for phase in self._ended if phase.status != "done"), None)
        because = f" because {undone.name} {_ENDED[undone.status]}" if undone else ""
        reason = f"not run{because}"
        self._ended += [
            Phase(name=name, started=None, seconds=0.0, status="skipped", reason=reason) for name in missing
        ]
        if missing:
            self._console.note(f"Not run{because}: {', '.join(missing)}")

    def __iter__(self) -> Iterator[Phase]:
        """In the order of their start; skipped ones last."""
        return iter(sorted(self._ended, key=lambda phase: (phase.started is None, phase.started or 0)))

    def _end(self, phase: Phase) -> None:
        with self._lock:
            if self._over:
                return
            self._ended.append(phase)
        self._console.phase_ended(phase)
