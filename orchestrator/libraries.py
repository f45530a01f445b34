"""The function's libraries: locked wheels, unpacked by uv for where they will run, without what never runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import uv

from orchestrator.errors import OrchestratorError

NO_SPACE: Final = "free 500 MB or more on this disk, then run again."

UV_LEFTOVERS: Final = (
    ".lock",  # uv's lock on the folder.
    "bin",  # Scripts that start this machine's Python.
    "*.dist-info/RECORD",  # Has the hashes of those scripts.
)

REVIEWED: Final = (
    "PIL",
    "contourpy",
    "dateutil",
    "fontTools",
    "kiwisolver",
    "matplotlib",
    "mpl_toolkits",
    "numpy",
    "pandas",
)
"""The packages that lose their `NOT_RUN` files. A library that requirements.in gains keeps all of its own:
astropy imports its tests, scikit-image reads its stubs."""

NOT_RUN: Final = (
    "tests",  # 18 of pandas' 48 MB.
    "*.pyi",  # Stubs, for type checkers.
    "*.h",  # For compiling against the package: headers ...
    "*.a",  # ... static libraries,
    "*.c",  # ... sources,
    "*.pxd",  # ... and Cython's.
    "*.pyx",
)

SAFE_TRIM: Final = (
    *(f"{package}/**/{what}" for package in REVIEWED for what in NOT_RUN),
    "matplotlib/mpl-data/sample_data",  # The gallery's examples.
    "matplotlib/testing",  # Image comparison for test suites. numpy.testing stays: pandas.testing imports it.
    "matplotlib/sphinxext",  # For building documentation.
    "numpy/_core/_*_tests.*.so",  # Extensions that only numpy's tests load ...
    "numpy/_core/_simd.*.so",  # ... as is this one.
    "share/man",  # Manual pages.
    "*.dist-info/INSTALLER",  # An installer's notes. METADATA, entry points and licences stay.
    "*.dist-info/REQUESTED",
    "*.dist-info/WHEEL",
    "*.dist-info/sboms",
)
"""Globs in the folder of packages: what no analysis needs. Every module that is left still imports.

numpy.f2py (1.4 MB) stays: without it ``from numpy import *`` fails, and pylab does that.
"""

Trim = Literal["safe", "none"]


def find_uv() -> str:
    """The path of uv, which comes with this project; an OrchestratorError when it is missing."""
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise OrchestratorError(
            "uv, which fetches the function's libraries, is not in this Python environment.",
            details=str(error),
            resolution="install this project's dependencies again.",
        ) from error


def remove(packages: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders under ``packages`` that match one of the globs."""
    for pattern in patterns:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # It went with a folder that matched, too.


def install_command(uv_bin: str, requirements: Path, python: str, platform: str | None, into: Path) -> list[str]:
    """Uv's command that unpacks the locked wheels: nothing built, nothing compiled or run."""
    where = ["--python-platform", platform] if platform else []
    return [
        *(uv_bin, "pip", "install", "--quiet", "--color", "never"),
        *("--python", sys.executable, "--python-version", python, *where),
        *("--only-binary", ":all:", "--no-compile-bytecode", "--require-hashes"),
        *("--target", str(into), "--requirements", str(requirements)),
    ]


def run_uv(command: Sequence[str], described: str, cwd: Path) -> None:
    """Run uv away from any project, whose settings it would read; raise what it says as one error."""
    unwrapped = {**os.environ, "COLUMNS": "10000"}  # uv breaks its lines to fit, if a terminal's width is exported.
    done = subprocess.run(command, cwd=cwd, env=unwrapped, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    lines = (line.strip() for line in done.stderr.splitlines())
    said = "\n".join(line for line in lines if line and not line.startswith("hint:"))  # Hints name uv's own options.
    if "os error 28" in said:
        resolution = NO_SPACE
    elif "Request failed" in said or "Failed to fetch" in said:
        resolution = "check the network (and the proxy or package index that uv is set up with), then run again."
    elif "wheels" in said:
        resolution = "choose versions in function_code/requirements.in that have wheels for it, and run `make lock`."
    else:
        resolution = "run `make lock`, which locks function_code/requirements.in again."
    raise OrchestratorError(
        f"The function's libraries for {described} could not be installed.",
        details=said,
        resolution=resolution,
    )
