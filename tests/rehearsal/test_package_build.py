"""Packages really built: uv fetches the wheels, for this machine and for Lambda."""

import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from orchestrator import package
from orchestrator.clouds.aws import LAYOUT
from orchestrator.errors import OrchestratorError
from orchestrator.package import Archive, Package, Target, bytecode, libraries

HERE = Target(f"{sys.version_info.major}.{sys.version_info.minor}", None, LAYOUT)
LAMBDA = Target("3.13", "aarch64-manylinux_2_28", LAYOUT)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(cache: Path) -> tuple[list[Package], list[str]]:
    """Two builds of the same package at the same time, and what they said."""
    lines: list[str] = []
    packages: list[Package] = []

    def build() -> None:
        packages.append(package.build(HERE, trim="full", cache=cache, progress=lines.append))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return packages, lines


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as zipped:
        return zipped.namelist()


def test_two_builds_at_once_are_one(built: tuple[list[Package], list[str]], cache: Path) -> None:
    (one, other), lines = built
    assert one == other
    assert one.layer is not None
    assert sorted(path.name for path in cache.iterdir()) == [".lock", one.function.path.name, one.layer.path.name]
    assert sorted(line.split(" for Python")[0] for line in lines) == [
        "package: compiling and zipping the libraries",
        "package: fetching the libraries",
        "package: waiting for another run that builds",
    ]


def test_a_second_build_takes_both_from_the_cache(built: tuple[list[Package], list[str]], cache: Path) -> None:
    assert package.build(HERE, trim="full", cache=cache, progress=pytest.fail) == built[0][0]


def test_a_build_after_a_killed_one_has_the_same_bytes(built: tuple[list[Package], list[str]], tmp_path: Path) -> None:
    kill_itself = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from orchestrator import package\n"
        "from orchestrator.clouds.aws import LAYOUT\n"
        f"target = package.Target({HERE.python!r}, None, LAYOUT)\n"
        "package.build(target, trim='full', cache=Path(sys.argv[1]), progress=lambda _: os.kill(os.getpid(), 9))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", kill_itself, str(tmp_path)], cwd=package.FUNCTION_CODE.parent, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".building-*"))) == 1

    again = package.build(HERE, trim="full", cache=tmp_path, progress=lambda _: None)
    first = built[0][0]
    assert again.layer is not None
    assert first.layer is not None
    assert (again.layer.sha256, again.function.sha256) == (first.layer.sha256, first.function.sha256)
    assert list(tmp_path.glob(".building-*")) == []


@pytest.fixture(scope="module")
def lambdas(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The layer for Lambda, and not for this machine."""
    layer = package.build(LAMBDA, trim="full", cache=tmp_path_factory.mktemp("lambda"), progress=lambda _: None).layer
    assert layer is not None
    return layer


def test_lambdas_layer_has_lambdas_wheels(lambdas: Archive) -> None:
    files = names(lambdas.path)
    assert {name.partition("/")[0] for name in files} == {"python"}
    extensions = [name for name in files if name.endswith(".so")]
    assert "python/numpy/_core/_multiarray_umath.cpython-313-aarch64-linux-gnu.so" in extensions
    assert [name for name in extensions if "x86_64" in name or "cpython-311" in name] == []
    assert [name for name in files if "/tests/" in name or name.endswith("/RECORD")] == []
    assert lambdas.zipped_bytes < 50 * package.MB  # What Lambda takes without a detour over S3.
    assert lambdas.unzipped_bytes < 130 * package.MB


def test_lambdas_bytecode_is_lambdas_pythons_or_there_is_none(lambdas: Archive) -> None:
    compiled = {name.split(".", 1)[1] for name in names(lambdas.path) if name.endswith(".pyc")}
    there_is_one = bytecode.find_python(LAMBDA.python, lambda _: None) is not None
    assert compiled == ({"cpython-313.pyc"} if there_is_one else set())


def test_no_library_is_linked_to_one_that_was_left_out(lambdas: Archive, tmp_path: Path) -> None:
    uv, requirements = libraries.find_uv(), package.FUNCTION_CODE / "requirements.txt"
    untrimmed = tmp_path / "python"
    command = libraries.install_command(uv, requirements, LAMBDA.python, LAMBDA.platform, untrimmed)
    libraries.run_uv(command, str(LAMBDA), cwd=tmp_path)
    kept = set(names(lambdas.path))
    bundled = {path.relative_to(tmp_path).as_posix(): path.name for path in untrimmed.glob("*.libs/*")}
    gone = [name for path, name in bundled.items() if path not in kept]
    assert len(gone) > 5
    with zipfile.ZipFile(lambdas.path) as layer:
        extensions = {name: layer.read(name) for name in kept if ".so" in name}
    assert [(name, lib) for name, content in extensions.items() for lib in gone if lib.encode() in content] == []


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")  # Port 9: nobody listens.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(OrchestratorError) as raised:
        package.build(LAMBDA, trim="full", cache=tmp_path / "cache", progress=lambda _: None)
    assert raised.value.brief == (
        "The function's libraries for Python 3.13 on aarch64-manylinux_2_28 could not be installed."
    )
    assert "http://127.0.0.1:9/simple/" in str(raised.value.details)
    assert raised.value.resolution == (
        "check the network (and the proxy or package index that uv is set up with), then run again."
    )


def test_no_wheel_for_the_target(tmp_path: Path) -> None:
    with pytest.raises(OrchestratorError) as raised:
        package.build(Target("3.9", None, LAYOUT), trim="full", cache=tmp_path, progress=lambda _: None)
    assert "has no usable wheels" in str(raised.value.details)
    assert raised.value.resolution == (
        "choose versions in function_code/requirements.in that have wheels for it, and run `make lock`."
    )
    assert not any(path.name.startswith("layer-") for path in tmp_path.iterdir())
