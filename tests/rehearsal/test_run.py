"""The whole run as a user starts it: a process, the real engine, the stand-in clouds."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.pulumi_cli import Cli
from tests.rehearsal.machine import CHECKOUT, STORMS, Machine, assert_nothing_left, result_of

NOAA = Path(os.environ.get("NOAA_PARQUET", CHECKOUT.parent / "shared" / "data" / "noaa_storms_1950_1995.parquet"))
MARCH = {
    "4": 1, "10": 1, "11": 1, "12": 3, "16": 1, "20": 3, "21": 1, "23": 1, "25": 11, "27": 2, "28": 1, "30": 1
}  # fmt: skip


def test_the_default_run_draws_the_synthetic_sample_and_leaves_nothing(machine: Machine) -> None:
    ended = machine.orchestrate("run", "--json")
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    (folder,) = machine.results()
    assert printed == result_of(folder)
    assert printed["data_source"] == "synthetic sample, in rehearsal"
    assert (printed["status"], printed["exit_code"], printed["mode"]) == ("done", 0, "rehearsal")
    assert (printed["data_cloud"], printed["compute_cloud"]) == ("gcp", "aws")
    assert sum(printed["counts"].values()) == printed["rows"] > 0
    assert printed["resources"] == {"created": 11, "destroyed": 11}
    assert_nothing_left(printed)
    assert sorted(path.name for path in folder.iterdir()) == [
        "chart.png", "engine.log", "events.jsonl", "extract.csv", "report.html", "result.json", "summary.md"
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert [phase["status"] for phase in printed["phases"]] == ["done"] * 14
    assert "synthetic sample" in ended.stderr
    assert "\x1b" not in ended.stderr  # Not a terminal: plain lines.


@pytest.fixture(scope="session")
def charts() -> set[str]:
    """The hashes of the charts that the clouds drew of the same reports."""
    return set()


@pytest.mark.parametrize(
    ("cloud", "created"),
    [
        (["compute.cloud=aws"], 11),
        (["compute.cloud=azure"], 11),
        (["compute.cloud=azure", "compute.plan=flex"], 10),
        (["compute.cloud=gcp"], 7),
    ],
)
def test_the_noaa_reports_give_the_labs_headline_on_every_cloud(
    machine: Machine, cloud: list[str], created: int, charts: set[str]
) -> None:
    if not NOAA.exists():
        pytest.skip("NOAA's storm reports are not here: set NOAA_PARQUET")
    chosen = [word for setting in cloud for word in ("--set", setting)]
    ended = machine.orchestrate("run", *chosen, "--set", f"rehearsal.tables={NOAA}")
    assert ended.returncode == 0, ended.stderr
    (folder,) = machine.results()
    result = result_of(folder)
    assert result["resources"]["created"] == created
    charts.add(result["chart_sha256"])
    assert len(charts) == 1
    # Where the function reads the extract in place, the data stack stays until it has answered.
    phases = {phase["name"]: phase for phase in result["phases"]}
    answered = datetime.fromisoformat(phases["function"]["started"]) + timedelta(seconds=phases["function"]["seconds"])
    stayed = datetime.fromisoformat(phases["destroy data stack"]["started"]) > answered
    assert stayed == (cloud == ["compute.cloud=gcp"])
    assert result["counts"] == MARCH
    assert result["rows"] == 27
    # 46 tables, at least 10 MB each.
    assert result["bytes_billed"] == 46 * 10 * 2**20
    assert_nothing_left(result)
    header, *rows = (folder / "extract.csv").read_text().splitlines()
    assert header == "event_begin_time,magnitude,month"
    assert len(rows) == 27


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "compute.cloud=ibm"],
            """\
            The settings (CHECKOUT/config/rehearsal.yaml and what overrides it) have 1 mistake
              --set compute.cloud: expected "aws", "azure" or "gcp"; got "ibm"
            To fix it: correct it; config/ has an example for each cloud.
            """,
        ),
        (
            ["--config", "CHECKOUT/config/nowhere.yaml"],
            """\
            CHECKOUT/config/nowhere.yaml does not exist
              It was to be the config.
            To fix it: name a config that exists: CHECKOUT/config/azure.yaml is the nearest, DEFAULT is the default.
            """,
        ),
        (
            ["--set", "results=/proc/nowhere"],
            """\
            The results cannot be written to /proc/nowhere
              No such file or directory: /proc/nowhere
            To fix it: choose a folder that you can write: --set results=PATH
            """,
        ),
    ],
)
def test_a_mistake_in_the_settings_is_told_before_anything_starts(
    machine: Machine, arguments: list[str], message: str
) -> None:
    ended = machine.orchestrate("run", *(argument.replace("CHECKOUT", str(CHECKOUT)) for argument in arguments))
    assert ended.stderr == textwrap.dedent(message).replace("CHECKOUT", str(CHECKOUT)).replace(
        "DEFAULT", "config/rehearsal.yaml"
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert machine.results() == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            f"SELECT event_begin_time FROM `{STORMS.replace('storms_*', 'storm_1950')}`",
            (
                "Not found: Table bigquery-public-data:noaa_historic_severe_storms.storm_1950 was not found "
                "in location US (notFound)"
            ),
        ),
        (
            f"SELECT event_begin_time FROM `{STORMS}` WHERE magnitude = 'large'",
            "No matching signature for operator = for argument types: FLOAT64, STRING (invalidQuery)",
        ),
    ],
)
def test_a_query_that_bigquery_does_not_accept_is_refused_in_the_dry_run(
    machine: Machine, sql: str, message: str
) -> None:
    ended = run_query(machine, sql)
    assert (
        "BigQuery does not accept the query\n"
        f"  {message}\n"
        "To fix it: correct the query, or the values under analysis.parameters.\n"
        "Nothing was created.\n"
    ) in ended.stderr
    assert ended.returncode == 2
    assert machine.results() == []


def test_a_run_that_may_cost_more_than_the_ceiling_is_refused(machine: Machine) -> None:
    ended = machine.orchestrate("run", "--set", "budget.max_cost_usd=0.001", "--json")
    assert ended.returncode == 4
    printed = json.loads(ended.stdout)
    assert (printed["status"], printed["exit_code"], printed["resources"]["created"]) == ("refused", 4, 0)
    assert machine.results() == []
    # The engines had begun to start: neither a stack nor a journal is left of them.
    kept = [path for path in machine.home.rglob(f"*{printed['run_id']}*") if path.parent.name != "logs"]  # The CLI's.
    assert [path for path in kept if path.is_file()] == []
    assert not (machine.home / "runs" / printed["run_id"]).exists()


def test_a_query_that_fails_leaves_nothing(machine: Machine) -> None:
    ended = run_query(machine, f"SELECT event_begin_time, 1 / (magnitude - magnitude) AS magnitude FROM `{STORMS}`")
    result = only_result(machine)
    assert ended.returncode == result["exit_code"] == 1, ended.stderr
    assert result["error"] == "The query failed\n  division by zero: 1 / 0 (invalidQuery)"
    assert_nothing_left(result)


def test_a_query_over_the_bytes_allowed_leaves_nothing(machine: Machine) -> None:
    ended = machine.orchestrate("run", "--set", "data.max_bytes_billed=10 MiB")
    result = only_result(machine)
    assert ended.returncode == result["exit_code"] == 1, ended.stderr
    assert result["error"].startswith(
        "The query failed\n  Query exceeded limit for bytes billed: 10485760. 104857600 or higher required."
    )
    assert_nothing_left(result)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            """
            def handler(event, context):
                raise ValueError("too much hail")
            """,
            "[ERROR] ValueError: too much hail",
        ),
        (
            """
            def handler(event, context):
                return {"statusCode": 500, "body": "no hail today"}
            """,
            "The function answered 500",
        ),
        (
            """
            import time

            def handler(event, context):
                time.sleep(60)
            """,
            "The function was not done within its timeout\n  START RequestId: ",
        ),
        (
            """
            def handler(event, context):
                return {"counts": {}, "rows": 1}
            """,
            "The function's answer is not what it should be\n  KeyError: 'chart_png'.",
        ),
    ],
)
def test_a_function_that_fails_is_told_with_its_log_and_leaves_nothing(
    machine: Machine, source: str, message: str
) -> None:
    machine.with_own_handler(source)
    ended = machine.orchestrate("run", "--set", "compute.timeout=3 s")
    result = only_result(machine)
    assert ended.returncode == result["exit_code"] == 1, ended.stderr
    assert message in result["error"]
    assert [phase["name"] for phase in result["phases"] if phase["status"] == "failed"] == ["function"]
    assert_nothing_left(result)


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("clouds: started", signal.SIGINT, 130),
        ("preflight: started", signal.SIGINT, 130),
        ("data stack: started", signal.SIGTERM, 143),
        ("compute stack: started", signal.SIGINT, 130),
        ("function: started", signal.SIGTERM, 143),
        ("destroy compute stack: started", signal.SIGINT, 0),
    ],
)
def test_a_signal_ends_the_run_and_leaves_nothing(
    machine: Machine, moment: str, number: signal.Signals, code: int
) -> None:
    process = machine.start("run")
    machine.wait_until(process, moment)
    process.send_signal(number)
    ended = machine.finish(process)
    result = only_result(machine)
    assert ended.returncode == result["exit_code"] == code, ended.stderr
    if code:
        assert result["status"] == "interrupted"
        assert result["error"] == f"The run was interrupted by {number.name}"
    assert_nothing_left(result)


def test_two_runs_at_once_do_not_disturb_each_other(machine: Machine) -> None:
    processes = [machine.start("run"), machine.start("run", "--set", "analysis.parameters.month=4")]
    for process in processes:
        ended = machine.finish(process)
        assert ended.returncode == 0, ended.stderr
    for folder in machine.results():
        assert_nothing_left(result_of(folder))
    assert len(machine.results()) == 2


def run_query(machine: Machine, sql: str) -> "subprocess.CompletedProcess[str]":
    """A run with a query of the user's own, and a config for it."""
    (machine.folder / "query.sql").write_text(sql)
    config = machine.folder / "own.yaml"
    config.write_text(
        "data: {project: rehearsal-project}\ncompute: {cloud: aws}\nanalysis: {query: query.sql, title: Own}\n"
    )
    return machine.orchestrate("run", "--config", str(config))


def only_result(machine: Machine) -> dict[str, Any]:
    (folder,) = machine.results()
    return result_of(folder)


def test_stacks_that_an_engine_could_not_clear_are_told(cli: Cli, tmp_path: Path, packages: Path) -> None:
    broken = tmp_path / "bin" / "pulumi"
    broken.parent.mkdir()
    broken.write_text(f'#!/bin/sh\n[ "$1" = version ] && exec "{cli.executable}" version\nkill -9 $$\n')
    broken.chmod(0o700)
    machine = Machine(Cli(broken, cli.version), tmp_path / "home", tmp_path / "user", packages)
    ended = machine.orchestrate("run")
    (folder,) = machine.results()
    assert ended.returncode == 1
    assert "pulumi up was killed (SIGKILL)" in ended.stderr
    assert "The engine's state of this run is not in order: run `" in ended.stderr
    assert f" recover {folder.name}`.\n" in ended.stderr
    whole = Machine(cli, tmp_path / "home", tmp_path / "user", packages)
    assert whole.orchestrate("recover").returncode == 0
    assert whole.orchestrate("recover").stderr.startswith("No run is unfinished")


def test_a_backend_that_is_not_there_is_refused_before_anything_begins(machine: Machine, tmp_path: Path) -> None:
    missing = tmp_path / "state"
    ended = machine.orchestrate("run", "--set", f"backend={missing.as_uri()}")
    assert ended.returncode == 2
    assert f"The backend's folder does not exist\n  {missing}\nTo fix it: make it (mkdir -p {missing})" in ended.stderr
    assert machine.results() == []
    assert machine.orchestrate("recover").stderr.startswith("No run is unfinished")


def test_an_engine_that_ends_before_its_run_is_admitted_ends_the_run(machine: Machine) -> None:
    ended = machine.orchestrate(
        "run", "--set", "backend=s3://no-such-bucket?region=nowhere&endpoint=http://127.0.0.1:9"
    )
    assert ended.returncode == 1
    assert "stack did not come up" in ended.stderr
    assert ended.stderr.endswith("Nothing was created.\n")
    assert "data stack: started" not in ended.stderr


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_where_nobody_reads_the_message_the_exit_code_says_it(machine: Machine, stream: str) -> None:
    command = f'"{sys.executable}" -m orchestrator run --set compute.cloud=x {stream}'
    ended = subprocess.run(["/bin/sh", "-c", command], cwd=CHECKOUT, env=machine._environment, check=False)
    assert ended.returncode == 2
