"""The engine's edges without the engine: its environment, what its events mean, and stacks that fail before it runs."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation import errors as automation_errors
from pulumi.automation.events import EngineEvent
from semver import VersionInfo

from orchestrator import engine
from orchestrator.engine import Backend, Stack, StackError, StackEvent, StackLockedError
from orchestrator.engine import command as engine_command
from orchestrator.engine.events import stack_event
from orchestrator.home import Home
from orchestrator.pulumi_cli import Cli

BACKEND = Backend("file:///state", "secret")


def test_the_callers_pulumi_variables_do_not_steer_the_cli() -> None:
    caller = {
        "PATH": "/usr/bin",
        "AWS_PROFILE": "mine",
        "PULUMI_ACCESS_TOKEN": "token",
        "PULUMI_BACKEND_URL": "https://api.pulumi.com",
        "PULUMI_CONFIG_PASSPHRASE_FILE": "/etc/passphrase",
        "PULUMI_SKIP_CHECKPOINTS": "true",
        "PULUMI_STACK": "theirs",
    }
    assert engine_command.environment(caller, BACKEND, Path("/home")) == {
        "PATH": "/usr/bin",
        "AWS_PROFILE": "mine",
        "PULUMI_HOME": "/home",
        "PULUMI_BACKEND_URL": "file:///state",
        "PULUMI_CONFIG_PASSPHRASE": "secret",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_AUTOMATION_API": "true",
        "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_LOG_ROTATION_MAX_TOTAL_MB": "2",
    }


def test_stand_in_clouds_reach_the_cli_and_no_plugin_is_fetched() -> None:
    seen = engine_command.environment({"PULUMI_DEBUG_PROVIDERS": "aws:1,gcp:2"}, BACKEND, Path("/home"))
    assert seen["PULUMI_DEBUG_PROVIDERS"] == "aws:1,gcp:2"
    assert seen["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def step(op: str, kind: str = "aws:s3/bucket:Bucket", name: str = "data") -> dict[str, Any]:
    return {"metadata": {"op": op, "type": kind, "urn": f"urn:pulumi:r1-compute::cloud-hopping::{kind}::{name}"}}


def diagnostic(message: str, severity: str, *, of: str = "", ephemeral: bool = False) -> dict[str, Any]:
    said = {"message": message, "severity": severity, "color": "never", "ephemeral": ephemeral}
    return {"diagnosticEvent": said | ({"urn": step("", name=of)["metadata"]["urn"]} if of else {})}


def translated(event: dict[str, Any]) -> StackEvent | None:
    before = time.time()
    said = stack_event(EngineEvent.from_json(event), "compute")
    if said is None:
        return None
    assert before <= said.time <= time.time()
    return replace(said, time=0)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"resourcePreEvent": step("create")}, "creating"),
        ({"resOutputsEvent": step("create")}, "created"),
        ({"resourcePreEvent": step("delete")}, "deleting"),
        ({"resOutputsEvent": step("delete")}, "deleted"),
        ({"resOpFailedEvent": step("create")}, "failed"),
        ({"resOpFailedEvent": step("delete")}, "failed"),
    ],
)
def test_a_step_of_a_resource(event: dict[str, Any], kind: str) -> None:
    said = translated(event)
    assert said is not None
    assert json.loads(said.to_json()) == {
        "time": 0,
        "stack": "compute",
        "kind": kind,
        "type": "aws:s3/bucket:Bucket",
        "name": "data",
        "message": "",
    }


@pytest.mark.parametrize(
    ("event", "kind", "name", "message"),
    [
        (diagnostic("creating S3 Bucket (hop): it exists\n", "error", of="data"), "error", "data",
         "creating S3 Bucket (hop): it exists"),
        (diagnostic("update failed", "error"), "error", "", "update failed"),
        (diagnostic("deprecated", "warning", of="data"), "warning", "data", "deprecated"),
        (diagnostic("hello", "info"), "info", "", "hello"),
        (diagnostic("printed to standard error", "info#err"), "info", "", "printed to standard error"),
    ],
)  # fmt: skip
def test_what_the_engine_says(event: dict[str, Any], kind: str, name: str, message: str) -> None:
    assert translated(event) == StackEvent(0, "compute", kind, "", name, message)  # type: ignore[arg-type]


def test_what_is_said_of_the_stack_itself_has_no_name() -> None:
    event = diagnostic("update failed", "error")
    event["diagnosticEvent"]["urn"] = (
        "urn:pulumi:r1-compute::cloud-hopping::pulumi:pulumi:Stack::cloud-hopping-r1-compute"
    )
    said = translated(event)
    assert said is not None
    assert said.name == ""


@pytest.mark.parametrize(
    "event",
    [
        {"resourcePreEvent": step("same")},
        {"resOutputsEvent": step("read")},
        {"resourcePreEvent": step("create", "pulumi:pulumi:Stack")},
        {"resOutputsEvent": step("create", "pulumi:providers:aws")},
        diagnostic("a detail", "debug"),
        diagnostic("3 seconds", "info", ephemeral=True),
        {"stdoutEvent": {"message": "x", "color": "never"}},
        {"cancelEvent": {}},
    ],
)
def test_what_says_nothing_of_a_resource(event: dict[str, Any]) -> None:
    assert translated(event) is None


def says(message: str) -> str:
    return f"import sys\nprint({message!r}, file=sys.stderr)\nsys.exit(1)\n"


def program(folder: Path, body: str) -> Cli:
    path = folder / "bin" / "pulumi"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o700)
    return Cli(path, VersionInfo(3, 250, 0))


def stack(folder: Path, body: str) -> Stack:
    return Stack(
        "r1", "compute", folder=folder, cli=program(folder, body), backend=BACKEND, pulumi_home=folder / "pulumi-home"
    )


def test_errors_are_kept_for_the_failure_and_every_event_is_handed_on(tmp_path: Path) -> None:
    failing, events, failures = stack(tmp_path, says("nothing")), list[StackEvent](), list[str]()
    translate = failing._translate(events.append, failures)
    said = [diagnostic("it exists", "error", of="data"), diagnostic("no space left", "error")]
    for event in [{"resourcePreEvent": step("create")}, said[0], *said, diagnostic("update failed", "error")]:
        translate(EngineEvent.from_json(event))
    assert [(event.kind, event.name) for event in events] == [
        ("creating", "data"),
        ("error", "data"),
        ("error", "data"),
        ("error", ""),
        ("error", ""),
    ]
    assert str(failing._error("The compute stack did not come up", failures)) == (
        "The compute stack did not come up\n"
        "  data: it exists\n"
        "  no space left\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )


def no_event(event: StackEvent) -> None:
    pytest.fail(event.to_json())


def test_a_stack_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StackError) as raised:
        stack(tmp_path, says("error: the state cannot be read")).up(lambda: None, no_event)
    assert str(raised.value) == (
        "The compute stack did not come up\n"
        "  error: the state cannot be read\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )
    assert isinstance(raised.value.__cause__, automation_errors.CommandError)


def test_destroying_a_stack_that_never_was(tmp_path: Path) -> None:
    stack(tmp_path, says("error: no stack named 'r1-compute' found")).destroy(no_event)


def test_destroying_a_stack_that_another_process_holds(tmp_path: Path) -> None:
    with pytest.raises(StackLockedError) as raised:
        stack(tmp_path, says("error: the stack is currently locked by 1 lock(s)")).destroy(no_event)
    assert str(raised.value) == (
        "The compute stack is locked\n"
        "  error: the stack is currently locked by 1 lock(s)\n"
        "To fix it: wait, and try again."
    )


def test_a_destroy_that_fails(tmp_path: Path) -> None:
    with pytest.raises(StackError) as raised:
        stack(tmp_path, says("error: the state cannot be read")).destroy(no_event)
    assert str(raised.value) == (
        "The compute stack was not destroyed\n"
        "  error: the state cannot be read\n"
        "To fix it: engine.log, beside the report, has the engine's own words."
    )


def test_a_runs_stack_has_its_folder_under_the_home(tmp_path: Path) -> None:
    cli = program(tmp_path, says("error: no stack named 'r1-data' found"))
    engine.stack_of("r1", "data", home=Home(tmp_path), cli=cli, backend=BACKEND).destroy(no_event)
    assert (tmp_path / "runs" / "r1" / "data" / "log" / "00-destroy.err").read_text().startswith("error: no stack")
