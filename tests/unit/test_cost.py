"""Costs at list prices, and the ceiling."""

from typing import Literal

import pytest

from orchestrator import cost
from orchestrator.errors import OverCeilingError

MIB, TIB = 2**20, 2**40


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
    ("architecture", "memory_mib", "seconds", "usd"),
    [
        ("arm64", 1024, 1, 0.0000135334),
        ("x86_64", 1024, 1, 0.0000168667),
        ("arm64", 1769, 60, 0.0000133334 * 60 * 1769 / 1024 + 0.0000002),
        ("arm64", 128, 0.2, 0.0000133334 / 8 + 0.0000002),  # Each second that began counts whole.
    ],
)
def test_a_lambda_function(architecture: str, memory_mib: int, seconds: float, usd: float) -> None:
    assert cost.lambda_usd(architecture, memory_mib, seconds) == pytest.approx(usd, rel=1e-12)


@pytest.mark.parametrize(
    ("plan", "memory_mib", "seconds", "usd"),
    [
        ("consumption", None, 1, 0.0000242),  # 1.5 GB-s at 0.000016, and 0.0000002 for the request.
        ("consumption", None, 60, 0.0014402),  # 90 GB-s.
        ("flex", 2048, 60, 0.0031204),  # 120 GB-s at 0.000026, and 0.0000004 for the request.
        ("flex", 4096, 1, 0.0001044),
        ("flex", 512, 0.2, 0.0000134),  # At least 1 s.
    ],
)
def test_an_azure_function(
    plan: Literal["consumption", "flex"], memory_mib: int | None, seconds: float, usd: float
) -> None:
    assert cost.azure_functions_usd(plan, memory_mib, seconds) == pytest.approx(usd, rel=1e-12)


@pytest.mark.parametrize(
    ("memory_mib", "seconds", "usd"),
    [
        (1024, 1, 0.0000269),  # 0.000024 for the processor, 0.0000025 for the memory, 0.0000004 for the request.
        (1024, 60, 0.0015904),
        (512, 0.01, 0.000002925),  # A tenth of a second is the least.
        (4096, 1.01, 0.0000378),  # 1.1 s at 0.000034.
        (4096, 1.1, 0.0000378),
    ],
)
def test_a_cloud_run_service(memory_mib: int, seconds: float, usd: float) -> None:
    assert cost.cloud_run_usd(memory_mib, seconds) == pytest.approx(usd, rel=1e-12)


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
        "To fix it: narrow the query (--set analysis.parameters...), lower compute.timeout, or compute.memory "
        "where there is a choice of it, or raise budget.max_cost_usd."
    )
