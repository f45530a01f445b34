"""Finds the Pulumi CLI: on PATH, in our own cache, by the official installer, or built with Go.

The CLI is on no package registry, but it is a Go module; ``tools/pulumi-cli`` pins it. Building takes about seven
minutes on two cores, once: the result stays under the home.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from semver import VersionInfo

from orchestrator.errors import UsageError
from orchestrator.home import Home
from orchestrator.stop import Stop
from orchestrator.text_file import replace_text

# Events over gRPC, and destroy of inline programs (ours are all inline), need this much.
OLDEST = VersionInfo(3, 206, 0)
_SOURCE = Path(__file__).parents[1] / "tools" / "pulumi-cli"
_MODULE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_INSTALL_SECONDS = 300
_BUILD_SECONDS = 3600
_ASK_AGAIN_SECONDS = 0.25
_CHECKED = "pulumi-checked"
_INSTALL = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"


@dataclass(frozen=True)
class Cli:
    """A CLI that fits the SDK."""

    executable: Path
    version: VersionInfo

    @property
    def is_the_sdks(self) -> bool:
        """Whether it is of the SDK's version, so that the tests have seen what it does."""
        return self.version == _sdk_version()


def find(home: Home, progress: Callable[[str], None], stop: Stop) -> Cli:
    """The first CLI that fits, installed or built if there is none; a UsageError says what to install.

    ``progress`` gets short texts for a person: a build takes minutes. A ``stop`` ends it, and nothing stays half-made.
    """
    wanted = _sdk_version()
    reasons: list[str] = []
    on_path = shutil.which("pulumi")
    if on_path is None:
        reasons.append("On PATH: there is no pulumi.")
    else:
        cli = _checked_once(Path(on_path), home, reasons, where="On PATH")
        if cli:
            return cli
        progress(f"passed over: {reasons[-1]}")
    root = home.folder("pulumi") / str(wanted)
    with _locked(home.folder("pulumi") / "lock", progress, stop):
        if root.exists():
            cli = _checked_once(root / "bin" / "pulumi", home, reasons, where="In the home")
            if cli:
                return cli
            shutil.rmtree(root)
        for provide, where in ((_install, "Official installer"), (_build, "Build from source")):
            with tempfile.TemporaryDirectory(dir=root.parent, prefix="new-") as draft:
                reason = provide(Path(draft), wanted, progress, stop)
                stop.check()
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


def _sdk_version() -> VersionInfo:
    return VersionInfo.parse(installed_version("pulumi"))


def _checked_once(executable: Path, home: Home, reasons: list[str], *, where: str) -> Cli | None:
    """As ``_check``, but a file that was checked last time is not asked again: that takes half a second."""
    note = home.root / _CHECKED
    with contextlib.suppress(OSError, ValueError):
        file, _, said = note.read_text("utf-8").rpartition(" ")
        if file == _file(executable):
            return Cli(executable, VersionInfo.parse(said))
    cli = _check(executable, reasons, where=where)
    if cli:
        with contextlib.suppress(OSError):
            replace_text(note, f"{_file(executable)} {cli.version}")
    return cli


def _file(executable: Path) -> str:
    status = executable.stat()
    return f"{executable.resolve()} {status.st_size} {status.st_mtime_ns}"


def _check(executable: Path, reasons: list[str], *, where: str) -> Cli | None:
    """The CLI if it runs and fits; otherwise the reason is noted."""
    try:
        answer = _asked(executable)
        if answer.returncode < 0:  # It was killed: that says nothing of the CLI.
            answer = _asked(executable)
        answer.check_returncode()
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


def _asked(executable: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(executable), "version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
    )


@contextlib.contextmanager
def _locked(path: Path, progress: Callable[[str], None], stop: Stop) -> Iterator[None]:
    """One process at a time installs or builds; the others wait for it."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another run that installs the Pulumi CLI")
                stop.requested.wait(_ASK_AGAIN_SECONDS)
                stop.check()
            else:
                break
        yield


def _install(root: Path, wanted: VersionInfo, progress: Callable[[str], None], stop: Stop) -> str | None:
    """Pulumi's own installer, in a process of its own so that a dead network cannot hang the run; why it failed."""
    progress(f"installing the Pulumi CLI {wanted}")
    return _run([sys.executable, "-c", _INSTALL, str(root)], root, _INSTALL_SECONDS, lambda _count: None, stop)


def _build(root: Path, wanted: VersionInfo, progress: Callable[[str], None], stop: Stop) -> str | None:
    """Build from the pinned Go module; why it failed."""
    go = shutil.which("go")
    if go is None:
        return "there is no go on PATH."
    if not (_SOURCE / "go.mod").exists():
        return f"{_SOURCE} is missing; run from a checkout."
    started = time.monotonic()
    progress(f"building the Pulumi CLI {wanted} from source, once: about 7 minutes on two cores")

    def say(packages: int) -> None:
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        progress(f"building the Pulumi CLI, once: {packages} packages, {minutes}:{seconds:02} of about 7 minutes")

    flags = f"-s -w -X {_VERSION_VARIABLE}=v{wanted}"
    command = [
        go,
        "build",
        "-v",
        "-ldflags",
        flags,
        "-o",
        str(root / "bin" / "pulumi"),
        _MODULE,
    ]  # -v: one line a package
    return _run(command, _SOURCE, _BUILD_SECONDS, say, stop)


def _run(command: list[str], folder: Path, seconds: int, on_line: Callable[[int], None], stop: Stop) -> str | None:
    """Run a child that the deadline or a stop ends, with all that it started; why it failed.

    ``on_line`` gets the number of lines written so far, at each one.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        late = threading.Event()

        def too_late() -> None:
            late.set()
            _end(child)

        deadline = threading.Timer(seconds, too_late)
        deadline.daemon = True
        deadline.start()
        stop.on_request(lambda: _end(child))
        for line in child.stdout or ():
            lines.append(line)
            on_line(len(lines))
    deadline.cancel()
    if late.is_set():
        return f"no end within {seconds} s."
    return None if child.returncode == 0 else _last_line("".join(lines))


def _end(child: "subprocess.Popen[str]") -> None:
    """End a child and what it started: they are one session."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it failed without a word."
