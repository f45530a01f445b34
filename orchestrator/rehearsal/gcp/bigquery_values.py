"""Values as BigQuery writes them: in the CSV of an extract and in the JSON of a query's rows."""

import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import duckdb

from orchestrator.rehearsal.gcp.bigquery import Table

_ROWS_AT_ONCE = 10_000


def csv_parts(connection: duckdb.DuckDBPyConnection, table: Table, rows_a_part: int) -> Iterator[bytes]:
    """The table in CSV, in files of ``rows_a_part`` rows and a header each; an empty table is one file."""
    header = ",".join(_cell(name) for name in table.columns) + "\n"
    rows = _rows(connection.execute(f"SELECT * FROM {table.relation}"))  # noqa: S608 - the relation is ours
    first = True
    while part := list(itertools.islice(rows, rows_a_part)):
        first = False
        yield (header + "".join(",".join(_cell(text(value)) for value in row) + "\n" for row in part)).encode()
    if first:
        yield header.encode()


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while some := found.fetchmany(_ROWS_AT_ONCE):
        yield from some


def _cell(text: str | None) -> str:
    """NULL is nothing at all, an empty text is two quotes."""
    if text is None:
        return ""
    if text == "" or any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def text(value: Any) -> str | None:
    """A value as BigQuery writes it, in CSV and in the JSON of getQueryResults."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    return str(value)
