"""The clouds' word on what is left: said once, however many of them say it."""

from typing import Any

import pytest

from orchestrator import proof
from orchestrator.clouds import Remaining
from orchestrator.errors import OrchestratorError, ResourcesRemainError

BUCKET, DATASET = Remaining("gcp", "storage bucket", "hop-source"), Remaining("gcp", "bigquery dataset", "hop")
FAILURE = OrchestratorError("The data stack was not destroyed")


class Holding:
    """A cloud that still holds this."""

    def __init__(self, *held: Remaining) -> None:
        self._held = list(held)

    def remaining(self) -> list[Remaining]:
        return self._held


def test_what_both_sides_name_is_one_thing() -> None:
    data: Any = Holding(DATASET, BUCKET)
    compute: Any = Holding(BUCKET)
    assert proof.ask(data, compute, run_id="r", failures=[FAILURE]) == [DATASET, BUCKET]


@pytest.mark.parametrize(
    ("remaining", "brief"), [([BUCKET], "1 resource remains"), ([DATASET, BUCKET], "2 resources remain")]
)
def test_what_remains_is_named(remaining: list[Remaining], brief: str) -> None:
    with pytest.raises(ResourcesRemainError) as raised:
        proof.refuse(remaining, run_id="r", failures=[FAILURE])
    assert raised.value.brief == brief
    named = [f"{left.cloud} {left.kind}: {left.id}" for left in remaining]
    assert str(raised.value.details).splitlines() == ["The data stack was not destroyed", *named]
