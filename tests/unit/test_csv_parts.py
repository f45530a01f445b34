import hashlib
import io
import random
from pathlib import Path

import pytest

from orchestrator.clouds.csv_parts import Joined, Whole, count
from orchestrator.errors import OrchestratorError


def join(folder: Path, *parts: bytes, block: int = 1 << 20) -> Whole:
    with Joined(folder / "whole") as joined:
        for number, content in enumerate(parts):
            joined.begin(f"part-{number}")
            for first in range(0, len(content), block):
                joined.write(content[first : first + block])
        return joined.finish()


def said(error: pytest.ExceptionInfo[OrchestratorError]) -> str:
    assert error.value.brief == "The extract does not match the query's result"
    assert error.value.resolution == "run again; nothing is kept."
    return error.value.details or ""


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_parts_become_one_file_with_one_header(tmp_path: Path, block: int) -> None:
    whole = join(tmp_path, b"a,b\n1,2\n", b"a,b\n", b'a,b\n3,"x\ny"\n', block=block)
    content = b'a,b\n1,2\n3,"x\ny"\n'
    assert (tmp_path / "whole").read_bytes() == content
    assert whole == Whole(len(content), hashlib.sha256(content).hexdigest(), ("a", "b"), 2)


def test_more_than_fits_between_the_threads(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - the same each time
    texts = ("".join(chance.choices('ab,\n"', k=100)).replace('"', '""') for _ in range(30_000))
    rows = [f'{row},"{text}"\n' for row, text in enumerate(texts)]
    content = ("n,text\n" + "".join(rows)).encode()
    whole = join(tmp_path, content, block=8192)
    assert (tmp_path / "whole").read_bytes() == content
    assert whole == Whole(len(content), hashlib.sha256(content).hexdigest(), ("n", "text"), 30_000)


@pytest.mark.parametrize(
    ("second", "header"),
    [(b"b,a\n1,2\n", r"b'b,a\n'"), (b"a,b", "b'a,b'"), (b"", "b''")],
    ids=["other columns", "no line", "nothing"],
)
@pytest.mark.parametrize("block", [1, 1000])
def test_parts_with_different_headers(tmp_path: Path, second: bytes, header: str, block: int) -> None:
    with pytest.raises(OrchestratorError) as error:
        join(tmp_path, b"a,b\n1,2\n", second, block=block)
    assert said(error) == rf"part-1 has the header {header}, part-0 has b'a,b\n'"


def test_no_parts(tmp_path: Path) -> None:
    with pytest.raises(OrchestratorError) as error:
        join(tmp_path)
    assert said(error) == "the bucket has no extract files"


def test_what_is_no_csv_is_known_before_all_came(tmp_path: Path) -> None:
    with Joined(tmp_path / "whole") as joined:

        def write_on_and_on() -> None:
            while True:
                joined.write(b"a,b\n1\n" * 10_000)

        joined.begin("part-0")
        with pytest.raises(OrchestratorError) as error:
            write_on_and_on()
    assert said(error) == "line 2 has 1 fields, the header has 2"


@pytest.mark.parametrize(
    ("content", "details"),
    [
        (b"a,b\n1\n", "line 2 has 1 fields, the header has 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, the header has 2"),
        (b'a\n"x\n', "it is not CSV: unexpected end of data"),
        (b"", "it is empty, without even a header"),
        (b"a\n\xff\n", "it is not CSV: 'utf-8' codec can't decode byte 0xff in position 2: invalid start byte"),
    ],
)
def test_what_is_no_csv(tmp_path: Path, content: bytes, details: str) -> None:
    with pytest.raises(OrchestratorError) as error:
        count(io.BytesIO(content))
    assert said(error) == details
    with pytest.raises(OrchestratorError) as error:
        join(tmp_path, content)
    assert said(error) == details


def test_a_null_in_the_only_column_is_a_row() -> None:
    assert count(io.BytesIO(b"a\n1\n\n2\n")) == (("a",), 3)


def test_a_very_long_field() -> None:
    assert count(io.BytesIO(b"a\n" + b"x" * 1_000_000 + b"\n")) == (("a",), 1)
