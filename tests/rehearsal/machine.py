"""A user's machine, where the program is started as a user starts it."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.pulumi_cli import Cli

CHECKOUT = Path(__file__).parents[2]
STORMS = "bigquery-public-data.noaa_historic_severe_storms.storms_*"


class Machine:
    """A user's machine: a home and a working directory of its own, the CLI on PATH.

    ``packages`` are those of all machines: they take long to build, and are the same for every run.
    """

    def __init__(self, cli: Cli, home: Path, folder: Path, packages: Path) -> None:
        for made in (home, folder, packages):
            made.mkdir(parents=True, exist_ok=True)
        if not (home / "packages").is_symlink():
            (home / "packages").symlink_to(packages)
        self.home = home
        self.folder = folder
        self.checkout = CHECKOUT
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "ORCHESTRATOR_"))}
        self._environment = kept | {
            "ORCHESTRATOR_HOME": str(home),
            "PATH": f"{cli.executable.parent}{os.pathsep}{os.environ['PATH']}",
            # What a caller may have set must neither leak into a rehearsal nor steer the engine.
            "AWS_PROFILE": "nobody",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "PULUMI_BACKEND_URL": "file:///nowhere",
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.folder,
            env=self._environment | {"PYTHONPATH": str(self.checkout)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
        stdout, stderr = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def orchestrate(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.finish(self.start(*arguments))

    def wait_until(self, process: "subprocess.Popen[str]", text: str) -> None:
        """Read standard error up to the text; the rest is left for ``finish``."""
        assert process.stderr is not None
        for line in process.stderr:
            if text in line:
                return
        pytest.fail(f"the run ended before it said {text!r}")

    def with_own_handler(self, source: str) -> None:
        """What a user does who replaces a part of the function, in a checkout of his own."""
        self.checkout = self.folder / "checkout"
        for part in ("orchestrator", "stacks", "function_code", "config"):
            shutil.copytree(CHECKOUT / part, self.checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
        (self.checkout / "function_code" / "aws_main.py").write_text(textwrap.dedent(source))

    @contextmanager
    def standing_clouds(self, folder: Path, *overrides: str) -> Iterator[Path]:
        """Stand-in clouds that stand for the block; their folder. ``overrides`` are of settings, ``key=value``."""
        process = self.start("clouds", str(folder), *(part for given in overrides for part in ("--set", given)))
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Stand-in clouds stand in ")
        yield folder
        process.terminate()
        self.finish(process)

    def results(self) -> list[Path]:
        return sorted((self.folder / "results").glob("*")) if (self.folder / "results").exists() else []


def result_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "result.json").read_text()))


def assert_nothing_left(result: dict[str, Any]) -> None:
    assert result["remaining"] == []
    assert result["resources"]["created"] == result["resources"]["destroyed"]
