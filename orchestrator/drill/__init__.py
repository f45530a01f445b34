"""The drill: hundreds of runs in rehearsal, in each of which something else goes wrong, and nothing is left behind.

    matrix -> sample -> crew --+-> worker: stage, fault after fault --+--> report
                               +-> worker                             |
    a fault: the stand-in clouds are told, a run is started and struck -> the clouds count -> all faults end ->
             recover, or sweep -> the clouds count again -> verdict

The faults are hooks in front of the stand-in clouds (``rehearsal/faults.py``), signals, and what happens to files and
clocks. Whether something is left is what the stand-ins' own records say, never what a run says.
"""

import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator import pulumi_cli
from orchestrator.drill import crew, report
from orchestrator.drill.matrix import Fault, Kind, faults
from orchestrator.drill.play import Outcome
from orchestrator.drill.sample import sample
from orchestrator.errors import OrchestratorError, ResourcesRemainError, UsageError
from orchestrator.home import Home
from orchestrator.rehearsal.faults import Cloud
from orchestrator.stop import Stop

__all__ = ["Choice", "Cloud", "Files", "Kind", "drill"]


@dataclass(frozen=True)
class Choice:
    """Which faults: of a cloud and kind (None: all), in whose number and name ``only`` is found, ``size`` of them."""

    cloud: Cloud | None = None
    kind: Kind | None = None
    only: str = ""
    size: int | None = None

    def faults(self) -> list[Fault]:
        """The chosen ones, in the order of the matrix.

        Raises:
            UsageError: there is none such.
        """
        try:
            wanted = re.compile(self.only)
        except re.error as error:
            raise UsageError(
                f"--only {self.only} is no regular expression",
                details=str(error),
                resolution="put a backslash before what is meant as it stands.",
            ) from error
        chosen = [
            fault
            for fault in faults()
            if self.cloud in (None, fault.cloud)
            and self.kind in (None, fault.kind)
            and wanted.search(f"{fault.number} {fault.name}")
        ]
        if not chosen:
            raise UsageError(
                "No fault is such as that", resolution="see them all: `python -m orchestrator drill --list`."
            )
        return chosen if self.size is None else sample(chosen, self.size)


@dataclass(frozen=True)
class Files:
    """Where the outcomes go besides, for programs."""

    junit: Path | None = None
    json: Path | None = None


def drill(chosen: Sequence[Fault], *, workers: int, home: Home, files: Files, say: Callable[[str], None]) -> int:
    """Let the faults happen, ``workers`` of them at a time, and ``say`` how each went; the exit code.

    Ctrl-C and SIGTERM end it: what is known by then is reported.
    """
    pulumi_cli.find(home, say, Stop())
    folder = Path(tempfile.mkdtemp(dir=home.folder("drill"), prefix=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-"))
    outcomes: list[Outcome] = []

    def each(outcome: Outcome) -> None:
        outcomes.append(outcome)
        say(report.line(outcome))

    interrupted = False
    with _both_signals():
        try:
            crew.drill(chosen, workers=workers, folder=folder, home=home, each=each)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if all(not outcome.wrong for outcome in outcomes):
                shutil.rmtree(folder, ignore_errors=True)
    if files.junit:
        report.write_junit(outcomes, files.junit)
    if files.json:
        report.write_json(outcomes, files.json)
    if interrupted:
        say(f"Interrupted: {len(chosen) - len(outcomes)} of {len(chosen)} faults did not happen.")
    say(report.summary(outcomes))
    if report.left(outcomes):
        return ResourcesRemainError.exit_code
    return OrchestratorError.exit_code if interrupted or any(outcome.wrong for outcome in outcomes) else 0


@contextmanager
def _both_signals() -> Iterator[None]:
    """SIGTERM as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
