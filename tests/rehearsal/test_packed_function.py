"""The function as it is packed: it runs on nothing else, compiles nothing, looks for no fonts, and loses nothing."""

import base64
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from orchestrator import package
from orchestrator.clouds.aws import LAYOUT
from orchestrator.package import Package, Target
from orchestrator.rehearsal.function_process import unpack

HERE = Target("", None, LAYOUT).on_this_machine()
RUNTIME = ("boto3", "botocore", "jmespath", "s3transfer", "urllib3")
"""What AWS's Python runtime has besides the standard library; dateutil comes with the layer."""

START = """
import json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
seen = {"compile": [], "read": [], "written": []}
def note(event, arguments):
    if event == "compile":
        seen["compile"].append(str(arguments[1]))
    if event == "open" and isinstance(arguments[1], str):
        seen["written" if set(arguments[1]) & set("wax+") else "read"].append(str(arguments[0]))
sys.addaudithook(note)
"""
HANDLE = """
import aws_main, matplotlib, numpy, pandas, PIL
answer = aws_main.handler({"headers": {"accept": "application/json"}}, None)
modules = [module.__file__ for module in (matplotlib, numpy, pandas, PIL)]
print(json.dumps({**json.loads(answer["body"]), **seen, "from": modules}))
"""


class Lambda:
    """A package unpacked as on Lambda, and an S3 with the CSV."""

    def __init__(self, packed: Package, folder: Path, s3_endpoint: str) -> None:
        assert packed.layer is not None
        self.task, self.opt, self.runtime = (folder / name for name in ("task", "opt", "runtime"))
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        unpack(packed.function.path.read_bytes(), self.task)
        unpack(packed.layer.path.read_bytes(), self.opt)
        self.runtime.mkdir()
        for name in RUNTIME:
            spec = find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            (self.runtime / name).symlink_to(Path(spec.origin).parent)
        self._environment = {
            "AWS_ENDPOINT_URL": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_DEFAULT_REGION": "us-east-1",
            "DATA_BUCKET": "hop-packed",
            "DATA_KEY": "extract.csv",
            "CHART_TITLE": "Hail in März: <5 $ & more",
            "CHART_SOURCE": "a test",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.tmp),
        }

    def run(self, code: str) -> Any:
        """What the code prints as JSON, and nothing on standard error."""
        path = json.dumps([str(self.task), str(self.opt / "python"), str(self.runtime)])
        command = [sys.executable, "-I", "-S", "-B", "-c", START + code, path]
        done = subprocess.run(
            command, env=self._environment, cwd=self.task, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    rows = [f"19{50 + number}-03-{1 + number * number % 31:02},1.75,3" for number in range(40)]
    csv = "\n".join(["event_begin_time,magnitude,month", *rows])
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    s3.create_bucket(Bucket="hop-packed")
    s3.put_object(Bucket="hop-packed", Key="extract.csv", Body=csv.encode())
    yield endpoint
    server.stop()


@pytest.fixture(scope="module")
def trimmed(packed: Package, tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Lambda:
    return Lambda(packed, tmp_path_factory.mktemp("trimmed"), s3_endpoint)


@pytest.fixture(scope="module")
def answer(trimmed: Lambda) -> Any:
    return trimmed.run(HANDLE)


def test_it_draws_with_nothing_else(trimmed: Lambda, answer: Any) -> None:
    assert (answer["rows"], sum(answer["counts"].values())) == (40, 40)
    assert base64.b64decode(answer["chart_png"]).startswith(b"\x89PNG\r\n")
    assert [Path(file).is_relative_to(trimmed.opt) for file in answer["from"]] == [True] * 4


def test_none_of_its_modules_is_compiled_at_the_start(trimmed: Lambda, answer: Any) -> None:
    packed = (str(trimmed.task), str(trimmed.opt))
    assert [name for name in answer["compile"] if name.startswith(packed)] == []
    compiled = [name for name in answer["read"] if name.startswith(packed) and name.endswith(".pyc")]
    assert len(compiled) > 400
    flags = {Path(name).read_bytes()[4:8] for name in compiled}
    assert flags == {b"\x01\0\0\0"}  # A hash, not checked: https://peps.python.org/pep-0552/


def test_no_fonts_are_looked_for_and_no_list_of_them_is_written(trimmed: Lambda, answer: Any) -> None:
    opened = {Path(name).name for name in answer["read"] if name.endswith((".ttf", ".otf", ".ttc", ".afm"))}
    assert opened == {"DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "LastResortHE-Regular.ttf"}
    (packed,) = (trimmed.opt / "python" / "matplotlib-config").iterdir()
    copy = trimmed.tmp / "matplotlib" / packed.name
    assert answer["written"] == [str(copy)]
    assert [path for path in trimmed.tmp.rglob("*") if path.is_file()] == [copy]
    assert copy.read_bytes() == packed.read_bytes()


def test_the_chart_is_the_untrimmed_packages(answer: Any, packages: Path, tmp_path: Path, s3_endpoint: str) -> None:
    whole = package.build(HERE, trim="none", cache=packages, progress=lambda _: None)
    untrimmed = Lambda(whole, tmp_path, s3_endpoint).run(HANDLE)
    assert [untrimmed[name] for name in ("rows", "counts")] == [answer[name] for name in ("rows", "counts")]
    assert untrimmed["chart_png"] == answer["chart_png"]
    scanned = [name for name in untrimmed["read"] if name.endswith(".ttf")]
    assert len(scanned) > 30  # What the list of fonts saves.


PDF = """
import cold_start, io
from matplotlib.figure import Figure
from PIL import features
said = {"avif": features.check("avif"), "jpeg": features.check("jpg")}
try:
    Figure().savefig(io.BytesIO(), format="pdf")
except ModuleNotFoundError as error:
    said["pdf"] = str(error)
print(json.dumps(said))
"""


def test_an_analysis_that_needs_more_is_told_what_to_set(trimmed: Lambda) -> None:
    assert trimmed.run(PDF) == {
        "avif": False,
        "jpeg": True,
        "pdf": "No module named 'matplotlib.backends.backend_pdf': it was left out of the function's package; "
        'set package.trim to "safe", then run again',
    }


def test_what_is_said_to_be_left_out_is(packed: Package) -> None:
    assert packed.layer is not None
    with zipfile.ZipFile(packed.layer.path) as layer:
        names = layer.namelist()
        left_out = [line.split() for line in layer.read("python/left-out.txt").decode().splitlines()]
    assert {"contourpy", "mpl_toolkits", "pandas.tests", "tzdata"} <= {module for module, _ in left_out}
    modules = [f"python/{module.replace('.', '/')}" for module, _ in left_out]
    there = tuple(f"{module}{end}" for module in modules for end in ("/", ".py", "."))
    assert [name for name in names if name.startswith(there)] == []
