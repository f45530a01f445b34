"""A function behind our stand-in of Cloud Run, and under Google's Functions Framework with nothing of ours round it."""

import contextlib
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import requests

from orchestrator.rehearsal.front_door import Answer
from orchestrator.rehearsal.function_process import unpack
from orchestrator.rehearsal.gcp.cloud_run_host import ServiceHost
from orchestrator.rehearsal.gcp.cloud_run_rules import Revision
from orchestrator.rehearsal.gcp.identity import Identity, MetadataServer, ServiceAccount
from tests.contract.parts import free_port

# Ours has no Date and no Server of the function's server, and each has its own way to say how long the answer is.
_OF_HTTP = frozenset({"connection", "content-length", "date", "server", "set-cookie", "transfer-encoding"})
_START_SECONDS = 60


@dataclass(frozen=True)
class Started:
    """What is to run: the ``archive``, with which arguments of the framework and settings, as whom."""

    archive: bytes
    arguments: tuple[str, ...]
    settings: Mapping[str, str]
    account: ServiceAccount
    identity: Identity


@dataclass(frozen=True)
class Question:
    """A request."""

    target: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Side(Protocol):
    """A function that runs, or could not be started."""

    def ask(self, question: Question) -> Answer:
        """The answer; header names in lower case, without those that only say how it is sent."""

    def log(self) -> list[str]:
        """The lines that it wrote."""

    def end(self) -> None:
        """End it."""


class Ours:
    """The service as the stand-in runs it; whoever has a token may call it."""

    def __init__(self, started: Started, folder: Path) -> None:
        self._started = started
        revision = Revision(
            bucket="",
            object="",
            command=("python", "-m", "functions_framework", *started.arguments),
            variables=started.settings,
            service_account=started.account.email,
            timeout=60,
            memory_mib=2048,
        )
        self._host = ServiceHost(
            revision,
            started.archive,
            account=started.account,
            identity=started.identity,
            may_invoke=lambda _: True,
            variables={"K_SERVICE": "hop", "K_REVISION": "hop-00001-abc", "K_CONFIGURATION": "hop"},
            folder=folder,
        )

    def ask(self, question: Question) -> Answer:
        token = self._started.identity.id_token(self._started.account, self._host.url)
        return _asked(self._host.url, question, {"Authorization": f"Bearer {token}"})

    def log(self) -> list[str]:
        assert self._host._instance is not None
        return self._host._instance.function.output

    def end(self) -> None:
        self._host.close()


class Theirs:
    """The framework by its command, in a folder with the archive."""

    def __init__(self, started: Started, folder: Path) -> None:
        workspace = folder / "workspace"
        unpack(started.archive, workspace)
        (folder / "tmp").mkdir()
        self._metadata = MetadataServer(started.identity, started.account)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._output = folder / "output"
        server = ["--host=127.0.0.1", f"--port={port}", "--signature-type=http"]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-m", "functions_framework", *server, *started.arguments],
                cwd=workspace,
                env={
                    "PATH": os.defpath,
                    "LANG": "C.UTF-8",
                    "TMPDIR": str(folder / "tmp"),
                    **self._metadata.environment,
                    **started.settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{self._url}/robots.txt", timeout=_START_SECONDS)
                break

    def ask(self, question: Question) -> Answer:
        # Cloud Run answers this for an instance that does not start or ends:
        # https://cloud.google.com/run/docs/troubleshooting#503-errors
        unavailable = Answer(503, {"content-type": "text/plain"}, b"Service Unavailable")
        try:
            return _asked(self._url, question, {})
        except requests.ConnectionError:
            return unavailable

    def log(self) -> list[str]:
        return self._output.read_text("utf-8").splitlines()

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._metadata.close()


def _asked(url: str, question: Question, headers: Mapping[str, str]) -> Answer:
    answer = requests.request(
        question.method,
        url + question.target,
        headers={**headers, **question.headers},
        data=question.body,
        timeout=60,
        allow_redirects=False,
    )
    kept = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in _OF_HTTP}
    return Answer(answer.status_code, kept, answer.content, tuple(answer.raw.headers.getlist("set-cookie")))


def archive(code: str) -> bytes:
    """A source of one module, ``main.py``."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("main.py", code)
    return made.getvalue()


Start = Callable[..., Side]
"""Starts a function: of an archive, with the framework's arguments, and settings."""
