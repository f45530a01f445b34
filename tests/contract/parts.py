"""The parts that others wrote: fetched from their registries at pinned versions, built once, kept under the home.

Each has a folder in ``pins/`` with its pins: a Go module, an npm lock, or Python requirements with hashes. What it
became is kept in ``<home>/contract/<name>-<digest of the pins>``, so that new pins make a new one.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PINS = Path(__file__).parent / "pins"
_BUILD_SECONDS = 1800
_PYTHON = "python"  # Whichever it is that runs us.
_START_SECONDS = 60


class MissingPartError(Exception):
    """A part cannot be had on this machine; the text names it and says why."""


@dataclass(frozen=True)
class Part:
    """One part by name, and the commands that make it: in a copy of its pins, into that folder."""

    name: str
    tool: str
    """What must be on PATH."""
    commands: Sequence[Sequence[str]]

    def installed(self, home: Path) -> Path:
        """The folder that it is in, after making it if need be; MissingPartError when it cannot be made."""
        pins = sorted(path for path in (_PINS / self.name).iterdir() if path.is_file())
        digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in pins))
        made_how = [[_PYTHON if word == sys.executable else word for word in command] for command in self.commands]
        digest.update(f"{made_how} {sys.version_info[:2]}".encode())
        folder = home / "contract" / f"{self.name}-{digest.hexdigest()[:16]}"
        if folder.exists():
            return folder
        if shutil.which(self.tool) is None:
            raise MissingPartError(f"{self.name}: there is no {self.tool} on PATH")
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.copytree(_PINS / self.name, draft)
        try:
            for command in self.commands:
                self._run(command, draft)
            with contextlib.suppress(OSError):  # Another test run was first.
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def _run(self, command: Sequence[str], folder: Path) -> None:
        try:
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=_BUILD_SECONDS)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip() or error.stdout.strip()).splitlines()[-1:]
            raise MissingPartError(f"{self.name}: {' '.join(command)}: {' '.join(last)}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingPartError(f"{self.name}: {error}") from error


def _go(name: str, module: str) -> Part:
    return Part(name, "go", [["go", "build", "-o", name, module]])


def _python(name: str, *options: str) -> Part:
    """Libraries for this Python, in the folder ``lib``."""
    install = ["pip", "install", "--quiet", "--target", "lib", "--require-hashes", "--requirement", "requirements.txt"]
    return Part(name, sys.executable, [[sys.executable, "-m", "uv", *install, *options]])


def _source(name: str, folder: str) -> Part:
    """One folder of a Python package's source archive: what is in no wheel."""
    fetch = [
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        name,
        "--require-hashes",
        "-r",
        "requirements.txt",
    ]
    unpack = f'archive=$(echo {name}-*.tar.gz); tar -xzf "$archive" "${{archive%.tar.gz}}/{folder}"; rm "$archive"'
    return Part(name, sys.executable, [[sys.executable, "-m", *fetch], ["sh", "-c", unpack]])


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        _go("bigquery-emulator", "github.com/goccy/bigquery-emulator/cmd/bigquery-emulator"),
        _go("fake-gcs-server", "github.com/fsouza/fake-gcs-server"),
        Part("azurite", "npm", [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]]),
        _python("awslambdaric"),
        _go("aws-lambda-rie", "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie"),
        _python("awscrt"),
        _source("botocore", "tests/unit/auth"),
        # It says that it wants Python 3.13, and has nothing that 3.11 would not take.
        _python("azure-functions-runtime", "--python-version", "3.13"),
    )
}


@contextlib.contextmanager
def serving(
    command: Sequence[str], ready: Callable[[str], bool], environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the block ends; it is up once a line of its output is ``ready``.

    AssertionError, with all that it wrote, when it ends or says nothing of the kind for a minute.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **(environment or {})},
    ) as server:
        assert server.stdout is not None
        output = server.stdout
        too_late = threading.Timer(_START_SECONDS, server.kill)
        too_late.start()
        written: list[str] = []
        try:
            for line in output:
                written.append(line)
                if ready(line):
                    break
            else:
                raise AssertionError(f"{command[0]} did not come up:\n{''.join(written)}")
            too_late.cancel()
            # Its pipe must not fill up.
            threading.Thread(target=output.read, daemon=True).start()
            yield
        finally:
            too_late.cancel()
            server.kill()


def free_port() -> int:
    """A port of the loopback that nobody had a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
