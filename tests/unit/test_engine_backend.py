"""Where the state is kept: the stacks that begin there without the CLI."""

from pathlib import Path

import pytest

from orchestrator.engine import Backend


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """That the CLI has used."""
    (tmp_path / ".pulumi" / "stacks").mkdir(parents=True)
    (tmp_path / ".pulumi" / "meta.yaml").write_text("version: 1\n")
    return tmp_path


def stacks(folder: Path) -> list[str]:
    return [path.name for path in (folder / ".pulumi" / "stacks").rglob("*") if path.is_file()]


def test_a_stack_begins_with_nothing_in_it(folder: Path) -> None:
    backend = Backend(folder.as_uri(), "secret")
    assert backend.begin("run-data")
    assert (stacks(folder), backend.deployment("run-data")) == (["run-data.json"], {})


def test_a_folder_with_nothing_in_it_gets_the_layout_of_a_new_one(tmp_path: Path) -> None:
    backend = Backend(tmp_path.as_uri(), "secret")
    assert backend.begin("run-data")
    assert backend.begin("run-compute")
    assert (tmp_path / ".pulumi" / "meta.yaml").read_bytes() == b"version: 1\n"
    assert sorted(stacks(tmp_path)) == ["run-compute.json", "run-data.json"]


def test_one_that_is_there_is_left_to_the_cli(folder: Path) -> None:
    backend = Backend(folder.as_uri(), "secret")
    assert backend.begin("run-data")
    (state,) = folder.rglob("run-data.json")
    state.write_text("precious")
    assert not backend.begin("run-data")
    assert state.read_text() == "precious"


@pytest.mark.parametrize("meta", [None, b"version: 0\n", b"version: 2\n", b"", b"\xff"])
def test_a_folder_that_is_kept_in_another_way_is_left_to_the_cli(folder: Path, meta: bytes | None) -> None:
    if meta is None:
        (folder / ".pulumi" / "meta.yaml").unlink()
    else:
        (folder / ".pulumi" / "meta.yaml").write_bytes(meta)
    assert not Backend(folder.as_uri(), "secret").begin("run-data")
    assert stacks(folder) == []


def test_a_folder_that_cannot_be_written_is_left_to_the_cli(folder: Path) -> None:
    (folder / ".pulumi" / "stacks").rmdir()
    (folder / ".pulumi" / "stacks").write_text("a file in the way")
    assert not Backend(folder.as_uri(), "secret").begin("run-data")


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert not Backend((tmp_path / "elsewhere").as_uri(), "secret").begin("run-data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["s3://bucket", "gs://bucket", "azblob://container"])
def test_a_backend_that_is_no_folder_is_left_to_the_cli(url: str) -> None:
    assert not Backend(url, "secret").begin("run-data")
