"""What a run may cost at most, at list prices in US dollars and without any free tier, and the ceiling.

Prices as of late 2026: https://cloud.google.com/bigquery/pricing (on demand, US), https://aws.amazon.com/lambda/pricing/
(us-east-1), https://azure.microsoft.com/pricing/details/functions/ (East US) and https://cloud.google.com/run/pricing
(tier 1, billed by request). What a run stores for minutes costs less than a hundredth of a cent and is left out.
"""

import math
from typing import Literal

from orchestrator.errors import OverCeilingError

_MIB, _TIB = 2**20, 2**40
_MIB_IN_GIB = 1024
_QUERY_USD_PER_TIB = 6.25
_QUERY_SMALLEST_TABLE = 10 * _MIB
_LAMBDA_USD_PER_GIB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
_LAMBDA_USD_PER_REQUEST = 0.20 / 1_000_000
_AZURE_USD_PER_GIB_SECOND = {"consumption": 0.000016, "flex": 0.000026}
_AZURE_USD_PER_REQUEST = {"consumption": 0.20 / 1_000_000, "flex": 0.40 / 1_000_000}
_AZURE_CONSUMPTION_MIB = 1536
_CLOUD_RUN_USD_PER_VCPU_SECOND = 0.000024
_CLOUD_RUN_USD_PER_GIB_SECOND = 0.0000025
_CLOUD_RUN_USD_PER_REQUEST = 0.40 / 1_000_000


def query_usd(bytes_processed: int, tables: int = 1) -> float:
    """A BigQuery query that reads so many bytes of so many tables: at least 10 MB of each are billed."""
    return max(bytes_processed, tables * _QUERY_SMALLEST_TABLE) / _TIB * _QUERY_USD_PER_TIB


def lambda_usd(architecture: str, memory_mib: int, seconds: float) -> float:
    """One request of a Lambda function that runs so long; start-up is billed, too."""
    gib_seconds = memory_mib / _MIB_IN_GIB * math.ceil(seconds)
    return gib_seconds * _LAMBDA_USD_PER_GIB_SECOND[architecture] + _LAMBDA_USD_PER_REQUEST


def azure_functions_usd(plan: Literal["consumption", "flex"], memory_mib: int | None, seconds: float) -> float:
    """One request of an Azure function that runs so long, in whole seconds: plan ``flex`` bills at least one.

    ``memory_mib`` is the instance's, which flex bills whole, used or not. It is None on ``consumption``, which bills
    what is used in steps of 128 MiB, at most 1536 MiB: that much is taken.
    """
    billed_mib = _AZURE_CONSUMPTION_MIB if memory_mib is None else memory_mib
    gib_seconds = billed_mib / _MIB_IN_GIB * math.ceil(seconds)
    return gib_seconds * _AZURE_USD_PER_GIB_SECOND[plan] + _AZURE_USD_PER_REQUEST[plan]


def cloud_run_usd(memory_mib: int, seconds: float) -> float:
    """One request of a Cloud Run service with one processor that runs so long, billed by tenths of a second."""
    usd_per_second = _CLOUD_RUN_USD_PER_VCPU_SECOND + memory_mib / _MIB_IN_GIB * _CLOUD_RUN_USD_PER_GIB_SECOND
    return math.ceil(seconds * 10) / 10 * usd_per_second + _CLOUD_RUN_USD_PER_REQUEST


def refuse_over(ceiling: float, *, query: float, compute: float) -> None:
    """Raise OverCeilingError when both together may cost more than the ceiling, all in US dollars."""
    if query + compute > ceiling:
        raise OverCeilingError(
            f"The run may cost {query + compute:.4f} USD, over the ceiling of {ceiling:.4f} USD",
            details=f"query: {query:.4f} USD\nfunction, if it runs to its timeout: {compute:.4f} USD",
            resolution="narrow the query (--set analysis.parameters...), lower compute.timeout, or compute.memory "
            "where there is a choice of it, or raise budget.max_cost_usd.",
        )
