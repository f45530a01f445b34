"""What a run takes as its extract grows, and as more runs go on at once.

Extracts are of the synthetic reports, joined with one another as often as it takes; a row has a kilobyte of text. Those
runs start their own stand-in clouds, without latencies, so that both processes' memory can be seen. Runs at once share
the home (CLI, plugins, packages) and clouds that stand already and have the latencies of real ones.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import duckdb
import psutil

from orchestrator.rehearsal.gcp import synthetic
from orchestrator.rehearsal.gcp.sample import DUCKDB_TYPES, SCHEMA
from tests.bench.runs import environment_of_runs, standing_clouds

EXTRACTS: Final[Mapping[str, int]] = {"1 kB": 1, "1 MB": 1_000, "100 MB": 100_000, "1 GB": 1_010_000}
"""The rows of each. The largest is more than BigQuery writes to one file."""
AT_ONCE: Final = (1, 2, 4, 8)

_STORMS: Final = "`bigquery-public-data.noaa_historic_severe_storms.storms_*`"
_QUERY: Final = f"""
SELECT a.event_begin_time, a.magnitude, EXTRACT(MONTH FROM a.event_begin_time) AS month, b.reference_location
FROM {_STORMS} AS a CROSS JOIN {_STORMS} AS b
"""
_SAMPLE_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Measured:
    """``seconds`` until the last run ended; of a run with clouds of its own, sampled, the peaks of both, in MB."""

    seconds: float
    exit_codes: tuple[int, ...]
    run_mb: float | None = None
    clouds_mb: float | None = None


def rows(turns: int) -> list[dict[str, Any]]:
    """For each size and each number of runs: medians, and the median of the ratios to the first of the same turn."""
    environment = environment_of_runs()
    with tempfile.TemporaryDirectory() as folder:
        found = _in_turns(
            {
                f"extract of {size}": _extract(Path(folder, size), count, environment)
                for size, count in EXTRACTS.items()
            },
            turns,
        )
        with standing_clouds(Path(folder, "clouds"), "typical", environment) as clouds:
            at_once = {
                f"{number} at once": lambda number=number: runs_at_once(number, clouds, Path(folder), environment)
                for number in AT_ONCE
            }
            return found + _in_turns(at_once, turns)


def extract(rows: int, folder: Path, environment: Mapping[str, str]) -> Measured:
    """A run with an extract of so many rows; the folder is there, and empty."""
    config = folder / "config.json"
    (folder / "query.sql").write_text(f"{_QUERY}LIMIT {rows}")
    _write_tables(folder / "storms.parquet")
    settings = {
        "data": {"project": "rehearsal-project"},
        "compute": {"cloud": "aws", "timeout": "300 s"},
        "analysis": {"query": "query.sql", "title": "Growth"},
        "rehearsal": {"tables": "storms.parquet"},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML.
    began = time.perf_counter()
    run = _start(folder, environment, "--config", str(config))
    run_bytes = clouds_bytes = 0
    while run.poll() is None:
        with suppress(psutil.Error):
            process = psutil.Process(run.pid)
            run_bytes = max(run_bytes, process.memory_info().rss)
            for child in process.children():
                if "orchestrator.rehearsal" in child.cmdline():
                    clouds_bytes = max(clouds_bytes, child.memory_info().rss)
        time.sleep(_SAMPLE_SECONDS)
    return Measured(time.perf_counter() - began, (run.returncode,), run_bytes / 1e6, clouds_bytes / 1e6)


def runs_at_once(number: int, clouds: Path, folder: Path, environment: Mapping[str, str]) -> Measured:
    """So many runs of the default analysis, started together."""
    began = time.perf_counter()
    runs = [_start(folder, environment, "--set", f"rehearsal.clouds={clouds}") for _ in range(number)]
    exit_codes = tuple(run.wait() for run in runs)
    return Measured(time.perf_counter() - began, exit_codes)


def _extract(folder: Path, rows: int, environment: Mapping[str, str]) -> Callable[[], Measured]:
    folder.mkdir()

    def measure() -> Measured:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            return extract(rows, Path(place), environment)

    return measure


def _start(folder: Path, environment: Mapping[str, str], *settings: str) -> "subprocess.Popen[bytes]":
    """A run, which writes its results to a folder of its own in this one."""
    command = [sys.executable, "-m", "orchestrator", "run", *settings]
    none = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, env=dict(environment), stdin=none, stdout=none, stderr=none)


def _write_tables(path: Path) -> None:
    reports = synthetic.reports()
    casts = ", ".join(f"CAST(report.{name} AS {DUCKDB_TYPES[SCHEMA[name]]}) AS {name}" for name in reports[0])
    text = "repeat('hail, ', 160) || report.event_id AS reference_location"
    with duckdb.connect() as database:
        relation = database.sql(
            f"SELECT {casts}, {text} FROM (SELECT unnest($reports) AS report)", params={"reports": reports}
        )
        relation.write_parquet(str(path))


def _in_turns(measures: Mapping[str, Callable[[], Measured]], turns: int) -> list[dict[str, Any]]:
    measured: dict[str, list[Measured]] = {name: [] for name in measures}
    for _ in range(turns):
        for name, measure in measures.items():
            measured[name].append(measure())
    first = next(iter(measured.values()))
    return [
        {
            "measured": name,
            "seconds": round(median(one.seconds for one in taken), 1),
            "to the first": round(median(a.seconds / b.seconds for a, b in zip(taken, first, strict=True)), 2),
            "run MB": _median(one.run_mb for one in taken),
            "clouds MB": _median(one.clouds_mb for one in taken),
            "failed": sum(code != 0 for one in taken for code in one.exit_codes),
            "all seconds": [round(one.seconds, 1) for one in taken],
            "exit codes": [list(one.exit_codes) for one in taken],
        }
        for name, taken in measured.items()
    ]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 1) if known else None
