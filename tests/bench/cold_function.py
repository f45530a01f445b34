"""How long a cold function takes, and how large its package is, beside the workshop's way with the same wheels.

A cold start here is a fresh process with read-only code and an empty folder for caches, from its start to its end with
one answer. There is no cloud, no boto3 and no network in it, on either side.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from orchestrator import package
from orchestrator.clouds import aws
from orchestrator.package import Target, bytecode, libraries
from orchestrator.rehearsal.function_process import unpack

HERE: Final = Target("", None, aws.LAYOUT).on_this_machine()
LAMBDA: Final = Target("3.13", "aarch64-manylinux_2_28", aws.LAYOUT)

# As many reports as the default analysis finds in Austin.
CSV: Final = "event_begin_time,magnitude,month\n" + "".join(
    f"{1957 + row}-03-{1 + row * row % 31:02}T16:10:00,{0.75 + row % 5 / 4},3\n" for row in range(27)
)

_SETTINGS: Final = {"CHART_TITLE": "Hail in March", "CHART_SOURCE": "a benchmark"}

_WORKSHOP = """
import sys
sys.path[:0] = sys.argv[1:]
from workshop_function import lambda_handler
print(lambda_handler(sys.stdin.buffer.read()))
"""
# As the handlers do it.
_OURS = """
import sys
sys.path[:0] = sys.argv[1:]
import cold_start
with cold_start.importing():
    import chart
print(chart.respond(sys.stdin.buffer, accept="application/json")[1])
"""


@dataclass(frozen=True)
class ColdStart:
    """One cold start of a variant."""

    variant: str
    round: int
    seconds: float


@dataclass(frozen=True)
class Size:
    """Of a package with the bytecode of ``bytecode`` (None: without), in bytes."""

    variant: str
    target: str
    bytecode: str | None
    zipped: int
    unzipped: int


def rows(turns: int) -> list[dict[str, Any]]:
    """A row for each way to start, and for each package as Lambda gets it; "all seconds" has those of each turn."""
    with tempfile.TemporaryDirectory() as folder:
        starts = cold_starts(Path(folder, "starts"), turns)
        packages = sizes(Path(folder, "sizes"), LAMBDA)
    seconds = {start.variant: [row.seconds for row in starts if row.variant == start.variant] for start in starts}
    nothing: dict[str, Any] = dict.fromkeys(("what", "seconds", "to ours", "zipped MB", "unzipped MB", "all seconds"))
    started = [
        {"what": f"cold start: {name}", "seconds": round(median(each), 3), "to ours": round(ratio(starts, name), 2)}
        | {"all seconds": [round(one, 3) for one in each]}
        for name, each in seconds.items()
    ]
    ours = packages[-1]
    packed = [
        {
            "what": f"package: {row.variant}, {row.target}, "
            + (f"bytecode of {row.bytecode}" if row.bytecode else "no bytecode"),
            "to ours": round(row.zipped / ours.zipped, 2),
            "zipped MB": round(row.zipped / 1e6, 1),
            "unzipped MB": round(row.unzipped / 1e6, 1),
        }
        for row in packages
    ]
    return [{**nothing, "all seconds": [], **row} for row in (*started, *packed)]


def cold_starts(folder: Path, rounds: int) -> list[ColdStart]:
    """Each variant once in each round, one after the other, so that a noisy machine is noisy for all.

    "plain pip" and "bytecode" are the workshop's way, without bytecode and with valid bytecode; "ours" is the package.
    """
    variants = {
        "plain pip": _workshop(folder / "plain", compiled=False),
        "bytecode": _workshop(folder / "compiled", compiled=True),
        "ours": _ours(folder / "ours"),
    }
    rows = []
    for start in variants.values():  # The page cache is warm for all.
        start()
    for number in range(rounds):
        for name, start in variants.items():
            rows.append(ColdStart(name, number, start()))
    return rows


def ratio(rows: Sequence[ColdStart], variant: str) -> float:
    """How many times as long as ours it took: the median of the rounds' own ratios."""
    seconds = {(row.variant, row.round): row.seconds for row in rows}
    return median(seconds[variant, number] / took for (name, number), took in seconds.items() if name == "ours")


def sizes(folder: Path, target: Target) -> list[Size]:
    """Of the libraries as pip installs them, and of the package, both with bytecode if there is a Python for it."""
    python = bytecode.find_python(target.python, lambda _: None)
    plain, zipped = folder / "plain", folder / "plain.zip"
    _install(plain, target)
    if python is not None:
        bytecode.compile_tree(python, plain)
    package.zip_folder(plain, zipped)
    unzipped = sum(file.stat().st_size for file in plain.rglob("*") if file.is_file())
    ours = package.build(target, trim="full", cache=folder / "cache", progress=lambda _: None)
    archives = [ours.function, *([ours.layer] if ours.layer else [])]
    version = python.version if python else None
    return [
        Size("plain pip", str(target), version, zipped.stat().st_size, unzipped),
        Size("ours", str(target), version, ours.zipped_bytes, sum(archive.unzipped_bytes for archive in archives)),
    ]


def _install(into: Path, target: Target) -> None:
    into.mkdir(parents=True)
    requirements = package.FUNCTION_CODE / target.layout.requirements
    command = libraries.install_command(libraries.find_uv(), requirements, target.python, target.platform, into)
    libraries.run_uv(command, str(target), cwd=into)


def _workshop(folder: Path, *, compiled: bool) -> Callable[[], float]:
    _install(folder, HERE)
    shutil.copy(Path(__file__).with_name("workshop_function.py"), folder)
    if compiled:  # As pip does without --no-compile; valid, as nothing is zipped here.
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], stdout=subprocess.DEVNULL, check=False)
    return lambda: _cold_start(_WORKSHOP, [folder])


def _ours(folder: Path) -> Callable[[], float]:
    built = package.build(HERE, trim="full", cache=folder / "cache", progress=lambda _: None)
    assert built.layer is not None
    unpack(built.function.path.read_bytes(), folder / "task")
    unpack(built.layer.path.read_bytes(), folder / "opt")
    return lambda: _cold_start(_OURS, [folder / "task", folder / "opt" / HERE.layout.libraries])


def _cold_start(code: str, path: Sequence[Path]) -> float:
    """Seconds. ``-B``: root may write to every folder, and would keep bytecode that a cloud does not."""
    with tempfile.TemporaryDirectory() as caches:
        environment = {"HOME": caches, "TMPDIR": caches, "LANG": "C.UTF-8", **_SETTINGS}
        command = [sys.executable, "-I", "-S", "-B", "-c", code, *map(str, path)]
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, input=CSV.encode(), capture_output=True, check=True)
        seconds = time.perf_counter() - started
    assert sum(json.loads(done.stdout)["counts"].values()) == CSV.count("\n") - 1
    return seconds
