"""Finding the Pulumi CLI: real executables and a real lock; small programs stand in for the installer and Go."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest

from orchestrator import pulumi_cli
from orchestrator.errors import InterruptedRunError, UsageError
from orchestrator.home import Home
from orchestrator.stop import Stop

WANTED = installed_version("pulumi")
REPOSITORY = Path(pulumi_cli.__file__).parents[1]
FIND = """
import sys
from pathlib import Path
from orchestrator import pulumi_cli
from orchestrator.home import Home
from orchestrator.stop import Stop
print(pulumi_cli.find(Home(Path(sys.argv[1])), lambda line: print(line, flush=True), Stop()).executable)
"""
INSTALLER = """
import os, pathlib
class PulumiCommand:
    @staticmethod
    def install(root):
        {body}
"""
WRITE_CLI = """
def write(path, version):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\\necho v{version}\\n")
    path.chmod(0o700)
"""


def program(path: Path, body: str, interpreter: str = "/bin/sh") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; empty."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Stand in for ``pulumi.automation.PulumiCommand.install`` in the process that runs it."""
    package = tmp_path / "python" / "pulumi"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "automation.py").write_text(WRITE_CLI + INSTALLER.format(body=body))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


@pytest.fixture
def no_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(tmp_path, monkeypatch, "raise OSError('the network is unreachable')")


@pytest.fixture
def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(tmp_path, monkeypatch, f"write(pathlib.Path(root, 'bin', 'pulumi'), '{WANTED}')")


def in_home(home: Home) -> list[str]:
    return sorted(path.name for path in (home.root / "pulumi").iterdir())


def refused(home: Home) -> str:
    with pytest.raises(UsageError) as raised:
        pulumi_cli.find(home, lambda _: None, Stop())
    return str(raised.value)


@pytest.mark.parametrize("says", ["v3.206.0", "3.250.0", "v3.999.1-alpha.1+dirty"])
def test_on_path_and_right(home: Home, tools: Path, says: str) -> None:
    executable = program(tools / "pulumi", f"echo {says}")
    cli = pulumi_cli.find(home, pytest.fail, Stop())
    assert (cli.executable, str(cli.version)) == (executable, says.removeprefix("v"))
    assert not (home.root / "pulumi").exists()


def test_the_same_file_is_asked_once(home: Home, tools: Path) -> None:
    executable = program(tools / "pulumi", f"echo >> {tools}/asked; echo 3.206.0")
    first = pulumi_cli.find(home, pytest.fail, Stop())
    assert pulumi_cli.find(home, pytest.fail, Stop()) == first
    assert (tools / "asked").read_text() == "\n"
    program(executable, f"echo >> {tools}/asked; echo 3.207.0")
    os.utime(executable, ns=(0, 0))
    assert str(pulumi_cli.find(home, pytest.fail, Stop()).version) == "3.207.0"
    (home.root / "pulumi-checked").write_text("")
    assert str(pulumi_cli.find(home, pytest.fail, Stop()).version) == "3.207.0"
    assert (tools / "asked").read_text() == "\n\n\n"


@pytest.mark.usefixtures("no_installer")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo v3.205.9", "{pulumi} is 3.205.9; needed is 3.206.0 or later, below 4."),
        ("echo v4.0.0", "{pulumi} is 4.0.0; needed is 3.206.0 or later, below 4."),
        ("echo hello", "{pulumi} does not tell its version (hello is not valid SemVer string)."),
        ("echo warning >&2; echo 'libc is too old' >&2; exit 1", "{pulumi} does not work: libc is too old"),
        ("exit 1", "{pulumi} does not work: it failed without a word."),
    ],
)
def test_what_is_wrong_with_the_one_on_path_and_nothing_else_works(
    home: Home, tools: Path, body: str, reason: str
) -> None:
    executable = program(tools / "pulumi", body)
    assert refused(home) == (
        "No Pulumi CLI, and none could be installed or built\n"
        f"  On PATH: {reason.format(pulumi=executable)}\n"
        "  Official installer: OSError: the network is unreachable\n"
        "  Build from source: there is no go on PATH.\n"
        f"To fix it: install Pulumi {WANTED} (https://www.pulumi.com/docs/iac/download-install/) "
        "or Go 1.25 or later (https://go.dev/dl/), and run again."
    )
    assert in_home(home) == ["lock"]


@pytest.mark.usefixtures("works")
def test_one_on_path_that_is_passed_over_is_told(home: Home, tools: Path) -> None:
    executable = program(tools / "pulumi", "exit 1")
    said: list[str] = []
    assert pulumi_cli.find(home, said.append, Stop()).executable.is_relative_to(home.root)
    assert said == [
        f"passed over: On PATH: {executable} does not work: it failed without a word.",
        f"installing the Pulumi CLI {WANTED}",
    ]


@pytest.mark.usefixtures("no_installer")
def test_one_on_path_that_is_no_program(home: Home, tools: Path) -> None:
    (tools / "pulumi").touch(mode=0o700)
    reason = f"On PATH: {tools}/pulumi does not tell its version ([Errno 8] Exec format error: '{tools}/pulumi')."
    assert refused(home).splitlines()[1] == f"  {reason}"


@pytest.mark.usefixtures("no_installer")
def test_go_fails(home: Home, tools: Path) -> None:
    program(tools / "go", "echo github.com/pulumi/pulumi >&2; echo 'go: requires go >= 1.25' >&2; exit 1")
    assert refused(home).splitlines()[1:4] == [
        "  On PATH: there is no pulumi.",
        "  Official installer: OSError: the network is unreachable",
        "  Build from source: go: requires go >= 1.25",
    ]


@pytest.mark.usefixtures("no_installer")
def test_there_is_no_source(home: Home, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tools / "go", "exit 1")
    monkeypatch.setattr(pulumi_cli, "_SOURCE", tmp_path / "nowhere")
    assert refused(home).splitlines()[3] == f"  Build from source: {tmp_path}/nowhere is missing; run from a checkout."


@pytest.mark.usefixtures("tools", "works")
def test_installed_once_and_found_again(home: Home) -> None:
    lines: list[str] = []
    cli = pulumi_cli.find(home, lines.append, Stop())
    assert (cli.executable, str(cli.version)) == (home.root / "pulumi" / WANTED / "bin" / "pulumi", WANTED)
    assert subprocess.check_output([cli.executable], text=True) == f"v{WANTED}\n"
    assert lines == [f"installing the Pulumi CLI {WANTED}"]
    assert in_home(home) == [WANTED, "lock"]
    assert pulumi_cli.find(home, pytest.fail, Stop()) == cli


@pytest.mark.usefixtures("tools", "works")
@pytest.mark.parametrize("damage", ["bin/pulumi", "bin/other", "LICENSE"])
def test_a_damaged_one_in_the_home_is_replaced(home: Home, damage: str) -> None:
    program(home.root / "pulumi" / WANTED / damage, "exit 1")
    lines: list[str] = []
    cli = pulumi_cli.find(home, lines.append, Stop())
    assert subprocess.check_output([cli.executable], text=True) == f"v{WANTED}\n"
    assert lines == [f"installing the Pulumi CLI {WANTED}"]
    assert not (home.root / "pulumi" / WANTED / "LICENSE").exists()


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("pass", r"<draft> does not tell its version (\[Errno 2\] No such file or directory: '<draft>')\."),
        ("write(pathlib.Path(root, 'bin', 'pulumi'), '3.1.0')", r"<draft> is 3\.1\.0; needed is 3\.206\.0 or later.*"),
    ],
)
def test_an_installer_that_leaves_no_fit_one(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    installer(tmp_path, monkeypatch, body)
    draft = rf"{re.escape(str(home.root))}/pulumi/new-\w+/bin/pulumi"
    expected = "  Official installer: " + reason.replace("(", r"\(", 1).replace(")", r"\)", 1).replace("<draft>", draft)
    assert re.fullmatch(expected, refused(home).splitlines()[2])
    assert in_home(home) == ["lock"]


@pytest.mark.usefixtures("tools")
def test_an_installer_that_hangs(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "never")
    installer(tmp_path, monkeypatch, f"open({str(tmp_path / 'never')!r})")
    monkeypatch.setattr(pulumi_cli, "_INSTALL_SECONDS", 0.1)
    assert refused(home).splitlines()[2] == "  Official installer: no end within 0.1 s."


@pytest.mark.usefixtures("no_installer")
def test_built_with_go(home: Home, tools: Path, tmp_path: Path) -> None:
    build = WRITE_CLI + (
        "import json, os, pathlib, sys\n"
        f"pathlib.Path({str(tmp_path / 'asked')!r}).write_text(json.dumps([os.getcwd(), *sys.argv[1:]]))\n"
        "print('github.com/pulumi/esc', file=sys.stderr)\n"
        "print('github.com/pulumi/pulumi/pkg/v3/cmd/pulumi', file=sys.stderr)\n"
        f"write(pathlib.Path(sys.argv[6]), '{WANTED}')\n"
    )
    program(tools / "go", build, sys.executable)
    lines: list[str] = []
    cli = pulumi_cli.find(home, lines.append, Stop())
    assert (cli.executable, str(cli.version)) == (home.root / "pulumi" / WANTED / "bin" / "pulumi", WANTED)
    assert [re.sub(r"\d:\d\d", "M:SS", line) for line in lines] == [
        f"installing the Pulumi CLI {WANTED}",
        f"building the Pulumi CLI {WANTED} from source, once: about 7 minutes on two cores",
        "building the Pulumi CLI, once: 1 packages, M:SS of about 7 minutes",
        "building the Pulumi CLI, once: 2 packages, M:SS of about 7 minutes",
    ]
    asked = (tmp_path / "asked").read_text()
    assert re.sub(r"new-\w+", "new", asked) == (
        f'["{REPOSITORY}/tools/pulumi-cli", "build", "-v", "-ldflags", '
        f'"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{WANTED}", '
        f'"-o", "{home.root}/pulumi/new/bin/pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"]'
    )
    assert in_home(home) == [WANTED, "lock"]


def test_what_is_built_is_what_the_sdk_is() -> None:
    pinned = re.search(r"github\.com/pulumi/pulumi/pkg/v3 v(\S+)", (pulumi_cli._SOURCE / "go.mod").read_text())
    assert pinned is not None
    assert pinned[1] == WANTED


@contextmanager
def finder(home: Home) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", FIND, str(home.root)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.usefixtures("tools")
def test_two_processes_at_once(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "go ahead")
    body = (
        f"open({str(tmp_path / 'go ahead')!r}).read(); open({str(tmp_path / 'installs')!r}, 'a').write('one '); "
        f"write(pathlib.Path(root, 'bin', 'pulumi'), '{WANTED}')"
    )
    installer(tmp_path, monkeypatch, body)
    with finder(home) as first, finder(home) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        lines = [first.stdout.readline(), second.stdout.readline()]
        (tmp_path / "go ahead").write_text("now")
        told = [process.communicate(timeout=30)[0] for process in (first, second)]
    assert sorted(lines) == [
        f"installing the Pulumi CLI {WANTED}\n",
        "waiting for another run that installs the Pulumi CLI\n",
    ]
    assert told == [f"{home.root}/pulumi/{WANTED}/bin/pulumi\n"] * 2
    assert (tmp_path / "installs").read_text() == "one "


@pytest.mark.usefixtures("no_installer")
def test_a_stop_ends_a_build_and_nothing_stays_half_made(home: Home, tools: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    program(tools / "go", f"print('a package', flush=True)\nopen({str(tmp_path / 'never')!r})\n", sys.executable)
    stop = Stop()

    def stop_at_the_first_package(line: str) -> None:
        if "1 packages" in line:
            stop.request(signal.SIGINT)

    with pytest.raises(InterruptedRunError) as interrupted:
        pulumi_cli.find(home, stop_at_the_first_package, stop)
    assert interrupted.value.exit_code == 130
    assert in_home(home) == ["lock"]


def test_a_stop_ends_the_wait_for_another_run(home: Home) -> None:
    stop = Stop()
    with (home.folder("pulumi") / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InterruptedRunError):
            pulumi_cli.find(home, lambda _: stop.request(signal.SIGTERM), stop)
