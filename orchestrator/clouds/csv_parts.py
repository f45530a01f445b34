"""A CSV that came in several files: joined to one with one header, and counted."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import OrchestratorError

# A field may be as long as a file: the limit of the csv module guards readers of strangers' files.
_FIELD_BYTES = 2**31 - 1


def mismatch(details: str) -> OrchestratorError:
    """The error for every way in which what came is not what was sent."""
    return OrchestratorError(
        "The extract does not match the query's result", details=details, resolution="run again; nothing is kept."
    )


def join(parts: Sequence[Path], whole: Path) -> None:
    """Join CSV files in order into ``whole``; every one starts with the same header, which is written once.

    Raises:
        OrchestratorError: there are none, or their headers differ.
    """
    if not parts:
        raise mismatch("the bucket has no extract files")
    header: bytes | None = None
    with whole.open("wb") as joined:
        for part in parts:
            with part.open("rb") as file:
                first = file.readline()
                if header is None:
                    header = first
                    joined.write(header)
                elif first != header:
                    raise mismatch(f"{part.name} has the header {first!r}, {parts[0].name} has {header!r}")
                shutil.copyfileobj(file, joined)


def count(path: Path) -> tuple[tuple[str, ...], int]:
    """The columns and the number of rows of a CSV with a header; a quoted line break does not end a row.

    Raises:
        OrchestratorError: it is not CSV, not UTF-8, empty, or a row has more or fewer fields than the header.
    """
    csv.field_size_limit(_FIELD_BYTES)
    rows = 0
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = tuple(next(reader, ()))
            for row in reader:
                rows += 1
                # A NULL in a table of one column is an empty line.
                if len(row) != len(columns) and not (row == [] and len(columns) == 1):
                    raise mismatch(f"line {reader.line_num} has {len(row)} fields, the header has {len(columns)}")
    except (csv.Error, UnicodeDecodeError) as error:
        raise mismatch(f"it is not CSV: {error}") from error
    if not columns:
        raise mismatch("it is empty, without even a header")
    return columns, rows
