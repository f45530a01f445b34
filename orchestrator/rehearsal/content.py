"""What an object of the stand-in clouds holds: on disk, because an extract may be larger than this machine's memory."""

import base64
import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import google_crc32c

_BLOCK_BYTES = 1 << 20


class Content:
    """Bytes that do not change, in a file without a name: the disk has them back when nobody refers to them any more.

    ``size`` in bytes; ``md5`` is the digest, ``crc32c`` the checksum as big-endian bytes, both taken while writing.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the object is there
        weakref.finalize(self, self._file.close)
        md5, crc32c, self.size = hashlib.md5(usedforsecurity=False), 0, 0
        for block in blocks:
            self._file.write(block)
            md5.update(block)
            crc32c = google_crc32c.extend(crc32c, block)
            self.size += len(block)
        self._file.flush()
        self.md5 = md5.digest()
        self.crc32c = crc32c.to_bytes(4, "big")

    def __deepcopy__(self, memo: object) -> Self:
        """Itself, for it does not change: moto copies the records of its objects to list them."""
        return self

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """A copy of a file."""
        with path.open("rb") as file:
            return cls(blocks_of(file))

    @property
    def md5_base64(self) -> str:
        """The MD5 as Google's and Azure's headers have it."""
        return base64.b64encode(self.md5).decode()

    @property
    def crc32c_base64(self) -> str:
        """The CRC32C as Google's headers have it: https://cloud.google.com/storage/docs/data-validation."""
        return base64.b64encode(self.crc32c).decode()

    def blocks(self, first: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``first`` to before ``end``, or to the last; several readers do not disturb each other."""
        end = self.size if end is None else min(end, self.size)
        while first < end:
            block = os.pread(self._file.fileno(), min(_BLOCK_BYTES, end - first), first)
            first += len(block)
            yield block

    def read(self) -> bytes:
        """All of it, in memory."""
        return b"".join(self.blocks())

    def reopened(self) -> BinaryIO:
        """A file of its own for one reader, who may close it."""
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file


def blocks_of(file: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """What is in a file from here on, of at most ``size`` bytes."""
    left = size
    while block := file.read(_BLOCK_BYTES if left is None else min(_BLOCK_BYTES, left)):
        if left is not None:
            left -= len(block)
        yield block
