"""What is seen of a run, and the critical path that comes of it."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.console import Console
from orchestrator.critical_path import Resource, Times
from orchestrator.engine import StackEvent
from orchestrator.path_record import PathRecord
from orchestrator.phases import Phases
from orchestrator.report import CriticalPath, PathStep, Phase
from stacks.contracts import ComputeOutputs, DataOutputs, ExtractFile

START = datetime(2026, 11, 23, 17, 35, tzinfo=UTC)
TIMES = Times(creates={"set": 3, "object": 1}, deletes={"set": 1, "object": 2}, query=4, extract=4, function=4)
EXTRACT = Path("/results/extract.csv")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def phases() -> Phases:
    """The data stack takes 3.5 s, and so on; 30 s in all."""
    phases = Phases(Console(io.StringIO()))
    ended = 0.0
    for name, seconds in {
        "preflight": 1.0,
        "data stack": 3.5,
        "query": 4.25,
        "extract": 4.25,
        "download": 0.5,
        "compute stack": 2.0,
        "function": 4.5,
        "ask the clouds": 10.0,
    }.items():
        phases._ended.append(Phase(name=name, started=at(ended), seconds=seconds, status="done", reason=None))
        ended += seconds
    return phases


@pytest.fixture
def record() -> PathRecord:
    record = PathRecord()
    record.times = TIMES
    record.stack("data", lambda: [Resource("urn:set", "set", "dataset")])
    record.stack("compute", lambda: [Resource("urn:object", "object", "extract", values=frozenset({str(EXTRACT)}))])
    record.handed("data stack", DataOutputs("hop_1", "hop-1", frozenset({"urn:set"})))
    record.handed("download", ExtractFile(EXTRACT, "abcd", 27, ("extract.csv",)))
    record.handed("compute stack", ComputeOutputs("hop-1", "https://hop-1/", frozenset({"urn:object"})))
    for kind, name, of, seconds in (
        ("creating", "dataset", "data", 1.5),
        ("created", "dataset", "data", 4.5),
        ("creating", "extract", "compute", 13.75),
        ("created", "extract", "compute", 15.25),
        ("info", "extract", "compute", 15.5),
        ("deleting", "extract", "compute", 22),
        ("deleted", "extract", "compute", 24),
    ):
        made = "set" if name == "dataset" else "object"
        record.event(StackEvent(at(seconds).timestamp(), of, kind, made, name))  # type: ignore[arg-type]
    return record


def test_the_path_with_what_was_seen_of_its_steps(record: PathRecord, phases: Phases) -> None:
    assert record.critical_path(phases) == CriticalPath(
        seconds=18.0,
        ratio=30.0 / 18.0,
        steps=[
            PathStep(name="create set dataset (data)", seconds=3, started=at(1.5), took=3.0),
            PathStep(name="data stack", seconds=0, started=at(4.5), took=0),
            PathStep(name="query", seconds=4, started=at(4.5), took=4.25),
            PathStep(name="extract", seconds=4, started=at(8.75), took=4.25),
            PathStep(name="download", seconds=0, started=at(13), took=0.5),
            PathStep(name="create object extract (compute)", seconds=1, started=at(13.75), took=1.5),
            PathStep(name="compute stack", seconds=0, started=at(15.5), took=0),
            PathStep(name="function", seconds=4, started=at(15.5), took=4.5),
            PathStep(name="delete object extract (compute)", seconds=2, started=at(22), took=2.0),
            PathStep(name="ask the clouds", seconds=0, started=at(20), took=10.0),
        ],
    )


def test_without_times_nothing_is_asked_and_there_is_no_path(phases: Phases) -> None:
    def not_asked() -> None:
        raise AssertionError

    record = PathRecord()
    record.stack("data", not_asked)
    assert record.critical_path(phases) is None


def test_there_is_no_path_of_stacks_that_cannot_be_read(record: PathRecord, phases: Phases) -> None:
    record.stack("compute", lambda: None)
    assert record.critical_path(phases) is None
