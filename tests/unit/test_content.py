import base64
import hashlib
import io
from pathlib import Path

import google_crc32c
import pytest

from orchestrator.rehearsal.content import Content, blocks_of

MANY = bytes(range(256)) * 12_000  # 3,072,000 bytes: three blocks


def test_the_hashes_are_of_the_whole() -> None:
    content = Content([MANY[:7], b"", MANY[7:2_000_000], MANY[2_000_000:]])
    assert (content.size, content.read()) == (3_072_000, MANY)
    assert content.md5 == hashlib.md5(MANY, usedforsecurity=False).digest()
    assert content.md5_base64 == base64.b64encode(content.md5).decode()
    assert int.from_bytes(content.crc32c, "big") == google_crc32c.value(MANY)
    assert content.crc32c_base64 == base64.b64encode(content.crc32c).decode()


def test_nothing_has_hashes_too() -> None:
    content = Content([])
    assert (content.size, content.read(), list(content.blocks())) == (0, b"", [])
    assert (content.md5_base64, content.crc32c_base64) == ("1B2M2Y8AsgTpgAmY7PhCfg==", "AAAAAA==")


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, None), (0, 1), (1, 1), (5, 1_048_576), (1_048_575, 1_048_577), (3_071_999, None), (3_072_000, None), (9, 4e6)],
)
def test_a_part(first: int, end: int | None) -> None:
    content = Content([MANY])
    assert b"".join(content.blocks(first, end and int(end))) == MANY[first : end and int(end)]


def test_readers_do_not_disturb_each_other() -> None:
    content = Content([MANY])
    one, other = content.blocks(), content.blocks(10)
    with content.reopened() as file:
        assert (next(one)[:3], next(other)[:3], file.read(3)) == (MANY[:3], MANY[10:13], MANY[:3])
        assert b"".join(one) == MANY[1 << 20 :]
        file.seek(-2, io.SEEK_END)
        assert file.read() == MANY[-2:]
    assert b"".join(other) == MANY[10 + (1 << 20) :]


def test_a_copy_of_a_file_does_not_follow_it(tmp_path: Path) -> None:
    path = tmp_path / "extract.csv"
    path.write_bytes(MANY)
    content = Content.of_file(path)
    path.write_bytes(b"another")
    assert content.read() == MANY


def test_blocks_of_a_stream_that_goes_on() -> None:
    stream = io.BytesIO(MANY + b"the next request")
    assert [len(block) for block in blocks_of(stream, len(MANY))] == [1_048_576, 1_048_576, 974_848]
    assert stream.read() == b"the next request"
    assert list(blocks_of(io.BytesIO(b"less"), 10)) == [b"less"]
