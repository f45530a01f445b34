"""The stand-in providers' functions, what they refuse, and their service itself.

See ``test_provider_protocol.py`` for the yardstick.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi_azure_native import resources as azure_resources
from pulumi_azure_native import storage as azure_storage

from tests.contract.engine.engine_wire import Conversation
from tests.contract.engine.three_clouds import CLOUDS, LOCATION, ThreeClouds

# ---- functions


def test_a_function_of_an_output_waits_for_it_and_its_result_is_secret_when_an_argument_is(
    engine: Conversation, three: ThreeClouds, name: str
) -> None:
    account = name.replace("-", "")

    def program() -> None:
        azure = three.small["azure"].provider()
        options = pulumi.ResourceOptions(provider=azure)
        group = azure_resources.ResourceGroup("group", resource_group_name=name, location=LOCATION, opts=options)
        made = azure_storage.StorageAccount(
            "account", resource_group_name=group.name, account_name=account, location=LOCATION, kind="StorageV2",
            sku={"name": "Standard_LRS"}, minimum_tls_version="TLS1_2", enable_https_traffic_only=True, opts=options,
        )  # fmt: skip
        secret = pulumi.Output.all(made.name, pulumi.Output.secret("")).apply(lambda both: both[0])
        for kind, given in (("plain", made.name), ("secret", secret)):
            keys = azure_storage.list_storage_account_keys_output(
                account_name=given, resource_group_name=group.name, opts=pulumi.InvokeOutputOptions(provider=azure)
            )
            pulumi.export(kind, keys.keys[0].key_name)

    did = engine.preview(program)
    assert (did.errors, did.of("Invoke")) == ([], [])
    did = engine.up(program)
    assert did.errors == []
    assert [call.request["args"] for call in did.of("Invoke")] == 2 * [
        {"accountName": account, "resourceGroupName": name}
    ]
    (outputs,) = [resource["outputs"] for key, resource in engine.state().items() if key.startswith("cloud-hopping")]
    assert outputs["plain"] == "key1"
    assert "ciphertext" in outputs["secret"]


@pytest.mark.parametrize(
    ("cloud", "call", "reasons"),
    [
        pytest.param(
            cloud,
            (token, {}),
            f"invocation of {token} returned an error: the rehearsal has no stand-in for {token}",
            id=f"unknown, {cloud}",
        )
        for cloud, token in (
            ("aws", "aws:s3/getBucket:getBucket"),
            ("gcp", "gcp:storage/getBucket:getBucket"),
            ("azure", "azure-native:web:listWebAppHostKeys"),
        )
    ]
    + [
        pytest.param(
            "azure",
            ("azure-native:storage:listStorageAccountKeys", {"accountName": 1, "expand": "kerb"}),
            "expected str, got int (accountName)",  # The SDK shows the first of them.
            id="wrong arguments",
        )
    ],
)
def test_an_unknown_function_and_wrong_arguments_are_refused(
    engine: Conversation, three: ThreeClouds, cloud: str, call: tuple[str, dict[str, Any]], reasons: str
) -> None:
    def program() -> None:
        options = pulumi.InvokeOptions(provider=three.small[cloud].provider())
        pulumi.runtime.invoke(*call, options)

    assert engine.preview(program).errors[0].endswith(f"\nException: invoke of {call[0]} failed: {reasons}")


# ---- mistakes


@pytest.mark.parametrize(
    ("cloud", "token"),
    [
        pytest.param("aws", "aws:sqs/queue:Queue", id="aws"),
        pytest.param("gcp", "gcp:pubsub/topic:Topic", id="gcp"),
        pytest.param("azure", "azure-native:cdn:Profile", id="azure"),
    ],
)
def test_an_unknown_type_is_refused(engine: Conversation, three: ThreeClouds, cloud: str, token: str) -> None:
    def program() -> None:
        pulumi.CustomResource(token, "it", {}, pulumi.ResourceOptions(provider=three.small[cloud].provider()))

    assert engine.preview(program).errors == [f"the rehearsal has no stand-in for {token} (it)"]


@pytest.mark.parametrize(
    ("cloud", "inputs", "mistakes"),
    [
        pytest.param(
            "aws",
            {"nmae": "x", "retentionInDays": "many", "kmsKeyId": "k"},
            [
                "property kmsKeyId value {k} has a problem: the rehearsal's stand-in does not know this input",
                "property nmae value {x} has a problem: LogGroupArgs has no such input",
                "property retentionInDays value {many} has a problem: expected int, got str",
            ],
            id="aws",
        ),
        pytest.param(
            "gcp",
            {"acountId": "x", "description": 1, "disabled": True},
            [
                "property acountId value {x} has a problem: AccountArgs has no such input",
                "property description value {1} has a problem: expected str, got int",
                "property disabled value {true} has a problem: the rehearsal's stand-in does not know this input",
            ],
            id="gcp",
        ),
        pytest.param(
            "azure",
            {"resourceGroup": "x", "tags": ["a"], "managedBy": "me"},
            [
                "property managedBy value {me} has a problem: the rehearsal's stand-in does not know this input",
                "property resourceGroup value {x} has a problem: ResourceGroupArgs has no such input",
                "property tags value {[{a}]} has a problem: expected Mapping, got list",
            ],
            id="azure",
        ),
    ],
)
def test_all_mistakes_of_a_resource_are_named_at_once(
    engine: Conversation, three: ThreeClouds, cloud: str, inputs: dict[str, Any], mistakes: list[str]
) -> None:
    small = three.small[cloud]

    def program() -> None:
        pulumi.CustomResource(small.token, "it", inputs, pulumi.ResourceOptions(provider=small.provider()))

    assert engine.preview(program).errors == [f"{small.token} resource 'it': {mistake}" for mistake in mistakes]


@pytest.mark.parametrize(
    ("kind", "resource_id", "reason"),
    [
        pytest.param(
            aws.iam.RolePolicy,
            "role:policy",
            "to find a aws:iam/rolePolicy:RolePolicy by its id (role:policy)",
            id="cannot describe",
        ),
        pytest.param(
            gcp.bigquery.Dataset,
            "data",
            "the id data; it must have the form projects/{project}/datasets/{dataset_id}",
            id="dataset",
        ),
        pytest.param(azure_resources.ResourceGroup, "group", "the id group; it is no resource group's", id="group"),
    ],
)
def test_what_cannot_be_found_by_its_id_is_refused(
    engine: Conversation, three: ThreeClouds, kind: Any, resource_id: str, reason: str
) -> None:
    def program() -> None:
        (provider,) = (
            small.provider() for small in three.small.values() if small.kind.__module__[:10] == kind.__module__[:10]
        )
        kind.get("it", resource_id, opts=pulumi.ResourceOptions(provider=provider))

    assert engine.preview(program).errors == [f"Preview failed: not supported in rehearsal: {reason}"]


# ---- the service itself


@pytest.fixture
def stub(ports: dict[str, int]) -> Iterator[Callable[[str], provider_pb2_grpc.ResourceProviderStub]]:
    """Speaks to a cloud's provider as the engine does."""
    channels: list[grpc.Channel] = []

    def connect(cloud: str) -> provider_pb2_grpc.ResourceProviderStub:
        channels.append(grpc.insecure_channel(f"127.0.0.1:{ports[cloud]}"))
        return provider_pb2_grpc.ResourceProviderStub(channels[-1])

    yield connect
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_method_of_the_service_is_answered(
    stub: Callable[[str], provider_pb2_grpc.ResourceProviderStub], cloud: str
) -> None:
    provider = stub(cloud)
    assert provider.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1")) == empty_pb2.Empty()
    assert provider.GetPluginInfo(empty_pb2.Empty()).version == "99.0.0"
    for method, request in (
        ("Handshake", provider_pb2.ProviderHandshakeRequest()),
        ("Parameterize", provider_pb2.ParameterizeRequest()),
        ("GetSchema", provider_pb2.GetSchemaRequest()),
        ("GetMapping", provider_pb2.GetMappingRequest()),
        ("GetMappings", provider_pb2.GetMappingsRequest()),
        ("Update", provider_pb2.UpdateRequest()),
        ("Construct", provider_pb2.ConstructRequest()),
        ("Call", provider_pb2.CallRequest()),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            getattr(provider, method)(request)
        assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert raised.value.details() == f"the rehearsal's stand-ins do not implement {method}"
    # "Cancel signals the provider to gracefully shut down": the engine says so after every operation, to a provider
    # that it attached to as well, and that serves others.
    assert provider.Cancel(empty_pb2.Empty()) == empty_pb2.Empty()
    assert stub(cloud).GetPluginInfo(empty_pb2.Empty()).version == "99.0.0"
