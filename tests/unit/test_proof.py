"""The clouds' word on what is left: said once, however many of them say it."""

from threading import Barrier
from typing import Any

import pytest

from orchestrator import proof
from orchestrator.clouds import Remaining
from orchestrator.errors import OrchestratorError, ResourcesRemainError
from orchestrator.journal import recovery_command

BUCKET, DATASET = Remaining("gcp", "storage bucket", "hop-source"), Remaining("gcp", "bigquery dataset", "hop")
FUNCTION = Remaining("gcp", "cloud run service", "hop")
FAILURE = OrchestratorError("The data stack was not destroyed")


class Holding:
    """A cloud that still holds this."""

    def __init__(self, *held: Remaining) -> None:
        self._held = list(held)

    def remaining(self) -> list[Remaining]:
        return self._held


class Silent:
    """A cloud that does not answer."""

    def remaining(self) -> list[Remaining]:
        raise OrchestratorError("The cloud does not answer", details="timed out")


def test_what_both_sides_name_is_one_thing_of_the_data_side() -> None:
    data: Any = Holding(DATASET, BUCKET)
    compute: Any = Holding(BUCKET, FUNCTION)
    said = proof.ask(data, compute, run_id="r", failures=[FAILURE])
    assert list(said.items()) == [(BUCKET, data), (FUNCTION, compute), (DATASET, data)]


def test_both_sides_are_asked_at_once() -> None:
    asked = Barrier(2, timeout=20)

    class Waiting:
        def remaining(self) -> list[Remaining]:
            asked.wait()
            return []

    data: Any = Waiting()
    compute: Any = Waiting()
    assert proof.ask(data, compute, run_id="r", failures=[]) == {}


@pytest.mark.parametrize(("data", "compute"), [(Silent(), Holding(FUNCTION)), (Holding(), Silent())])
def test_a_cloud_that_does_not_answer_may_hold_anything(data: Any, compute: Any) -> None:
    with pytest.raises(ResourcesRemainError) as raised:
        proof.ask(data, compute, run_id="r", failures=[FAILURE])
    assert str(raised.value) == (
        "It is not known whether resources remain\n"
        "  The data stack was not destroyed\n"
        "  The cloud does not answer\n"
        "    timed out\n"
        f"To fix it: run `{recovery_command('r')}`."
    )


def test_nothing_remains() -> None:
    nothing: Any = Holding()
    assert proof.ask(nothing, nothing, run_id="r", failures=[FAILURE]) == {}
    proof.refuse([], run_id="r", failures=[FAILURE])


@pytest.mark.parametrize(
    ("remaining", "brief"), [([BUCKET], "1 resource remains"), ([DATASET, BUCKET], "2 resources remain")]
)
def test_what_remains_is_named(remaining: list[Remaining], brief: str) -> None:
    with pytest.raises(ResourcesRemainError) as raised:
        proof.refuse(remaining, run_id="r", failures=[FAILURE])
    named = (
        ["gcp storage bucket: hop-source"]
        if len(remaining) == 1
        else ["gcp bigquery dataset: hop", "gcp storage bucket: hop-source"]
    )
    assert str(raised.value).splitlines() == [
        brief,
        "  The data stack was not destroyed",
        *(f"  {line}" for line in named),
        f"To fix it: run `{recovery_command('r')}`.",
    ]
