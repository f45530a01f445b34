"""The drill as a user starts it, its matrix beside what a run really does, and a program that lies."""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest

from orchestrator.drill.calls import CALLS, DATA_CALLS, FLEX_CALLS, ClientCall
from orchestrator.drill.matrix import RESOURCES
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.control import Control
from orchestrator.rehearsal.faults import CallRule, Cloud
from orchestrator.run import PHASES
from tests.rehearsal.machine import CHECKOUT, Machine, result_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def clouds(cli: Cli, home: Path, tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Path]:
    """Stand-in clouds that stand for the whole module."""
    folder = tmp_path_factory.mktemp("clouds")
    with Machine(cli, home, folder, packages).standing_clouds(folder / "clouds") as clouds:
        yield clouds


def outcomes(machine: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((machine.folder / "drill.json").read_text())
    return found


def processes_of(machine: Machine) -> list[list[str]]:
    """The command lines that name the machine's home."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(machine.home / "drill") in " ".join(line)]


@pytest.mark.parametrize("plan", ["aws", "azure", "azure flex", "gcp"])
def test_the_matrix_is_what_a_run_does_that_nothing_disturbs(machine: Machine, clouds: Path, plan: str) -> None:
    cloud: Cloud = "aws" if plan == "aws" else "gcp" if plan == "gcp" else "azure"
    chosen = ["--set", f"compute.cloud={cloud}", *(["--set", "compute.plan=flex"] if "flex" in plan else [])]
    control = Control.of(clouds)
    control.set_faults([])
    ended = machine.orchestrate("run", *chosen, "--set", f"rehearsal.clouds={clouds}")
    assert ended.returncode == 0, ended.stderr
    assert control.census() == []
    (folder,) = machine.results()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    created, deleted = (
        {(event["type"], event["name"]) for event in events if event["kind"] == kind}
        for kind in ("created", "deleting")
    )
    # The two plans have the package somewhere else, and the settings; all else is the same.
    plans_own = {
        ("azure-native:storage:Blob", "package"),
        ("azure-native:web:WebAppApplicationSettings", "settings"),
        ("azure-native:storage:BlobContainer", "packages"),
    }
    table = {(resource.type, resource.name) for resource in RESOURCES[cloud]}
    assert created == (table ^ plans_own if "flex" in plan else table)
    assert deleted == created
    assert sorted(phase["name"] for phase in result_of(folder)["phases"]) == sorted(PHASES)

    calls = control.calls()
    parts: list[tuple[Cloud, set[ClientCall]]] = [
        (cloud, {*CALLS[cloud], *(FLEX_CALLS if "flex" in plan else ())} - set(DATA_CALLS)),
        ("gcp", set(DATA_CALLS)),
    ]
    rules = [
        (call, CallRule(cloud=on, method=call.method, path=call.path, target=call.target, effect="refused"))
        for on, part in parts
        for call in part
    ]
    assert {call for call in calls if not any(rule.matches(call) for _, rule in rules)} == set()
    assert [call.what for call, rule in rules if sum(map(rule.matches, calls)) <= call.after] == []


def test_faults_happen_and_nothing_is_left(machine: Machine) -> None:
    chosen = (
        "aws phases: query: SIGKILL$"
        "|aws resources: gcp:storage/bucket:Bucket extract: create's answer is lost"
        "|aws calls: roles that are left: 503 until repaired"
    )
    ended = machine.orchestrate("drill", "--only", chosen, "--junit", "drill.xml", "--json", "drill.json")
    assert ended.returncode == 0, ended.stderr
    *lines, summary = ended.stderr.splitlines()
    assert summary == "drill: 3 faults, 3 clean, 0 left"
    assert sorted(re.sub(r"^ *\d+ |\([\d.]+ s\)$", "", line) for line in lines) == [
        "aws calls: roles that are left: 503 until repaired: clean ",
        "aws phases: query: SIGKILL: clean ",
        "aws resources: gcp:storage/bucket:Bucket extract: create's answer is lost: clean ",
    ]
    codes = {outcome["kind"]: outcome["exit_codes"] for outcome in outcomes(machine)}
    assert codes == {"phases": {"run": -9, "recover": 0}, "resources": {"run": 1}, "calls": {"run": 3, "recover": 0}}
    (suite,) = ET.parse(machine.folder / "drill.xml").getroot()  # noqa: S314 - our own
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("3", "0")
    assert [path.name for path in (machine.home / "drill").iterdir()] == ["packages"]
    assert processes_of(machine) == []


def test_a_program_that_lies_is_not_clean(machine: Machine) -> None:
    """It destroys nothing and asks nobody, and says that nothing is left."""
    machine.checkout = machine.folder / "checkout"
    for part in ("orchestrator", "stacks", "function_code", "config"):
        shutil.copytree(CHECKOUT / part, machine.checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    for module, lie in (
        ("engine/__init__.py", "Stack.destroy = lambda *_, **__: None"),
        ("proof.py", "ask = lambda *_, **__: {}"),
    ):
        with (machine.checkout / "orchestrator" / module).open("a") as file:
            file.write(f"\n{lie}\n")
    ended = machine.orchestrate("drill", "--only", "aws phases: query: SIGINT$", "--json", "drill.json")
    assert ended.returncode == 3, ended.stderr
    (outcome,) = outcomes(machine)
    lie, left = (wrong for wrong in outcome["wrong"] if "left" in wrong)
    assert lie.startswith("without any fault: run ended with 0 and left aws function process us-east-1/hop-")
    assert left.startswith("without any fault: left in the clouds: aws function process us-east-1/hop-")
    assert outcome["left"] > 10
    kept = Path(outcome["folder"])
    assert "0 left: 11 created" in (kept / "run.err").read_text()
    summary = ended.stderr.splitlines()[-1]
    assert summary == f"drill: 1 faults, 0 clean, {outcome['left']} left"
    assert f"       see {kept}" in ended.stderr.splitlines()
    shutil.rmtree(kept.parent)


def test_ctrl_c_ends_it_with_what_it_has(machine: Machine) -> None:
    process = machine.start("drill", "--cloud", "aws", "--kind", "phases", "--workers", "1")
    machine.wait_until(process, "aws phases: Pulumi CLI: SIGINT: clean")
    process.send_signal(signal.SIGINT)
    ended = machine.finish(process)
    assert ended.returncode == 1, ended.stderr
    *_, interrupted, summary = ended.stderr.splitlines()
    assert re.fullmatch(r"Interrupted: \d+ of 67 faults did not happen\.", interrupted)
    assert re.fullmatch(r"drill: (\d+) faults, \1 clean, 0 left", summary)
    assert processes_of(machine) == []
