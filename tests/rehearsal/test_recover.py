"""The command: whatever became of a run, its journal or its recovery, a recovery ends with nothing left."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.control import Control
from orchestrator.rehearsal.faults import ResourceRule
from stacks.naming import Names
from tests.rehearsal.machine import CHECKOUT, Machine

CONFIG = str(CHECKOUT / "config" / "rehearsal.yaml")
BUCKET = ResourceRule(type="gcp:storage/bucket:Bucket", name="extract", operation="create", effect="hangs", times=None)
LOGS = ResourceRule(
    type="aws:cloudwatch/logGroup:LogGroup", name="logs", operation="delete", effect="hangs", times=None
)


@pytest.fixture
def fresh(cli: Cli, tmp_path: Path, packages: Path) -> Machine:
    """A machine on which nothing ever ran."""
    return Machine(cli, tmp_path / "home", tmp_path / "user", packages)


@pytest.fixture(scope="module")
def clouds(cli: Cli, tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Path]:
    """Where stand-in clouds stand that all runs of this module share."""
    folder = tmp_path_factory.mktemp("shared")
    machine = Machine(cli, folder / "home", folder / "user", packages)
    with machine.standing_clouds(folder / "clouds") as clouds:
        yield clouds


def begin(machine: Machine, clouds: Path, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """A run that has begun: its process and its id."""
    before = set(machine.results())
    process = machine.start("run", "--set", f"rehearsal.clouds={clouds}", *arguments)
    machine.wait_until(process, "preflight: started")
    (folder,) = set(machine.results()) - before
    return process, folder.name


def killed(machine: Machine, clouds: Path, moment: str, *arguments: str) -> str:
    """The id of a run that was killed at this moment."""
    process, run_id = begin(machine, clouds, *arguments)
    machine.wait_until(process, moment)
    process.kill()
    machine.finish(process)
    return run_id


def wait_for(control: Control) -> None:
    """Until the one fault has come true."""
    while control.fired() != [1]:
        time.sleep(0.05)


def engines_of(run_id: str, command: str = "") -> list[psutil.Process]:
    """The CLIs that work on the run."""
    words = f" {command} .*--stack {run_id}" if command else f"--stack {run_id}"
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if re.search(words, " ".join(process.info["cmdline"] or []))]


def nothing_to_do(machine: Machine) -> str:
    return f"No run is unfinished in {machine.home}; the clouds were not asked, as `sweep` does.\n"


def command(machine: Machine, *arguments: str) -> str:
    words = (sys.executable, "-m", "orchestrator", *arguments)
    return f"ORCHESTRATOR_HOME={shlex.quote(str(machine.home))} {shlex.join(words)}"


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_what_a_killed_run_left_is_recovered_and_its_clouds_end(machine: Machine, cloud: str) -> None:
    process = machine.start("run", "--set", f"compute.cloud={cloud}")
    machine.wait_until(process, "function: started")
    process.kill()
    machine.finish(process)
    (folder,) = machine.results()
    assert not (folder / "result.json").exists()
    recovered = machine.orchestrate("recover", folder.name)
    assert recovered.returncode == 0, recovered.stderr
    assert recovered.stderr.endswith(f"0 left of run {folder.name}.\n")
    assert "destroy compute stack: done" in recovered.stderr
    again = machine.orchestrate("recover", folder.name)
    assert (again.returncode, again.stderr) == (
        0,
        (
            "The stand-in clouds of this rehearsal have ended, and all that was in them is gone.\n"
            f"0 left of run {folder.name}.\n"
        ),
    )


def test_runs_that_had_clouds_of_their_own_are_finished_one_after_the_other(fresh: Machine) -> None:
    for _ in range(2):
        process = fresh.start("run")
        fresh.wait_until(process, "query: started")
        process.kill()
        fresh.finish(process)
    recovered = fresh.orchestrate("recover")
    assert recovered.returncode == 0, recovered.stderr
    lines = [line for line in recovered.stderr.splitlines() if line.startswith(("Run ", "0 left"))]
    assert lines == [
        line for folder in fresh.results() for line in (f"Run {folder.name}:", f"0 left of run {folder.name}.")
    ]


def test_a_run_that_is_killed_while_its_function_works_is_destroyed_all_the_same(
    fresh: Machine, clouds: Path, control: Control
) -> None:
    process, run_id = begin(fresh, clouds)
    fresh.wait_until(process, "function: started")
    while not (engines := engines_of(f"{run_id}-compute", "destroy")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    fresh.finish(process)
    psutil.wait_procs(engines, 60)
    assert control.census() == []
    assert list((fresh.home / "state").rglob(f"{run_id}-*.json")) == []
    recovered = fresh.orchestrate("recover")
    assert (recovered.returncode, recovered.stderr.splitlines()[-1]) == (0, f"0 left of run {run_id}.")


def test_the_state_of_a_run_goes_with_its_clouds(fresh: Machine) -> None:
    process = fresh.start("run")
    fresh.wait_until(process, "query: started")
    process.kill()
    fresh.finish(process)
    (folder,) = fresh.results()
    for other in psutil.process_iter(["cmdline"]):
        words = other.info["cmdline"] or []
        if "orchestrator.rehearsal" in words and any(word.startswith(str(fresh.home)) for word in words):
            other.kill()
            other.wait()
    stacks = fresh.home / "state" / ".pulumi" / "stacks" / "cloud-hopping"
    assert list(stacks.glob(f"{folder.name}-*"))
    recovered = fresh.orchestrate("recover")
    assert recovered.returncode == 0, recovered.stderr
    assert recovered.stderr.endswith(
        "The stand-in clouds of this rehearsal have ended, and all that was in them is gone.\n"
        f"0 left of run {folder.name}.\n"
    )
    assert not list(stacks.glob(f"{folder.name}-*"))


def test_all_runs_that_did_not_end_are_finished_and_those_at_work_left_alone(
    fresh: Machine, clouds: Path, control: Control
) -> None:
    of_aws = killed(fresh, clouds, "function: started")
    of_google = killed(fresh, clouds, "query: started", "--set", "compute.cloud=gcp")
    control.set_faults([BUCKET])
    process, at_work = begin(fresh, clouds)
    wait_for(control)

    refused = fresh.orchestrate("recover", at_work)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"Run {at_work} may still be running\n"
        f"  its process {process.pid} is alive\n"
        "To fix it: wait for it, or end it, and try again.\n"
    )
    recovered = fresh.orchestrate("recover")
    assert recovered.returncode == 0, recovered.stderr
    said = recovered.stderr.splitlines()
    assert said[0] == f"Run {at_work} is at work, and left alone."
    assert [line for line in said if line.startswith("0 left")] == [
        f"0 left of run {run_id}." for run_id in (of_aws, of_google)
    ]

    control.lift()
    ended = fresh.finish(process)
    assert ended.returncode == 1, ended.stderr  # Its bucket could not be made.
    nothing = fresh.orchestrate("recover")
    assert (nothing.returncode, nothing.stderr) == (0, nothing_to_do(fresh))
    assert control.census() == []


def test_a_recovery_that_is_doubled_killed_or_interrupted_is_repeated(
    fresh: Machine, clouds: Path, control: Control
) -> None:
    run_id = killed(fresh, clouds, "function: started")
    control.set_faults([LOGS])
    first = fresh.start("recover", run_id)
    wait_for(control)

    second = fresh.orchestrate("recover", run_id)
    assert second.returncode == 2
    assert second.stderr == (
        f"Run {run_id} may still be running\n"
        "  another recovery is at work on it\n"
        "To fix it: wait for it, or end it, and try again.\n"
    )
    of_all = fresh.orchestrate("recover")
    assert (of_all.returncode, of_all.stderr) == (0, f"Run {run_id} is at work, and left alone.\n")

    first.kill()
    assert fresh.finish(first).returncode == -signal.SIGKILL
    assert len(engines_of(run_id)) == 1

    options = ("--config", CONFIG, "--set", f"rehearsal.clouds={clouds}")
    third = fresh.start("recover", run_id, *options)
    fresh.wait_until(third, "destroy compute stack: started")
    third.send_signal(signal.SIGINT)
    left = fresh.finish(third)
    assert left.returncode == 3
    assert left.stderr.splitlines()[-1] == (
        f"Leaving at once. Resources may remain: run `{command(fresh, 'recover', run_id, *options)}`."
    )

    control.lift()
    fourth = fresh.orchestrate("recover", run_id)
    assert fourth.returncode == 0, fourth.stderr
    assert fourth.stderr.endswith(f"0 left of run {run_id}.\n")
    assert (control.census(), engines_of(run_id)) == ([], [])


def test_a_run_of_which_neither_the_journal_nor_the_state_is_whole(
    fresh: Machine, clouds: Path, control: Control
) -> None:
    run_id = killed(fresh, clouds, "function: started")
    while engines_of(run_id):  # They finish what they had begun, and write it into the state.
        time.sleep(0.05)
    shutil.rmtree(fresh.home / "state")
    journal = fresh.home / "runs" / run_id / "run.json"
    journal.write_bytes(journal.read_bytes()[:60])
    refused = fresh.orchestrate("recover")
    assert refused.returncode == 3
    assert refused.stderr == (
        f"The journal of run {run_id} does not say in which clouds it was\n"
        "  it is damaged, or of another version of this program.\n"
        f"To fix it: name the run's config: `{command(fresh, 'recover', run_id, '--config')} FILE`.\n"
    )
    guessed = fresh.orchestrate("recover", run_id, "--config", CONFIG)  # Without the clouds in which it was.
    assert guessed.returncode == 3
    assert guessed.stderr == (
        f"It is not known whether anything of run {run_id} remains\n"
        "  its journal does not say in which clouds it was, and it had no stand-in clouds of its own.\n"
        "To fix it: name the config that it had, or the clouds: --set rehearsal.clouds=FOLDER.\n"
    )
    assert control.census() != []
    recovered = fresh.orchestrate("recover", run_id, "--config", CONFIG, "--set", f"rehearsal.clouds={clouds}")
    assert recovered.returncode == 0, recovered.stderr
    assert recovered.stderr.endswith(f"0 left of run {run_id}.\n")
    assert (control.census(), engines_of(run_id)) == ([], [])


def test_a_run_that_was_left_at_once_in_the_middle_of_a_create(fresh: Machine, clouds: Path, control: Control) -> None:
    control.set_faults([BUCKET])
    process, run_id = begin(fresh, clouds)
    wait_for(control)
    process.send_signal(signal.SIGINT)
    fresh.wait_until(process, "Stopping: ")
    process.send_signal(signal.SIGINT)
    left = fresh.finish(process)
    assert left.returncode == 3
    assert left.stderr.splitlines()[-1] == (
        f"Leaving at once. Resources may remain: run `{command(fresh, 'recover', run_id)}`."
    )
    recovered = fresh.orchestrate("recover")
    assert recovered.returncode == 0, recovered.stderr
    assert recovered.stderr.endswith(f"0 left of run {run_id}.\n")
    assert (control.census(), engines_of(run_id)) == ([], [])


@pytest.fixture
def elsewhere(cli: Cli, tmp_path: Path, packages: Path) -> Machine:
    """Another one."""
    return Machine(cli, tmp_path / "home-elsewhere", tmp_path / "user-elsewhere", packages)


def test_a_run_of_another_machine_in_a_shared_backend(
    fresh: Machine, elsewhere: Machine, clouds: Path, control: Control, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    backend = f"backend={(tmp_path / 'state').as_uri()}"
    run_id = killed(fresh, clouds, "query: started", "--set", backend)
    settings = ("--config", CONFIG, "--set", f"rehearsal.clouds={clouds}", "--set", backend)
    refused = elsewhere.orchestrate("recover", run_id, *settings)
    assert refused.returncode == 2
    assert refused.stderr.endswith(
        f"Run {run_id} may still be running\n"
        "  it was started on another machine\n"
        f"To fix it: recover it there, or from {Names(run_id).expires:%Y-%m-%d %H:%M} UTC on here: "
        "no run lasts longer.\n"
    )
    of_all = elsewhere.orchestrate("recover", *settings)
    assert of_all.returncode == 0, of_all.stderr
    assert of_all.stderr.endswith(f"Run {run_id} may be at work on another machine, and is left alone.\n")
    assert not (elsewhere.home / "runs" / run_id).exists()
    recovered = fresh.orchestrate("recover")
    assert recovered.returncode == 0, recovered.stderr
    nothing = elsewhere.orchestrate("recover", *settings)
    assert nothing.returncode == 0, nothing.stderr
    assert nothing.stderr.endswith(nothing_to_do(elsewhere))
    assert control.census() == []


def test_what_is_none_of_its_arguments(fresh: Machine) -> None:
    for arguments, code, said in [
        ((), 0, nothing_to_do(fresh)),
        (
            ("../state",),
            2,
            "../state is not a run id\nTo fix it: name a folder of results/, such as 20261123-174205-k3x9qz.\n",
        ),
        (
            ("20261399-174205-k3x9qz",),
            2,
            (
                "20261399-174205-k3x9qz is not a run id\n"
                "To fix it: name a folder of results/, such as 20261123-174205-k3x9qz.\n"
            ),
        ),
        (
            ("--set", "compute.cloud=gcp"),
            2,
            "--set overrides a config, and none is named\nTo fix it: name it: --config FILE.\n",
        ),
    ]:
        ended = fresh.orchestrate("recover", *arguments)
        assert (ended.returncode, ended.stderr) == (code, said)
