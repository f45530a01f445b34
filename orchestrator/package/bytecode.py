"""Bytecode for the function: its modules compiled before they are packed, as a cloud can keep none that it makes.

Without it, a cold start compiles pandas and Matplotlib, and takes about three times as long. Bytecode is for one minor
version of Python, on any processor (https://docs.python.org/3/library/dis.html), so it takes a Python of the function's
version on this machine. None is fetched for it.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.package import libraries

_COMPILE_TREE: Final = Path(__file__).with_name("compile_tree.py")
_SAYS: Final = "import platform; print(platform.python_version())"


@dataclass(frozen=True)
class Python:
    """A Python on this machine: its executable, and its whole version ("3.13.0")."""

    executable: str
    version: str


def find_python(version: str, progress: Callable[[str], None]) -> Python | None:
    """A CPython of this minor version ("3.13"): our own, or one that uv finds; ``progress`` is told if there is none.

    Raises:
        OrchestratorError: uv is missing.
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Python(sys.executable, platform.python_version())
    command = [libraries.find_uv(), "python", "find", "--no-python-downloads", "--no-project", f"cpython@{version}"]
    # Where pyenv manages Pythons, its `python3.13` runs only for those who name the version.
    found = subprocess.run(
        command, env=os.environ | {"PYENV_VERSION": version}, capture_output=True, text=True, check=False
    )
    executable = found.stdout.strip()
    if found.returncode == 0:
        says = subprocess.run([executable, "-I", "-S", "-c", _SAYS], capture_output=True, text=True, check=False)
        if says.returncode == 0 and says.stdout.startswith(f"{version}."):
            return Python(executable, says.stdout.strip())
    progress(
        f"package: no Python {version} here, so no bytecode, and a cold start takes about three times as long; "
        f"`uv python install {version}` gets one"
    )
    return None


def compile_tree(python: Python, folder: Path) -> None:
    """Put bytecode beside every module under ``folder`` that compiles.

    Raises:
        OrchestratorError: that Python failed.
    """
    done = subprocess.run(
        [python.executable, "-I", "-S", str(_COMPILE_TREE), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OrchestratorError(
            f"The function's modules could not be compiled by Python {python.version}, {python.executable}.",
            details=done.stderr.strip(),
            resolution=libraries.NO_SPACE
            if "No space left on device" in done.stderr
            else "mend or remove that Python, then run again.",
        )
