"""The stand-in clouds take their time: the engine, the jobs and the functions, and a whole run. No test waits for long.

What was waited for is known from the clouds; how long it really was is the clock's business.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from orchestrator.clouds import Environment
from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.drill.matrix import RESOURCES
from orchestrator.engine import Stack
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.aws import provider as aws_provider
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.directory import AUDIENCE
from orchestrator.rehearsal.control import Control
from orchestrator.rehearsal.faults import Cloud
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.projects import caller_of
from orchestrator.rehearsal.latency import Latency, Wait
from orchestrator.rehearsal.slow_provider import slow
from tests.rehearsal.azure_apps import HELLO, Apps, package
from tests.rehearsal.machine import Machine, result_of

REGION = "us-east-1"
FACTOR = 0.001
GROUP = "aws:cloudwatch/logGroup:LogGroup"


class Still:
    """Latencies under a clock that stands still: what is slept is kept, and nothing sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.latency = Latency(1, clock=lambda: 0.0, sleep=self.slept.append, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture(scope="module")
def still() -> Still:
    return Still()


# ---- the engine


@pytest.fixture(scope="module")
def environment(
    amazon: Amazon, functions: FunctionHost, serve_provider: Callable[..., int], still: Still
) -> Environment:
    """In the place of conftest's, with a provider that takes its time."""
    provider = slow(aws_provider.provider(amazon, functions), still.latency)
    variables = {"PULUMI_DEBUG_PROVIDERS": f"aws:{serve_provider(provider)}", "AWS_ENDPOINT_URL": amazon.endpoint}
    return Environment(variables=variables, data_source="")


def one_group() -> None:
    options = pulumi.ResourceOptions(provider=aws.Provider("amazon", region=REGION))
    aws.cloudwatch.LogGroup("logs", name="slow", opts=options)


def test_creates_and_deletes_take_their_time(new_stack: Callable[[], Stack], still: Still) -> None:
    before = len(still.latency.waits())
    stack = new_stack()
    stack.up(one_group, lambda _: None)
    stack.destroy(lambda _: None)
    assert still.latency.waits()[before:] == [Wait(f"create {GROUP}", 1.0), Wait(f"delete {GROUP}", 1.0)]
    assert still.slept[-2:] == [1.0, 1.0]


def test_a_type_without_a_time_is_refused_and_not_made(
    refused: Callable[[Callable[[], None]], str | None],
    still: Still,
    amazon: Amazon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = still.latency._seconds
    assert known is not None
    without = {name: seconds for name, seconds in known["create"].items() if name != GROUP}
    monkeypatch.setattr(still.latency, "_seconds", {**known, "create": without})
    assert refused(one_group) == (
        f"logs: the rehearsal does not know how long this takes: create {GROUP} (latency.toml)"
    )
    assert amazon.client("logs", REGION).describe_log_groups(logGroupNamePrefix="slow")["logGroups"] == []


# ---- jobs


def test_a_job_runs_until_its_time_is_over_or_it_is_cancelled(start_google: Callable[..., GoogleCloud]) -> None:
    google = start_google(latency=Latency(1_000_000))
    client = GoogleClients(project=google.project, location="US").bigquery
    job = client.query("SELECT 1 AS n", job_retry=None)
    (ours,) = google.jobs.all()
    while not google.jobs._latency.waits():
        job.reload()
        assert job.state in {"PENDING", "RUNNING"}
    assert google.jobs._latency.waits() == [Wait("call query", 4_000_000.0)]
    assert (ours.state, ours.table is not None) == ("RUNNING", True)  # It has done its work.
    job.cancel()
    while job.state != "DONE":
        job.reload()
    assert job.error_result == {
        "reason": "stopped", "message": "Job execution was cancelled: User requested cancellation"
    }  # fmt: skip


def test_a_job_that_fails_fails_at_once(start_google: Callable[..., GoogleCloud]) -> None:
    google = start_google(latency=Latency(1_000_000))
    client = GoogleClients(project=google.project, location="US").bigquery
    job = client.query("SELECT 1 / 0 AS n", job_retry=None)
    while job.state != "DONE":
        job.reload()
    assert job.error_result["reason"] == "invalidQuery"
    assert google.jobs._latency.waits() == []


# ---- functions: the first call, and no other


def test_a_cold_start_on_lambda(
    amazon: Amazon, make_function: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amazon, "functions_changed", lambda: None)
    still = Still()
    host = FunctionHost(amazon, tmp_path / "functions", latency=still.latency)
    url = host.open_url(REGION, make_function("def handler(event, context):\n    return {}\n"))

    def ask(*, signed: bool = True) -> int:
        request = AWSRequest("GET", url)
        if signed:
            SigV4Auth(Credentials(amazon.caller.key_id, amazon.caller.secret), "lambda", REGION).add_auth(request)
        return requests.get(url, headers=dict(request.headers), timeout=60).status_code

    assert [ask(signed=False), ask(), ask()] == [403, 200, 200]
    assert still.latency.waits() == [Wait("call aws invocation", 4.0)]
    assert still.slept == [4.0]
    host.stop()


def test_a_cold_start_on_cloud_run(
    start_google: Callable[..., GoogleCloud], make_service: Callable[..., dict[str, Any]]
) -> None:
    program = """
        import http.server, os

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(204)
                self.end_headers()

        http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
    """
    still = Still()
    google = start_google(latency=still.latency)
    uri = make_service(google, program)["uri"]
    token = google.identity.id_token(caller_of(google.project), uri)
    headers = {"Authorization": f"Bearer {token}"}
    codes = [requests.get(uri, headers=given, timeout=60).status_code for given in ({}, headers, headers)]
    assert codes == [403, 204, 204]
    assert still.slept == [5.0]
    assert still.latency.waits() == [Wait("call gcp invocation", 5.0)]


def test_a_key_and_a_cold_start_on_azure(start_azure: Callable[..., AzureCloud]) -> None:
    still = Still()
    apps = Apps(start_azure(still.latency))
    app = apps.consumption(package(HELLO))
    manager = f"{apps.azure.endpoint}{app.site.id}/host/default/listkeys?api-version=2025-05-01"
    headers = {"Authorization": f"Bearer {apps.azure.directory.token(AUDIENCE)}"}
    answer = requests.post(manager, headers=headers, timeout=60, verify=str(apps.azure.tls.authority))
    assert answer.status_code == 200, answer.text
    assert [apps.ask(app, key=None).status_code, apps.ask(app).status_code, apps.ask(app).status_code] == [
        401,
        200,
        200,
    ]
    assert still.latency.waits() == [Wait("call azure keys", 2.0), Wait("call azure invocation", 8.0)]
    assert still.slept == [2.0, 8.0]


# ---- a run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def clouds(cli: Cli, home: Path, tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Path]:
    """Stand-in clouds that take a thousandth of the time that real ones take, for the whole module."""
    folder = tmp_path_factory.mktemp("clouds")
    machine = Machine(cli, home, folder, packages)
    with machine.standing_clouds(folder / "clouds", f"rehearsal.latency={FACTOR}") as clouds:
        yield clouds


# What the clouds take for a run in the end, in seconds, and what they were asked besides creates and deletes.
RUNS = {
    "aws": (6 + 13 + 1 + 4 + 1 + 1 + 2, {"call aws invocation": 1}),
    "azure": (
        2 + 6 + 20 + 2 + 2 + 8 + 55,
        {
            "call azure keys": 1,
            "call azure invocation": 1,
            "invoke azure-native:storage:listStorageAccountKeys": 1,
            "invoke azure-native:storage:listStorageAccountServiceSAS": 2,
        },
    ),
    "azure flex": (
        2 + 22 + 1 + 20 + 289 + 2 + 8 + 55,
        {
            "call azure publish": 1,
            "call azure keys": 1,
            "call azure invocation": 1,
            "invoke azure-native:storage:listStorageAccountKeys": 1,
            "invoke azure-native:storage:listStorageAccountServiceSAS": 1,
        },
    ),
    "gcp": (2 + 1 + 10 + 5 + 3 + 1 + 2, {"call gcp invocation": 1}),
}


@pytest.mark.parametrize("plan", RUNS)
def test_a_run_takes_what_the_table_says_and_knows_its_critical_path(machine: Machine, clouds: Path, plan: str) -> None:
    cloud: Cloud = "aws" if plan == "aws" else "gcp" if plan == "gcp" else "azure"
    path, calls = RUNS[plan]
    chosen = ["--set", f"compute.cloud={cloud}", *(["--set", "compute.plan=flex"] if "flex" in plan else [])]
    control = Control.of(clouds)
    before = len(control.waits())
    ended = machine.orchestrate("run", *chosen, "--set", f"rehearsal.clouds={clouds}")
    assert ended.returncode == 0, ended.stderr
    waits = Counter(wait.what for wait in control.waits()[before:])
    expected = Counter({"call query": 1, "call extract": 1, **calls})
    # Plan flex has a container for packages instead of our package's blob, and the settings in the app.
    instead = {"package": ["azure-native:storage:BlobContainer"], "settings": []} if "flex" in plan else {}
    for resource in RESOURCES[cloud]:
        expected.update(f"create {made}" for made in instead.get(resource.name, [resource.type]))
        if resource.deleted:
            expected[f"delete {resource.type}"] += 1
    assert waits == expected

    (folder,) = machine.results()
    found = result_of(folder)["critical_path"]
    assert found["seconds"] == pytest.approx(path * FACTOR)
    assert sum(step["seconds"] for step in found["steps"]) == pytest.approx(path * FACTOR)
    assert found["steps"][-1]["name"] == "ask the clouds"
    assert [step["name"] for step in found["steps"] if step["took"] is None] == []
    assert f"Critical path   {path * FACTOR:.1f} s; the run took " in ended.stderr


def test_a_run_that_names_another_pace_than_the_clouds_have_is_refused(machine: Machine, clouds: Path) -> None:
    ended = machine.orchestrate("run", "--set", f"rehearsal.clouds={clouds}", "--set", "rehearsal.latency=typical")
    assert ended.returncode == 2
    assert f"rehearsal.latency: the run has 1.0, they have {FACTOR}\n" in ended.stderr
