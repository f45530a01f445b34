"""Where the state is kept: the stacks that begin there without the CLI."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from orchestrator.engine import Backend
from orchestrator.errors import UsageError


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


# ---- folders that cannot be used


def refusal(backend: Backend) -> tuple[str, str | None, str | None]:
    with pytest.raises(UsageError) as raised:
        backend.refuse_unusable()
    return raised.value.brief, raised.value.details, raised.value.resolution


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "my state"
    assert refusal(Backend(missing.as_uri(), "secret")) == (
        "The backend's folder does not exist",
        str(missing),
        f"make it (mkdir -p '{missing}'), or set backend to another one.",
    )


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert refusal(Backend((tmp_path / "state").as_uri(), "secret"))[0] == "The backend's folder is no folder"


def test_a_folder_without_room_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: Path) -> None:  # noqa: A002 - tempfile's
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert refusal(Backend(folder.as_uri(), "secret")) == (
        "The backend's folder cannot be used",
        f"{folder}: No space left on device",
        "make room or give the permission, or set backend to another one.",
    )


@pytest.mark.parametrize("meta", [b"version: 2\n", b"", b"\xff", b"version: 10\n", b"xversion: 1\n"])
def test_an_unknown_layout_is_refused(folder: Path, meta: bytes) -> None:
    layout = folder / ".pulumi" / "meta.yaml"
    layout.write_bytes(meta)
    assert refusal(Backend(folder.as_uri(), "secret")) == (
        "The backend's folder is laid out in a way that is not known",
        f"{layout} does not say version 0 or 1.",
        "mend that file, or set backend to another folder.",
    )


@pytest.mark.parametrize("meta", [b"version: 1\n", b"version: 0\n", b"# mine\nversion: 1 \n"])
def test_known_layouts_and_other_backends_are_taken(folder: Path, meta: bytes) -> None:
    (folder / ".pulumi" / "meta.yaml").write_bytes(meta)
    Backend(folder.as_uri(), "secret").refuse_unusable()
    Backend("s3://bucket", "secret").refuse_unusable()
    assert [path.name for path in folder.iterdir()] == [".pulumi"]


# ---- what a removed stack leaves


def test_copies_and_empty_folders_of_a_removed_stack_go(folder: Path) -> None:
    kept = folder / ".pulumi"
    for path in ("stacks/cloud-hopping/run-data.json.bak", "stacks/run-data.json.bak.attrs", "history/p/run-other/one"):
        (kept / path).parent.mkdir(parents=True, exist_ok=True)
        (kept / path).write_text("")
    for path in ("history/p/run-data", "locks/organization/p/run-data", "locks/organization/p/run-other"):
        (kept / path).mkdir(parents=True)
    Backend(folder.as_uri(), "secret").tidy("run-data")
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if "run-" in path.name) == [
        "history/p/run-other",
        "locks/organization/p/run-other",
    ]
