"""Azure's resource types and functions: what they take from the engine, and what they refuse."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest
from pulumi.automation.events import EngineEvent
from pulumi_azure_native import Provider, resources, storage

from orchestrator.engine import Stack, StackEvent
from orchestrator.rehearsal.azure import storage_resources as azure_storage_resources
from orchestrator.rehearsal.azure import web_resources as azure_web_resources
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.provider import RefusedError
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, Apps

Program = Callable[[], None]


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud], provide_azure: Callable[[AzureCloud], None]) -> AzureCloud:
    azure = start_azure()
    provide_azure(azure)
    return azure


def provider(azure: AzureCloud, **changed: Any) -> Provider:
    given: dict[str, Any] = {
        "subscription_id": azure.subscription.id,
        "location": "eastus",
        "use_default_azure_credential": True,
    }
    return Provider("azure", **given | changed)


def one_group(azure: AzureCloud, **changed: Any) -> Program:
    def program() -> None:
        resources.ResourceGroup(
            "group", resource_group_name="mine", opts=pulumi.ResourceOptions(provider=provider(azure, **changed))
        )

    return program


def one_call(azure: AzureCloud, token: str, arguments: Mapping[str, Any]) -> Program:
    def program() -> None:
        options = pulumi.InvokeOptions(provider=provider(azure))
        pulumi.runtime.invoke(f"azure-native:storage:{token}", dict(arguments), options)

    return program


@pytest.mark.parametrize(
    ("token", "arguments", "why"),
    [
        ("getBlob", {"accountName": "x"}, "the rehearsal has no stand-in for azure-native:storage:getBlob"),
        (
            "listStorageAccountKeys",
            {"accountName": "x"},
            "missing: the function requires it (resourceGroupName)",
        ),
        (
            "listStorageAccountKeys",
            {"accountName": "x", "resourceGroupName": "y", "expand": "kerb"},
            "the rehearsal's stand-in does not know this argument (expand)",
        ),
        (
            "listStorageAccountKeys",
            {"accountName": "x", "resourceGroupName": 1},
            "expected str, got int (resourceGroupName)",
        ),
        (
            "listStorageAccountKeys",
            {"accountName": "x", "resourceGroupName": "nowhere"},
            'Status=404 Code="ResourceGroupNotFound" Message="Resource group \'nowhere\' could not be found."',
        ),
    ],
)
def test_calls_that_are_refused(
    *,
    azure: AzureCloud,
    refused: Callable[[Program], str | None],
    token: str,
    arguments: Mapping[str, Any],
    why: str,
) -> None:
    assert why in (refused(one_call(azure, token, arguments)) or "")
    assert azure.subscription.groups(None) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (
            {"metadata_host": "somewhere"},
            (
                "azure: pulumi:providers:azure-native resource 'azure': property metadataHost value {somewhere} has a "
                "problem: the rehearsal's stand-in does not know this argument"
            ),
        ),
        (
            {"use_default_azure_credential": False},
            "group: the rehearsal's caller is found by use_default_azure_credential only",
        ),
        (
            {"subscription_id": "00000000-0000-0000-0000-000000000000"},
            (
                'group: Status=404 Code="SubscriptionNotFound" Message="The subscription '
                "'00000000-0000-0000-0000-000000000000' could not be found.\""
            ),
        ),
        ({"location": "mars"}, 'group: Status=400 Code="LocationNotAvailableForResourceGroup" Message="The provided'),
    ],
)
def test_providers_that_are_refused(
    azure: AzureCloud, refused: Callable[[Program], str | None], changed: dict[str, Any], why: str
) -> None:
    assert (refused(one_group(azure, **changed)) or "").startswith(why)
    assert azure.subscription.groups(None) == []


def test_what_is_there_is_refused_not_taken_over(azure: AzureCloud, refused: Callable[[Program], str | None]) -> None:
    azure.subscription.create_group("mine", "westus", {})
    assert refused(one_group(azure)) == (
        f"group: cannot create already existing resource '/subscriptions/{azure.subscription.id}/resourceGroups/mine'"
    )


def test_a_refresh_forgets_what_is_gone_and_a_preview_makes_nothing(
    azure: AzureCloud, up: Callable[[Program], tuple[Stack, list[StackEvent]]], new_stack: Callable[[], Stack]
) -> None:
    def program() -> None:
        opts = pulumi.ResourceOptions(provider=provider(azure))
        group = resources.ResourceGroup("group", resource_group_name="mine", opts=opts)
        account = storage.StorageAccount(
            "account",
            account_name="hopmine",
            resource_group_name=group.name,
            kind=storage.Kind.STORAGE_V2,
            sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
            enable_https_traffic_only=True,
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            opts=opts,
        )
        deletion = storage.ManagementPolicyBaseBlobArgs(
            delete=storage.DateAfterModificationArgs(days_after_modification_greater_than=1)
        )
        rule = storage.ManagementPolicyRuleArgs(
            name="soon",
            type=storage.RuleType.LIFECYCLE,
            definition=storage.ManagementPolicyDefinitionArgs(
                filters=storage.ManagementPolicyFilterArgs(blob_types=["blockBlob"]),
                actions=storage.ManagementPolicyActionArgs(base_blob=deletion),
            ),
        )
        storage.ManagementPolicy(
            "fuse",
            management_policy_name="default",
            account_name=account.name,
            resource_group_name=group.name,
            policy=storage.ManagementPolicySchemaArgs(rules=[rule]),
            opts=opts,
        )
        keys = storage.list_storage_account_keys_output(
            account_name=account.name,
            resource_group_name=group.name,
            opts=pulumi.InvokeOutputOptions(provider=opts.provider),
        )
        pulumi.export("key", pulumi.Output.secret(keys.keys[0].value))
        pulumi.export("endpoint", account.primary_endpoints.blob)

    assert new_stack()._open(program).preview().change_summary == {"create": 5}
    assert azure.subscription.groups(None) == []
    stack, _ = up(program)
    engine = stack._open(program, select=True)
    state = engine.export_stack().deployment
    assert state is not None
    outputs = state["resources"][0]["outputs"]
    account = azure.storage.account_named("hopmine")
    assert account is not None
    assert json.loads(outputs["key"]["plaintext"]) == account.keys["key1"]  # The SDK asks for secrets to be shown.
    assert outputs["endpoint"] == f"{azure.storage.endpoint}/hopmine/"
    changes: list[object] = []

    def seen(event: EngineEvent) -> None:
        if event.summary_event is not None:
            changes.append(event.summary_event.resource_changes)

    assert azure.storage.policy("mine", "hopmine") == [
        {
            "name": "soon",
            "type": "Lifecycle",
            "definition": {
                "filters": {"blobTypes": ["blockBlob"]},
                "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 1}}},
            },
        }
    ]
    engine.refresh(on_event=seen)
    azure.storage.delete_policy("mine", "hopmine")
    engine.refresh(on_event=seen)
    azure.storage.delete_account("mine", "hopmine")
    engine.refresh(on_event=seen)
    assert changes == [{"same": 5}, {"delete": 1, "same": 4}, {"delete": 1, "same": 3}]
    stack.destroy(lambda _: None)
    assert azure.subscription.groups(None) == []


ACCOUNT_INPUTS = {
    "accountName": "hopmine",
    "resourceGroupName": GROUP,
    "kind": "StorageV2",
    "sku": {"name": "Standard_LRS"},
    "enableHttpsTrafficOnly": True,
    "minimumTlsVersion": "TLS1_2",
}
POLICY_INPUTS = {
    "managementPolicyName": "default",
    "accountName": ACCOUNT,
    "resourceGroupName": GROUP,
    "policy": {"rules": [{"name": "fuse", "type": "Lifecycle", "definition": {"actions": {}}}]},
}
CONTAINER_INPUTS = {"containerName": "more", "accountName": ACCOUNT, "resourceGroupName": GROUP, "publicAccess": "None"}
BLOB_INPUTS = {
    "blobName": "b",
    "containerName": "data",
    "accountName": ACCOUNT,
    "resourceGroupName": GROUP,
    "type": "Block",
}
PLAN_INPUTS = {
    "name": "plan",
    "resourceGroupName": GROUP,
    "kind": "functionapp",
    "reserved": True,
    "sku": {"name": "Y1", "tier": "Dynamic"},
}
APP_INPUTS = {
    "name": "hop-app",
    "resourceGroupName": GROUP,
    "kind": "functionapp,linux",
    "reserved": True,
    "httpsOnly": True,
    "serverFarmId": "/x/plan",
    "siteConfig": {"minTlsVersion": "1.2"},
}


@pytest.mark.parametrize(
    ("token", "inputs", "changed", "why"),
    [
        (
            "storage:StorageAccount",
            ACCOUNT_INPUTS,
            {"kind": "BlobStorage"},
            "the rehearsal's storage accounts are StorageV2, Standard_LRS",
        ),
        (
            "storage:StorageAccount",
            ACCOUNT_INPUTS,
            {"minimumTlsVersion": "TLS1_0"},
            "minimumTlsVersion must be TLS1_2: the rehearsal's blob endpoint takes no older one",
        ),
        (
            "storage:StorageAccount",
            ACCOUNT_INPUTS,
            {"enableHttpsTrafficOnly": False},
            "enableHttpsTrafficOnly must be True: the rehearsal's blob endpoint speaks nothing else",
        ),
        (
            "storage:StorageAccount",
            ACCOUNT_INPUTS,
            {"accountName": None},
            "accountName is missing: the rehearsal makes up no name for a storage account",
        ),
        (
            "storage:ManagementPolicy",
            POLICY_INPUTS,
            {"managementPolicyName": None},
            "managementPolicyName must be default: an account has one policy, of that name",
        ),
        (
            "storage:ManagementPolicy",
            POLICY_INPUTS,
            {},
            (
                'Status=400 Code="InvalidRequestPropertyValue" Message="The value \'\' is not allowed for property '
                'policy.rules.definition.filters.blobTypes."'
            ),
        ),
        (
            "storage:BlobContainer",
            CONTAINER_INPUTS,
            {"publicAccess": "Blob"},
            "publicAccess must be None: the rehearsal's containers are private",
        ),
        ("storage:Blob", BLOB_INPUTS, {"type": "Append"}, "type must be Block: the rehearsal has no append blobs"),
        ("storage:Blob", BLOB_INPUTS, {}, "source: the rehearsal takes files only"),
        (
            "web:AppServicePlan",
            PLAN_INPUTS,
            {"reserved": False},
            "reserved must be True: the rehearsal's plans are for Linux",
        ),
        ("web:AppServicePlan", PLAN_INPUTS, {"sku": None}, "sku is missing"),
        (
            "web:WebApp",
            APP_INPUTS,
            {"httpsOnly": None},
            "httpsOnly must be True: the rehearsal's apps speak nothing else",
        ),
        (
            "web:WebApp",
            APP_INPUTS,
            {"clientAffinityEnabled": True},
            "clientAffinityEnabled must be False: the rehearsal's apps know no other",
        ),
        (
            "web:WebApp",
            APP_INPUTS,
            {"siteConfig": {"minTlsVersion": "1.2", "ftpsState": "AllAllowed"}},
            "ftpsState must be Disabled: the rehearsal's apps know no other",
        ),
        (
            "web:WebApp",
            APP_INPUTS,
            {"siteConfig": {}},
            "minTlsVersion must be 1.2: the rehearsal's apps take no older one",
        ),
        (
            "web:WebApp",
            APP_INPUTS,
            {"serverFarmId": None},
            "serverFarmId is missing: the rehearsal makes no plan by itself",
        ),
        ("web:WebApp", APP_INPUTS, {}, 'Status=404 Code="NotFound" Message="Cannot find serverFarm with name plan."'),
        (
            "web:WebAppApplicationSettings",
            {"name": "hop-app", "resourceGroupName": GROUP, "properties": {}},
            {},
            (
                'Status=404 Code="ResourceNotFound" Message="The Resource \'Microsoft.Web/sites/hop-app\' under '
                "resource group 'hop' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix\""
            ),
        ),
    ],
)
def test_inputs_that_the_stand_in_would_not_act_on(
    *, azure: AzureCloud, token: str, inputs: dict[str, Any], changed: dict[str, Any], why: str
) -> None:
    Apps(azure)
    types = azure_storage_resources.resources(azure) | azure_web_resources.resources(azure)
    configuration = {
        "subscriptionId": azure.subscription.id,
        "location": "eastus",
        "useDefaultAzureCredential": True,
    }
    given = {name: value for name, value in (inputs | changed).items() if value is not None}
    with pytest.raises(RefusedError) as raised:
        types[f"azure-native:{token}"].create(given, configuration)
    assert str(raised.value) == why
