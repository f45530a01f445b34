"""The extract on its way from Cloud Storage to this machine: in chunks, checked as they come, with flat memory."""

import base64
import io
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c  # It comes with Cloud Storage's client, and is quick to import.

from orchestrator.clouds.csv_parts import Joined, mismatch
from orchestrator.errors import OrchestratorError

# Each chunk has a request, with all its retries, of its own: a line that breaks after many minutes is nothing special.
CHUNK_BYTES = 32 << 20


@dataclass(frozen=True)
class Extract:
    """The result on this machine: a CSV with one header; ``sha256`` in hexadecimal, ``columns`` as in the header."""

    path: Path
    sha256: str
    bytes: int
    rows: int
    columns: tuple[str, ...]


def download(
    blobs: Iterable[Any], *, to: Path, expected_rows: int, cancelled: threading.Event, limits: dict[str, Any]
) -> Extract:
    """Fetch the extract's files, in the order of their names, as one CSV with one header.

    Each file's size and CRC32C, the headers and the number of rows are checked. They come one after the other: one
    fills a line, and so nothing has to be read a second time, to be joined, hashed or counted.
    ``to`` appears complete or not at all. ``limits`` are a request's deadline and retries.

    Raises:
        OrchestratorError: it does not match, or ``cancelled`` was set; Google's client raises its own.
    """
    draft = to.with_name(f".{to.name}.draft")
    try:
        with Joined(draft) as joined:
            for blob in sorted(blobs, key=lambda blob: str(blob.name)):
                _fetch(blob, joined, cancelled, limits)
            whole = joined.finish()
        if whole.rows != expected_rows:
            raise mismatch(f"the query gave {expected_rows} rows, the extract has {whole.rows}")
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)
    return Extract(to, whole.sha256, whole.bytes, whole.rows, whole.columns)


def _fetch(blob: Any, joined: Joined, cancelled: threading.Event, limits: dict[str, Any]) -> None:
    """One file, as the bucket says it is."""
    joined.begin(blob.name)
    received = _Received(joined, cancelled)
    for first in range(0, blob.size, CHUNK_BYTES):
        end = min(first + CHUNK_BYTES, blob.size)
        # The client could check a whole file only, and not one whose download had broken off:
        # https://github.com/googleapis/python-storage, google/cloud/storage/_media/requests/download.py
        blob.download_to_file(received, start=first, end=end - 1, checksum=None, **limits)
    if received.bytes != blob.size:
        raise mismatch(f"{blob.name} has {received.bytes} bytes here, {blob.size} in the bucket")
    if received.crc32c != blob.crc32c:
        raise mismatch(f"{blob.name} has the CRC32C {received.crc32c} here, {blob.crc32c} in the bucket")


class _Received(io.RawIOBase):
    """What the client writes a file's bytes to; it takes no more once the run stops."""

    def __init__(self, joined: Joined, cancelled: threading.Event) -> None:
        super().__init__()
        self._joined = joined
        self._cancelled = cancelled
        self._checksum = 0
        self.bytes = 0

    @property
    def crc32c(self) -> str:
        """As Cloud Storage writes it: base64, https://cloud.google.com/storage/docs/data-validation."""
        return base64.b64encode(self._checksum.to_bytes(4, "big")).decode()

    def write(self, data: Any) -> int:
        if self._cancelled.is_set():
            raise OrchestratorError("The download was cancelled: the run is stopping")
        self._checksum = google_crc32c.extend(self._checksum, data)
        self._joined.write(data)
        self.bytes += len(data)
        return len(data)
