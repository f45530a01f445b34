"""Values as BigQuery writes them: in the CSV of an extract and in the JSON of a query's rows."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import duckdb

from orchestrator.rehearsal.gcp.bigquery import Table

# A cell with one of these is quoted.
_MARKS = re.compile('[,"\r\n]')
# What is in memory at once of a table that may be larger than that.
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 10_000, 8 << 20


def csv_parts(connection: duckdb.DuckDBPyConnection, table: Table, parts: int) -> Iterator[Iterator[bytes]]:
    """The table in CSV, in as many files with a header each as it has rows for, but one at least.

    A file comes in blocks; all of them are to be taken before the next file is asked for.
    """
    at_once = min(_ROWS_AT_ONCE, _BYTES_AT_ONCE * table.rows // max(1, table.bytes)) or 1
    rows = _rows(connection.execute(f"SELECT * FROM {table.relation}"), at_once)  # noqa: S608 - the relation is ours
    rows_a_part = math.ceil(table.rows / parts) or 1
    for _ in range(max(1, math.ceil(table.rows / rows_a_part))):
        yield _csv(table.columns, itertools.islice(rows, rows_a_part), at_once)


def _csv(columns: Iterable[str], rows: Iterator[Sequence[Any]], at_once: int) -> Iterator[bytes]:
    yield (",".join(_cell(name) for name in columns) + "\n").encode()
    while some := list(itertools.islice(rows, at_once)):
        yield "".join(",".join(_cell(text(value)) for value in row) + "\n" for row in some).encode()


def _rows(found: duckdb.DuckDBPyConnection, at_once: int) -> Iterator[Sequence[Any]]:
    while some := found.fetchmany(at_once):
        yield from some


def _cell(text: str | None) -> str:
    """NULL is nothing at all, an empty text is two quotes."""
    if text is None:
        return ""
    if text == "" or _MARKS.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def text(value: Any) -> str | None:
    """A value as BigQuery writes it, in CSV and in the JSON of getQueryResults."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    return str(value)
