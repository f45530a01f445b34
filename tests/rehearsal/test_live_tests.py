"""The tests for real clouds, in mode live against the stand-ins: the environment leads there, nothing else differs.

The stand-ins' tables hold the known reports, and one of a later year.
"""

import dataclasses
import inspect
import io
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import analysis
import boto3
import chart
import duckdb
import pytest

from orchestrator import query, rehearsal, settings
from orchestrator.clouds.azure import Azure
from orchestrator.clouds.gcp import GoogleData
from orchestrator.clouds.gcp_compute import GoogleCompute
from orchestrator.drill.matrix import RESOURCES
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.sample import DUCKDB_TYPES, SCHEMA
from orchestrator.settings import AzureCompute, GcpCompute
from stacks.naming import Names
from tests.live import ask, facts, runs, test_live
from tests.rehearsal.test_run import NOAA

PROJECT = "project-of-the-live-tests"
CHECKS = [check for name, check in inspect.getmembers(test_live, inspect.isfunction) if name.startswith("test_")]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
Check = Callable[[runs.Run], None]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or PYTHON not in {"3.11", "3.12", "3.13"},
    reason="a live run's package is for Linux and a Python that the clouds have, and runs here",
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "hail.parquet"
    given = {
        "event_begin_time": "event_begin_time",
        "magnitude": "magnitude",
        "event_type": "'hail'",
        "state": "'Texas'",
        "cz_name": "'TRAVIS'",
    }
    columns = ", ".join(
        f"CAST({given.get(name, 'NULL')} AS {DUCKDB_TYPES[kind]}) AS {name}"
        for name, kind in SCHEMA.items()
        if kind in DUCKDB_TYPES
    )
    known = f"FROM read_csv('{facts.REPORTS}', all_varchar = true) UNION ALL VALUES ('1996-03-25T00:00:00', '1.0', '3')"
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT {columns} FROM ({known})) TO '{path}' (FORMAT parquet)")
    return path


@pytest.fixture(scope="module")
def environ(cli: Cli, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of somebody who has accounts: they lead to the stand-ins."""
    folder = tmp_path_factory.mktemp("accounts")
    wanted = settings.load(
        settings.DEFAULT_CONFIG, overrides=[f"data.project={PROJECT}", f"rehearsal.tables={tables}"], environ={}
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "ORCHESTRATOR_"))}
    own = {
        "ORCHESTRATOR_HOME": str(folder / "home"),
        "ORCHESTRATOR_DATA__PROJECT": PROJECT,
        # The function's package is for this machine: it runs here.
        "ORCHESTRATOR_COMPUTE__ARCHITECTURE": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
        "ORCHESTRATOR_COMPUTE__PYTHON": PYTHON,
        "PATH": f"{cli.executable.parent}{os.pathsep}{os.environ['PATH']}",
    }
    (folder / "clouds").mkdir()
    with rehearsal.clouds(folder / "clouds", wanted) as clouds:
        variables = {**kept, **clouds.variables, **own}
        yield {name: value for name, value in variables.items() if value is not None}


@pytest.fixture(scope="module")
def done(environ: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return runs.do("aws", environ=environ, results=tmp_path_factory.mktemp("results"), settle=0)


@pytest.fixture
def spoilt(done: runs.Run, tmp_path: Path) -> runs.Run:
    """The run, with results of its own to change."""
    shutil.copytree(done.directory, tmp_path / "results")
    return dataclasses.replace(done, directory=tmp_path / "results")


def fails(check: Check, run: runs.Run) -> str:
    with pytest.raises((AssertionError, pytest.fail.Exception)) as failed:
        check(run)
    return str(failed.value)


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_run_passes(done: runs.Run, check: Check) -> None:
    check(done)


def test_a_run_leaves_its_facts(done: runs.Run) -> None:
    found = json.loads((done.directory / facts.FILE).read_text())
    assert len(found["phase_seconds"]) == 14
    assert len(found["resource_seconds"]) == 11
    assert all(seconds.keys() == {"created", "deleted"} for seconds in found["resource_seconds"].values())
    # The few tables that there are here.
    assert found["differs"] == ["bytes processed", "tables", "bytes billed"]


def test_what_a_run_leaves_behind_fails_by_name(done: runs.Run, environ: Mapping[str, str]) -> None:
    run_id = str(done.run_id)[:-6] + "left00"  # What is left stays for the other tests.
    s3 = boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )
    for bucket in (f"tagged-{run_id}", f"hop-{run_id}-named"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=f"tagged-{run_id}", Tagging={"TagSet": [{"Key": "run-id", "Value": run_id}]})
    asked = runs.ask("aws", run_id, environ=environ, settle=0)
    assert asked["left"] == [
        f"aws s3 bucket: arn:aws:s3:::hop-{run_id}-named",
        f"aws s3 bucket: arn:aws:s3:::tagged-{run_id}",
    ]
    left = dataclasses.replace(done, run_id=run_id, asked=asked)
    assert fails(test_live.test_the_clouds_list_nothing_of_the_run, left) == (
        f"left of run {run_id}:\n"
        f"aws s3 bucket: arn:aws:s3:::hop-{run_id}-named\n"
        f"aws s3 bucket: arn:aws:s3:::tagged-{run_id}"
    )


def test_on_azure_a_group_without_its_tag_is_found_by_name(
    start_google: Callable[..., GoogleCloud], start_azure: Callable[[], AzureCloud], names: Names
) -> None:
    google, azure = start_google(), start_azure()
    group = azure.subscription.create_group(names.prefix, "eastus", {})
    compute = Azure(AzureCompute(cloud="azure", subscription=azure.subscription.id), names, title="", source="")
    assert ask.left(data_of(google, names), compute, names, 0) == [f"azure resource group: {group.id}"]


def test_on_google_cloud_what_has_no_label_is_found_by_name(
    start_google: Callable[..., GoogleCloud],
    make_bucket: Callable[..., dict[str, Any]],
    make_service: Callable[..., dict[str, Any]],
    names: Names,
) -> None:
    google = start_google()
    google.bigquery.create_dataset(
        google.project, names.dataset, location="US", labels={}, default_table_expiration_ms=3_600_000
    )
    make_bucket(google, f"{names.prefix}-extract")
    service = make_service(google, name=names.prefix)
    compute = GoogleCompute(GcpCompute(cloud="gcp"), names, project=google.project, title="", source="")
    assert ask.left(data_of(google, names), compute, names, 0) == [
        f"gcp bigquery dataset: {google.project}:{names.dataset}",
        f"gcp cloud run service: {service['name']}",
        f"gcp storage bucket: {names.prefix}-extract",
    ]


def data_of(google: GoogleCloud, names: Names) -> GoogleData:
    return GoogleData(project=google.project, location="US", names=names)


def test_when_the_clouds_cannot_be_asked_nobody_knows_what_is_left(done: runs.Run, environ: Mapping[str, str]) -> None:
    nowhere = {name: value for name, value in environ.items() if name != "ORCHESTRATOR_DATA__PROJECT"}
    asked = runs.ask("aws", str(done.run_id), environ=nowhere, settle=0)
    said = fails(test_live.test_the_clouds_list_nothing_of_the_run, dataclasses.replace(done, asked=asked))
    assert f"left of run {done.run_id}:\nnobody knows: " in said
    assert "data.project: " in said


def test_a_recovery_that_had_something_to_do_is_told(done: runs.Run) -> None:
    said = f"destroy compute stack: started\n0 left of run {done.run_id}.\n"
    recovered = dataclasses.replace(done, recovered=(0, said))
    assert "destroy compute stack: started" in fails(test_live.test_the_clouds_list_nothing_of_the_run, recovered)


def test_a_run_that_could_cost_more_than_a_cent_is_refused(environ: Mapping[str, str], tmp_path: Path) -> None:
    dear = {"COMPUTE__MEMORY": "10240 MiB", "COMPUTE__TIMEOUT": "900 s", "BUDGET__MAX_COST_USD": "1"}
    set_by_the_user = {f"ORCHESTRATOR_{name}": value for name, value in dear.items()}
    refused = runs.do("aws", environ={**environ, **set_by_the_user}, results=tmp_path, settle=0)
    usd = 0.1506 if environ["ORCHESTRATOR_COMPUTE__ARCHITECTURE"] == "x86_64" else 0.1206
    assert f"The run may cost {usd:.4f} USD, over the ceiling of 0.0100 USD" in fails(
        test_live.test_the_run_ends_well, refused
    )
    assert (refused.code, refused.asked, list(tmp_path.iterdir())) == (4, None, [])


@pytest.mark.parametrize(("name", "value"), [("cost_usd", 0.0101), ("bytes_billed", 1024**3 + 1)])
def test_a_run_that_cost_more_than_a_cent_fails(done: runs.Run, name: str, value: float) -> None:
    assert done.result is not None
    dear = dataclasses.replace(done, result={**done.result, name: value})
    fails(test_live.test_it_costs_at_most_a_cent, dear)


def test_another_chart_fails(spoilt: runs.Run) -> None:
    extract = (spoilt.directory / "extract.csv").read_bytes()
    without_the_last = io.BytesIO(extract.rstrip().rpartition(b"\n")[0])
    drawn = analysis.analyse(without_the_last, title="Hail in March", source="here")
    (spoilt.directory / "chart.png").write_bytes(chart.png(drawn.figure))
    assert "< 0.001" in fails(test_live.test_the_chart_is_the_one_that_is_drawn_here, spoilt)


def test_another_report_fails(spoilt: runs.Run) -> None:
    extract = spoilt.directory / "extract.csv"
    extract.write_text(extract.read_text().replace("1957-03-20T18:00:00,3.0", "1957-03-20T18:00:00,3"))
    assert "1957-03-20T18:00:00,3.0,3" in fails(test_live.test_the_reports_are_the_known_ones, spoilt)


@pytest.mark.skipif(not NOAA.exists(), reason="NOAA's storm reports are not here: set NOAA_PARQUET")
def test_what_is_written_down_of_the_rehearsal_is_what_it_says(
    start_google: Callable[..., GoogleCloud], names: Names
) -> None:
    google = start_google(str(NOAA))
    said = ask.bigquery(
        data_of(google, names), query.read(facts.QUERY, {"state": "Texas", "county": "TRAVIS", "month": 3})
    )
    written = facts.rehearsed()
    assert said == {name: written[name] for name in said}


def test_what_is_written_down_of_the_stacks_is_what_is_in_them() -> None:
    counts: dict[str, int] = {cloud: len(resources) for cloud, resources in RESOURCES.items()}
    counts["azure-flex"] = counts["azure"] - 1  # Its settings are the app's.
    assert facts.rehearsed()["resources"] == counts


def run_pytest(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "tests/live", "-p", "no:cacheprovider", "-rs", *arguments]
    ended = subprocess.run(command, cwd=runs.CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout


def test_nothing_runs_unless_a_cloud_is_named() -> None:
    code, said = run_pytest(os.environ)
    assert code == 0
    assert f"{4 * len(CHECKS)} skipped" in said
    for cloud, how in runs.CREDENTIALS.items():
        assert f"`make live CLOUD={cloud}` runs it, for up to a cent, after {how}" in said


def test_a_cloud_that_is_named_without_credentials_fails_in_the_programs_own_words(environ: Mapping[str, str]) -> None:
    nobody = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    shut = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    code, said = run_pytest({**nobody, **shut}, "--cloud=aws")
    assert code == 1
    assert f"1 failed, {len(CHECKS) - 1} skipped" in said
    assert "exit code 2\n" in said
    assert "There are no AWS credentials\n" in said
    assert "To fix it: run `aws configure sso` or set AWS_PROFILE; in CI use OpenID Connect." in said
