"""Phases: timed, shown, kept in the order of their start, and what never ran is told."""

import io
from datetime import UTC, datetime

import pytest

from orchestrator.console import Console
from orchestrator.errors import InterruptedRunError, OrchestratorError
from orchestrator.phases import Phases
from orchestrator.report import Phase


def told(phases: Phases) -> list[tuple[str, str, str | None]]:
    return [(phase.name, phase.status, phase.reason) for phase in phases]


def fail(phases: Phases, name: str, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, phases.phase(name):
        raise error
    assert raised.value is error


class Recorder(Console):
    """The console, with its calls kept."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.calls: list[tuple[str, ...]] = []

    def phase_started(self, name: str) -> None:
        self.calls.append(("started", name))
        super().phase_started(name)

    def phase_detail(self, name: str, detail: str) -> None:
        self.calls.append(("detail", name, detail))
        super().phase_detail(name, detail)

    def phase_ended(self, phase: Phase) -> None:
        self.calls.append(("ended", phase.name, phase.status))
        super().phase_ended(phase)

    def note(self, text: str) -> None:
        self.calls.append(("note", text))
        super().note(text)


def test_a_phase_is_timed_and_shown() -> None:
    console = Recorder()
    phases, before = Phases(console), datetime.now(UTC)
    with phases.phase("data stack") as detail:
        detail("1 of 2 resources")
    after = datetime.now(UTC)
    [phase] = phases
    assert phase.started is not None
    assert before <= phase.started <= after
    assert 0 <= phase.seconds <= (after - before).total_seconds() + 0.1
    assert told(phases) == [("data stack", "done", None)]
    assert console.calls == [
        ("started", "data stack"),
        ("detail", "data stack", "1 of 2 resources"),
        ("ended", "data stack", "done"),
    ]


def test_a_failure_goes_on_and_its_reason_is_kept() -> None:
    phases = Phases(Console(None))
    fail(phases, "query", OrchestratorError("The query failed", details="Syntax error"))
    fail(phases, "package", KeyError("pandas"))
    fail(phases, "function", KeyboardInterrupt())
    assert told(phases) == [
        ("query", "failed", "The query failed"),
        ("package", "failed", "KeyError: 'pandas'"),
        ("function", "failed", "KeyboardInterrupt: "),
    ]


def test_they_are_told_in_the_order_of_their_start() -> None:
    phases = Phases(Console(None))
    with phases.phase("data stack"), phases.phase("compute stack"):
        pass
    phases.skip_missing(("query", "data stack", "extract"))
    assert told(phases) == [
        ("data stack", "done", None),
        ("compute stack", "done", None),
        ("query", "skipped", "not run"),
        ("extract", "skipped", "not run"),
    ]


def test_what_never_ran_names_the_first_failure() -> None:
    console = Recorder()
    phases = Phases(console)
    with phases.phase("preflight"):
        pass
    fail(phases, "Pulumi CLI", OrchestratorError("The CLI is broken"))
    fail(phases, "package", OrchestratorError("Not done: another part of the run failed"))
    phases.skip_missing(("preflight", "Pulumi CLI", "extract", "package", "download"))
    assert told(phases)[3:] == [
        ("extract", "skipped", "not run because Pulumi CLI failed"),
        ("download", "skipped", "not run because Pulumi CLI failed"),
    ]
    assert [(phase.started, phase.seconds) for phase in phases][3:] == [(None, 0.0), (None, 0.0)]
    assert console.calls[6:] == [("note", "Not run because Pulumi CLI failed: extract, download")]


def test_nothing_is_said_when_all_ran() -> None:
    console = Recorder()
    phases = Phases(console)
    with phases.phase("preflight"):
        pass
    phases.skip_missing(("preflight",))
    assert told(phases) == [("preflight", "done", None)]
    assert len(console.calls) == 2


def test_what_ends_after_the_run_is_not_heard_of() -> None:
    console = Recorder()
    phases = Phases(console)
    late = phases.phase("package")
    late.__enter__()
    fail(phases, "preflight", OrchestratorError("No"))
    phases.skip_missing(("preflight", "package"))
    said = len(console.calls)
    late.__exit__(None, None, None)
    assert len(console.calls) == said
    assert told(phases) == [("preflight", "failed", "No"), ("package", "skipped", "not run because preflight failed")]


def test_what_a_signal_ended_did_not_fail() -> None:
    console = Recorder()
    phases = Phases(console)
    fail(phases, "preflight", InterruptedRunError(2, "The run was interrupted by SIGINT"))
    phases.skip_missing(("preflight", "dry run", "query"))
    assert told(phases) == [
        ("preflight", "interrupted", "The run was interrupted by SIGINT"),
        ("dry run", "skipped", "not run because preflight was interrupted"),
        ("query", "skipped", "not run because preflight was interrupted"),
    ]
    assert console.calls[1:] == [
        ("ended", "preflight", "interrupted"),
        ("note", "Not run because preflight was interrupted: dry run, query"),
    ]
