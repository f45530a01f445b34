"""A whole run beside its peers, on the same stand-in clouds, with the latencies of real ones.

Contenders take turns, so that whatever else the machine does meets them all; ratios are of the same turn. Each is one
process, from its start to its end, and its package is built beforehand. The clouds stand already, and are not counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator import pulumi_cli
from orchestrator.home import Home
from orchestrator.rehearsal.control import Control
from orchestrator.stop import Stop

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[1]
Contender = Callable[[Path, str], list[str]]


def _ours(clouds: Path, cloud: str) -> list[str]:
    settings = (f"compute.cloud={cloud}", f"rehearsal.clouds={clouds}")
    return [sys.executable, "-m", "orchestrator", "run", *(word for one in settings for word in ("--set", one))]


def _stock_script(clouds: Path, cloud: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.stock_script", str(clouds), cloud]


def _by_hand(clouds: Path, cloud: str) -> list[str]:
    return ["sh", str(_HERE / "by_hand.sh"), str(clouds), cloud, sys.executable]


CONTENDERS: Mapping[str, Contender] = {"ours": _ours, "stock script": _stock_script, "by hand": _by_hand}


def rows(turns: int, clouds: tuple[str, ...] = ("aws", "azure", "gcp")) -> list[dict[str, Any]]:
    """For each compute cloud and contender: the median of its seconds, and of its ratios to ours and to the path.

    ``told`` is the ratio in our own report, which begins with the run: Python's start and imports are not in it.
    """
    environment = environment_of_runs()
    found: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        standing_clouds(Path(folder, "clouds"), "typical", environment) as standing,
    ):
        for cloud in clouds:
            seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            paths: list[float] = []
            told: list[float] = []
            for turn in range(turns + 1):
                for name in CONTENDERS:
                    place = Path(folder, f"{cloud}-{turn}-{name.replace(' ', '-')}")
                    place.mkdir()
                    took = timed(name, standing, cloud, place, environment)
                    if turn:  # The first one warms: packages, bytecode, the file system.
                        seconds[name].append(took)
                        if name == "ours":
                            path = _path_of(place)
                            paths.append(path["seconds"])
                            told.append(path["ratio"])
            found += [
                {
                    "cloud": cloud,
                    "contender": name,
                    "seconds": round(median(taken), 2),
                    "all seconds": [round(one, 2) for one in taken],
                    "to ours": round(median(a / b for a, b in zip(taken, seconds["ours"], strict=True)), 2),
                    "path": round(median(paths), 2),
                    "to path": round(median(a / b for a, b in zip(taken, paths, strict=True)), 3),
                    "told": round(median(told), 3) if name == "ours" else None,
                }
                for name, taken in seconds.items()
            ]
    return found


def timed(name: str, clouds: Path, cloud: str, folder: Path, environment: Mapping[str, str]) -> float:
    """The seconds that a contender takes in a folder, which is empty.

    Raises:
        RuntimeError: it failed, made no chart, or left something in the clouds.
    """
    command = CONTENDERS[name](clouds, cloud)
    began = time.perf_counter()
    with (folder / "said").open("wb") as said:
        ended = subprocess.run(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
        )
    took = time.perf_counter() - began
    if ended.returncode or not list(folder.rglob("chart.png")):
        raise RuntimeError(f"{name} ended with {ended.returncode}:\n{(folder / 'said').read_text()}")
    left = Control.of(clouds).census()
    if left:
        raise RuntimeError(f"{name} left {left}")
    return took


def _path_of(folder: Path) -> dict[str, Any]:
    (result,) = folder.glob("results/*/result.json")
    return dict(json.loads(result.read_text())["critical_path"])


def environment_of_runs() -> dict[str, str]:
    """This one's, with the CLI first on PATH."""
    cli = pulumi_cli.find(Home.locate(os.environ), lambda _: None, Stop())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    return kept | {
        "PATH": f"{cli.executable.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(_CHECKOUT),
        # As every stand-in provider wants it: there are no plugins to download.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


@contextmanager
def standing_clouds(folder: Path, latency: str, environment: Mapping[str, str]) -> Iterator[Path]:
    command = [sys.executable, "-m", "orchestrator", "clouds", str(folder), "--set", f"rehearsal.latency={latency}"]
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield folder
        finally:
            process.terminate()
