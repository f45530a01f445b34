"""Modules are compiled for good by a Python of the function's version, if there is one on this machine."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.package import bytecode, libraries
from orchestrator.package.bytecode import Python

OURS = Python(sys.executable, platform.python_version())
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ANOTHER = "3.99"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def found_by_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Python 3.99 that a stand-in for uv finds; the test writes it."""
    python = tmp_path / "python3.99"
    uv = script(tmp_path / "uv", f'echo "$PYENV_VERSION: $*" > {tmp_path}/asked\n[ -e {python} ] && echo {python}')
    monkeypatch.setattr(libraries, "find_uv", lambda: str(uv))
    return python


def test_our_own_version_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_uv", pytest.fail)
    assert bytecode.find_python(VERSION, pytest.fail) == OURS


def test_another_version_is_found_by_uv_and_asked(found_by_uv: Path) -> None:
    script(found_by_uv, "echo 3.99.7")
    assert bytecode.find_python(ANOTHER, pytest.fail) == Python(str(found_by_uv), "3.99.7")
    assert (found_by_uv.parent / "asked").read_text() == (
        "3.99: python find --no-python-downloads --no-project cpython@3.99\n"
    )


@pytest.mark.parametrize("says", [None, "echo 3.98.0", "echo 3.990.0", "exit 127"])
def test_without_one_there_is_no_bytecode_and_the_run_says_so(found_by_uv: Path, says: str | None) -> None:
    if says is not None:
        script(found_by_uv, says)
    said: list[str] = []
    assert bytecode.find_python(ANOTHER, said.append) is None
    (line,) = said
    assert line == (
        "package: no Python 3.99 here, so no bytecode, and a cold start takes about three times as long; "
        "`uv python install 3.99` gets one"
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    sources = {
        "analysis.py": "def where():\n    return where.__code__.co_filename\nNAMES = {'a', 'b', 'c', 'd'}\n",
        "own/part.py": "VALUE = 1\n",
        "own/template.py": "from {{ name }} import *\n",
    }
    for folder in ("one", "two"):
        for name, source in sources.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(source)
        bytecode.compile_tree(OURS, tmp_path / folder)
    return tmp_path


def compiled(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.pyc")}


def test_every_module_that_compiles_has_bytecode_that_is_not_checked(tree: Path) -> None:
    tag = sys.implementation.cache_tag
    found = compiled(tree / "one")
    assert sorted(found) == [f"__pycache__/analysis.{tag}.pyc", f"own/__pycache__/part.{tag}.pyc"]
    # https://peps.python.org/pep-0552/: the magic number, then flags: a hash (1), not checked (no 2).
    assert {content[:8] for content in found.values()} == {importlib.util.MAGIC_NUMBER + b"\x01\0\0\0"}


def test_the_bytes_do_not_depend_on_the_folder_or_the_process(tree: Path) -> None:
    assert compiled(tree / "one") == compiled(tree / "two")
    assert not any(str(tree).encode() in content for content in compiled(tree / "one").values())


def test_it_is_used_whatever_the_sources_date_and_tracebacks_have_the_real_path(tree: Path) -> None:
    source = tree / "one" / "analysis.py"
    source.write_text("raise SystemExit('the source was read')\n")
    os.utime(source, (1, 1))
    code = "import sys; sys.path.insert(0, sys.argv[1]); import analysis; print(analysis.where())"
    command = [sys.executable, "-I", "-S", "-c", code, str(source.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{source}\n"


def test_a_python_that_fails(tmp_path: Path) -> None:
    broken = Python(str(script(tmp_path / "python", "echo 'no module named encodings' >&2; exit 1")), "3.99.0")
    with pytest.raises(OrchestratorError) as raised:
        bytecode.compile_tree(broken, tmp_path)
    assert str(raised.value) == (
        f"The function's modules could not be compiled by Python 3.99.0, {broken.executable}.\n"
        "  no module named encodings\n"
        "To fix it: mend or remove that Python, then run again."
    )


def test_a_full_disk(tmp_path: Path) -> None:
    says = "OSError: [Errno 28] No space left on device: 'analysis.pyc'"
    full = Python(str(script(tmp_path / "python", f'echo "{says}" >&2; exit 1')), "3.99.0")
    with pytest.raises(OrchestratorError) as raised:
        bytecode.compile_tree(full, tmp_path)
    assert (raised.value.details, raised.value.resolution) == (
        says,
        "free 500 MB or more on this disk, then run again.",
    )
