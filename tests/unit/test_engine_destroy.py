"""One stack down: asked again while a cloud is busy, never together with somebody else, never forgotten too early.

The CLI here is a small program that has an answer for each command that is to come, and no other.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import deadlines, engine, transient
from orchestrator.critical_path import Resource
from orchestrator.engine import Backend, Stack, StackError, StackLockedError
from orchestrator.home import Home
from tests.unit.test_engine import BACKEND, no_event, program, stack

# Each answer is the command that is to come, what it says on standard output and standard error, and its exit code.
IN_TURN = """
import json, sys
from pathlib import Path
command = " ".join(word for word in sys.argv[2:] if not word.startswith("-"))
answers = json.loads(Path("answers").read_text())
expected, out, err, code = answers.pop(0) if answers else [None, "", "", 0]
if not expected or not command.startswith(expected):
    sys.exit(f"{command} came, expected was {expected}")
Path("answers").write_text(json.dumps(answers))
with Path("said").open("a") as file:
    file.write(" ".join(sys.argv[2:]) + "\\n")
print(out)
print(err, file=sys.stderr)
sys.exit(code)
"""
Answer = tuple[str, str, str, int]
DONE: Answer = ("destroy", "", "", 0)
REMOVED: list[Answer] = [
    ("stack export", '{"version": 3, "deployment": {}}', "", 0),
    ("stack rm", "", "", 0),
]
BUSY = "error: deleting S3 Bucket (hop): api error SlowDown: Please reduce your request rate."


class Clock:
    """Stands in for the module ``time``: nobody waits. ``happens`` is what goes on during each pause, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.happens: list[Callable[[], object]] = []

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        if self.happens:
            self.happens.pop(0)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(engine, "time", clock)
    return clock


def answering(folder: Path, *answers: Answer) -> Stack:
    (folder / "answers").write_text(json.dumps(answers))
    return stack(folder, IN_TURN)


def heard(folder: Path) -> list[str]:
    """The commands that the CLI got, without their options; all that it was to get."""
    assert json.loads((folder / "answers").read_text()) == []
    lines = (folder / "said").read_text().splitlines()
    return [" ".join(word for word in line.split() if not word.startswith("-")) for line in lines]


def refused(err: str, command: str = "destroy") -> Answer:
    return command, "", err, 255


def test_a_stack_is_destroyed_and_removed(tmp_path: Path) -> None:
    answering(tmp_path, DONE, *REMOVED).destroy(no_event)
    assert len(heard(tmp_path)) == 3
    destroy, export, remove = (tmp_path / "said").read_text().splitlines()
    assert {"--yes", "--skip-preview", "--continue-on-error"} <= set(destroy.split())
    assert "--parallel 32" in destroy
    assert destroy.endswith("--stack r1-compute")
    assert "--stack r1-compute" in export
    assert "r1-compute" in remove.split()
    assert "--force" not in remove  # The CLI refuses to forget what is there.


def test_a_busy_cloud_is_asked_again_after_a_pause(tmp_path: Path, clock: Clock) -> None:
    busy = refused(BUSY)
    answering(tmp_path, busy, busy, busy, DONE, *REMOVED).destroy(no_event)
    assert heard(tmp_path)
    assert clock.pauses == [1.0, 2.0, 4.0]


def test_a_cloud_that_stays_busy_is_the_failure(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transient, "PAUSES_SECONDS", (3.0, 5.0))
    with pytest.raises(StackError) as raised:
        answering(tmp_path, *[refused(BUSY)] * 3).destroy(no_event)
    assert raised.value.brief == "The compute stack was not destroyed"
    assert raised.value.details == BUSY
    assert heard(tmp_path)
    assert clock.pauses == [3.0, 5.0]


def test_a_refusal_that_does_not_pass_is_the_failure_at_once(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StackError):
        answering(tmp_path, refused(BUSY), refused("error: AccessDenied")).destroy(no_event)
    assert heard(tmp_path)
    assert clock.pauses == [1.0]


PENDING = {"resource": {"urn": "urn:pulumi:r1-compute::data"}, "type": "creating"}


def test_a_stack_with_a_create_whose_outcome_is_unknown_is_kept(tmp_path: Path) -> None:
    exported = json.dumps({"version": 3, "deployment": {"pending_operations": [PENDING]}})
    with pytest.raises(StackError) as raised:
        answering(tmp_path, DONE, ("stack export", exported, "", 0)).destroy(no_event)
    assert str(raised.value) == (
        "The compute stack has operations whose outcome is unknown\n"
        "  urn:pulumi:r1-compute::data: creating\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )
    assert len(heard(tmp_path)) == 2


def test_settling_tells_the_state_that_nothing_is_there(tmp_path: Path) -> None:
    answering(tmp_path, ("refresh", "", "", 0), DONE, *REMOVED).settle(no_event)
    assert [line.split()[0] for line in heard(tmp_path)] == ["refresh", "destroy", "stack", "stack"]
    assert "--clear-pending-creates" in (tmp_path / "said").read_text().splitlines()[0].split()


def test_a_stack_that_is_gone_is_settled(tmp_path: Path) -> None:
    gone = "error: no stack named 'r1-compute' found"
    answering(tmp_path, refused(gone, "refresh"), refused(gone)).settle(no_event)
    assert len(heard(tmp_path)) == 2


def test_a_stack_that_cannot_be_settled(tmp_path: Path, clock: Clock) -> None:
    answers = refused(BUSY, "refresh"), refused("error: the state cannot be read", "refresh")
    with pytest.raises(StackError) as raised:
        answering(tmp_path, *answers).settle(no_event)
    assert str(raised.value) == (
        "The compute stack was not settled\n"
        "  error: the state cannot be read\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )
    assert heard(tmp_path)
    assert clock.pauses == [1.0]


def kept_in(backend: str, folder: Path, *answers: Answer) -> Stack:
    """``answering``, with its state in this backend."""
    (folder / "answers").write_text(json.dumps(answers))
    cli, home = program(folder, IN_TURN), folder / "pulumi-home"
    return Stack("r1", "compute", folder=folder, cli=cli, backend=Backend(backend, "secret"), pulumi_home=home)


@pytest.mark.parametrize("latest", [{"latest": {"resources": [], "pending_operations": []}}, {"latest": {}}, {}])
def test_a_stack_whose_state_is_settled_is_removed_in_the_same_command(tmp_path: Path, latest: dict[str, Any]) -> None:
    state = tmp_path / "the state" / ".pulumi" / "stacks" / "cloud-hopping"
    state.mkdir(parents=True)
    (state / "r1-compute.json").write_text(json.dumps({"version": 3, "checkpoint": latest}))
    (state / "r1-compute.json.bak").write_text("")
    kept_in((tmp_path / "the state").as_uri(), tmp_path, DONE).destroy(no_event)
    assert len(heard(tmp_path)) == 1
    assert "--remove" in (tmp_path / "said").read_text().split()
    assert not (state / "r1-compute.json.bak").exists()


@pytest.mark.parametrize(
    "state",
    [
        json.dumps({"version": 3, "checkpoint": {"latest": {"pending_operations": [{}]}}}),
        json.dumps({"version": 3, "checkpoint": []}),
        json.dumps([]),
        "",
    ],
)
def test_any_other_state_is_asked_for_after_the_destroy(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "the state" / ".pulumi" / "stacks" / "cloud-hopping"
    folder.mkdir(parents=True)
    (folder / "r1-compute.json").write_text(state)
    kept_in((tmp_path / "the state").as_uri(), tmp_path, DONE, *REMOVED).destroy(no_event)
    assert len(heard(tmp_path)) == 3
    assert "--remove" not in (tmp_path / "said").read_text().split()


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:r1-compute::cloud-hopping::{kind}::{name}"


def test_the_resources_of_a_stack_that_is_up_take_no_command(tmp_path: Path) -> None:
    bucket, provider = urn("aws:s3/bucket:Bucket", "data"), urn("pulumi:providers:aws", "amazon")
    root = urn("pulumi:pulumi:Stack", "cloud-hopping-r1-compute")
    resources = [
        {"urn": root, "type": "pulumi:pulumi:Stack", "custom": False},
        {"urn": bucket, "type": "aws:s3/bucket:Bucket", "parent": root, "provider": f"{provider}::0123", "inputs": {}},
        {
            "urn": urn("aws:s3/bucketObjectv2:BucketObjectv2", "extract"),
            "type": "aws:s3/bucketObjectv2:BucketObjectv2",
            "parent": root,
            "provider": f"{provider}::0123",
            "inputs": {"bucket": "hop", "source": {"path": "/x.csv", "of": [1, ["a"], None]}, "tags": {"b": True}},
            "dependencies": [bucket],
            "propertyDependencies": {"bucket": [bucket], "source": None, "key": ["urn:other"]},
            "deletedWith": bucket,
        },
    ]
    state = tmp_path / "the state" / ".pulumi" / "stacks" / "cloud-hopping"
    state.mkdir(parents=True)
    (state / "r1-compute.json").write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))
    assert kept_in((tmp_path / "the state").as_uri(), tmp_path).resources() == [
        Resource(root, "pulumi:pulumi:Stack", ""),
        Resource(bucket, "aws:s3/bucket:Bucket", "data", frozenset({root, provider})),
        Resource(
            urn("aws:s3/bucketObjectv2:BucketObjectv2", "extract"),
            "aws:s3/bucketObjectv2:BucketObjectv2",
            "extract",
            needs=frozenset({root, provider, bucket, "urn:other"}),
            values=frozenset({"hop", "/x.csv", "a"}),
            goes_with=True,
        ),
    ]


@pytest.mark.parametrize("backend", ["s3://bucket/state", "file:///nowhere"])
def test_a_state_elsewhere_does_not_tell_its_resources(tmp_path: Path, backend: str) -> None:
    assert kept_in(backend, tmp_path).resources() is None


CUT_OFF = "error: failed to load checkpoint: EOF"


def test_a_state_that_was_cut_off_is_forgotten_once_nothing_is_left(tmp_path: Path, clock: Clock) -> None:
    state = tmp_path / "the state" / ".pulumi" / "stacks" / "cloud-hopping"
    state.mkdir(parents=True)
    others = ["r1-compute2.json", "r1-data.json", "r1-data.json.bak"]
    for name in ("r1-compute.json", "r1-compute.json.bak", "r1-compute.json.attrs", *others):
        (state / name).write_bytes(b"")
    answers = refused(CUT_OFF), refused(CUT_OFF, "refresh")
    cut_off = kept_in((tmp_path / "the state").as_uri(), tmp_path, *answers)
    with pytest.raises(StackError):
        cut_off.destroy(no_event)
    assert len(list(state.iterdir())) == 6
    cut_off.settle(no_event)
    assert sorted(path.name for path in state.iterdir()) == others
    assert heard(tmp_path)
    assert clock.pauses == []  # It will not be another one in a moment.


def test_a_state_that_was_cut_off_elsewhere_stays(tmp_path: Path, clock: Clock) -> None:
    elsewhere = kept_in("s3://state", tmp_path, refused(CUT_OFF, "refresh"))
    with pytest.raises(StackError) as raised:
        elsewhere.settle(no_event)
    assert raised.value.details == CUT_OFF
    assert heard(tmp_path)
    assert clock.pauses == []


@pytest.mark.parametrize(
    ("command", "work", "brief"),
    [
        ("destroy", Stack.destroy, "The compute stack was not destroyed"),
        ("refresh", Stack.settle, "The compute stack was not settled"),
    ],
)
def test_a_command_that_is_late_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, work: Callable[..., None], brief: str
) -> None:
    monkeypatch.setattr(deadlines, "DESTROY", 0)
    stays = stack(tmp_path, "import signal\nwhile 1: signal.pause()\n")
    with pytest.raises(StackError) as raised:
        work(stays, no_event)
    assert str(raised.value) == (
        f"{brief}\n"
        f"  pulumi {command} was not done within 0 s and was stopped\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )


def test_an_up_that_is_late_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "COMMAND", 0)
    stays = stack(tmp_path, "import signal\nwhile 1: signal.pause()\n")
    with pytest.raises(StackError) as raised:
        stays.up(lambda: None, no_event)
    assert raised.value.brief == "The compute stack did not come up"
    assert raised.value.details == "pulumi stack was not done within 0 s and was stopped"


def test_the_stacks_in_a_backend(tmp_path: Path) -> None:
    listed = json.dumps(
        [{"name": f"organization/cloud-hopping/{name}", "current": False} for name in ("r1-data", "r2-compute")]
    )
    folder = tmp_path / "listing"
    folder.mkdir()
    (folder / "answers").write_text(
        json.dumps([("stack ls", listed, "", 0), refused("error: no such bucket", "stack ls")])
    )
    cli, home = program(tmp_path, IN_TURN), Home(tmp_path)
    assert engine.stacks_in(BACKEND, cli=cli, home=home) == ["r1-data", "r2-compute"]
    with pytest.raises(StackError) as raised:
        engine.stacks_in(BACKEND, cli=cli, home=home)
    assert raised.value.brief == "The stacks in the backend cannot be listed"
    assert raised.value.details == "error: no such bucket"


# ---- locks

HOLDS = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"SIGINT\\n"))
os.write(1, b"ready\\n")
sys.stdin.read()
"""


def locked_by(pid: int, host: str = "", command: str = "destroy") -> Answer:
    """The CLI's words for a stack whose lock a process of this machine, or of ``host``, has.

    The lock's own name is no reason to try again.
    """
    return refused(
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
        f"lock file with `pulumi cancel`.\n  file:///timeout/1.json: created by me@{host or socket.gethostname()} "
        f"(pid {pid}) at 2026-11-23T17:42:05Z",
        command,
    )


class Holder:
    """A process that holds a lock, with these arguments; it says each SIGINT, and ends when it is told to."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.hears("ready")

    def hears(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"

    def end(self) -> tuple[str, int]:
        """What else it said, and its exit code."""
        return self._process.communicate()[0], self._process.returncode


@pytest.fixture
def cli_of_the_stack() -> Iterator[Holder]:
    """What a killed run left: its CLI, still at work."""
    holder = Holder("up", "--stack", "r1-compute")
    yield holder
    holder.end()


def test_the_cli_of_a_killed_run_is_asked_once_and_waited_for(
    tmp_path: Path, clock: Clock, cli_of_the_stack: Holder
) -> None:
    rest: list[tuple[str, int]] = []
    clock.happens = [
        lambda: cli_of_the_stack.hears("SIGINT"),
        lambda: None,
        lambda: rest.append(cli_of_the_stack.end()),
    ]
    locked = locked_by(cli_of_the_stack.pid)
    answering(tmp_path, *[locked] * 4, ("cancel", "", "", 0), DONE, *REMOVED).destroy(no_event)
    assert [line.split()[0] for line in heard(tmp_path)] == [*["destroy"] * 4, "cancel", "destroy", "stack", "stack"]
    assert rest == [("", 0)]
    assert clock.pauses == [0.5] * 4
    assert (tmp_path / "asked-to-stop").read_text() == str(cli_of_the_stack.pid)


def test_the_cli_that_was_asked_by_whoever_was_killed_is_not_asked_again(
    tmp_path: Path, clock: Clock, cli_of_the_stack: Holder
) -> None:
    (tmp_path / "asked-to-stop").write_text(str(cli_of_the_stack.pid))
    rest: list[tuple[str, int]] = []
    clock.happens = [lambda: rest.append(cli_of_the_stack.end())]
    locked = locked_by(cli_of_the_stack.pid)
    answering(tmp_path, locked, locked, ("cancel", "", "", 0), DONE, *REMOVED).destroy(no_event)
    assert heard(tmp_path)
    assert rest == [("", 0)]  # No SIGINT.


def test_the_cli_of_a_killed_run_that_does_not_end_is_killed(
    tmp_path: Path, clock: Clock, cli_of_the_stack: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "LOCK", 0.9)
    clock.now = 100  # Until the lock was met, time went by.
    rest: list[tuple[str, int]] = []
    clock.happens = [
        lambda: cli_of_the_stack.hears("SIGINT"),
        lambda: None,
        lambda: rest.append(cli_of_the_stack.end()),
    ]
    locked = locked_by(cli_of_the_stack.pid)
    answering(tmp_path, *[locked] * 4, ("cancel", "", "", 0), DONE, *REMOVED).destroy(no_event)
    assert heard(tmp_path)
    assert rest == [("", -signal.SIGKILL)]


def test_what_a_settlement_finds_locked_is_waited_for_too(
    tmp_path: Path, clock: Clock, cli_of_the_stack: Holder
) -> None:
    clock.happens = [cli_of_the_stack.end]
    locked = locked_by(cli_of_the_stack.pid, command="refresh")
    answers: list[Answer] = [locked, locked, ("cancel", "", "", 0), ("refresh", "", "", 0), DONE, *REMOVED]
    answering(tmp_path, *answers).settle(no_event)
    assert heard(tmp_path)


def test_a_holder_that_is_about_to_end_is_waited_for(
    tmp_path: Path, clock: Clock, cli_of_the_stack: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends is there for a moment without a command line."""
    monkeypatch.setattr(engine, "command_line_of", lambda _pid: "")
    clock.happens = [cli_of_the_stack.end]
    locked = locked_by(cli_of_the_stack.pid)
    answering(tmp_path, locked, locked, ("cancel", "", "", 0), DONE, *REMOVED).destroy(no_event)
    assert heard(tmp_path)
    assert clock.pauses == [0.5] * 2


@pytest.mark.usefixtures("clock")
def test_a_holder_whose_command_line_nobody_may_see_is_not_waited_for_for_ever(
    tmp_path: Path, cli_of_the_stack: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "command_line_of", lambda _pid: "")
    monkeypatch.setattr(deadlines, "LOCK", 0.9)
    with pytest.raises(StackLockedError):
        answering(tmp_path, *[locked_by(cli_of_the_stack.pid)] * 3).destroy(no_event)
    assert heard(tmp_path)
    assert cli_of_the_stack.end() == ("", 0)


TORN = "error: unexpected end of JSON input"


def test_a_lock_that_was_only_begun_is_none(tmp_path: Path, clock: Clock) -> None:
    locks = tmp_path / "the state" / ".pulumi" / "locks" / "organization" / "cloud-hopping"
    for name, content in (("r1-compute/1.json.18ec.tmp", ""), ("r1-compute/2.json", "{}"), ("r1-data/3.json.tmp", "")):
        (locks / name).parent.mkdir(parents=True, exist_ok=True)
        (locks / name).write_text(content)
    kept_in((tmp_path / "the state").as_uri(), tmp_path, refused(TORN), DONE, *REMOVED).destroy(no_event)
    assert heard(tmp_path)
    assert clock.pauses == [0.5]
    assert sorted(path.relative_to(locks).as_posix() for path in locks.rglob("*.*")) == [
        "r1-compute/2.json",
        "r1-data/3.json.tmp",
    ]


def test_where_no_lock_was_only_begun_it_is_the_failure(tmp_path: Path) -> None:
    with pytest.raises(StackError) as raised:
        answering(tmp_path, refused(TORN)).destroy(no_event)
    assert raised.value.details == TORN
    assert heard(tmp_path)


def test_a_dead_lock_that_does_not_go_is_the_failure(tmp_path: Path, clock: Clock, cli_of_the_stack: Holder) -> None:
    cli_of_the_stack.end()
    locked = locked_by(cli_of_the_stack.pid)
    with pytest.raises(StackLockedError):
        answering(tmp_path, locked, ("cancel", "", "", 0), locked).destroy(no_event)
    assert heard(tmp_path)
    assert clock.pauses == [0.5]


def test_a_dead_lock_that_may_not_be_removed_is_the_failure(tmp_path: Path, cli_of_the_stack: Holder) -> None:
    cli_of_the_stack.end()
    with pytest.raises(StackError) as raised:
        answering(tmp_path, locked_by(cli_of_the_stack.pid), refused("error: permission denied", "cancel")).destroy(
            no_event
        )
    assert str(raised.value) == (
        "The compute stack was not unlocked\n"
        "  error: permission denied\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )
    assert heard(tmp_path)


@pytest.mark.parametrize("arguments", [["up", "--stack", "r1-data"], []])
def test_a_process_that_is_none_of_the_stacks_is_left_alone(tmp_path: Path, clock: Clock, arguments: list[str]) -> None:
    holder = Holder(*arguments)
    with pytest.raises(StackLockedError) as raised:
        answering(tmp_path, locked_by(holder.pid)).destroy(no_event)
    assert raised.value.holder == holder.pid
    assert heard(tmp_path)
    assert (holder.end(), clock.pauses) == (("", 0), [])


def test_a_lock_of_another_machine_is_left_alone(tmp_path: Path, clock: Clock, cli_of_the_stack: Holder) -> None:
    with pytest.raises(StackLockedError) as raised:
        answering(tmp_path, locked_by(cli_of_the_stack.pid, "elsewhere")).destroy(no_event)
    assert raised.value.holder is None
    assert cli_of_the_stack.end() == ("", 0)
    assert clock.pauses == []
