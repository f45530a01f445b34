"""What the Azure resource types have in common, and the resource group, which all others are in.

The others are in ``storage_resources`` and ``web_resources``. Each class acts on exactly the inputs in
``known``; ``provider.py`` refuses every other one.
"""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from pulumi_azure_native import resources as azure_resources

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.rest import ArmError
from orchestrator.rehearsal.azure.subscription import ExistsError, Group
from orchestrator.rehearsal.provider import LiveType, RefusedError, ResourceType

CONFIGURATION: Mapping[str, Callable[[str], Any]] = {
    "location": str,
    "subscriptionId": str,
    "useDefaultAzureCredential": json.loads,
    # The SDK gives this one by itself; ARM_METADATA_HOSTNAME wins over it.
    "environment": str,
}
_NOT_FOUND = 404
_API = "2024-03-01"


def resources(azure: AzureCloud) -> dict[str, ResourceType]:
    """The resource type of this module, by the engine's type token."""
    return {"azure-native:resources:ResourceGroup": ResourceGroup(azure)}


class AzureResource(ResourceType):
    """What the types share."""

    def __init__(self, azure: AzureCloud) -> None:
        self._azure = azure

    @contextmanager
    def _asking(self, configuration: Mapping[str, Any]) -> Iterator[None]:
        with asking(self._azure, configuration):
            yield

    def _is_there(self, configuration: Mapping[str, Any], get: Callable[[], Any]) -> bool:
        """Whether the cloud finds it."""
        try:
            self._azure.subscription.check_id(configuration["subscriptionId"])
            get()
        except ArmError as error:
            if error.status == _NOT_FOUND:
                return False
            raise RefusedError(str(error)) from error
        return True

    def _drop(self, configuration: Mapping[str, Any], delete: Callable[[], Any]) -> None:
        """Delete; what is gone already is fine."""
        try:
            self._azure.subscription.check_id(configuration["subscriptionId"])
            delete()
        except ArmError as error:
            if error.status != _NOT_FOUND:
                raise RefusedError(str(error)) from error


@contextmanager
def asking(azure: AzureCloud, configuration: Mapping[str, Any]) -> Iterator[None]:
    """The cloud's refusals as the real provider shows them; and its caller, who is found by the default chain only."""
    if configuration.get("useDefaultAzureCredential") is not True:
        raise RefusedError("the rehearsal's caller is found by use_default_azure_credential only")
    try:
        azure.subscription.check_id(configuration.get("subscriptionId", ""))
        yield
    except (ArmError, ExistsError) as error:
        raise RefusedError(str(error)) from error


def required(inputs: Mapping[str, Any], name: str, *, is_: object, why: str) -> None:
    """Refuse an input that is not given as what the stand-in does anyway."""
    if inputs.get(name) != is_:
        raise RefusedError(f"{name} must be {is_}: {why}")


class ResourceGroup(AzureResource, LiveType):
    """A resource group; its delete takes along what is in it."""

    known = frozenset({"resourceGroupName", "location", "tags"})
    name_input = "resourceGroupName"
    from_provider = ("location",)
    computed = ("azureApiVersion", "name", "properties", "type")
    defaults: ClassVar[Mapping[str, Any]] = {"tags": {}}

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_resources.ResourceGroupArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update."""
        name, location = inputs["resourceGroupName"], inputs.get("location", "")
        with self._asking(configuration):
            group = self._azure.subscription.create_group(name, location, inputs.get("tags", {}))
        return group.id, _outputs(group)

    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """https://learn.microsoft.com/rest/api/resources/resource-groups/get."""
        path, _, name = resource_id.rpartition("/")
        if path != f"{self._azure.subscription.path}/resourceGroups":
            raise RefusedError(f"not supported in rehearsal: the id {resource_id}; it is no resource group's")
        if not self._is_there(configuration, lambda: self._azure.subscription.group(name)):
            return None
        group = self._azure.subscription.group(name)
        return {"resourceGroupName": name, "location": group.location, "tags": dict(group.tags), **_outputs(group)}

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """https://learn.microsoft.com/rest/api/resources/resource-groups/delete."""
        self._drop(configuration, lambda: self._azure.subscription.delete_group(state["name"]))


def _outputs(group: Group) -> dict[str, Any]:
    return {
        "azureApiVersion": _API,
        "name": group.name,
        "properties": {"provisioningState": group.state},
        "type": "Microsoft.Resources/resourceGroups",
    }
