"""Storage's resource types, account, lifecycle policy, container and blob, and its functions, keys and signatures."""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulumi_azure_native import storage as azure_storage

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.resources import AzureResource, asking, required
from orchestrator.rehearsal.content import Content
from orchestrator.rehearsal.provider import ProviderFunction, RefusedError, ResourceType

_API = "2024-01-01"


def resources(azure: AzureCloud) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "azure-native:storage:StorageAccount": StorageAccount(azure),
        "azure-native:storage:ManagementPolicy": ManagementPolicy(azure),
        "azure-native:storage:BlobContainer": BlobContainer(azure),
        "azure-native:storage:Blob": Blob(azure),
    }


def functions(azure: AzureCloud) -> dict[str, ProviderFunction]:
    """The functions of this module, by the engine's token."""
    return {
        "azure-native:storage:listStorageAccountKeys": ListStorageAccountKeys(azure),
        "azure-native:storage:listStorageAccountServiceSAS": ListStorageAccountServiceSas(azure),
    }


class StorageAccount(AzureResource):
    """A storage account."""

    known = frozenset(
        {
            "accountName", "resourceGroupName", "location", "kind", "sku.name", "allowBlobPublicAccess",
            "allowSharedKeyAccess", "enableHttpsTrafficOnly", "minimumTlsVersion", "tags",
        }
    )  # fmt: skip
    computed = (
        "azureApiVersion", "creationTime", "name", "primaryEndpoints", "primaryLocation", "provisioningState",
        "statusOfPrimary", "type",
    )  # fmt: skip

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_storage.StorageAccountArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create."""
        if "accountName" not in inputs:
            raise RefusedError("accountName is missing: the rehearsal makes up no name for a storage account")
        if (inputs["kind"], inputs["sku"]["name"]) != ("StorageV2", "Standard_LRS"):
            raise RefusedError("the rehearsal's storage accounts are StorageV2, Standard_LRS")
        required(inputs, "minimumTlsVersion", is_="TLS1_2", why="the rehearsal's blob endpoint takes no older one")
        required(inputs, "enableHttpsTrafficOnly", is_=True, why="the rehearsal's blob endpoint speaks nothing else")
        with self._asking(configuration):
            account = self._azure.storage.create_account(
                inputs["resourceGroupName"],
                inputs["accountName"],
                location=inputs.get("location") or configuration.get("location", ""),
                tags=inputs.get("tags", {}),
                # https://learn.microsoft.com/azure/templates/microsoft.storage/storageaccounts: the defaults.
                public_allowed=inputs.get("allowBlobPublicAccess", False),
                shared_keys_allowed=inputs.get("allowSharedKeyAccess", True),
            )
        return account.id, {
            "azureApiVersion": _API,
            "creationTime": account.created.isoformat(),
            "name": account.name,
            "primaryEndpoints": {"blob": f"{self._azure.storage.endpoint}/{account.name}/"},
            "primaryLocation": account.location,
            "provisioningState": "Succeeded",
            "statusOfPrimary": "available",
            "type": "Microsoft.Storage/storageAccounts",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/get-properties."""
        return self._is_there(
            configuration, lambda: self._azure.storage.account(state["resourceGroupName"], state["name"])
        )

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/delete."""
        self._drop(configuration, lambda: self._azure.storage.delete_account(state["resourceGroupName"], state["name"]))


class ManagementPolicy(AzureResource):
    """An account's lifecycle policy."""

    known = frozenset(
        {
            "managementPolicyName", "accountName", "resourceGroupName", "policy.rules.name", "policy.rules.type",
            "policy.rules.enabled", "policy.rules.definition.filters.blobTypes",
            "policy.rules.definition.actions.baseBlob.delete.daysAfterModificationGreaterThan",
        }
    )  # fmt: skip
    computed = ("azureApiVersion", "lastModifiedTime", "name", "type")

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_storage.ManagementPolicyArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/storagerp/management-policies/create-or-update."""
        required(inputs, "managementPolicyName", is_="default", why="an account has one policy, of that name")
        with self._asking(configuration):
            made = self._azure.storage.set_policy(
                inputs["resourceGroupName"], inputs["accountName"], inputs["policy"]["rules"]
            )
        return made, {
            "azureApiVersion": _API,
            "lastModifiedTime": datetime.now(UTC).isoformat(),
            "name": "DefaultManagementPolicy",
            "type": "Microsoft.Storage/storageAccounts/managementPolicies",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/storagerp/management-policies/get."""
        place = (state["resourceGroupName"], state["accountName"])
        return self._is_there(configuration, lambda: self._azure.storage.policy(*place))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """https://learn.microsoft.com/rest/api/storagerp/management-policies/delete."""
        place = (state["resourceGroupName"], state["accountName"])
        self._drop(configuration, lambda: self._azure.storage.delete_policy(*place))


class BlobContainer(AzureResource):
    """A private container."""

    known = frozenset({"containerName", "accountName", "resourceGroupName", "publicAccess"})
    name_input = "containerName"
    computed = ("azureApiVersion", "name", "type")

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_storage.BlobContainerArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/storagerp/blob-containers/create."""
        required(inputs, "publicAccess", is_="None", why="the rehearsal's containers are private")
        name = inputs["containerName"]
        with self._asking(configuration):
            made = self._azure.storage.create_container(inputs["resourceGroupName"], inputs["accountName"], name)
        kind = "Microsoft.Storage/storageAccounts/blobServices/containers"
        return made, {"azureApiVersion": _API, "name": name, "type": kind}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/storagerp/blob-containers/get."""
        place = (state["resourceGroupName"], state["accountName"], state["name"])
        return self._is_there(configuration, lambda: self._azure.storage.container(*place))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """https://learn.microsoft.com/rest/api/storagerp/blob-containers/delete."""
        place = (state["resourceGroupName"], state["accountName"], state["name"])
        self._drop(configuration, lambda: self._azure.storage.delete_container(*place))


class Blob(AzureResource):
    """A block blob from a file, which azure-native uploads with the account's key."""

    known = frozenset(
        {"blobName", "containerName", "accountName", "resourceGroupName", "source", "contentType", "type"}
    )
    name_input = "blobName"
    computed = ("contentMd5", "name", "url")
    not_stored = ("source",)

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_storage.BlobArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://www.pulumi.com/registry/packages/azure-native/api-docs/storage/blob/."""
        required(inputs, "type", is_="Block", why="the rehearsal has no append blobs")
        path = getattr(inputs.get("source"), "path", None)
        if path is None:
            raise RefusedError("source: the rehearsal takes files only")
        account, container, name = inputs["accountName"], inputs["containerName"], inputs["blobName"]
        with self._asking(configuration):
            self._azure.storage.list_keys(inputs["resourceGroupName"], account)
            blob = self._azure.storage.put_blob(
                inputs["resourceGroupName"],
                account,
                container,
                name,
                content=Content.of_file(Path(path)),
                content_type=inputs.get("contentType", "application/octet-stream"),
            )
            found = self._azure.storage.account(inputs["resourceGroupName"], account)
        return f"{self._azure.storage.container_id(found, container)}/blobs/{name}", {
            "contentMd5": blob.md5,
            "name": name,
            "url": f"{self._azure.storage.endpoint}/{account}/{container}/{name}",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/storageservices/get-blob-properties."""
        place = (state["resourceGroupName"], state["accountName"], state["containerName"])
        there = self._is_there(configuration, lambda: self._azure.storage.container(*place))
        return there and state["name"] in self._azure.storage.container(*place)

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """https://learn.microsoft.com/rest/api/storageservices/delete-blob."""
        place = (state["resourceGroupName"], state["accountName"], state["containerName"])
        self._drop(configuration, lambda: self._azure.storage.container(*place).pop(state["name"], None))


class ListStorageAccountKeys(ProviderFunction):
    """An account's keys."""

    required = frozenset({"accountName", "resourceGroupName"})

    def __init__(self, azure: AzureCloud) -> None:
        self._azure = azure

    def call(self, arguments: dict[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys."""
        with asking(self._azure, configuration):
            keys = self._azure.storage.list_keys(arguments["resourceGroupName"], arguments["accountName"])
            created = self._azure.storage.account(arguments["resourceGroupName"], arguments["accountName"]).created
        return {
            "keys": [
                {"keyName": name, "value": value, "permissions": "FULL", "creationTime": created.isoformat()}
                for name, value in keys.items()
            ]
        }


class ListStorageAccountServiceSas(ProviderFunction):
    """A signature for a blob or a container."""

    required = frozenset(
        {
            "accountName", "resourceGroupName", "canonicalizedResource", "resource", "permissions", "protocols",
            "sharedAccessExpiryTime",
        }
    )  # fmt: skip

    def __init__(self, azure: AzureCloud) -> None:
        self._azure = azure

    def call(self, arguments: dict[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-service-sas."""
        with asking(self._azure, configuration):
            token = self._azure.storage.list_service_sas(
                arguments["resourceGroupName"],
                arguments["accountName"],
                canonical=arguments["canonicalizedResource"],
                resource=arguments["resource"],
                permissions=arguments["permissions"],
                protocols=arguments["protocols"],
                expires=arguments["sharedAccessExpiryTime"],
            )
        return {"serviceSasToken": token}
