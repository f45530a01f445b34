"""What goes wrong in the stand-in clouds when they are told, as the real engine and the real clients see it."""

import http.client
import itertools
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import grpc
import pulumi
import pulumi_aws as aws
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from orchestrator import rehearsal, settings
from orchestrator.clouds import Environment
from orchestrator.clouds.azure import Azure
from orchestrator.clouds.azure_clients import AzureClients, azure_errors
from orchestrator.engine import Stack, StackError
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.rehearsal.control import Control, ControlError
from orchestrator.rehearsal.faults import Call, CallRule, Faults, ResourceRule
from orchestrator.rehearsal.faulty_calls import everybody, faulty
from orchestrator.rehearsal.front_door import Answer, Listener, Request
from orchestrator.settings import AzureCompute
from stacks.naming import Names

REGION = "us-east-1"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
BROKEN = "error reading from server: EOF"
numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clouds")


@pytest.fixture(scope="module")
def environment(folder: Path) -> Iterator[Environment]:
    """Clouds in a process of their own, in the place of conftest's: only these can be told to fail."""
    with rehearsal.clouds(folder, settings.load(settings.DEFAULT_CONFIG, environ={})) as environment:
        yield environment


@pytest.fixture
def control(environment: Environment, folder: Path) -> Iterator[Control]:  # noqa: ARG001 - they must stand
    control = Control.of(folder)
    yield control
    control.lift()


@pytest.fixture
def wait_for(control: Control) -> Callable[[int], None]:
    """Waits until the first rule has fired so many times."""

    def wait(times: int) -> None:
        pause = threading.Event()
        while control.fired()[0] < times:
            pause.wait(0.05)

    return wait


# ---- what the engine sees


class OneGroup:
    """A stack of one log group, whose name no other test has."""

    def __init__(self, stack: Stack, control: Control) -> None:
        self.stack = stack
        self.control = control
        self.name = f"faulty-{next(numbers)}"

    def up(self) -> None:
        self.stack.up(self._program, lambda _: None)

    def down(self) -> None:
        self.stack.destroy(lambda _: None)

    def refused(self, work: Callable[[], None]) -> str:
        with pytest.raises(StackError) as raised:
            work()
        return str(raised.value.details)

    def is_there(self) -> bool:
        return any(found.id.endswith(f":{self.name}") for found in self.control.census())

    def _program(self) -> None:
        options = pulumi.ResourceOptions(provider=aws.Provider("amazon", region=REGION))
        aws.cloudwatch.LogGroup("logs", name=self.name, opts=options)


@pytest.fixture
def group(new_stack: Callable[[], Stack], control: Control) -> OneGroup:
    return OneGroup(new_stack(), control)


def of_logs(**changes: Any) -> ResourceRule:
    return ResourceRule(**{"type": LOG_GROUP, "name": "logs", **changes})


def test_a_create_that_fails_has_no_effect(group: OneGroup, control: Control) -> None:
    control.set_faults([of_logs(operation="create", effect="fails")])
    assert group.refused(group.up) == (
        f"logs: operation error {LOG_GROUP}: https response error StatusCode: 403, RequestID: REHEARSAL, api error "
        "AccessDenied: the rehearsal was told to refuse this."
    )
    assert (control.fired(), group.is_there()) == ([1], False)
    group.down()


def test_a_delete_that_fails_passes(group: OneGroup, control: Control) -> None:
    group.up()
    control.set_faults([of_logs(operation="delete", effect="fails")])
    group.down()  # It was asked again.
    assert (control.fired(), group.is_there()) == ([1], False)


def test_a_create_that_hangs_has_no_effect_once_it_is_lifted(
    group: OneGroup, control: Control, wait_for: Callable[[int], None]
) -> None:
    control.set_faults([of_logs(operation="create", effect="hangs")])
    said: list[str] = []
    up = threading.Thread(target=lambda: said.append(group.refused(group.up)))
    up.start()
    wait_for(1)
    control.lift()
    up.join()
    assert (said, group.is_there()) == ([f"logs: {BROKEN}"], False)
    group.down()


def test_a_create_whose_answer_is_lost_is_made(group: OneGroup, control: Control) -> None:
    control.set_faults([of_logs(operation="create", effect="answer lost")])
    assert (group.refused(group.up), group.is_there()) == (f"logs: {BROKEN}", True)


def test_a_delete_whose_answer_is_lost_is_done(group: OneGroup, control: Control) -> None:
    group.up()
    control.set_faults([of_logs(operation="delete", effect="answer lost", times=None)])
    assert BROKEN in group.refused(group.down)
    assert (control.fired()[0] > 1, group.is_there()) == (True, False)
    control.lift()
    group.down()


def test_what_is_half_made_is_in_the_state(group: OneGroup, control: Control) -> None:
    control.set_faults([of_logs(operation="create", effect="half made")])
    assert "creating logs: the rehearsal was told to make it by half" in group.refused(group.up)
    assert group.is_there()
    group.down()
    assert not group.is_there()


def test_a_plugin_that_is_killed_has_done_its_work_and_the_next_engine_finds_another(
    group: OneGroup, control: Control
) -> None:
    control.set_faults([of_logs(operation="create", effect="plugin killed")])
    assert (group.refused(group.up), group.is_there()) == (f"logs: {BROKEN}", True)
    group.down()


def test_a_plugin_can_be_killed_at_any_time(group: OneGroup, control: Control, wait_for: Callable[[int], None]) -> None:
    control.set_faults([of_logs(operation="create", effect="hangs")])
    said: list[str] = []
    up = threading.Thread(target=lambda: said.append(group.refused(group.up)))
    up.start()
    wait_for(1)
    control.kill_plugin("aws")
    up.join()
    control.lift()
    assert (said, group.is_there()) == ([f"logs: {BROKEN}"], False)
    group.down()


class Engine:
    """What an engine says to the plugin of AWS, without one."""

    def __init__(self, environment: Environment) -> None:
        port = str(environment.variables["PULUMI_DEBUG_PROVIDERS"]).split(",")[0].removeprefix("aws:")
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.plugin = provider_pb2_grpc.ResourceProviderStub(self.channel)

    def configure(self) -> None:
        self.plugin.Configure(provider_pb2.ConfigureRequest(args=_struct(region=REGION)))

    def create(self, name: str, *, preview: bool = False, timeout: float | None = None) -> str:
        urn = f"urn:pulumi:stack::project::{LOG_GROUP}::logs"
        request = provider_pb2.CreateRequest(urn=urn, type=LOG_GROUP, properties=_struct(name=name), preview=preview)
        return str(self.plugin.Create(request, timeout=timeout).id)


def _struct(**values: str) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


@pytest.fixture
def engine(environment: Environment) -> Iterator[Engine]:
    engine = Engine(environment)
    yield engine
    engine.channel.close()


def test_a_call_that_the_engine_gave_up_has_no_effect_later(engine: Engine, control: Control) -> None:
    control.set_faults([of_logs(operation="create", effect="hangs")])
    engine.configure()
    with pytest.raises(grpc.RpcError) as raised:
        engine.create("given-up", timeout=0.5)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    control.lift()
    assert engine.create("not-given-up") == "not-given-up"
    found = [group.id for group in control.census()]
    assert any(group.endswith(":not-given-up") for group in found)
    assert not any(group.endswith(":given-up") for group in found)


def test_a_preview_is_no_create(engine: Engine, control: Control) -> None:
    control.set_faults([of_logs(operation="create", effect="fails")])
    engine.configure()
    engine.create("previewed", preview=True)
    assert control.fired() == [0]


def test_an_engine_whose_plugin_was_killed_finds_no_other(engine: Engine, control: Control) -> None:
    engine.configure()
    control.kill_plugin("aws")
    with pytest.raises(grpc.RpcError) as raised:
        engine.create("without-a-plugin")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "connection refused" in str(raised.value.details())
    engine.configure()  # As only a new engine does.
    assert engine.create("with-a-new-plugin") == "with-a-new-plugin"


# ---- what the clients see


@pytest.fixture
def s3(in_force: None) -> Any:  # noqa: ARG001 - boto3 reads the environment
    patience = Config(
        retries={"total_max_attempts": 1}, read_timeout=1, s3={"addressing_style": "path"}, region_name=REGION
    )
    return boto3.Session().client("s3", config=patience)


@pytest.fixture
def stored(s3: Any) -> str:
    """The path of an object with the text "hail"."""
    bucket = f"faulty-{next(numbers)}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="word", Body=b"hail")
    return f"/{bucket}/word"


def of_get(path: str, effect: Any, **changes: Any) -> CallRule:
    return CallRule(**{"cloud": "aws", "method": "GET", "path": path, "effect": effect, **changes})


def read(s3: Any, path: str) -> bytes:
    _, bucket, key = path.split("/")
    content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


@pytest.mark.parametrize(
    ("effect", "error", "message"),
    [
        ("refused", ConnectionClosedError, "Connection was closed before we received a valid response"),
        ("forbidden", ClientError, r"\(AccessDenied\) .*: Access Denied"),
        ("throttled", ClientError, r"\(SlowDown\) .*: Please reduce your request rate."),
        ("unavailable", ClientError, r"\(ServiceUnavailable\) .*: Service is unable to handle request."),
        ("expired", ClientError, r"\(ExpiredToken\) .*: The provided token has expired."),
        ("truncated", ResponseStreamingError, "IncompleteRead"),
        ("wrong checksum", FlexibleChecksumError, "did not match calculated checksum"),
        ("hangs", ReadTimeoutError, "Read timeout"),
    ],
)
def test_a_call_goes_wrong_once(  # noqa: PLR0917
    s3: Any, stored: str, control: Control, effect: str, error: type[Exception], message: str
) -> None:
    control.set_faults([of_get(stored, effect)])
    with pytest.raises(error, match=message):
        read(s3, stored)
    assert read(s3, stored) == b"hail"
    assert control.fired() == [1]
    assert [call[:3] for call in control.calls()] == [("aws", "GET", stored)] * 2


@pytest.mark.parametrize("effect", ["refused", "forbidden", "unavailable"])
def test_a_call_that_was_refused_had_no_effect(s3: Any, control: Control, effect: Any) -> None:
    bucket = f"faulty-{next(numbers)}"
    control.set_faults([CallRule(cloud="aws", method="PUT", path=f"/{bucket}", effect=effect)])
    with pytest.raises((ClientError, ConnectionClosedError)):
        s3.create_bucket(Bucket=bucket)
    control.lift()
    assert bucket not in [found.id for found in control.census()]


def test_a_target_tells_the_operations_of_one_path_apart(s3: Any, in_force: None, control: Control) -> None:  # noqa: ARG001
    once = Config(retries={"total_max_attempts": 1}, region_name=REGION)
    iam, logs = boto3.Session().client("iam", config=once), boto3.Session().client("logs", config=once)
    control.set_faults(
        [
            CallRule(cloud="aws", method="POST", path="/", target="ListRoles", effect="forbidden", times=None),
            CallRule(cloud="aws", method="POST", path="/", target=r".*\.DescribeLogGroups", effect="throttled"),
            CallRule(cloud="aws", method="GET", path="/", target="prefix=other", effect="forbidden"),
        ]
    )
    iam.list_users()
    s3.list_buckets(Prefix="hop")
    with pytest.raises(ClientError, match=r"\(AccessDenied\)"):
        iam.list_roles()
    with pytest.raises(ClientError, match=r"\(ThrottlingException\) .*: Rate exceeded"):
        logs.describe_log_groups()
    assert control.fired() == [1, 1, 0]
    assert control.calls() == [
        Call("aws", "POST", "/", "ListUsers"),
        Call("aws", "GET", "/", "prefix=hop"),
        Call("aws", "POST", "/", "ListRoles"),
        Call("aws", "POST", "/", "Logs_20140328.DescribeLogGroups"),
    ]


def test_the_providers_own_calls_are_none_of_the_clients(group: OneGroup, control: Control) -> None:
    rules = [
        CallRule(cloud="aws", method=method, path=".*", effect="unavailable", times=None) for method in ("GET", "POST")
    ]
    control.set_faults(rules)
    group.up()
    group.down()
    assert (control.fired(), control.calls()) == ([0, 0], [])


@pytest.mark.parametrize(
    ("effect", "details"),
    [
        ("forbidden", r"The client does not have authorization .* \(AuthorizationFailed\)"),
        ("expired", r"The access token expiry is earlier than current UTC time. \(ExpiredAuthenticationToken\)"),
    ],
)
def test_azures_client(environment: Environment, in_force: None, control: Control, effect: Any, details: str) -> None:  # noqa: ARG001
    azure = AzureClients(str(environment.variables["AZURE_SUBSCRIPTION_ID"]))
    rule = CallRule(cloud="azure", method="GET", path="/subscriptions/[^/]+/resourcegroups", effect=effect, times=None)
    control.set_faults([rule])
    with pytest.raises(OrchestratorError, match=f"^Azure said no\n  {details}$"), azure_errors("Azure said no"):
        azure.get("resourcegroups", api_version="2024-03-01")
    assert control.fired()[0] > 0
    control.set_faults([])
    assert azure.get("resourcegroups", api_version="2024-03-01") == {"value": []}


@pytest.mark.parametrize("provider", ["Microsoft.Web", "Microsoft.Storage"])
def test_an_azure_that_does_not_say_what_its_quotas_are_does_not_accept_the_caller(
    environment: Environment,
    in_force: None,  # noqa: ARG001
    control: Control,
    names: Names,
    provider: str,
) -> None:
    path = f"/subscriptions/[^/]+/providers/{provider}/locations/[^/]+/usages"
    control.set_faults([CallRule(cloud="azure", method="GET", path=path, effect="forbidden", times=None)])
    subscription = str(environment.variables["AZURE_SUBSCRIPTION_ID"])
    chosen = AzureCompute.model_validate({"cloud": "azure", "subscription": subscription})
    with pytest.raises(UsageError, match=r"^Azure does not accept the caller\n  The client does not have"):
        Azure(chosen, names, title="Hail in March", source="a test").preflight()


GOOGLE = """
    from orchestrator.clouds.gcp_clients import GoogleClients, google_errors
    from orchestrator.errors import OrchestratorError

    google = GoogleClients(project="rehearsal-project", location="US")
    try:
        with google_errors("Google said no"):
            print(len(list(google.storage.list_buckets(**google.storage_limits))))
    except OrchestratorError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        ("unavailable", "0\n"),  # The client asked again, here and in the next.
        ("truncated", "0\n"),
        ("forbidden", "Google said no\n  The caller does not have access (or it may not exist). (forbidden)\n"),
    ],
)
def test_googles_client(in_force: None, control: Control, effect: Any, said: str) -> None:  # noqa: ARG001
    control.set_faults([CallRule(cloud="gcp", method="GET", path="/storage/v1/b", effect=effect)])
    # google-auth looks for its metadata server when it is imported, and this process has another one.
    program = [sys.executable, "-c", textwrap.dedent(GOOGLE)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.stdout == said, ended.stderr
    assert control.fired() == [1]


# ---- a door


@pytest.mark.parametrize(
    ("effect", "seen"),
    [
        ("truncated", "IncompleteRead(2 bytes read, 2 more expected)"),
        ("wrong checksum", (200, b"haim")),
        ("unavailable", (503, b"Service Unavailable")),
        ("refused", "reset"),
    ],
)
def test_what_a_service_url_answers_goes_wrong(effect: Any, seen: object) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(200, {}, b"hail")

    faults = Faults()
    faults.set([CallRule(cloud="gcp", method="GET", path="/", target="bucket=b", effect=effect)])
    listener = Listener(answer, around=faulty(faults, "gcp", everybody))
    assert seen_of(listener.address) == seen
    assert len(asked) == (effect in ("truncated", "wrong checksum"))
    assert seen_of(listener.address) == (200, b"hail")
    listener.close()


def seen_of(address: str) -> object:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/?bucket=b")
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.IncompleteRead as error:
        return str(error)
    except ConnectionResetError:
        return "reset"
    finally:
        connection.close()


def test_a_call_that_hangs_is_let_go_without_its_effect() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(200, {}, b"hail")

    faults = Faults()
    faults.set([CallRule(cloud="gcp", method="GET", path="/", effect="hangs")])
    listener = Listener(answer, around=faulty(faults, "gcp", everybody))
    seen: list[object] = []
    client = threading.Thread(target=lambda: seen.append(seen_of(listener.address)))
    client.start()
    pause = threading.Event()
    while faults.fired() != [1]:
        pause.wait(0.01)
    assert (seen, asked) == ([], [])
    faults.lift()
    client.join()
    assert (seen, asked) == (["reset"], [])
    listener.close()


def test_there_is_no_byte_to_spoil_in_an_empty_answer() -> None:
    faults = Faults()
    faults.set([CallRule(cloud="gcp", method="GET", path="/", effect="wrong checksum")])
    listener = Listener(lambda _: Answer(204, {}, b""), around=faulty(faults, "gcp", everybody))
    assert seen_of(listener.address) == (204, b"")
    assert faults.fired() == [0]
    listener.close()


# ---- the census


def test_a_kind_that_nobody_thought_of_is_counted_too(in_force: None, control: Control) -> None:  # noqa: ARG001
    iam = boto3.Session().client("iam", region_name=REGION)
    name = f"faulty-{next(numbers)}"
    before = control.census()
    iam.create_group(GroupName=name)
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
    found = [(new.kind, new.id) for new in control.census() if new not in before]
    assert found == [("iam access key", key), ("iam groups", f"aws: {name}"), ("iam user", name)]
    iam.delete_access_key(UserName=name, AccessKeyId=key)
    iam.delete_user(UserName=name)
    iam.delete_group(GroupName=name)
    assert control.census() == before


# ---- the clock, and who may control


def test_a_clock_that_goes_wrong_refuses_signatures_and_tokens(
    s3: Any, stored: str, control: Control, environment: Environment
) -> None:
    azure = AzureClients(str(environment.variables["AZURE_SUBSCRIPTION_ID"]))
    assert azure.get("resourcegroups", api_version="2024-03-01") == {"value": []}
    control.shift_clock(3600)
    with pytest.raises(ClientError, match="Signature expired"):
        read(s3, stored)
    with pytest.raises(OrchestratorError) as raised, azure_errors("Azure said no"):
        azure.get("resourcegroups", api_version="2024-03-01")
    assert raised.value.details == (
        "The access token expiry is earlier than current UTC time. (ExpiredAuthenticationToken)"
    )
    control.lift()
    assert read(s3, stored) == b"hail"


def test_only_who_has_the_token_is_heard(control: Control) -> None:
    with pytest.raises(ControlError, match=r'^PUT /faults: 401 "the token is another"$'):
        replace(control, token="guessed").set_faults([])


def test_what_is_no_rule_is_told(control: Control) -> None:
    with pytest.raises(ControlError, match=r'^DELETE /plugins/ibm: 400 "not known: DELETE plugins/ibm"$'):
        control.kill_plugin("ibm")  # type: ignore[arg-type]
