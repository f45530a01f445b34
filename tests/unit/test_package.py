"""Archives: the same bytes from the same files, found again by content, refused when too large."""

import errno
import os
import re
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import uv

from orchestrator import package
from orchestrator.clouds import aws, azure, gcp_compute
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import Archive, Layout, Package, Target, libraries
from orchestrator.package.bytecode import Python

HERE = Target("", None, aws.LAYOUT).on_this_machine()


def write(root: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def archive(cache: Path, calls: list[Path], name: str = "layer", **what_goes_in: str) -> Archive:
    def fill(tree: Path) -> None:
        calls.append(tree)
        write(tree, "python/pandas/core.py", "python/numpy.py")

    return package._archive(name, [package._Part(what_goes_in, fill)], None, cache)


def test_a_zip_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "b.py", "a/c.so", "a.py")
    two = write(tmp_path / "two", "a.py", "a/c.so", "b.py")
    (two / "b.py").chmod(0o700)
    (two / "a" / "empty").mkdir()
    package.zip_folder(one, tmp_path / "one.zip")
    package.zip_folder(two, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as zipped:
        entries = zipped.infolist()
    assert [entry.filename for entry in entries] == ["a/c.so", "a.py", "b.py"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {(entry.create_system, entry.external_attr >> 16, entry.compress_type) for entry in entries} == {
        (3, 0o100644, zipfile.ZIP_DEFLATED)
    }


def test_an_archive_is_built_once_and_found_by_what_goes_in(tmp_path: Path) -> None:
    calls: list[Path] = []
    built = archive(tmp_path, calls, requirements="pandas==3.1.1", python="3.13")
    assert built == archive(tmp_path, calls, python="3.13", requirements="pandas==3.1.1")
    assert len(calls) == 1
    assert archive(tmp_path, calls, requirements="pandas==3.1.1", python="3.12").path != built.path
    assert archive(tmp_path, calls, "function", requirements="pandas==3.1.1", python="3.13").path != built.path
    assert len(calls) == 3
    assert built.unzipped_bytes == 2
    assert built.zipped_bytes == built.path.stat().st_size
    assert re.fullmatch(rf"layer-[0-9a-f]{{16}}-{built.sha256}\.zip", built.path.name)


def test_a_raised_archive_format_leaves_older_archives_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    archive(tmp_path, calls)
    monkeypatch.setattr(package, "ARCHIVE_FORMAT", package.ARCHIVE_FORMAT + 1)
    archive(tmp_path, calls)
    assert len(calls) == 2


def test_the_bytecode_is_part_of_what_an_archive_is_found_by(tmp_path: Path) -> None:
    part = package._Part({}, lambda tree: write(tree, "analysis.py", content=b"1"))

    def built(compiler: Python | None) -> Archive:
        return package._archive("function", [part], compiler, tmp_path)

    compiled = built(Python(sys.executable, "3.13.0"))
    assert compiled == built(Python("/another/python3.13", "3.13.0"))  # It is not even started.
    assert len({archive.path for archive in (compiled, built(None), built(Python(sys.executable, "3.13.1")))}) == 3


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"x" + content[1:], lambda _: b""])
def test_a_damaged_archive_is_built_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    calls: list[Path] = []
    built = archive(tmp_path, calls)
    whole = built.path.read_bytes()
    built.path.write_bytes(damage(whole))
    assert archive(tmp_path, calls) == built
    assert (len(calls), built.path.read_bytes()) == (2, whole)


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(tree: Path) -> None:
        write(tree, "python/half.py")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package._archive("layer", [package._Part({}, fail)], None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_build_at_a_time_and_a_killed_ones_folder_goes(tmp_path: Path) -> None:
    waiting, lines = threading.Event(), []

    def progress(line: str) -> None:
        lines.append(line)
        waiting.set()

    def second() -> None:
        with package._alone(tmp_path, progress):
            lines.append(str(files(tmp_path)))

    thread = threading.Thread(target=second)
    with package._alone(tmp_path, lines.append):
        write(tmp_path, ".building-abc/tree/python/half.py", "layer-whole.zip")
        thread.start()
        assert waiting.wait(10)
        lines.append("first is done")
    thread.join(10)
    assert lines == [
        "package: waiting for another run that builds",
        "first is done",
        "['.lock', 'layer-whole.zip']",
    ]


def test_the_functions_archive_has_its_modules_at_the_root(tmp_path: Path) -> None:
    sources = write(
        tmp_path / "function_code",
        *("analysis.py", "aws_main.py", "data/stations.csv"),
        *(
            "__pycache__/analysis.cpython-311.pyc",
            ".ruff_cache/0.1/12",
            ".DS_Store",
            "requirements.in",
            "requirements.txt",
            "requirements-azure.txt",
        ),
    )
    (tmp_path / "cache").mkdir()

    def function() -> Archive:
        return package._archive("function", [package._modules(sources, HERE)], None, tmp_path / "cache")

    before = function()
    with zipfile.ZipFile(before.path) as zipped:
        assert zipped.namelist() == ["analysis.py", "aws_main.py", "data/stations.csv"]
    write(sources, "requirements.txt", content=b"the libraries' business")
    assert function() == before
    write(sources, "analysis.py", content=b"y")
    assert function().sha256 != before.sha256


def test_two_parts_are_one_archive_that_either_of_them_changes(tmp_path: Path) -> None:
    def part(name: str, version: str) -> package._Part:
        return package._Part({name: version}, lambda tree: write(tree, name, content=version.encode()))

    both = package._archive("function", [part("analysis.py", "1"), part("lib/pandas.py", "1")], None, tmp_path)
    with zipfile.ZipFile(both.path) as zipped:
        assert zipped.namelist() == ["analysis.py", "lib/pandas.py"]
    for parts in (
        [part("analysis.py", "2"), part("lib/pandas.py", "1")],
        [part("analysis.py", "1"), part("lib/pandas.py", "2")],
    ):
        assert package._archive("function", parts, None, tmp_path).sha256 != both.sha256


def test_over_the_limit_the_largest_folders_are_named(tmp_path: Path) -> None:
    sizes = {"python/scipy/big.so": 3_000_000, "python/pandas/a.py": 1_048_576, "python/pandas/core/b.py": 1_048_576}
    for name, size in sizes.items():
        write(tmp_path / "tree", name, content=b"0" * size)
    package.zip_folder(write(tmp_path / "tree", "python/six.py"), tmp_path / "layer.zip")
    package.zip_folder(write(tmp_path / "code", "analysis.py", content=b"0" * 10_000), tmp_path / "function.zip")
    packed = Package(*(package._described(tmp_path / name) for name in ("function.zip", "layer.zip")))
    package.refuse_over_limit(packed, limited_to(5_107_153))
    package.refuse_over_limit(packed, limited_to(None))
    with pytest.raises(UsageError) as raised:
        package.refuse_over_limit(packed, limited_to(5_107_152))
    assert str(raised.value) == (
        "The function and its libraries unzip to 4.9 MB; Lambda takes 4.9 MB.\n"
        "  The largest folders:\n"
        "      2.9 MB  scipy\n"
        "      2.0 MB  pandas\n"
        "      0.0 MB  analysis.py\n"
        "      0.0 MB  six.py\n"
        "To fix it: set package.trim to full, or take what the analysis can do without out of "
        "function_code/requirements.in and run `make lock`."
    )


def limited_to(most_bytes: int | None) -> Layout:
    return Layout("Lambda", "aws_main.py", "requirements.txt", "python", layer=True, most_bytes=most_bytes)


def test_how_each_cloud_wants_it() -> None:
    assert (
        Layout("Lambda", "aws_main.py", "requirements.txt", "python", layer=True, most_bytes=250 * package.MB)
        == aws.LAYOUT
    )
    assert (
        Layout("Azure Functions", "function_app.py", "requirements-azure.txt", ".python_packages/lib/site-packages")
        == azure.LAYOUT
    )
    assert Layout("Cloud Run", "gcp_main.py", "requirements-gcp.txt", "libraries") == gcp_compute.LAYOUT


def test_a_target_on_this_machine_keeps_its_layout() -> None:
    target = Target("3.9", "aarch64-manylinux_2_28", azure.LAYOUT)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert target.on_this_machine() == Target(here, None, azure.LAYOUT)


def test_uv_is_told_the_target_and_to_run_nothing() -> None:
    command = libraries.install_command("uv", Path("requirements.txt"), "3.13", "aarch64-manylinux_2_28", Path("layer"))
    assert " ".join(command).replace(sys.executable, "PYTHON") == (
        "uv pip install --quiet --color never --python PYTHON --python-version 3.13"
        " --python-platform aarch64-manylinux_2_28 --only-binary :all: --no-compile-bytecode --require-hashes"
        " --target layer --requirements requirements.txt"
    )
    assert "--python-platform" not in libraries.install_command("uv", Path("r"), "3.13", None, Path("layer"))


@pytest.mark.parametrize(
    ("said", "resolution"),
    [
        (
            """error: Request failed after 3 retries in 6.1s
cause: Failed to fetch: https://packages.example/simple/cycler/
cause: tcp connect error""",
            "check the network (and the proxy or package index that uv is set up with), then run again.",
        ),
        (
            """error: No solution found when resolving dependencies
cause: Because contourpy==1.4.0 has no usable wheels, your requirements are unsatisfiable.""",
            "choose versions in function_code/requirements.in that have wheels for it, and run `make lock`.",
        ),
        (
            """error: Failed to install: pillow-13.0.0.whl (pillow==13.0.0)
cause: failed to copy file: No space left on device (os error 28)""",
            "free 500 MB or more on this disk, then run again.",
        ),
        (
            """error: Failed to download `cycler==0.12.1`
cause: Hash mismatch for `cycler==0.12.1`""",
            "run `make lock`, which locks function_code/requirements.in again.",
        ),
    ],
)
def test_what_uv_says_is_condensed_with_what_to_do(tmp_path: Path, said: str, resolution: str) -> None:
    as_uv_does = said.replace("cause:", "  cause:") + "\n\nhint: Wheels are required for `contourpy`\n"
    says = [sys.executable, "-c", f"import sys; sys.stderr.write({as_uv_does!r}); sys.exit(2)"]
    with pytest.raises(OrchestratorError) as raised:
        libraries.run_uv(says, "Python 3.13 on aarch64-manylinux_2_28", tmp_path)
    assert raised.value.brief == (
        "The function's libraries for Python 3.13 on aarch64-manylinux_2_28 could not be installed."
    )
    assert (raised.value.details, raised.value.resolution) == (said, resolution)


def test_uv_itself_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError("/venv/bin/uv")

    monkeypatch.setattr(uv, "find_uv_bin", missing)
    with pytest.raises(OrchestratorError) as raised:
        package.build(HERE, trim="full", cache=tmp_path, progress=pytest.fail)
    assert str(raised.value) == (
        "uv, which fetches the function's libraries, is not in this Python environment.\n"
        "  /venv/bin/uv\n"
        "To fix it: install this project's dependencies again."
    )


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    cache = write(tmp_path, "file") / "file" / "cache"
    with pytest.raises(OrchestratorError) as raised:
        package.build(HERE, trim="full", cache=cache, progress=pytest.fail)
    assert str(raised.value) == (
        "The function's package could not be written.\n"
        f"  [Errno 20] Not a directory: '{cache}'\n"
        f"To fix it: see that {cache} can be written, then run again."
    )


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tree: Path, zipped: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(zipped.relative_to(tree.parent)))

    monkeypatch.setattr(package, "zip_folder", full)
    with pytest.raises(OrchestratorError) as raised:
        package.build(HERE, trim="full", cache=tmp_path, progress=pytest.fail)
    assert str(raised.value) == (
        "The function's package could not be written.\n"
        "  [Errno 28] No space left on device: 'archive.zip'\n"
        "To fix it: free 500 MB or more on this disk, then run again."
    )
    assert files(tmp_path) == [".lock"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("analysis.py", b"def (\n", "function_code/analysis.py, line 1: invalid syntax"),
        ("own/part.py", b"a = 1\n\tb\n", "function_code/own/part.py, line 2: unexpected indent"),
        ("analysis.py", b"\0", "function_code/analysis.py: source code string cannot contain null bytes"),
    ],
)
def test_what_is_no_python_is_refused_before_anything_is_made(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    write(tmp_path, "aws_main.py")
    write(tmp_path, name, content=content)
    with pytest.raises(UsageError) as raised:
        package._modules(tmp_path, HERE)
    assert str(raised.value) == f"{message}\nTo fix it: mend it, then run again."


def test_a_handler_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        package._modules(write(tmp_path, "analysis.py"), Target("3.13", "x", gcp_compute.LAYOUT))
    assert str(raised.value) == (
        "function_code has no gcp_main.py\nTo fix it: put it back: it is what the cloud calls, and calls chart.py."
    )


def test_the_archives_that_were_used_last_are_kept(tmp_path: Path) -> None:
    first = archive(tmp_path, [], version="0")
    os.utime(first.path, (1, 1))
    second = archive(tmp_path, [], version="1")
    os.utime(second.path, (2, 2))
    assert archive(tmp_path, [], version="0") == first  # It is used again.
    for version in range(2, 6):
        archive(tmp_path, [], version=str(version))
    assert first.path.exists()
    assert not second.path.exists()
    assert len(list(tmp_path.glob("layer-*.zip"))) == 5
