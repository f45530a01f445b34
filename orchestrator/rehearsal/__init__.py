"""Stand-in clouds on this machine: a context manager whose value is the environment that leads there.

Rehearsal swaps the clouds, never the code: what is handed over are the environment variables that the Pulumi engine,
boto3 and Google's clients read anyway.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.clouds import Environment
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.settings import AzureCompute, Settings

READY = "environment.json"
"""Written into the folder once the clouds answer."""
_READY_SECONDS = 60
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
    missing = [name for name in ("duckdb", "moto", "flask") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "The rehearsal's stand-in clouds are not installed",
            details=f"missing: {', '.join(missing)}",
            resolution="run `make run` once, or install the extra: pip install -e '.[rehearsal]'",
        )
    subscription = settings.compute.subscription if isinstance(settings.compute, AzureCompute) else None
    wanted = {"project": settings.data.project, "tables": settings.rehearsal.tables, "subscription": subscription}
    # -P: a json.py in the working directory is not ours. The directory itself counts: tables may be relative to it.
    command = [sys.executable, "-P", "-m", "orchestrator.rehearsal", str(folder), json.dumps(wanted)]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # Held open as long as we live: see __main__.py.
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not _STEERS.match(name)}
            | _FIXED
            | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
    environment = None
    try:
        said = _wait_until_ready(process, folder / READY, log)
        environment = _environment(said)
        yield environment
    finally:
        if environment is None or not environment.leave_standing:
            process.terminate()
            process.wait()
        if process.stdin:
            process.stdin.close()


@contextmanager
def standing(folder: Path) -> Iterator[Environment | None]:
    """The stand-in clouds that a killed run left behind, or None when they have ended, and all in them with them.

    They end with the block, unless ``Environment.leave_standing`` is set.
    """
    said = json.loads((folder / READY).read_text()) if (folder / READY).exists() else None
    if said is None or not _answers(said["variables"]["AWS_ENDPOINT_URL"]):
        yield None
        return
    environment = _environment(said)
    try:
        yield environment
    finally:
        if not environment.leave_standing:
            with suppress(ProcessLookupError):
                os.kill(said["pid"], signal.SIGTERM)


def _answers(url: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


def _environment(said: dict[str, Any]) -> Environment:
    return Environment(
        variables=dict.fromkeys(filter(_STEERS.match, os.environ)) | _FIXED | said["variables"],
        data_source=f"{said['data_source']}, in rehearsal",
        functions_run_here=True,
    )


def _wait_until_ready(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready.exists():
        if process.poll() is not None:
            raise UsageError("The stand-in clouds did not start", details=_last_words(log))
        if time.monotonic() > deadline:
            raise OrchestratorError(
                f"The stand-in clouds were not ready within {_READY_SECONDS} s",
                details=_last_words(log),
                resolution=f"their log is {log}.",
            )
        time.sleep(_POLL_SECONDS)
    said: dict[str, Any] = json.loads(ready.read_text())
    return said


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").strip().splitlines()[-20:])
