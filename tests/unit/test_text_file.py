"""Text files: what is wrong with one is said whole, and a replaced one is never seen half."""

import os
import stat
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.text_file import read_text, replace_text


def read(path: Path) -> str:
    return read_text(path, what="config", most=1024, resolution="name one that exists.")


@pytest.mark.parametrize("content", ["Größe: 1\r\n".encode(), b"\xef\xbb\xbf" + "Größe: 1\r\n".encode()])
def test_it_is_read_as_it_stands_without_a_byte_order_mark(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    assert read(tmp_path / "config.yaml") == "Größe: 1\r\n"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path / "config.yaml")
    assert str(raised.value) == (
        f"{tmp_path}/config.yaml does not exist\n  It was to be the config.\nTo fix it: name one that exists."
    )


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path} is a directory\n  It was to be the config, a file.\nTo fix it: name one that exists."
    )


def test_a_file_that_the_system_does_not_give(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as raised:
        read(tmp_path / "file" / "config.yaml")
    assert str(raised.value) == (
        f"{tmp_path}/file/config.yaml cannot be read\n"
        "  The system says: Not a directory.\n"
        "To fix it: make the file readable for you, or name another one."
    )


def test_what_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # Nobody writes into it.
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "fifo", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(UsageError) as raised:
            read(path)
        assert str(raised.value) == (
            f"{path} is no file\n  It was to be the config, a regular file.\nTo fix it: name one that exists."
        )


def test_a_file_may_be_as_long_as_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"x" * 1024)
    assert read(path) == "x" * 1024
    path.write_bytes(b"x" * 1025)
    with pytest.raises(UsageError) as raised:
        read(path)
    assert str(raised.value) == (
        f"{path} is longer than 1 KiB\n  No config is that long.\nTo fix it: name one that exists."
    )


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"mode: live\ntitle: Hagel im M\xe4rz\n")
    with pytest.raises(UsageError) as raised:
        read(tmp_path / "config.yaml")
    assert str(raised.value) == (
        f"{tmp_path}/config.yaml is not UTF-8 text\n"
        "  line 2: the byte 0xe4 does not belong there\n"
        "To fix it: save the file as UTF-8."
    )


def test_a_reader_of_the_old_text_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_text(path, "the old one, and long\n")
    with path.open("rb") as reader:
        replace_text(path, "März\n")
        assert reader.read() == b"the old one, and long\n"
    assert path.read_bytes() == b"M\xc3\xa4rz\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_text_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_text(path, "old\n")
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "new\ud800")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_text(tmp_path / "runs" / "run.json", "text")
