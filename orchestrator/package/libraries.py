"""The function's libraries: locked wheels, unpacked by uv for where they will run."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uv

from orchestrator.errors import OrchestratorError

NO_SPACE: Final = "free 500 MB or more on this disk, then run again."


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
