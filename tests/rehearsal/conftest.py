"""What the rehearsal's tests share: the CLI, this machine's package, one stand-in for Amazon and its provider.

Moto's records are one to a process, so there is one Amazon for the whole session: each test uses names of its own.
"""

import asyncio
import atexit
import io
import itertools
import json
import os
import re
import sys
import textwrap
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental.provider import Provider

from orchestrator import package, pulumi_cli
from orchestrator.clouds import Environment, aws
from orchestrator.engine import Backend, Stack, StackError, StackEvent
from orchestrator.home import Home
from orchestrator.package import Layout, Package, Target
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.aws import provider as aws_provider
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure import provider as azure_provider
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.control import Control
from orchestrator.rehearsal.front_door import Around, as_it_is
from orchestrator.rehearsal.gcp import provider as gcp_provider
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.identity import Identity, MetadataServer
from orchestrator.rehearsal.gcp.projects import caller_of
from orchestrator.rehearsal.gcp.sample import PublicTables
from orchestrator.rehearsal.latency import AT_ONCE, Latency
from orchestrator.rehearsal.provider_server import serve, servicer
from orchestrator.stop import Stop
from stacks.naming import Names, new_run_id
from tests.rehearsal.compute_clouds import ComputeClouds, Data
from tests.rehearsal.machine import Machine

# Pulumi's provider SDK and Google's grpc_status both register the protocol buffer google.rpc.Status, and one process
# takes only one. Our Google clients speak REST: google.api_core does without grpc_status, and warns once.
sys.modules["grpc_status"] = None  # type: ignore[assignment]
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)
    import google.api_core.exceptions  # noqa: F401

# google-auth looks for its metadata server when it is imported: there is one for the whole session, set before.
GOOGLE_PROJECT = "rehearsal-project"
GOOGLE = Identity()
METADATA = MetadataServer(GOOGLE, caller_of(GOOGLE_PROJECT))
atexit.register(METADATA.close)
assert "google.auth" not in sys.modules
os.environ.update(METADATA.environment)

REGION = "us-east-1"
LOGGING = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


@pytest.fixture(scope="session")
def cli() -> Cli:
    """The one thing that comes from the real home: building it takes minutes."""
    return pulumi_cli.find(Home.locate(os.environ), lambda _: None, Stop())


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages are kept that take long to build, for all processes in which pytest runs tests."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "packages"


@pytest.fixture(scope="session")
def pack(packages: Path) -> Callable[[Layout], Package]:
    """Builds the function's package as a cloud wants it, for this machine; the second time it is there already."""

    def build(layout: Layout) -> Package:
        here = Target("", None, layout).on_this_machine()
        return package.build(here, trim="full", cache=packages, progress=lambda _: None)

    return build


@pytest.fixture(scope="session")
def packed(pack: Callable[[Layout], Package]) -> Package:
    """For Lambda."""
    return pack(aws.LAYOUT)


@pytest.fixture
def chart_waits_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The function's chart.py is imported again, once this event has happened."""
    event = threading.Event()

    class Waits:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "chart" and not event.wait(20):
                pytest.fail("chart is imported before the CSV is fetched")

    monkeypatch.setattr(sys, "meta_path", [Waits(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "chart", raising=False)
    yield event
    assert event.is_set()


def standing_amazon() -> Iterator[Amazon]:
    amazon = Amazon()
    yield amazon
    amazon.stop()


def host_of_functions(amazon: Amazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionHost]:
    functions = FunctionHost(amazon, tmp_path_factory.mktemp("functions"))
    yield functions
    functions.stop()


# A file of tests has an AWS of its own: what one leaves is not what another's sweep finds.
amazon = pytest.fixture(scope="module", name="amazon")(standing_amazon)
functions = pytest.fixture(scope="module", name="functions")(host_of_functions)


@pytest.fixture(scope="session")
def serve_provider() -> Iterator[Callable[[Provider], int]]:
    """Starts a provider's server in this process; its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = []

    def start(provider: Provider) -> int:
        server, port = asyncio.run_coroutine_threadsafe(serve(servicer(provider)), loop).result()
        servers.append(server)
        return port

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def environment(amazon: Amazon, functions: FunctionHost, serve_provider: Callable[[Provider], int]) -> Environment:
    """What a run in this rehearsal's clouds sees."""
    port = serve_provider(aws_provider.provider(amazon, functions))
    return Environment(
        variables={
            "PULUMI_DEBUG_PROVIDERS": f"aws:{port}",
            "AWS_ENDPOINT_URL": amazon.endpoint,
            "AWS_ACCESS_KEY_ID": amazon.caller.key_id,
            "AWS_SECRET_ACCESS_KEY": amazon.caller.secret,
            "AWS_SESSION_TOKEN": None,
            "AWS_PROFILE": None,
        },
        data_source="",
    )


@pytest.fixture
def in_force(environment: Environment) -> Iterator[None]:
    with environment.in_force():
        yield


@pytest.fixture
def names() -> Names:
    return Names(new_run_id(datetime.now(UTC)))


@pytest.fixture
def backend(session_folder: Path) -> Backend:
    state = session_folder / "state"
    state.mkdir(exist_ok=True)
    return Backend(state.as_uri(), "passphrase of the tests")


@pytest.fixture
def new_stack(
    *,
    in_force: None,  # noqa: ARG001 - the environment is read when the stack is made
    cli: Cli,
    backend: Backend,
    names: Names,
    session_folder: Path,
    tmp_path: Path,
) -> Callable[[], Stack]:
    """Makes a stack of the test's run: its name counts up."""
    count = itertools.count()

    def make() -> Stack:
        name = f"test{next(count)}"
        folder = tmp_path / name
        folder.mkdir()
        pulumi_home = session_folder / "pulumi-home"
        return Stack(names.run_id, name, folder=folder, cli=cli, backend=backend, pulumi_home=pulumi_home)

    return make


@pytest.fixture
def up(new_stack: Callable[[], Stack]) -> Callable[[Callable[[], None]], tuple[Stack, list[StackEvent]]]:
    """Brings a program up: its stack and what the engine did."""

    def bring_up(program: Callable[[], None]) -> tuple[Stack, list[StackEvent]]:
        stack = new_stack()
        events: list[StackEvent] = []
        stack.up(program, events.append)
        return stack, events

    return bring_up


@pytest.fixture
def refused(new_stack: Callable[[], Stack]) -> Callable[[Callable[[], None]], str | None]:
    """Brings a program up that must fail: why it did."""

    def try_to(program: Callable[[], None]) -> str | None:
        with pytest.raises(StackError) as raised:
            new_stack().up(program, lambda _: None)
        return raised.value.details

    return try_to


# ---- the program, as a user starts it


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def machine(cli: Cli, home: Path, tmp_path: Path, packages: Path) -> Machine:
    return Machine(cli, home, tmp_path, packages)


@pytest.fixture
def control(clouds: Path) -> Iterator[Control]:
    """Of the stand-in clouds that the test's module has standing; whatever a test set is over with it."""
    control = Control.of(clouds)
    yield control
    control.lift()


# ---- Google Cloud: each test its own


@pytest.fixture
def start_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., GoogleCloud]]:
    """Starts a Google Cloud with the project "rehearsal-project", and points the environment at it."""
    started: list[GoogleCloud] = []
    (tmp_path / "gcloud").mkdir()

    def start(
        source: str | None = None,
        *,
        part_bytes: int = 1_000_000_000,
        around: Around = as_it_is,
        latency: Latency = AT_ONCE,
    ) -> GoogleCloud:
        google = GoogleCloud(
            PublicTables.from_source(source),
            project=GOOGLE_PROJECT,
            identity=GOOGLE,
            folder=tmp_path / f"google-{len(started)}",
            part_bytes=part_bytes,
            around=around,
            latency=latency,
        )
        started.append(google)
        for name, value in google.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))  # Nobody is logged in.
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        return google

    yield start
    for google in started:
        google.stop()


@pytest.fixture
def provide_google(
    *,
    in_force: None,  # noqa: ARG001 - its variable is replaced
    serve_provider: Callable[[Provider], int],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[GoogleCloud], None]:
    """Lets the engine's Google provider work on a Google Cloud."""

    def provide(google: GoogleCloud) -> None:
        port = serve_provider(gcp_provider.provider(google))
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"gcp:{port}")

    return provide


@pytest.fixture
def make_bucket() -> Callable[..., dict[str, Any]]:
    """Makes a bucket as the data stack does, but for ``changes``."""

    def make(google: GoogleCloud, name: str, **changes: Any) -> dict[str, Any]:
        given = {
            "location": "US",
            "labels": {},
            "soft_delete_seconds": 0,
            "lifecycle_rules": [{"action": {"type": "Delete"}, "condition": {"age": 1}}],
            "uniform_access": True,
            "public_access_prevention": "enforced",
            **changes,
        }
        return google.storage.create_bucket(google.project, name, **given)

    return make


@pytest.fixture
def make_service(make_bucket: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Makes the Cloud Run service "hop", from a program's text, as the compute stack does, but for what is given."""

    def make(
        google: GoogleCloud,
        program: str = "",
        *,
        name: str = "hop",
        region: str = "us-central1",
        service: dict[str, Any] | None = None,
        template: dict[str, Any] | None = None,
        container: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        if not google.storage.list_buckets(google.project, "hop-source"):
            make_bucket(google, "hop-source")
            google.access.create_account("hop-reader", description="", display_name="")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("main.py", textwrap.dedent(program))
        google.storage.put_object("hop-source", "package.zip", archive.getvalue(), "application/zip")
        made = {
            "image": "scratch",
            "baseImageUri": f"{region}-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/python313",
            "sourceCode": {"cloudStorageSource": {"bucket": "hop-source", "object": "package.zip"}},
            "command": ["python", "main.py"],
            **(container or {}),
        }
        account = f"hop-reader@{google.project}.iam.gserviceaccount.com"
        of_all = {"serviceAccount": account, "timeout": "20s", "containers": [made], **(template or {})}
        resource = {"launchStage": "BETA", "template": of_all, **(service or {})}
        return google.run.create_service(google.project, region, name, resource)

    return make


@pytest.fixture
def call_google(start_google: Callable[..., GoogleCloud]) -> Callable[..., tuple[int, Any, Any]]:  # noqa: ARG001
    """Plain HTTP, signed with the credentials of the environment: status, content (JSON, if it is) and headers."""
    from google.auth import default  # noqa: PLC0415 - not before the metadata server is there, see above
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415

    def call(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        credentials, _ = default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        with AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
            answer = session.request(  # type: ignore[no-untyped-call]
                method, os.environ["BIGQUERY_EMULATOR_HOST"] + path, json=body, headers=headers
            )
        content = answer.json() if answer.headers.get("Content-Type") == "application/json" else answer.content
        return answer.status_code, content, answer.headers

    return call


@pytest.fixture
def make_function(amazon: Amazon, names: Names) -> Iterator[Callable[..., str]]:
    """Makes a function of the test's run from a module's text; its name.

    ``allowed`` are the role's actions, on everything; ``settings`` are CreateFunction's.
    """
    iam, functions = amazon.client("iam", REGION), amazon.client("lambda", REGION)
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}

    def make(code: str, allowed: Sequence[str] = LOGGING, **settings: Any) -> str:
        role = iam.create_role(RoleName=names.prefix, AssumeRolePolicyDocument=_policy(trust))["Role"]
        permission = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        iam.put_role_policy(RoleName=names.prefix, PolicyName="permissions", PolicyDocument=_policy(permission))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("main.py", textwrap.dedent(code))
        functions.create_function(
            FunctionName=names.prefix,
            Role=role["Arn"],
            Code={"ZipFile": archive.getvalue()},
            **{"Runtime": "python3.13", "Handler": "main.handler", "Timeout": 10, "MemorySize": 256} | settings,
        )
        return names.prefix

    yield make
    functions.delete_function(FunctionName=names.prefix)


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def log(amazon: Amazon) -> Callable[[str], list[str]]:
    """The messages of a function's log; a request's id in them is ``ID``, a time ``TIME``, a measure ``N``."""
    client = amazon.client("logs", REGION)

    def read(function: str) -> list[str]:
        events = client.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        return [_without_chance(event["message"]) for event in events]

    return read


def _without_chance(message: str) -> str:
    message = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", message)
    message = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", message)
    return re.sub(r"(?<=Duration: )[\d.]+|(?<=Used: )\d+", "N", message)


# ---- Azure: each test its own


@pytest.fixture
def start_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AzureCloud]]:
    """Starts an Azure, and points the environment at it."""
    started: list[AzureCloud] = []

    def start(latency: Latency = AT_ONCE) -> AzureCloud:
        folder = tmp_path / f"azure-{len(started)}"
        folder.mkdir()
        started.append(AzureCloud(folder, latency=latency))
        for name, value in started[-1].variables.items():
            monkeypatch.setenv(name, value)
        return started[-1]

    yield start
    for azure in started:
        azure.stop()


@pytest.fixture
def provide_azure(
    *,
    in_force: None,  # noqa: ARG001 - its variable is replaced
    serve_provider: Callable[[Provider], int],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[AzureCloud], None]:
    """Lets the engine's Azure provider work on an Azure."""

    def provide(azure: AzureCloud) -> None:
        port = serve_provider(azure_provider.provider(azure))
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"azure-native:{port}")

    return provide


# ---- the compute clouds, one beside the other


@pytest.fixture
def compute_clouds(
    *,
    in_force: None,  # noqa: ARG001 - AWS's client reads the environment when it is made
    names: Names,
    pack: Callable[[Layout], Package],
    amazon: Amazon,
    start_google: Callable[..., GoogleCloud],
    provide_google: Callable[[GoogleCloud], None],
    start_azure: Callable[[], AzureCloud],
    provide_azure: Callable[[AzureCloud], None],
    make_bucket: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> ComputeClouds:
    """Makes the cases of the contract tests."""
    google = start_google()
    data = Data(google, make_bucket, names, tmp_path)
    return ComputeClouds(names, data, pack, amazon, google, provide_google, start_azure, provide_azure)
