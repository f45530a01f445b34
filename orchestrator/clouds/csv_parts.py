"""A CSV that comes in several files, in blocks: joined to one with one header, hashed and counted while it comes."""

import csv
import hashlib
import io
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from orchestrator.background import spawn
from orchestrator.errors import OrchestratorError

# A field may be as long as a file: the limit of the csv module guards readers of strangers' files.
_FIELD_BYTES = 2**31 - 1


def mismatch(details: str) -> OrchestratorError:
    """The error for every way in which what came is not what was sent."""
    return OrchestratorError(
        "The extract does not match the query's result", details=details, resolution="run again; nothing is kept."
    )


@dataclass(frozen=True)
class Whole:
    """What came: its size, its ``sha256`` in hexadecimal, its ``columns`` as in the header, its rows."""

    bytes: int
    sha256: str
    columns: tuple[str, ...]
    rows: int


class Joined:
    """The file ``whole``, made of parts that come in order; each starts with the same header, which is written once.

    No more is in memory than a block. The rows are counted in a thread, which gets them through a pipe.

    Every call raises OrchestratorError as soon as it is known that what came is no CSV, or that the headers differ.
    """

    def __init__(self, whole: Path) -> None:
        self._file = whole.open("wb")
        self._sha256 = hashlib.sha256()
        self._part, self._first_part = "", ""
        self._header: bytes | None = None
        self._unfinished: bytearray | None = None  # The header of a part, as long as it has no end.
        pipe, to_count = os.pipe()
        self._to_count = os.fdopen(to_count, "wb")
        self._counting = spawn(lambda: count(os.fdopen(pipe, "rb")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with suppress(BrokenPipeError):  # What is wrong was said, or does not matter any more.
            self._to_count.close()

    def begin(self, part: str) -> None:
        """What is written from here on is of the next part; ``part`` is what errors call it."""
        self._end_part()
        self._part, self._unfinished = part, bytearray()

    def write(self, block: bytes) -> None:
        """The next bytes of the part."""
        if self._unfinished is None:
            self._take(block)
            return
        searched = len(self._unfinished)
        self._unfinished += block
        end = self._unfinished.find(b"\n", searched) + 1
        if end:
            self._end_header(bytes(self._unfinished[:end]), bytes(self._unfinished[end:]))

    def finish(self) -> Whole:
        """All parts came."""
        self._end_part()
        if self._header is None:
            raise mismatch("the bucket has no extract files")
        size = self._file.tell()
        self._file.close()
        with suppress(BrokenPipeError):
            self._to_count.close()
        columns, rows = self._counting.result()
        return Whole(size, self._sha256.hexdigest(), columns, rows)

    def _end_part(self) -> None:
        if self._unfinished is not None:
            self._end_header(bytes(self._unfinished), b"")

    def _end_header(self, header: bytes, rows: bytes) -> None:
        self._unfinished = None
        if self._header is None:
            self._header, self._first_part = header, self._part
            self._take(header)
        elif header != self._header:
            raise mismatch(f"{self._part} has the header {header!r}, {self._first_part} has {self._header!r}")
        self._take(rows)

    def _take(self, block: bytes) -> None:
        self._file.write(block)
        self._sha256.update(block)
        try:
            self._to_count.write(block)
        except BrokenPipeError:
            self._counting.result()  # It has stopped for a reason.
            raise


def count(file: BinaryIO) -> tuple[tuple[str, ...], int]:
    """The columns and the number of rows of a CSV with a header; a quoted line break does not end a row.

    Raises:
        OrchestratorError: it is not CSV, not UTF-8, empty, or a row has more or fewer fields than the header.
    """
    csv.field_size_limit(_FIELD_BYTES)
    rows = 0
    try:
        with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            reader = csv.reader(text, strict=True)
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
