"""Packages really built: uv fetches the wheels, and the function runs on nothing but what was packed."""

import json
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from orchestrator import package
from orchestrator.clouds.aws import LAYOUT
from orchestrator.errors import OrchestratorError
from orchestrator.package import Package, Target

HERE = Target(f"{sys.version_info.major}.{sys.version_info.minor}", None, LAYOUT)
LAMBDA = Target("3.13", "aarch64-manylinux_2_28", LAYOUT)
RUNTIME = ("boto3", "botocore", "jmespath", "s3transfer", "urllib3")
"""What AWS's Python runtime has besides the standard library; dateutil comes with the layer."""

HANDLE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import aws_main, matplotlib, numpy, pandas, PIL
answer = aws_main.handler({"headers": {"accept": "application/json"}}, None)
modules = [matplotlib, numpy, pandas, PIL]
print(json.dumps({**json.loads(answer["body"]), "from": [module.__file__ for module in modules]}))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(cache: Path) -> tuple[list[Package], list[str]]:
    """Two builds of the same package at the same time, and what they said."""
    lines: list[str] = []
    packages: list[Package] = []

    def build() -> None:
        packages.append(package.build(HERE, trim="safe", cache=cache, progress=lines.append))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return packages, lines


@pytest.fixture
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as zipped:
        return zipped.namelist()


def test_two_builds_at_once_are_one(built: tuple[list[Package], list[str]], cache: Path) -> None:
    (one, other), lines = built
    assert one == other
    assert one.layer is not None
    assert sorted(path.name for path in cache.iterdir()) == [".lock", one.function.path.name, one.layer.path.name]
    assert sorted(line.split(" for Python")[0] for line in lines) == [
        "package: fetching the libraries",
        "package: waiting for another run that builds",
        "package: zipping the libraries",
    ]


def test_a_second_build_takes_both_from_the_cache(built: tuple[list[Package], list[str]], cache: Path) -> None:
    assert package.build(HERE, trim="safe", cache=cache, progress=pytest.fail) == built[0][0]


def test_a_build_after_a_killed_one_has_the_same_bytes(built: tuple[list[Package], list[str]], tmp_path: Path) -> None:
    kill_itself = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from orchestrator import package\n"
        "from orchestrator.clouds.aws import LAYOUT\n"
        f"target = package.Target({HERE.python!r}, None, LAYOUT)\n"
        "package.build(target, trim='safe', cache=Path(sys.argv[1]), progress=lambda _: os.kill(os.getpid(), 9))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", kill_itself, str(tmp_path)], cwd=package.FUNCTION_CODE.parent, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".building-*"))) == 1

    again = package.build(HERE, trim="safe", cache=tmp_path, progress=lambda _: None)
    first = built[0][0]
    assert again.layer is not None
    assert first.layer is not None
    assert (again.layer.sha256, again.function.sha256) == (first.layer.sha256, first.function.sha256)
    assert list(tmp_path.glob(".building-*")) == []


def test_lambdas_layer_has_lambdas_wheels(tmp_path: Path) -> None:
    layer = package.build(LAMBDA, trim="safe", cache=tmp_path, progress=lambda _: None).layer
    assert layer is not None
    files = names(layer.path)
    assert {name.partition("/")[0] for name in files} == {"python"}
    extensions = [name for name in files if name.endswith(".so")]
    assert "python/numpy/_core/_multiarray_umath.cpython-313-aarch64-linux-gnu.so" in extensions
    assert [name for name in extensions if "x86_64" in name or "cpython-311" in name] == []
    assert [name for name in files if "/tests/" in name or name.endswith((".pyc", "/RECORD"))] == []
    assert layer.zipped_bytes < 50 * package.MB  # What Lambda takes without a detour over S3.
    assert layer.unzipped_bytes < 150 * package.MB


def test_the_packed_function_draws_with_nothing_else(
    built: tuple[list[Package], list[str]], s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = built[0][0]
    assert packed.layer is not None
    task, opt, runtime = (tmp_path / name for name in ("task", "opt", "runtime"))
    for archive, folder in ((packed.function, task), (packed.layer, opt)):
        with zipfile.ZipFile(archive.path) as zipped:
            zipped.extractall(folder)
    runtime.mkdir()
    for name in RUNTIME:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        (runtime / name).symlink_to(Path(spec.origin).parent)

    environment = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DATA_BUCKET": "hop-packed",
        "DATA_KEY": "extract.csv",
        "CHART_TITLE": "Hail in March",
        "CHART_SOURCE": "a test",
        "MPLCONFIGDIR": str(tmp_path / "matplotlib"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="hop-packed")
    s3.put_object(Bucket="hop-packed", Key="extract.csv", Body=b"event_begin_time,magnitude,month\n1993-03-25,1.75,3\n")
    path = json.dumps([str(task), str(opt / "python"), str(runtime)])
    command = [sys.executable, "-S", "-E", "-s", "-B", "-c", HANDLE, path]
    done = subprocess.run(command, env=environment, cwd=task, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert (answer["counts"], answer["rows"]) == ({"25": 1}, 1)
    assert answer["chart_png"].startswith("iVBOR")
    assert [Path(file).is_relative_to(opt) for file in answer["from"]] == [True] * 4


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")  # Port 9: nobody listens.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(OrchestratorError) as raised:
        package.build(LAMBDA, trim="safe", cache=tmp_path / "cache", progress=lambda _: None)
    assert raised.value.brief == (
        "The function's libraries for Python 3.13 on aarch64-manylinux_2_28 could not be installed."
    )
    assert "http://127.0.0.1:9/simple/" in str(raised.value.details)
    assert raised.value.resolution == (
        "check the network (and the proxy or package index that uv is set up with), then run again."
    )


def test_no_wheel_for_the_target(tmp_path: Path) -> None:
    with pytest.raises(OrchestratorError) as raised:
        package.build(Target("3.9", None, LAYOUT), trim="safe", cache=tmp_path, progress=lambda _: None)
    assert "has no usable wheels" in str(raised.value.details)
    assert raised.value.resolution == (
        "choose versions in function_code/requirements.in that have wheels for it, and run `make lock`."
    )
    assert not any(path.name.startswith("layer-") for path in tmp_path.iterdir())
