"""The engine alone: both stacks' whole life, side by side, in clouds that take no time.

The query, the function and the imports are not in it: the stacks' resources are made of an extract that is there, and
a first turn has imported everything. Nor is the upload, which is the clouds' time: the package is an empty one. The
peer does the same with the SDK's own stacks, one after the other.
"""

import io
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stderr
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator import pulumi_cli
from orchestrator.engine import Backend, Stack
from orchestrator.home import Home
from orchestrator.package import Archive, Package
from orchestrator.pulumi_cli import Cli
from orchestrator.stop import Stop
from stacks.contracts import DataOutputs, ExtractFile, LiveData
from tests.bench.peer import Peer, known, peer
from tests.bench.runs import environment_of_runs, standing_clouds
from tests.bench.stock_script import down, stack_of_a_script

CLOUD = "aws"
Programs = dict[str, Callable[[], None]]


def rows(turns: int) -> list[dict[str, Any]]:
    """The median of the seconds of ours and of the stock stacks, and of their ratio in the same turn."""
    environment = environment_of_runs()
    os.environ.update(environment)  # The SDK's stacks are driven in this process.
    seconds: dict[str, list[float]] = {"ours": [], "stock stacks": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        standing_clouds(Path(folder, "clouds"), "none", environment) as clouds,
    ):
        cli = pulumi_cli.find(Home.locate(environment), lambda _: None, Stop())
        for turn in range(turns + 1):
            for name, live in (("ours", _ours), ("stock stacks", _stock)):
                place = Path(folder, f"{turn}-{name.replace(' ', '-')}")
                place.mkdir()
                with peer(clouds, CLOUD, place) as run:
                    programs = _programs(run)
                    began = time.perf_counter()
                    live(run, programs, cli)
                    if turn:
                        seconds[name].append(time.perf_counter() - began)
    return [
        {
            "stacks": name,
            "seconds": round(median(taken), 2),
            "to ours": round(median(a / b for a, b in zip(taken, seconds["ours"], strict=True)), 2),
            "all seconds": [round(one, 2) for one in taken],
        }
        for name, taken in seconds.items()
    ]


def _programs(run: Peer) -> Programs:
    """Of stacks that do not wait for each other."""
    csv = (run.folder / "extract.csv").absolute()
    csv.write_bytes(b"event_begin_time\n")
    extract = ExtractFile(csv, sha256(csv.read_bytes()).hexdigest(), 0, ("extract.csv",))
    live = LiveData(known(DataOutputs("a dataset", "a bucket")), known(extract))
    return {"compute": run.compute.program(_empty(run.folder), live, Future()), "data": run.data_program()}


def _empty(folder: Path) -> Package:
    path = (folder / "empty.zip").absolute()
    zipfile.ZipFile(path, "w").close()
    archive = Archive(path, sha256(path.read_bytes()).hexdigest(), path.stat().st_size, 0)
    return Package(archive, archive)


def _ours(run: Peer, programs: Programs, cli: Cli) -> None:
    backend, home = Backend(run.folder.absolute().as_uri(), "a benchmark"), run.folder / "pulumi-home"
    stacks = []
    for name in programs:
        (run.folder / name).mkdir()
        run_id, folder = run.names.run_id, run.folder / name
        stacks.append(Stack(run_id, name, folder=folder, cli=cli, backend=backend, pulumi_home=home))
    with ThreadPoolExecutor() as threads:
        _all(threads.submit(stack.up, programs[stack.name], lambda _: None) for stack in stacks)
        _all(threads.submit(stack.destroy, lambda _: None) for stack in stacks)


def _stock(run: Peer, programs: Programs, _cli: Cli) -> None:
    stacks = [stack_of_a_script(run, name, program) for name, program in programs.items()]
    for stack in stacks:
        stack.up(on_output=lambda _: None)
    with redirect_stderr(io.StringIO()):
        for stack in reversed(stacks):
            down(stack)


def _all(begun: Iterable["Future[None]"]) -> None:
    for one in list(begun):
        one.result()
