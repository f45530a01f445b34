"""The CLI process: what it sees, that it gets one SIGINT at most, and its end past a deadline.

The CLI here is a small program that is really started, asked to stop and killed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest
from pulumi.automation import errors as automation_errors
from semver import VersionInfo

from orchestrator import deadlines
from orchestrator.engine import command as engine_command
from orchestrator.pulumi_cli import Cli

THE_SDKS = VersionInfo.parse(installed_version("pulumi"))
ANSWERS = """
import json, os, sys
print(json.dumps({"args": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ),
                  "leads its session": os.getsid(0) == os.getpid(), "input": sys.stdin.read()}))
print("a word", file=sys.stderr)
"""
# Says "ready" and then each SIGINT through a pipe; ends with exit code 7 once it is told to.
WORKS = """
import os, signal, sys
said = os.open("said", os.O_WRONLY)
signal.signal(signal.SIGINT, lambda *_: os.write(said, b"SIGINT\\n"))
os.write(said, b"ready\\n")
open("told").read()
sys.exit(7)
"""


def command(folder: Path, body: str, version: VersionInfo = THE_SDKS, **environment: str) -> engine_command.Command:
    path = folder / "bin" / "pulumi"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o700)
    return engine_command.Command(Cli(path, version), environment, folder)


def says(message: str, code: int = 1) -> str:
    return f"import sys\nprint({message!r}, file=sys.stderr)\nsys.exit({code})\n"


@pytest.fixture
def typed_ahead() -> Iterator[None]:
    """Something on this process's standard input."""
    before, (reading, writing) = os.dup(0), os.pipe()
    os.write(writing, b"yes\n")
    os.dup2(reading, 0)
    for descriptor in (reading, writing):
        os.close(descriptor)
    yield
    os.dup2(before, 0)
    os.close(before)


@pytest.mark.usefixtures("typed_ahead")
def test_the_cli_sees_what_is_meant_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "the caller's")
    result = command(tmp_path, ANSWERS, PATH="/usr/bin", LC_ALL="C.UTF-8").run(
        ["stack", "init"], str(tmp_path), {"PULUMI_HOME": "/home"}
    )
    seen = json.loads(result.stdout)
    assert seen == {
        "args": ["--non-interactive", "stack", "init"],
        "cwd": str(tmp_path),
        "environment": {"PATH": f"{tmp_path}/bin:/usr/bin", "LC_ALL": "C.UTF-8", "PULUMI_HOME": "/home"},
        "leads its session": True,
        "input": "",
    }
    assert (result.stderr, result.code) == ("a word\n", 0)


def test_each_commands_output_is_kept(tmp_path: Path) -> None:
    cli = command(tmp_path, ANSWERS)
    for args in (["stack", "init"], ["up"]):
        cli.run(args, str(tmp_path), {})
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == [
        "00-stack.err",
        "00-stack.out",
        "01-up.err",
        "01-up.out",
    ]
    assert cli.last_words() == "a word"


def test_what_shows_secrets_is_in_no_log(tmp_path: Path) -> None:
    cli = command(tmp_path, "print('AccountKey=canary')\n")
    assert cli.run(["stack", "export", "--show-secrets"], str(tmp_path), {}).stdout == "AccountKey=canary\n"
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["00-stack.err"]
    assert cli.run(["stack", "export"], str(tmp_path), {}).stdout == "AccountKey=canary\n"
    assert (tmp_path / "log" / "01-stack.out").read_text() == "AccountKey=canary\n"


def test_nothing_was_said_yet(tmp_path: Path) -> None:
    assert command(tmp_path, ANSWERS).last_words() == ""


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("error: no stack named 'r1-data' found", automation_errors.StackNotFoundError),
        ("error: the stack is currently locked by 1 lock(s)", automation_errors.ConcurrentUpdateError),
        ("error: something else", automation_errors.CommandError),
    ],
)
def test_a_failure_is_the_sdks_error(tmp_path: Path, message: str, kind: type[Exception]) -> None:
    with pytest.raises(automation_errors.CommandError) as raised:
        command(tmp_path, says(message, 255)).run(["stack"], str(tmp_path), {})
    assert type(raised.value) is kind
    assert str(raised.value) == f"\n code: 255\n stdout: \n stderr: {message}\n"


class Running:
    """A CLI command that runs in a thread until it is told to end; ``said`` is what it says."""

    def __init__(self, folder: Path) -> None:
        for name in ("said", "told"):
            os.mkfifo(folder / name)
        self.command = command(folder, WORKS)
        self.codes: list[int] = []
        self._folder = folder
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, args: list[str]) -> None:
        self._args = args
        self._thread.start()
        self.said = (self._folder / "said").open()  # Once the other end is open, too.
        assert self.said.readline() == "ready\n"

    def end(self) -> str:
        """Let it end; the rest of what it said."""
        (self._folder / "told").write_text("end")
        self._thread.join(10)
        with self.said:
            return self.said.read()

    def _run(self) -> None:
        try:
            self.command.run(self._args, str(self._folder), {})
        except automation_errors.CommandError as error:
            self.codes.append(int(str(error).split("code: ")[1].split("\n")[0]))


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_an_up_gets_one_sigint_however_often_it_is_asked(running: Running) -> None:
    running.start(["up"])
    running.command.interrupt()
    assert running.said.readline() == "SIGINT\n"
    running.command.interrupt()
    running.command.interrupt()
    assert running.end() == ""
    assert running.codes == [7]


def test_an_up_that_does_not_stop_is_killed_its_grace_after_the_interrupt(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "GRACE", 0.01)
    running.start(["up"])
    running.command.interrupt()
    running._thread.join(60)
    running.said.close()
    assert running.codes == [-signal.SIGKILL]
    assert running.command.untimely == ["pulumi up was killed (SIGKILL)"]


@pytest.mark.parametrize("args", [["stack", "init"], ["destroy"]])
def test_other_commands_are_left_alone(running: Running, args: list[str]) -> None:
    running.start(args)
    running.command.interrupt()
    assert running.end() == ""
    assert running.codes == [7]


def test_after_an_interrupt_no_up_begins_but_a_destroy_does(tmp_path: Path) -> None:
    cli = command(tmp_path, ANSWERS)
    cli.run(["stack", "init"], str(tmp_path), {})
    cli.interrupt()
    with pytest.raises(automation_errors.CommandError) as raised:
        cli.run(["up"], str(tmp_path), {})
    assert str(raised.value) == "\n code: 1\n stdout: \n stderr: update canceled"
    assert json.loads(cli.run(["destroy"], str(tmp_path), {}).stdout)["args"] == ["--non-interactive", "destroy"]


def test_an_interrupt_after_the_up_has_ended(tmp_path: Path) -> None:
    cli = command(tmp_path, ANSWERS)
    cli.run(["up"], str(tmp_path), {})
    cli.interrupt()


# ---- deadlines

DEADLINES = [
    (["up"], "UP"),
    (["destroy"], "DESTROY"),
    (["refresh"], "DESTROY"),
    (["stack", "init"], "COMMAND"),
    (["cancel"], "COMMAND"),
]
# Until it is told to stop, by whatever of Python or the system is there to hear it.
STAYS = "import signal\nwhile 1: signal.pause()\n"


def allow(monkeypatch: pytest.MonkeyPatch, seconds: float, only: str, others: float) -> None:
    for name in ("UP", "DESTROY", "COMMAND"):
        monkeypatch.setattr(deadlines, name, seconds if name == only else others)


@pytest.mark.parametrize(("args", "deadline"), DEADLINES)
def test_past_its_own_deadline_a_command_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], deadline: str
) -> None:
    allow(monkeypatch, 0, deadline, 60)
    cli = command(tmp_path, STAYS)
    with pytest.raises(automation_errors.CommandError):
        cli.run(args, str(tmp_path), {})
    assert cli.untimely == [f"pulumi {args[0]} was not done within 0 s and was stopped"]


@pytest.mark.parametrize(("args", "deadline"), DEADLINES)
def test_no_other_deadline_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], deadline: str
) -> None:
    allow(monkeypatch, 60, deadline, 0)
    cli = command(tmp_path, ANSWERS)
    assert cli.run(args, str(tmp_path), {}).code == 0
    assert cli.untimely == []


def test_what_was_late_is_told_of_the_last_command_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 0, "DESTROY", 60)
    cli = command(tmp_path, STAYS)
    with pytest.raises(automation_errors.CommandError):
        cli.run(["destroy"], str(tmp_path), {})
    command(tmp_path, ANSWERS)  # In the same place.
    cli.run(["stack", "export"], str(tmp_path), {})
    assert cli.untimely == []


@pytest.fixture
def late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[engine_command.Command, "subprocess.Popen[bytes]"]]:
    """A command and its process that is past its deadline; SIGINT ends it with exit code 3."""
    monkeypatch.setattr(deadlines, "DESTROY", 0)
    body = "import signal, sys\nsignal.signal(2, lambda *_: sys.exit(3))\nprint(flush=True)\nwhile 1: signal.pause()\n"
    cli = command(tmp_path, body)
    with subprocess.Popen([cli.command], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield cli, process
        process.kill()


def test_past_its_deadline_a_command_is_asked_to_stop(
    late: tuple[engine_command.Command, "subprocess.Popen[bytes]"],
) -> None:
    cli, process = late
    assert cli._wait(process, "destroy") == 3


def test_one_that_was_asked_before_is_not_asked_again_but_killed(
    late: tuple[engine_command.Command, "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deadlines, "GRACE", 0)
    cli, process = late
    (tmp_path / "asked-to-stop").write_text(str(process.pid))  # Before its run was killed.
    assert cli._wait(process, "destroy") == -signal.SIGKILL


class _Opens(threading.Event):
    """Opens when it is waited for; whether the CLI had started by then."""

    def __init__(self, started: Path) -> None:
        super().__init__()
        self._started = started
        self.seen: list[bool] = []

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the signature is threading's
        self.seen.append(self._started.exists())
        self.set()
        return True


def test_another_version_of_the_cli_starts_its_destroy_when_it_may_delete(tmp_path: Path) -> None:
    of_another = command(tmp_path, ANSWERS, VersionInfo(3, 999, 0))
    gate = _Opens(tmp_path / "log" / "00-destroy.out")
    with of_another.held(gate):
        result = of_another.run(["destroy"], str(tmp_path), {})
    assert (gate.seen, json.loads(result.stdout)["args"]) == ([False], ["--non-interactive", "destroy"])


def test_the_sdks_version_of_the_cli_starts_at_once_and_asks_us(tmp_path: Path) -> None:
    of_the_sdk = command(tmp_path, ANSWERS)
    gate = _Opens(tmp_path / "log" / "00-destroy.out")
    with of_the_sdk.held(gate):
        result = of_the_sdk.run(["destroy"], str(tmp_path), {})
    *_, client = json.loads(result.stdout)["args"]
    assert gate.seen == [True]
    assert re.fullmatch(r"--client=127\.0\.0\.1:\d+", client)
    with of_the_sdk.held(gate):  # It is open.
        result = of_the_sdk.run(["destroy"], str(tmp_path), {})
    assert json.loads(result.stdout)["args"] == ["--non-interactive", "destroy"]
