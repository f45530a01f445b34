"""The function that a drill packs: the handlers are the project's own, the analysis does without its libraries.

Pandas and Matplotlib take five seconds of each of hundreds of runs, and no fault is in them.
"""

import re
import shutil
from pathlib import Path

from orchestrator import package

_LIBRARIES = frozenset({"matplotlib", "pandas"})
_ANALYSIS = '''\
"""Counts, without pandas."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO

from matplotlib.figure import Figure


@dataclass
class Analysis:
    rows: int
    counts: dict[str, int]
    figure: Figure


def analyse(content: BinaryIO, *, title: str, source: str) -> Analysis:
    reports = csv.DictReader(io.TextIOWrapper(content, encoding="utf-8", newline=""))
    days = Counter(int(report["event_begin_time"][8:10]) for report in reports)
    return Analysis(days.total(), {str(day): days[day] for day in sorted(days)}, Figure())
'''
_FIGURE = '''\
"""A figure that is the head of a PNG."""


class Figure:
    def savefig(self, image, **_options):
        image.write(b"\\x89PNG\\r\\n\\x1a\\n")
'''


def write(folder: Path) -> None:
    """Write the function's modules and requirements into a new folder, in the place of function_code."""
    shutil.copytree(package.FUNCTION_CODE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "analysis.py").write_text(_ANALYSIS)
    (folder / "matplotlib").mkdir()
    (folder / "matplotlib" / "figure.py").write_text(_FIGURE)
    for requirements in folder.glob("requirements*.txt"):
        requirements.write_text(_without_libraries(requirements.read_text()))


def _without_libraries(lock: str) -> str:
    """A lock without the analysis's libraries and what only they need; uv writes below each package what needs it."""
    # One package may have several entries, for several Pythons.
    entries = [(entry.partition("==")[0], entry) for entry in re.split(r"\n(?=[a-z])", lock) if "==" in entry]
    gone = set(_LIBRARIES)
    while True:
        more = {name for name, entry in entries if (needed := _needed_by(entry)) and needed <= gone}
        if more <= gone:
            return "".join(f"{entry.rstrip()}\n" for name, entry in entries if name not in gone)
        gone |= more


def _needed_by(entry: str) -> set[str]:
    """``# via pandas``, or ``# via`` and a line for each."""
    said = [line.strip().removeprefix("#").strip() for line in entry.splitlines() if line.startswith("    #")]
    names = {line.removeprefix("via").strip() for line in said}
    return {name for name in names if name and not name.startswith("-c ")}  # Which pins it, but does not need it.
