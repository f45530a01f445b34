"""The end of a run: what the stacks left is removed by the clouds, and nothing is said to be gone that may be there."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import deadlines, proof
from orchestrator.clouds import Remaining
from orchestrator.console import Console
from orchestrator.engine import StackError, StackLockedError
from orchestrator.errors import OrchestratorError, ResourcesRemainError
from orchestrator.journal import recovery_command
from orchestrator.phases import Phases
from orchestrator.teardown import Teardown
from orchestrator.undo import Outcome, undo

ROLE = Remaining("aws", "iam role", "hop")
BUCKET = Remaining("aws", "s3 bucket", "hop-data")
DATASET = Remaining("gcp", "bigquery dataset", "hop")
NOT_DESTROYED = StackError("The compute stack was not destroyed", details="role: AccessDenied")
NOT_REMOVED = OrchestratorError("AWS did not remove the role", details="AccessDenied")
SILENT = OrchestratorError("AWS does not answer")


class Clock:
    """Stands in for the module ``time``: nobody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Cloud:
    """Holds what a run left. Its listing still names a thing for so many askings (``lag``) after it was removed.

    A removal that ``refuses`` says why; one of what it did not name is an error.
    """

    def __init__(self, story: list[str], *held: Remaining) -> None:
        self._story = story
        self._held = dict.fromkeys(held, 0)  # The askings after which it is gone; 0: it is there to stay.
        self.lag = 0
        self.refuses: Callable[[], OrchestratorError | None] = lambda: None
        self.answers: Callable[[], OrchestratorError | None] = lambda: None

    def remaining(self) -> list[Remaining]:
        silent = self.answers()
        if silent:
            raise silent
        self._held = {left: max(lag - 1, 0) for left, lag in self._held.items() if lag != 1}
        return list(self._held)

    def remove(self, left: Remaining) -> None:
        assert left in self._held
        self._story.append(f"remove {left.kind}")
        refused = self.refuses()
        if refused:
            raise refused
        self._held[left] = self._held[left] or self.lag + 1


def in_turn(*answers: OrchestratorError | None) -> Callable[[], OrchestratorError | None]:
    remaining = iter(answers)
    return lambda: next(remaining)


class Ending:
    """A run at its end: two clouds, and a compute stack with which this happens."""

    def __init__(self, clock: Clock) -> None:
        self.story: list[str] = []
        self.clock = clock
        self.data, self.compute = Cloud(self.story), Cloud(self.story)
        self._teardown = Teardown()

    def stack(self, destroy: OrchestratorError | None = None, settle: OrchestratorError | None = None) -> None:
        def step(word: str, failure: OrchestratorError | None) -> Callable[[], None]:
            def do() -> None:
                self.story.append(word)
                if failure:
                    raise failure

            return do

        self._teardown.register("compute", step("destroy", destroy), step("settle", settle))

    def undo(self, *before: OrchestratorError) -> Outcome:
        data: Any = self.data
        compute: Any = self.compute
        return undo(self._teardown, data, compute, run_id="r", phases=Phases(Console(io.StringIO())), before=before)


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Ending:
    clock = Clock()
    monkeypatch.setattr(proof, "time", clock)
    monkeypatch.setattr(deadlines, "SETTLE", 60.0)
    return Ending(clock)


def test_nothing_is_left(ending: Ending) -> None:
    ending.stack()
    assert ending.undo() == Outcome([], [])
    assert (ending.story, ending.clock.pauses) == (["destroy"], [])


def test_nothing_was_made(ending: Ending) -> None:
    assert ending.undo() == Outcome([], [])


def test_what_is_left_is_removed_by_the_cloud_that_named_it_in_its_order(ending: Ending) -> None:
    ending.data, ending.compute = Cloud(ending.story, DATASET), Cloud(ending.story, BUCKET, ROLE)
    ending.stack()
    assert ending.undo() == Outcome([], [])
    assert ending.story == ["destroy", "remove s3 bucket", "remove iam role", "remove bigquery dataset"]
    assert ending.clock.pauses == []


def test_a_listing_that_lags_is_asked_again(ending: Ending) -> None:
    ending.compute = Cloud(ending.story, BUCKET)
    ending.compute.lag = 6
    assert ending.undo() == Outcome([], [])
    assert ending.clock.pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_what_stays_is_named_after_the_deadline(ending: Ending) -> None:
    ending.compute = Cloud(ending.story, BUCKET)
    ending.compute.lag = 1000
    ending.stack(NOT_DESTROYED)
    assert ending.undo() == Outcome([BUCKET], [NOT_DESTROYED])
    assert ending.story == ["destroy", *["remove s3 bucket"] * 19]  # It is not settled: something of it is there.
    assert ending.clock.now == 63.5


def test_a_removal_that_takes_minutes_leaves_the_listing_its_time(ending: Ending) -> None:
    def slow() -> None:
        ending.clock.now += 300.0 if ending.story.count("remove s3 bucket") == 1 else 0.0

    ending.compute = Cloud(ending.story, BUCKET)
    ending.compute.lag, ending.compute.refuses = 6, slow
    assert ending.undo() == Outcome([], [])
    assert ending.clock.pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_why_a_removal_was_refused_is_told(ending: Ending) -> None:
    ending.compute = Cloud(ending.story, ROLE, BUCKET)
    ending.compute.refuses = lambda: NOT_REMOVED if ending.story[-1] == "remove iam role" else None
    ending.stack(NOT_DESTROYED)
    # Once, however often it was tried.
    assert ending.undo() == Outcome([ROLE], [NOT_DESTROYED, NOT_REMOVED])
    assert ending.story.count("remove s3 bucket") == 1


def test_a_refusal_that_passes_is_no_failure(ending: Ending) -> None:
    ending.compute = Cloud(ending.story, ROLE)
    ending.compute.refuses = in_turn(NOT_REMOVED, NOT_REMOVED, None)
    assert ending.undo() == Outcome([], [])
    assert ending.clock.pauses == [0.5, 1.0]


@pytest.mark.parametrize("held", [[ROLE], []])
def test_where_somebody_else_is_at_work_nothing_is_touched(ending: Ending, held: list[Remaining]) -> None:
    locked = StackLockedError("The compute stack is locked")
    ending.compute = Cloud(ending.story, *held)
    ending.stack(locked)
    assert ending.undo() == Outcome(held, [locked])
    assert (ending.story, ending.clock.pauses) == (["destroy"], [])


def test_a_stack_of_which_nothing_is_left_is_settled_and_did_not_fail(ending: Ending) -> None:
    ending.compute = Cloud(ending.story, ROLE)
    ending.stack(NOT_DESTROYED)
    assert ending.undo() == Outcome([], [])
    assert ending.story == ["destroy", "remove iam role", "settle"]


def test_a_stack_that_cannot_be_settled_is_the_failure(ending: Ending) -> None:
    not_settled = StackError("The compute stack was not settled")
    ending.stack(NOT_DESTROYED, not_settled)
    assert ending.undo() == Outcome([], [not_settled])
    assert ending.story == ["destroy", "settle"]


def test_a_cloud_that_does_not_answer_may_hold_anything(ending: Ending) -> None:
    ending.compute.answers = in_turn(SILENT)
    ending.stack(NOT_DESTROYED)
    with pytest.raises(ResourcesRemainError) as raised:
        ending.undo(OrchestratorError("The function answered 500"))
    assert str(raised.value) == (
        "It is not known whether resources remain\n"
        "  The function answered 500\n"
        "  The compute stack was not destroyed\n"
        "    role: AccessDenied\n"
        "  AWS does not answer\n"
        f"To fix it: run `{recovery_command('r')}`."
    )
    assert ending.story == ["destroy"]


def test_a_cloud_that_stops_answering_while_it_is_emptied_may_hold_anything(ending: Ending) -> None:
    ending.compute = Cloud(ending.story, ROLE)
    ending.compute.answers, ending.compute.refuses = in_turn(None, SILENT), lambda: NOT_REMOVED
    ending.stack(NOT_DESTROYED)
    with pytest.raises(ResourcesRemainError) as raised:
        ending.undo()
    assert str(raised.value.details).splitlines() == [
        "The compute stack was not destroyed",
        "  role: AccessDenied",
        "AWS did not remove the role",
        "  AccessDenied",
        "AWS does not answer",
    ]
    assert ending.story == ["destroy", "remove iam role"]
