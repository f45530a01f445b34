"""What every compute cloud does in a run, whatever it is: the same assertions for each.

One more cloud is one more case in ``CASES`` and in ``compute_clouds.py``.
"""

import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from orchestrator.clouds import Answer
from orchestrator.clouds.invocation import FunctionError
from orchestrator.engine import Stack, StackError, StackEvent
from orchestrator.package import Package
from stacks.contracts import ComputeOutputs
from tests.rehearsal.compute_clouds import Case, ComputeClouds

ROWS = ["1990-03-25T17:00:00,1.75,3", "1991-03-25T18:00:00,1.0,3", "1992-03-04T18:00:00,,3"]
CASES = ["aws", "azure", "azure-flex", "gcp"]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, compute_clouds: ComputeClouds) -> Case:
    return compute_clouds.case(request.param)


class Up:
    """A compute stack of one case that comes up in a thread of its own."""

    def __init__(self, stack: Stack, case: Case, *, until: str | None = None, package: Package | None = None) -> None:
        self.stack = stack
        self.outputs: Future[ComputeOutputs] = Future()
        self.events: list[StackEvent] = []
        self.reached = threading.Event()
        self.failure: StackError | None = None
        self._until = until
        program = case.cloud.program(package or case.package, case.data.live, self.outputs)
        self._thread = threading.Thread(target=self._up, args=(program,))
        self._thread.start()

    def wait(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()

    def created(self) -> list[str]:
        return sorted(event.name for event in self.events if event.kind == "created")

    def _up(self, program: Callable[[], None]) -> None:
        try:
            self.stack.up(program, self._on_event)
        except StackError as error:
            self.failure = error

    def _on_event(self, event: StackEvent) -> None:
        self.events.append(event)
        if event.kind == "created" and event.name == self._until:
            self.reached.set()


@pytest.fixture
def up(new_stack: Callable[[], Stack], case: Case) -> Iterator[Callable[..., Up]]:
    """Brings the case's stack up; whatever comes of it is destroyed."""
    started: list[Up] = []

    def start(*, until: str | None = None, package: Package | None = None) -> Up:
        started.append(Up(new_stack(), case, until=until, package=package))
        return started[-1]

    yield start
    for one in started:
        one.wait()
        one.stack.destroy(lambda _: None)


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    """What the clouds answered so far."""
    return []


def test_preflight(case: Case) -> None:
    case.cloud.preflight()
    assert case.cloud.remaining() == []


def test_from_nothing_to_a_chart_to_nothing(case: Case, up: Callable[..., Up], answers: list[Answer]) -> None:
    case.data.extract(ROWS)
    stack = up()
    stack.wait()
    assert stack.failure is None
    made = stack.outputs.result(0)
    assert {urn.rpartition("::")[2] for urn in made.needs} == case.needs
    assert stack.created() == case.resources
    assert sorted(left.kind for left in case.cloud.remaining()) == case.kinds
    assert case.tags() == [case.names.tags] * case.tagged

    answer = case.cloud.invoke(made, case.package)
    assert (answer.counts, answer.rows) == ({"4": 1, "25": 2}, 3)
    # Byte for byte the same counts and the same chart on each.
    assert [answer, *answers] == [answer] * (1 + len(answers))
    answers.append(answer)
    page = case.ask(made.url, accept="text/html")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'<img src="data:image/png;base64,iVBOR' in page.content

    assert requests.get(made.url, timeout=60).status_code == case.refusal
    stack.stack.destroy(lambda _: None)
    assert case.cloud.remaining() == []


def test_only_what_needs_the_extract_waits_for_it(case: Case, up: Callable[..., Up]) -> None:
    case.data.bucket()
    stack = up(until=case.last_without_extract)
    assert stack.reached.wait(120)
    assert not stack.outputs.done()
    before = set(stack.created())
    case.data.extract(ROWS)
    stack.wait()
    assert stack.failure is None
    assert stack.outputs.result(0).function == case.names.prefix
    assert set(stack.created()) - before <= case.may_wait
    assert case.waits <= set(stack.created()) - before


def test_without_an_extract_the_stack_ends_with_the_reason(case: Case, up: Callable[..., Up]) -> None:
    case.data.bucket()
    case.data.live.extract.set_exception(RuntimeError("the query failed"))
    stack = up()
    stack.wait()
    assert "the query failed" in str(stack.failure)
    assert not stack.outputs.done()
    stack.stack.destroy(lambda _: None)
    assert case.cloud.remaining() == []


def test_what_the_function_says_when_it_fails_is_told(case: Case, up: Callable[..., Up]) -> None:
    case.data.extract(["1990-03-25T17:00:00,large,3"])
    stack = up()
    stack.wait()
    with pytest.raises(FunctionError) as raised:
        case.cloud.invoke(stack.outputs.result(0), case.package)
    assert raised.value.brief == f"The function answered {case.failure}"
    assert "ValueError: the CSV's column magnitude cannot be read: Unable to parse string 'large'" in str(
        raised.value.details
    )


def with_analysis(package: Package, source: str, path: Path) -> Package:
    """The package with another analysis. Its bytecode goes: it is not compared with the source."""
    replaced = re.compile(r"analysis\.py|__pycache__/analysis\..*")
    with zipfile.ZipFile(package.function.path) as packed, zipfile.ZipFile(path, "w") as archive:
        for name in packed.namelist():
            if not replaced.fullmatch(name):
                archive.writestr(packed.getinfo(name), packed.read(name))
        archive.writestr("analysis.py", source)
    return replace(package, function=replace(package.function, path=path))


def test_an_analysis_that_cannot_be_imported_is_told(case: Case, up: Callable[..., Up], tmp_path: Path) -> None:
    case.data.extract(ROWS)
    package = with_analysis(case.package, "import hailstones\n", tmp_path / "function.zip")
    stack = up(package=package)
    stack.wait()
    with pytest.raises(FunctionError) as raised:
        case.cloud.invoke(stack.outputs.result(0), package)
    assert "No module named 'hailstones'" in str(raised.value.details)


def test_without_the_state_all_is_found_and_removed(case: Case, up: Callable[..., Up]) -> None:
    case.data.extract(ROWS)
    up().wait()
    left = case.cloud.remaining()
    assert sorted(one.kind for one in left) == case.kinds
    for one in left:
        case.cloud.remove(one)
    assert case.cloud.remaining() == []
    for one in left:
        case.cloud.remove(one)  # What is gone already is fine.
