from pathlib import Path

import pytest

from orchestrator.clouds.csv_parts import count, join
from orchestrator.errors import OrchestratorError


def write(folder: Path, *contents: bytes) -> list[Path]:
    paths = [folder / f"part-{number}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def said(error: pytest.ExceptionInfo[OrchestratorError]) -> str:
    assert error.value.brief == "The extract does not match the query's result"
    assert error.value.resolution == "run again; nothing is kept."
    return error.value.details or ""


def test_parts_become_one_file_with_one_header(tmp_path: Path) -> None:
    join(write(tmp_path, b"a,b\n1,2\n", b"a,b\n", b'a,b\n3,"x\ny"\n'), tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == b'a,b\n1,2\n3,"x\ny"\n'
    assert count(tmp_path / "whole") == (("a", "b"), 2)


def test_parts_with_different_headers(tmp_path: Path) -> None:
    with pytest.raises(OrchestratorError) as error:
        join(write(tmp_path, b"a,b\n1,2\n", b"b,a\n1,2\n"), tmp_path / "whole")
    assert said(error) == r"part-1 has the header b'b,a\n', part-0 has b'a,b\n'"


def test_no_parts(tmp_path: Path) -> None:
    with pytest.raises(OrchestratorError) as error:
        join([], tmp_path / "whole")
    assert said(error) == "the bucket has no extract files"


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
    (path,) = write(tmp_path, content)
    with pytest.raises(OrchestratorError) as error:
        count(path)
    assert said(error) == details


def test_a_null_in_the_only_column_is_a_row(tmp_path: Path) -> None:
    (path,) = write(tmp_path, b"a\n1\n\n2\n")
    assert count(path) == (("a",), 3)


def test_a_very_long_field(tmp_path: Path) -> None:
    (path,) = write(tmp_path, b"a\n" + b"x" * 1_000_000 + b"\n")
    assert count(path) == (("a",), 1)
