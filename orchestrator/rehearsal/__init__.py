"""Stand-in clouds on this machine: a context manager whose value is the environment that leads there.

Rehearsal swaps the clouds, never the code: what is handed over are the environment variables that the Pulumi engine,
boto3 and Google's clients read anyway.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestrator.clouds import Environment
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.rehearsal.control import READY, Control
from orchestrator.rehearsal.latency import times
from orchestrator.settings import AzureCompute, Settings

STAY_SECONDS = 30 * 60
"""How long a killed run's clouds stay, for ``recover``."""
SCRATCH = "scratch"
"""The clouds' folder for temporary files, in theirs."""
_READY_SECONDS = 60
_END_SECONDS = 30
_POLL_SECONDS = 0.02
# The caller's own accounts, endpoints and proxies must not leak into a rehearsal: nothing leaves the machine.
_STEERS = re.compile(
    r"(AWS|AMAZON|GOOGLE|CLOUDSDK|GCLOUD|GCE|BIGQUERY|STORAGE|GRPC|AZURE|ARM|MSI|IDENTITY|IMDS|MSAL)_.*"
    r"|NO_GCE_CHECK|.*_proxy",
    re.IGNORECASE,
)
_FIXED = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}


@contextmanager
def clouds(folder: Path, settings: Settings) -> Iterator[Environment]:
    """Start the stand-in clouds in a process of their own; they end with the block.

    They have the tables, the project and the subscription that ``settings`` name. ``folder`` is theirs alone: keys,
    unpacked functions, ``log``. With ``Environment.leave_standing`` set they outlive the block, so that what remains
    in them can still be found and removed.
    """
    with started(folder, settings, stay_seconds=STAY_SECONDS) as process:
        environment = environment_of(folder, settings)
        try:
            yield environment
        finally:
            if not environment.leave_standing:
                end(process)


@contextmanager
def started(folder: Path, settings: Settings, *, stay_seconds: float) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the clouds' process and wait until they answer; it is let go of at the end of the block, not ended.

    When this process is gone, they stay for ``stay_seconds``.
    """
    missing = [name for name in ("duckdb", "moto", "flask") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "The rehearsal's stand-in clouds are not installed",
            details=f"missing: {', '.join(missing)}",
            resolution="run `make run` once, or install the extra: pip install -e '.[rehearsal]'",
        )
    arguments = (str(folder), json.dumps(wanted(settings)), str(stay_seconds))
    # -P: a json.py in the working directory is not ours. The directory itself counts: tables may be relative to it.
    command = [sys.executable, "-P", "-m", "orchestrator.rehearsal", *arguments]
    log, scratch = folder / "log", folder / SCRATCH
    scratch.mkdir(exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # Held open as long as we live: see __main__.py.
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not _STEERS.match(name)}
            | _FIXED
            # What objects hold is in temporary files, and the system's folder for them may be in memory.
            | {"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(scratch)},
        )
    ready = False
    try:
        _wait_until_ready(process, folder / READY, log)
        ready = True
        yield process
    finally:
        if not ready:
            end(process)
        if process.stdin:
            process.stdin.close()


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the clouds, and all that is in them."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wanted(settings: Settings) -> dict[str, str | float | None]:
    """What the clouds must be told: the project, the tables and the subscription that they are to have, their pace."""
    subscription = settings.compute.subscription if isinstance(settings.compute, AzureCompute) else None
    return {
        "project": settings.data.project,
        "tables": settings.rehearsal.tables,
        "subscription": subscription,
        "latency": settings.rehearsal.latency_factor,
    }


@contextmanager
def standing(folder: Path) -> Iterator[Environment | None]:
    """The stand-in clouds that a killed run left behind, or None when they have ended, and all in them with them.

    They end with the block, unless ``Environment.leave_standing`` is set.
    """
    if not stand(folder):
        yield None
        return
    environment, pid = environment_of(folder), announced(folder)["pid"]
    try:
        yield environment
    finally:
        if not environment.leave_standing:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def stand(folder: Path) -> bool:
    """Whether clouds answer there."""
    return (folder / READY).exists() and Control.of(folder).answers()


def announced(folder: Path) -> dict[str, Any]:
    """What the clouds there said of themselves."""
    said: dict[str, Any] = json.loads((folder / READY).read_text())
    return said


def environment_of(folder: Path, settings: Settings | None = None) -> Environment:
    """What leads to the clouds there; for a run with these settings, with the times that they take."""
    said = announced(folder)
    factor = said["wanted"]["latency"]
    return Environment(
        variables=dict.fromkeys(filter(_STEERS.match, os.environ)) | _FIXED | said["variables"],
        data_source=f"{said['data_source']}, in rehearsal",
        functions_run_here=True,
        times=None if factor is None or settings is None else times(factor, settings.compute),
    )


def _wait_until_ready(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready.exists():
        if process.poll() is not None:
            raise UsageError("The stand-in clouds did not start", details=last_words(log))
        if time.monotonic() > deadline:
            raise OrchestratorError(
                f"The stand-in clouds were not ready within {_READY_SECONDS} s",
                details=last_words(log),
                resolution=f"their log is {log}.",
            )
        time.sleep(_POLL_SECONDS)


def last_words(log: Path) -> str:
    """The end of the clouds' log."""
    return "\n".join(log.read_text("utf-8", "replace").strip().splitlines()[-20:])
