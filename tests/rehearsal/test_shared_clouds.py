"""Stand-in clouds that stand until their own process ends, and what their records say before, in and after a run."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.rehearsal.control import READY, Control
from orchestrator.rehearsal.faults import ResourceRule
from tests.rehearsal.machine import Machine, result_of

DATA = {
    ("gcp", "bigquery dataset"): 1,
    ("gcp", "bigquery table"): 1,
    ("gcp", "storage bucket"): 1,
    ("gcp", "storage object"): 1,
}
COMPUTE = {
    "aws": {
        ("aws", "function process"): 1,
        ("aws", "function url listener"): 1,
        ("aws", "iam role"): 1,
        ("aws", "iam role policy"): 1,
        ("aws", "lambda function"): 1,
        ("aws", "lambda layer"): 1,
        ("aws", "lambda url"): 1,
        ("aws", "logs log-group"): 1,
        ("aws", "s3 bucket"): 1,
        ("aws", "s3 lifecycle"): 1,
        ("aws", "s3 object"): 1,
    },
    "azure": {
        ("azure", "Microsoft.Storage/storageAccounts"): 1,
        ("azure", "Microsoft.Web/serverfarms"): 1,
        ("azure", "Microsoft.Web/sites"): 1,
        ("azure", "account"): 1,
        ("azure", "app"): 1,
        ("azure", "app process"): 1,
        ("azure", "blob"): 2,
        ("azure", "container"): 1,
        ("azure", "lifecycle"): 1,
        ("azure", "plan"): 1,
        ("azure", "resource group"): 1,
    },
    "gcp": {
        ("gcp", "run process"): 1,
        ("gcp", "run service"): 1,
        ("gcp", "service account"): 1,
        ("gcp", "storage bucket"): 1,
        ("gcp", "storage object"): 1,
        ("gcp", "storage permission"): 1,
    },
}
# What goes first when a stack is destroyed: while all of these hang, everything is there.
FIRST = {
    "data": [("gcp:bigquery/dataset:Dataset", "dataset"), ("gcp:storage/bucket:Bucket", "extract")],
    "aws": [
        ("aws:lambda/functionUrl:FunctionUrl", "url"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", "extract"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", "libraries"),
        ("aws:iam/rolePolicy:RolePolicy", "permissions"),
    ],
    "azure": [("azure-native:resources:ResourceGroup", "group")],
    "gcp": [
        ("gcp:cloudrunv2/service:Service", "service"),
        ("gcp:storage/bucketIAMMember:BucketIAMMember", "permission"),
    ],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def start(machine: Machine) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts clouds, and waits until they stand."""
    started = []

    def clouds(folder: str, *arguments: str) -> "subprocess.Popen[str]":
        process = machine.start("clouds", folder, *arguments)
        started.append(process)
        assert process.stdout is not None
        path = machine.folder / folder
        assert process.stdout.readline() == (
            f"Stand-in clouds stand in {path}: use them with --set rehearsal.clouds={path}; Ctrl-C ends them.\n"
        )
        return process

    yield clouds
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(machine: Machine, process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    process.send_signal(number)
    ended = machine.finish(process)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_runs_share_clouds_whose_records_say_what_there_is(
    machine: Machine, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = start("shared")
    control = Control.of(machine.folder / "shared")
    for cloud, compute in COMPUTE.items():
        assert control.census() == []
        control.set_faults(
            [
                ResourceRule(type=kind, name=name, operation="delete", effect="hangs", times=None)
                for kind, name in FIRST[cloud] + FIRST["data"]
            ]
        )
        run = machine.start("run", "--set", "rehearsal.clouds=shared", "--set", f"compute.cloud={cloud}")
        pause = threading.Event()
        while not control.fired()[0]:
            pause.wait(0.1)
            assert run.poll() is None, run.communicate()
        held = Counter((found.cloud, found.kind) for found in control.census())
        assert held == Counter(DATA) + Counter(compute)
        control.lift()  # What hung is lost, and tried again.
        ended = machine.finish(run)
        assert ended.returncode == 0, ended.stderr
    assert control.census() == []
    assert {result_of(folder)["compute_cloud"] for folder in machine.results()} == set(COMPUTE)
    end(machine, process, signal.SIGTERM)
    refused = machine.orchestrate("run", "--set", "rehearsal.clouds=shared")
    command = f"ORCHESTRATOR_HOME={machine.home} {sys.executable} -m orchestrator clouds"
    assert (refused.returncode, machine.folder / "shared" / READY in machine.folder.rglob("*")) == (2, True)
    assert refused.stderr.endswith(
        f"No stand-in clouds stand in {machine.folder}/shared\n"
        "  rehearsal.clouds names that folder.\n"
        f"To fix it: start them: `{command} {machine.folder}/shared`.\n"
        "Nothing was created.\n"
    )


def test_a_run_that_was_killed_is_recovered_in_clouds_that_stay(
    machine: Machine, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = start("shared")
    control = Control.of(machine.folder / "shared")
    run = machine.start("run", "--set", "rehearsal.clouds=shared")
    machine.wait_until(run, "function: started")
    run.kill()
    machine.finish(run)
    assert control.census() != []
    (results,) = machine.results()
    (machine.folder / "elsewhere").mkdir()
    machine.folder /= "elsewhere"  # The journal has the whole path.
    recovered = machine.orchestrate("recover", results.name)
    assert recovered.returncode == 0, recovered.stderr
    assert (control.census(), process.poll()) == ([], None)
    end(machine, process, signal.SIGINT)


def test_a_folder_takes_clouds_once_and_again_when_they_have_ended(
    machine: Machine, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = start("shared")
    folder = machine.folder / "shared"
    assert {path.name: path.stat().st_mode & 0o777 for path in (folder, folder / READY)} == {
        "shared": 0o700,
        READY: 0o600,
    }
    refused = machine.orchestrate("clouds", "shared")
    assert (refused.returncode, refused.stderr) == (
        2,
        (
            f"Stand-in clouds stand in {folder} already\n"
            f"To fix it: use them with --set rehearsal.clouds={folder}, or name another folder.\n"
        ),
    )
    control = Control.of(folder)
    pid = json.loads((folder / READY).read_text())["pid"]
    process.kill()  # They end with whoever started them.
    process.communicate()
    pause = threading.Event()
    while control.answers():
        pause.wait(0.05)
    start("shared")
    assert Control.of(folder).answers()
    assert json.loads((folder / READY).read_text())["pid"] != pid


def test_a_folder_with_something_else_is_left_alone(machine: Machine) -> None:
    (machine.folder / "thesis.odt").write_text("draft")
    refused = machine.orchestrate("clouds", ".")
    assert (refused.returncode, refused.stderr) == (
        2,
        (
            f"The folder {machine.folder} is not empty\n"
            "  it holds thesis.odt.\n"
            "To fix it: name an empty folder, or one that is not there yet.\n"
        ),
    )
    assert [path.name for path in machine.folder.iterdir()] == ["thesis.odt"]


def test_a_folder_that_cannot_be_made_is_told(machine: Machine) -> None:
    (machine.folder / "file").touch()
    refused = machine.orchestrate("clouds", "file/folder")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Stand-in clouds cannot stand in {machine.folder}/file/folder\n")


def test_clouds_are_not_for_a_live_config(machine: Machine) -> None:
    refused = machine.orchestrate("clouds", "shared", "--set", "mode=live", "--set", "data.project=my-project-123")
    assert (refused.returncode, refused.stderr) == (
        2,
        'Stand-in clouds are for a rehearsal\n  mode is "live"\nTo fix it: name another config.\n',
    )
    assert not (machine.folder / "shared").exists()


def test_clouds_that_are_not_such_as_the_run_wants_are_refused(
    machine: Machine, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    start("shared", "--set", "compute.cloud=azure")
    subscription = "11111111-2222-3333-4444-555555555555"
    wants = ["data.project=another-project", "rehearsal.tables=storms.csv", f"compute.subscription={subscription}"]
    arguments = [word for want in ["compute.cloud=azure", *wants] for word in ("--set", want)]
    refused = machine.orchestrate("run", "--set", "rehearsal.clouds=shared", *arguments)
    assert refused.returncode == 2
    assert re.search(
        f"The stand-in clouds in {machine.folder}/shared are not such as the run wants\n"
        "  data.project: the run has another-project, they have rehearsal-project\n"
        f"  rehearsal.tables: the run has {machine.folder}/storms.csv, they have the synthetic sample\n"
        f"  compute.subscription: the run has {subscription}, they have [0-9a-f-]{{36}}\n"
        "To fix it: give the run their settings, or start other clouds: "
        f"`ORCHESTRATOR_HOME={machine.home} {sys.executable} -m orchestrator clouds FOLDER`.\n",
        refused.stderr,
    )
    assert machine.results() == []
