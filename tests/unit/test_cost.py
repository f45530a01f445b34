"""Costs at list prices, and the ceiling."""

import pytest

from orchestrator import cost
from orchestrator.errors import OverCeilingError

MIB, GIB, TIB = 2**20, 2**30, 2**40


@pytest.mark.parametrize(
    ("processed", "usd"),
    [
        (TIB, 6.25),
        (TIB // 4, 1.5625),
        (10 * MIB, 6.25 / 104_857.6),
        (0, 6.25 / 104_857.6),  # BigQuery bills at least 10 MB.
        (10 * MIB + 1, 6.25 * (10 * MIB + 1) / TIB),
    ],
)
def test_a_query(processed: int, usd: float) -> None:
    assert cost.query_usd(processed) == pytest.approx(usd, rel=1e-12)


@pytest.mark.parametrize(
    ("architecture", "memory", "seconds", "usd"),
    [
        ("arm64", GIB, 1, 0.0000135334),
        ("x86_64", GIB, 1, 0.0000168667),
        ("arm64", 1769 * MIB, 60, 0.0000133334 * 60 * 1769 / 1024 + 0.0000002),
        ("arm64", 128 * MIB, 0.2, 0.0000133334 / 8 + 0.0000002),  # Each second that began counts whole.
    ],
)
def test_a_function(architecture: str, memory: int, seconds: float, usd: float) -> None:
    assert cost.lambda_usd(architecture, memory, seconds) == pytest.approx(usd, rel=1e-12)


def test_the_ceiling_itself_is_allowed() -> None:
    cost.refuse_over(0.75, query=0.5, compute=0.25)
    cost.refuse_over(0, query=0, compute=0)


def test_over_the_ceiling() -> None:
    with pytest.raises(OverCeilingError) as raised:
        cost.refuse_over(0.05, query=0.0488, compute=0.0014)
    assert raised.value.exit_code == 4
    assert str(raised.value) == (
        "The run may cost 0.0502 USD, over the ceiling of 0.0500 USD\n"
        "  query: 0.0488 USD\n"
        "  function, if it runs to its timeout: 0.0014 USD\n"
        "To fix it: narrow the query (--set analysis.parameters...), lower compute.memory or compute.timeout, "
        "or raise budget.max_cost_usd."
    )
