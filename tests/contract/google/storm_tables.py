"""Short names for the storm tables, for tests that have many queries."""

import re

from tests.contract.google.google_sides import STORMS


def storms_in(sql: str) -> str:
    """SQL with the tables storms (2010), next_year (2011) and all_storms by their names in BigQuery."""
    for name, suffix in {"all_storms": "*", "next_year": "2011", "storms": "2010"}.items():
        sql = re.sub(rf"(FROM|JOIN|,) {name}\b(?!_)", rf"\1 `{STORMS}{suffix}`", sql)
    return sql
