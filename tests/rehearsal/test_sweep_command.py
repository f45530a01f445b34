"""The command, on stand-in clouds that stand: of a run that was killed neither the journal nor the state is left."""

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator import deadlines, settings
from orchestrator.clouds import Environment
from orchestrator.clouds.by_name import parts
from orchestrator.errors import OrchestratorError
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.control import Control
from orchestrator.rehearsal.faults import CallEffect, CallRule, Cloud, Faults
from orchestrator.rehearsal.faulty_calls import everybody, faulty
from orchestrator.rehearsal.front_door import Answer, Listener
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.shared import attached
from tests.rehearsal.machine import Machine

CALLED = {"aws": "AWS", "azure": "Azure"}
EFFECTS: list[CallEffect] = ["hangs", "refused", "unavailable", "throttled"]


@pytest.fixture(scope="module")
def machine(cli: Cli, tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Machine:
    return Machine(cli, tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("folder"), packages)


@pytest.fixture(scope="module")
def clouds(machine: Machine) -> Iterator[Path]:
    with machine.standing_clouds(machine.folder / "clouds") as clouds:
        yield clouds


def killed(machine: Machine, clouds: Path, cloud: str) -> str:
    """The id of a run of which the clouds alone know."""
    shutil.rmtree(machine.folder / "results", ignore_errors=True)
    process = machine.start("run", "--set", f"rehearsal.clouds={clouds}", "--set", f"compute.cloud={cloud}")
    machine.wait_until(process, "function: started")
    process.send_signal(signal.SIGKILL)
    machine.finish(process)
    (results,) = machine.results()
    while any_at_work(machine.home):  # The engine finishes what it had begun.
        threading.Event().wait(0.1)
    shutil.rmtree(machine.home / "runs" / results.name)
    shutil.rmtree(machine.home / "state")
    return results.name


def any_at_work(home: Path) -> bool:
    """Whether a process of the engine works in a folder of the home."""
    folders = [process.info["cwd"] for process in psutil.process_iter(["cwd"])]
    return any(folder and Path(folder).is_relative_to(home) for folder in folders)


def sweep(machine: Machine, clouds: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return machine.orchestrate("sweep", "--set", f"rehearsal.clouds={clouds}", *arguments)


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_a_run_of_which_the_clouds_alone_know(machine: Machine, clouds: Path, control: Control, cloud: str) -> None:
    run_id = killed(machine, clouds, cloud)
    young = sweep(machine, clouds, "--yes")
    assert young.returncode == 0, young.stderr
    _, *rows, summary = young.stdout.splitlines()
    assert rows
    assert all(row.endswith("  stays: younger than 1 h") for row in rows)
    assert re.match(
        r"\d+ left in Google Cloud, .*, and stays\. What a run left that is over, --run RUN removes", summary
    )
    assert control.census() != []

    told = sweep(machine, clouds, "--run", run_id)
    assert told.returncode == 3, told.stderr
    assert told.stdout.splitlines()[-1].endswith(f" --run {run_id} --yes")
    assert control.census() != []

    for _ in range(2):
        swept = sweep(machine, clouds, "--run", run_id, "--yes")
        assert swept.returncode == 0, swept.stderr
        assert swept.stdout.splitlines()[-1].startswith(
            "0 left in Google Cloud, Cloud Run and IAM (rehearsal-project); "
        )
    assert control.census() == []


# ---- no client waits for ever


@pytest.fixture
def environment(clouds: Path) -> Iterator[Environment]:
    with attached(clouds, settings.load(settings.DEFAULT_CONFIG, environ={})) as environment, environment.in_force():
        yield environment


def given_up(part: int, short: pytest.MonkeyPatch) -> str:
    """Asks a part of the clouds with short deadlines, which it must not outlast; what it says in the end."""
    for name, seconds in (("CONNECT", 0.5), ("CALL", 0.5), ("CALL_WITH_RETRIES", 2.0)):
        short.setattr(deadlines, name, seconds)
    with pytest.raises(OrchestratorError) as raised:
        parts(settings.load(settings.DEFAULT_CONFIG, environ={}))[part].open().find()
    return raised.value.brief


def all_calls(cloud: Cloud, effect: CallEffect) -> list[CallRule]:
    return [
        CallRule(cloud=cloud, method=method, path=".*", effect=effect, times=None)
        for method in ("GET", "POST", "PUT", "DELETE")
    ]


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize(("cloud", "part"), [("aws", 1), ("azure", 2)])
@pytest.mark.usefixtures("environment")
def test_a_cloud_that_does_not_answer_is_given_up(
    control: Control, monkeypatch: pytest.MonkeyPatch, cloud: Cloud, part: int, effect: CallEffect
) -> None:
    control.set_faults(all_calls(cloud, effect))
    with monkeypatch.context() as short:
        assert given_up(part, short) == f"{CALLED[cloud]} did not say what is left"
    control.lift()
    assert parts(settings.load(settings.DEFAULT_CONFIG, environ={}))[part].open().find() == []


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("part", [0, 3], ids=["compute", "data"])
def test_google_cloud_that_does_not_answer_is_given_up(
    start_google: Callable[..., GoogleCloud], monkeypatch: pytest.MonkeyPatch, part: int, effect: CallEffect
) -> None:
    """In front of a Google of this process: google-auth has found its metadata server once and for all."""
    google, faults = start_google(), Faults()
    faults.set(all_calls("gcp", effect))
    door = Listener(lambda _: Answer(200, {}, b"{}"), around=faulty(faults, "gcp", everybody))
    for name, value in google.variables.items():
        monkeypatch.setenv(name, value.replace(google.endpoint, f"http://{door.address}"))
    assert given_up(part, monkeypatch) == "Google Cloud did not say what is left"
    assert faults.fired()[0] > 0
    faults.lift()
    door.close()
