"""What a run may cost at most, at list prices in US dollars and without any free tier, and the ceiling.

Prices: https://cloud.google.com/bigquery/pricing (on demand, US) and https://aws.amazon.com/lambda/pricing/
(us-east-1), as of late 2026. What a run stores for minutes costs less than a hundredth of a cent and is left out.
"""

import math

from orchestrator.errors import OverCeilingError

_MIB, _GIB, _TIB = 2**20, 2**30, 2**40
_QUERY_USD_PER_TIB = 6.25
_QUERY_SMALLEST_TABLE = 10 * _MIB
_LAMBDA_USD_PER_GIB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
_LAMBDA_USD_PER_REQUEST = 0.20 / 1_000_000


def query_usd(bytes_processed: int, tables: int = 1) -> float:
    """A BigQuery query that reads so many bytes of so many tables: at least 10 MB of each are billed."""
    return max(bytes_processed, tables * _QUERY_SMALLEST_TABLE) / _TIB * _QUERY_USD_PER_TIB


def lambda_usd(architecture: str, memory: int, seconds: float) -> float:
    """One request of a Lambda function that runs so long. ``memory`` in bytes; start-up is billed, too."""
    return memory / _GIB * math.ceil(seconds) * _LAMBDA_USD_PER_GIB_SECOND[architecture] + _LAMBDA_USD_PER_REQUEST


def refuse_over(ceiling: float, *, query: float, compute: float) -> None:
    """Raise OverCeilingError when both together may cost more than the ceiling, all in US dollars."""
    if query + compute > ceiling:
        raise OverCeilingError(
            f"The run may cost {query + compute:.4f} USD, over the ceiling of {ceiling:.4f} USD",
            details=f"query: {query:.4f} USD\nfunction, if it runs to its timeout: {compute:.4f} USD",
            resolution="narrow the query (--set analysis.parameters...), lower compute.memory or compute.timeout, "
            "or raise budget.max_cost_usd.",
        )
