"""One stack up, one stack down: the real engine over the stand-in of Amazon."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi.provider.experimental.provider import Provider
from semver import VersionInfo

from orchestrator import deadlines, engine
from orchestrator.background import spawn
from orchestrator.engine import Backend, Stack, StackError, StackEvent, StackLockedError
from orchestrator.errors import OrchestratorError
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.aws import resources as aws_resources
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.resources import LogGroup
from orchestrator.rehearsal.provider import RefusedError, StandInProvider
from stacks.naming import Names

Program = Callable[[], None]
REGION = "us-east-1"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"


def options() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=aws.Provider("amazon", region=REGION))


def log_groups(*names: str) -> Program:
    """A program of independent log groups."""

    def program() -> None:
        opts = options()
        for name in names:
            aws.cloudwatch.LogGroup(name, name=f"engine-{name}", opts=opts)

    return program


def in_the_cloud(amazon: Amazon) -> set[str]:
    groups = amazon.client("logs", REGION).describe_log_groups(logGroupNamePrefix="engine-")["logGroups"]
    return {group["logGroupName"].removeprefix("engine-") for group in groups}


def test_two_stacks_at_once(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    both = threading.Barrier(2, timeout=60)

    def program(name: str) -> Program:
        def meet() -> None:
            both.wait()  # Each program runs while the other does.
            log_groups(name)()

        return meet

    stacks = [new_stack(), new_stack()]
    events: list[list[StackEvent]] = [[], []]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda n: stacks[n].up(program(f"of-{n}"), events[n].append), range(2)))
    assert in_the_cloud(amazon) == {"of-0", "of-1"}
    assert [[(event.stack, event.kind, event.type, event.name) for event in each] for each in events] == [
        [(f"test{n}", "creating", LOG_GROUP, f"of-{n}"), (f"test{n}", "created", LOG_GROUP, f"of-{n}")]
        for n in range(2)
    ]
    gone: list[StackEvent] = []
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda stack: stack.destroy(gone.append), stacks))
    assert sorted((event.stack, event.kind, event.name) for event in gone) == [
        ("test0", "deleted", "of-0"),
        ("test0", "deleting", "of-0"),
        ("test1", "deleted", "of-1"),
        ("test1", "deleting", "of-1"),
    ]
    assert in_the_cloud(amazon) == set()


class _Slow(LogGroup):
    """Is in the middle of creating ``slow`` until told to go on; refuses to delete ``held``."""

    def __init__(self, amazon: Amazon) -> None:
        super().__init__(amazon)
        self.creating, self.go_on, self.created = threading.Event(), threading.Event(), threading.Event()
        self.held = {"engine-held"}

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if inputs["name"] == "engine-slow":
            self.creating.set()
            assert self.go_on.wait(60)
        try:
            return super().create(inputs, configuration)
        finally:
            self.created.set()

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        if resource_id in self.held:
            raise RefusedError(f"deleting CloudWatch Logs Log Group ({resource_id}): the cloud says no")
        super().delete(resource_id, state, configuration)


class _Provider(StandInProvider):
    """Tells when the engine has asked to stop."""

    asked_to_stop = threading.Event()

    async def cancel(self) -> None:
        self.asked_to_stop.set()


@pytest.fixture
def slow(
    in_force: None,  # noqa: ARG001 - what it sets is changed here
    amazon: Amazon,
    serve_provider: Callable[[Provider], int],
    monkeypatch: pytest.MonkeyPatch,
) -> _Slow:
    """Stacks that are made from now on meet this one for log groups."""
    slow = _Slow(amazon)
    types = aws_resources.resources(amazon) | {LOG_GROUP: slow}
    _Provider.asked_to_stop.clear()
    port = serve_provider(_Provider(types, aws_resources.CONFIGURATION))
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"aws:{port}")
    return slow


def test_an_interrupt_lets_creates_in_flight_finish(
    slow: _Slow, new_stack: Callable[[], Stack], amazon: Amazon
) -> None:
    def program() -> None:
        opts = options()
        first = aws.cloudwatch.LogGroup("slow", name="engine-slow", opts=opts)
        after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[first]))
        aws.cloudwatch.LogGroup("next", name="engine-next", opts=after)

    stack, events = new_stack(), list[StackEvent]()
    with ThreadPoolExecutor(1) as threads:
        coming_up = threads.submit(stack.up, program, events.append)
        assert slow.creating.wait(60)
        stack.interrupt()
        assert _Provider.asked_to_stop.wait(60)
        stack.interrupt()  # A second one must not reach the CLI: it would leave the create's outcome unknown.
        slow.go_on.set()
        with pytest.raises(StackError) as raised:
            coming_up.result(120)
    assert raised.value.brief == "The test0 stack did not come up"
    assert raised.value.details == "update canceled"
    assert raised.value.resolution == "engine.log, beside the report, has the engine's own words."
    assert [(event.kind, event.name) for event in events if event.name] == [("creating", "slow"), ("created", "slow")]
    assert in_the_cloud(amazon) == {"slow"}
    gone: list[StackEvent] = []
    stack.destroy(gone.append)
    assert [(event.kind, event.name) for event in gone] == [("deleting", "slow"), ("deleted", "slow")]
    assert in_the_cloud(amazon) == set()


def test_an_interrupt_before_the_stack_comes_up(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    stack = new_stack()
    stack.interrupt()
    with pytest.raises(StackError):
        stack.up(log_groups("never"), lambda _: None)
    assert in_the_cloud(amazon) == set()
    stack.destroy(lambda _: None)


def commands(folder: Path) -> list[str]:
    """The CLI's commands of a stack, from the names of its logs."""
    return [log.stem.partition("-")[2] for log in sorted(folder.glob("log/*.err"))]


@pytest.mark.usefixtures("in_force")
@pytest.mark.parametrize(
    ("version", "made_by_the_cli"), [(None, []), (VersionInfo(3, 999, 0), ["stack"])], ids=["the SDK's", "another"]
)
def test_a_stacks_life_is_two_commands_and_a_third_with_another_version_of_the_cli(
    *, cli: Cli, amazon: Amazon, tmp_path: Path, version: VersionInfo | None, made_by_the_cli: list[str]
) -> None:
    for name in ("state", "one"):
        (tmp_path / name).mkdir()
    backend, known = (
        Backend((tmp_path / "state").as_uri(), "a passphrase"),
        replace(cli, version=version or cli.version),
    )
    stack = Stack("run", "one", folder=tmp_path / "one", cli=known, backend=backend, pulumi_home=tmp_path / "home")
    stack.up(log_groups("one"), lambda _: None)
    assert in_the_cloud(amazon) == {"one"}
    stack.destroy(lambda _: None)
    assert in_the_cloud(amazon) == set()
    assert commands(tmp_path / "one") == [*made_by_the_cli, "up", "destroy"]
    assert stack.beside() == []


def test_a_stack_begins_as_the_cli_would_let_it_but_without_a_key_for_secrets(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: cloud-hopping\nruntime: python\n")
    backend = Backend(tmp_path.as_uri(), "a passphrase")
    init = [str(cli.executable), "--non-interactive", "stack", "init", "run-data", "--no-select"]
    told = {"PULUMI_BACKEND_URL": backend.url, "PULUMI_CONFIG_PASSPHRASE": backend.passphrase}
    environment = os.environ | told | {"PULUMI_HOME": str(tmp_path / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    subprocess.run(init, cwd=tmp_path, env=environment, check=True, capture_output=True)
    state = tmp_path / ".pulumi/stacks/cloud-hopping/run-data.json"
    layout = tmp_path / ".pulumi/meta.yaml"
    made = json.loads(state.read_bytes()), layout.read_bytes()
    assert set(made[0]["checkpoint"].pop("latest")) == {"manifest", "secrets_providers", "metadata"}
    shutil.rmtree(tmp_path / ".pulumi")
    assert backend.begin("run-data")
    assert (json.loads(state.read_bytes()), layout.read_bytes()) == made


def until_its_provider_is_there(stack_folder: Path) -> None:
    """The CLI's own words: the engine knows the provider, and has nothing else to do."""
    deadline = time.monotonic() + 60
    while not any("pulumi:providers:aws amazon created" in log.read_text() for log in stack_folder.glob("log/*.out")):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_before_its_run_is_admitted_a_stack_has_its_provider_alone(
    new_stack: Callable[[], Stack], amazon: Amazon, tmp_path: Path
) -> None:
    stack, admitted, events = new_stack(), Future[None](), list[StackEvent]()
    up = spawn(lambda: stack.up(log_groups("one", "two"), events.append, after=admitted))
    try:
        until_its_provider_is_there(tmp_path / "test0")
        assert (in_the_cloud(amazon), events) == (set(), [])
    finally:
        admitted.set_result(None)  # The program waits for it, whatever is asserted.
    up.result(60)
    assert in_the_cloud(amazon) == {"one", "two"}
    (one,) = [resource for resource in stack.resources() or () if resource.name == "one"]
    assert {urn.rpartition("::")[2] for urn in one.needs} == {"amazon", f"cloud-hopping-{stack._stack_name}"}
    stack.destroy(lambda _: None)
    assert in_the_cloud(amazon) == set()


def test_a_stack_whose_run_is_refused_makes_nothing_and_goes(
    new_stack: Callable[[], Stack], amazon: Amazon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stack, admitted = new_stack(), Future[None]()
    up = spawn(lambda: stack.up(log_groups("one"), lambda _: None, after=admitted))
    try:
        until_its_provider_is_there(tmp_path / "test0")
    finally:
        admitted.set_exception(OrchestratorError("The run costs too much"))
    with pytest.raises(StackError):
        up.result(60)
    stack.destroy(lambda _: None)
    assert in_the_cloud(amazon) == set()
    assert stack._stack_name not in stack.beside()
    assert capfd.readouterr() == ("", "")


def test_destroy_of_a_stack_that_never_was(new_stack: Callable[[], Stack]) -> None:
    events: list[StackEvent] = []
    new_stack().destroy(events.append)
    assert events == []


class _Gate(threading.Event):
    """Tells when the engine stands in front of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = Future[None]()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name.startswith("ThreadPoolExecutor"):  # The language host's: the engine asks.
            self.reached.set_result(None)
        return super().wait(timeout)


def test_a_destroy_that_is_held_deletes_nothing_before_its_time(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    stack, gate, events = new_stack(), _Gate(), list[StackEvent]()
    stack.up(log_groups("needed"), lambda _: None)
    destroyed = spawn(lambda: stack.destroy(events.append, after=gate))
    gate.reached.result(60)
    assert (in_the_cloud(amazon), events) == ({"needed"}, [])
    gate.set()
    destroyed.result(60)
    assert (in_the_cloud(amazon), [event.kind for event in events]) == (set(), ["deleting", "deleted"])


def test_destroy_twice(new_stack: Callable[[], Stack]) -> None:
    stack = new_stack()
    stack.up(log_groups("once"), lambda _: None)
    stack.destroy(lambda _: None)
    events: list[StackEvent] = []
    stack.destroy(events.append)
    assert events == []


@pytest.mark.parametrize("holder", ["dead", "another program", "elsewhere"])
def test_a_lock_is_broken_only_when_its_holder_is_gone(
    new_stack: Callable[[], Stack], amazon: Amazon, backend: Backend, names: Names, holder: str
) -> None:
    stack = new_stack()
    stack.up(log_groups("locked"), lambda _: None)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    lock = {
        "pid": child.pid if holder == "dead" else os.getpid(),
        "username": "somebody",
        "hostname": "elsewhere" if holder == "elsewhere" else socket.gethostname(),
        "timestamp": "2026-11-23T18:00:00Z",
    }
    locks = Path(backend.url.removeprefix("file://")) / ".pulumi/locks/organization/cloud-hopping"
    (locks / f"{names.run_id}-test0").mkdir(parents=True, exist_ok=True)
    (locks / f"{names.run_id}-test0" / "1.json").write_text(json.dumps(lock))
    if holder == "dead":
        stack.destroy(lambda _: None)
        assert in_the_cloud(amazon) == set()
        return
    with pytest.raises(StackLockedError) as raised:
        stack.destroy(lambda _: None)
    assert raised.value.brief == "The test0 stack is locked"
    assert in_the_cloud(amazon) == {"locked"}
    (locks / f"{names.run_id}-test0" / "1.json").unlink()
    stack.destroy(lambda _: None)


@pytest.fixture
def recovery(
    *,
    in_force: None,  # noqa: ARG001 - the environment is read when the stack is made
    cli: Cli,
    backend: Backend,
    names: Names,
    session_folder: Path,
    tmp_path: Path,
) -> Stack:
    """The stack "test0", for a process that finishes what another one began."""
    folder = tmp_path / "recovery"
    folder.mkdir()
    return Stack(
        names.run_id, "test0", folder=folder, cli=cli, backend=backend, pulumi_home=session_folder / "pulumi-home"
    )


class _Watch:
    """Stands in for the module ``time`` of the engine: in its third pause this ``happens``, and so much time passes."""

    def __init__(self, happens: Callable[[], object], *, passes: float = 0) -> None:
        self.pauses = 0
        self._happens, self._passes, self._ahead = happens, passes, 0.0
        self.time = time.time

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        self.pauses += 1
        if self.pauses == 3:
            self._happens()
            self._ahead = self._passes
        time.sleep(seconds)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that were sent to a process, by its number."""
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        really(pid, number)

    really = os.kill
    monkeypatch.setattr(os, "kill", kill)
    return sent


@pytest.fixture
def killed_run(slow: _Slow, new_stack: Callable[[], Stack]) -> Iterator["Future[None]"]:
    """A run whose CLI is in the middle of creating "slow". Its process is gone as far as its CLI can tell."""
    with ThreadPoolExecutor(1) as threads:
        coming_up = threads.submit(new_stack().up, log_groups("slow"), lambda _: None)
        assert slow.creating.wait(60)
        yield coming_up
        slow.go_on.set()


def test_the_cli_of_a_killed_run_finishes_what_it_had_begun(
    *,
    slow: _Slow,
    killed_run: "Future[None]",
    recovery: Stack,
    sent: list[tuple[int, int]],
    amazon: Amazon,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "time", _Watch(slow.go_on.set))
    events: list[StackEvent] = []
    recovery.destroy(events.append)
    with pytest.raises(StackError):
        killed_run.result(60)
    assert [(event.kind, event.name) for event in events if event.name] == [("deleting", "slow"), ("deleted", "slow")]
    assert [number for _, number in sent] == [signal.SIGINT]
    assert in_the_cloud(amazon) == set()
    assert f"{names.run_id}-test0" not in recovery.beside()


def test_one_that_does_not_end_is_killed_and_the_stack_settled_once_the_cloud_holds_nothing(
    *,
    slow: _Slow,
    killed_run: "Future[None]",
    recovery: Stack,
    sent: list[tuple[int, int]],
    amazon: Amazon,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "time", _Watch(lambda: None, passes=deadlines.LOCK))
    with pytest.raises(StackError) as raised:
        recovery.destroy(lambda _: None)
    assert raised.value.brief == "The test0 stack has operations whose outcome is unknown"
    assert raised.value.details == (f"urn:pulumi:{names.run_id}-test0::cloud-hopping::{LOG_GROUP}::slow: creating")
    assert [number for _, number in sent] == [signal.SIGINT, signal.SIGKILL]
    assert len({pid for pid, _ in sent}) == 1
    with pytest.raises(StackError):
        killed_run.result(60)
    assert f"{names.run_id}-test0" in recovery.beside()
    # What the state does not know of comes to be after all, and only the cloud can say so.
    slow.go_on.set()
    assert slow.created.wait(60)
    assert in_the_cloud(amazon) == {"slow"}
    amazon.client("logs", REGION).delete_log_group(logGroupName="engine-slow")
    recovery.settle(lambda _: None)
    assert f"{names.run_id}-test0" not in recovery.beside()
    recovery.settle(lambda _: None)  # Once more is fine.
    recovery.destroy(lambda _: None)


def test_what_the_cloud_lost_is_settled(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    stack = new_stack()
    stack.up(log_groups("lost", "kept"), lambda _: None)
    amazon.client("logs", REGION).delete_log_group(logGroupName="engine-lost")
    events: list[StackEvent] = []
    stack.settle(events.append)
    assert [event.name for event in events if event.kind == "deleted"] == ["lost", "kept"]
    assert in_the_cloud(amazon) == set()
    gone: list[StackEvent] = []
    stack.destroy(gone.append)  # The stack itself is not there any more.
    assert gone == []


def test_destroy_goes_on_after_a_refusal(slow: _Slow, new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    def program() -> None:
        opts = options()
        # Destroyed in two waves: what depends on something, and then that.
        for first, then in (("under-held", "held"), ("under-free", "free")):
            under = aws.cloudwatch.LogGroup(first, name=f"engine-{first}", opts=opts)
            over = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[under]))
            aws.cloudwatch.LogGroup(then, name=f"engine-{then}", opts=over)

    events: list[StackEvent] = []
    stack = new_stack()
    stack.up(program, lambda _: None)
    with pytest.raises(StackError) as raised:
        stack.destroy(events.append)
    assert str(raised.value) == (
        "The test0 stack was not destroyed\n"
        "  held: deleting CloudWatch Logs Log Group (engine-held): the cloud says no\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )
    assert [event.name for event in events if event.kind == "deleted"] == ["free", "under-free"]
    assert [event.name for event in events if event.kind == "failed"] == ["held"]
    assert in_the_cloud(amazon) == {"held", "under-held"}
    slow.held.clear()
    stack.destroy(lambda _: None)
    assert in_the_cloud(amazon) == set()


def test_a_failure_names_each_resource_and_the_log(new_stack: Callable[[], Stack], tmp_path: Path) -> None:
    def program() -> None:
        policy = json.dumps({"Version": "2012-10-17", "Statement": []})
        aws.iam.RolePolicy("permissions", role="hop-nobody", policy=policy, name="p", opts=options())

    with pytest.raises(StackError) as raised:
        new_stack().up(program, lambda _: None)
    assert str(raised.value) == (
        "The test0 stack did not come up\n"
        "  permissions: putting IAM Role (hop-nobody) Policy (p): An error occurred (NoSuchEntity) when calling the "
        "PutRolePolicy operation: Role hop-nobody not found\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )
    assert raised.value.exit_code == 1
    assert "Role hop-nobody not found" in "".join(path.read_text() for path in (tmp_path / "test0" / "log").iterdir())


def test_a_failed_stack_keeps_what_was_made_until_destroy(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    def program() -> None:
        opts = options()
        made = aws.cloudwatch.LogGroup("made", name="engine-made", opts=opts)
        aws.iam.RolePolicy("permissions", role=made.name, policy="{}", opts=opts)

    stack = new_stack()
    with pytest.raises(StackError):
        stack.up(program, lambda _: None)
    assert in_the_cloud(amazon) == {"made"}
    stack.destroy(lambda _: None)
    assert in_the_cloud(amazon) == set()


def test_the_callers_pulumi_variables_do_not_steer_us(
    *,
    in_force: None,  # noqa: ARG001 - so that new_stack does not come first
    monkeypatch: pytest.MonkeyPatch,
    new_stack: Callable[[], Stack],
    amazon: Amazon,
    session_folder: Path,
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", elsewhere.as_uri())
    monkeypatch.setenv("PULUMI_HOME", str(elsewhere))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "theirs")
    monkeypatch.setenv("PULUMI_OPTION_EXPECT_NO_CHANGES", "true")
    stack = new_stack()
    stack.up(log_groups("steady"), lambda _: None)
    assert list(elsewhere.iterdir()) == []
    states = (session_folder / "state" / ".pulumi" / "stacks" / "cloud-hopping").glob(f"{stack._stack_name}.json*")
    assert len(list(states)) >= 1
    stack.destroy(lambda _: None)
    assert in_the_cloud(amazon) == set()
