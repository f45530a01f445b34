"""Finds the Pulumi CLI: on PATH, in our own cache, by the official installer, or built with Go.

The CLI is on no package registry, but it is a Go module; ``tools/pulumi-cli`` pins it. Building takes about seven
minutes on two cores, once: the result stays under the home.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from semver import VersionInfo

from orchestrator.errors import UsageError
from orchestrator.home import Home

# Events over gRPC, and destroy of inline programs (ours are all inline), need this much.
OLDEST = VersionInfo(3, 206, 0)
_SOURCE = Path(__file__).parents[1] / "tools" / "pulumi-cli"
_MODULE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_INSTALL_SECONDS = 300
_INSTALL = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"


@dataclass(frozen=True)
class Cli:
    """A CLI that fits the SDK."""

    executable: Path
    version: VersionInfo


def find(home: Home, progress: Callable[[str], None]) -> Cli:
    """The first CLI that fits, installed or built if there is none; a UsageError says what to install.

    ``progress`` gets short texts for a person: a build takes minutes.
    """
    wanted = VersionInfo.parse(installed_version("pulumi"))
    reasons: list[str] = []
    on_path = shutil.which("pulumi")
    if on_path is None:
        reasons.append("On PATH: there is no pulumi.")
    else:
        cli = _check(Path(on_path), reasons, where="On PATH")
        if cli:
            return cli
    root = home.folder("pulumi") / str(wanted)
    with _locked(home.folder("pulumi") / "lock", progress):
        if root.exists():
            cli = _check(root / "bin" / "pulumi", reasons, where="In the home")
            if cli:
                return cli
            shutil.rmtree(root)
        for provide, where in ((_install, "Official installer"), (_build, "Build from source")):
            with tempfile.TemporaryDirectory(dir=root.parent, prefix="new-") as draft:
                reason = provide(Path(draft), wanted, progress)
                if reason is not None:
                    reasons.append(f"{where}: {reason}")
                    continue
                cli = _check(Path(draft) / "bin" / "pulumi", reasons, where=where)
                if cli:
                    Path(draft).rename(root)
                    Path(draft).mkdir()  # For the context manager to remove.
                    return Cli(root / "bin" / "pulumi", cli.version)
    raise UsageError(
        "No Pulumi CLI, and none could be installed or built",
        details="\n".join(reasons),
        resolution=f"install Pulumi {wanted} (https://www.pulumi.com/docs/iac/download-install/) "
        "or Go 1.25 or later (https://go.dev/dl/), and run again.",
    )


def _check(executable: Path, reasons: list[str], *, where: str) -> Cli | None:
    """The CLI if it runs and fits; otherwise the reason is noted."""
    try:
        answer = subprocess.run(
            [str(executable), "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
        version = VersionInfo.parse(answer.stdout.strip().removeprefix("v"))
    except subprocess.CalledProcessError as error:
        reasons.append(f"{where}: {executable} does not work: {_last_line(error.stderr)}")
        return None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        reasons.append(f"{where}: {executable} does not tell its version ({error}).")
        return None
    if version.major != OLDEST.major or version < OLDEST:
        reasons.append(f"{where}: {executable} is {version}; needed is {OLDEST} or later, below 4.")
        return None
    return Cli(executable, version)


@contextlib.contextmanager
def _locked(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """One process at a time installs or builds; the others wait for it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that installs the Pulumi CLI")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(root: Path, wanted: VersionInfo, progress: Callable[[str], None]) -> str | None:
    """Pulumi's own installer, in a process of its own so that a dead network cannot hang the run; why it failed."""
    progress(f"installing the Pulumi CLI {wanted}")
    try:
        subprocess.run(
            [sys.executable, "-c", _INSTALL, str(root)],
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_INSTALL_SECONDS} s."
    except subprocess.CalledProcessError as error:
        return _last_line(error.stderr)
    return None


def _build(root: Path, wanted: VersionInfo, progress: Callable[[str], None]) -> str | None:
    """Build from the pinned Go module; why it failed."""
    go = shutil.which("go")
    if go is None:
        return "there is no go on PATH."
    if not (_SOURCE / "go.mod").exists():
        return f"{_SOURCE} is missing; run from a checkout."
    started = time.monotonic()
    progress(f"building the Pulumi CLI {wanted} from source, once: about 7 minutes on two cores")
    flags = f"-s -w -X {_VERSION_VARIABLE}=v{wanted}"
    command = [go, "build", "-v", "-ldflags", flags, "-o", str(root / "bin" / "pulumi"), _MODULE]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=_SOURCE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as build:
        for line in build.stderr or ():
            lines.append(line)  # -v names each package as it is compiled.
            minutes, seconds = divmod(int(time.monotonic() - started), 60)
            progress(f"building the Pulumi CLI, once: {len(lines)} packages, {minutes}:{seconds:02} of about 7 minutes")
    return None if build.returncode == 0 else _last_line("".join(lines))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it failed without a word."
