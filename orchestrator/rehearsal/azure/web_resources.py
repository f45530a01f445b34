"""App Service's resource types: plan, function app and its settings. See ``resources.py`` for the others."""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

from collections.abc import Mapping
from typing import Any

from pulumi_azure_native import web as azure_web

from orchestrator.rehearsal.azure.arm import site_resource
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.resources import AzureResource, required
from orchestrator.rehearsal.provider import RefusedError, ResourceType

_API = "2025-05-01"
# What may be given, but as nothing else; all but the last the SDK gives by itself.
_APP_ONLY = {"clientAffinityEnabled": False, "hyperV": False, "isXenon": False, "scmSiteAlsoStopped": False}
_SITE_ONLY = {
    "http20Enabled": True,
    "localMySqlEnabled": False,
    "netFrameworkVersion": "v4.6",
    "ftpsState": "Disabled",
}


def resources(azure: AzureCloud) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "azure-native:web:AppServicePlan": AppServicePlan(azure),
        "azure-native:web:WebApp": WebApp(azure),
        "azure-native:web:WebAppApplicationSettings": WebAppApplicationSettings(azure),
    }


class AppServicePlan(AzureResource):
    """A plan for function apps on Linux."""

    known = frozenset({"name", "resourceGroupName", "location", "kind", "reserved", "sku.name", "sku.tier", "tags"})
    name_input = "name"
    computed = ("azureApiVersion", "provisioningState", "resourceGroup", "status", "subscription", "type")

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_web.AppServicePlanArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/appservice/app-service-plans/create-or-update."""
        required(inputs, "reserved", is_=True, why="the rehearsal's plans are for Linux")
        required(inputs, "kind", is_="functionapp", why="the rehearsal's plans are for function apps")
        if "sku" not in inputs:
            raise RefusedError("sku is missing")
        with self._asking(configuration):
            plan = self._azure.web.create_plan(
                inputs["resourceGroupName"],
                inputs["name"],
                location=inputs.get("location") or configuration.get("location", ""),
                tags=inputs.get("tags", {}),
                sku=inputs["sku"].get("name", ""),
                tier=inputs["sku"].get("tier", ""),
            )
        return plan.id, {
            "azureApiVersion": _API,
            "provisioningState": "Succeeded",
            "resourceGroup": plan.group,
            "status": "Ready",
            "subscription": self._azure.subscription.id,
            "type": "Microsoft.Web/serverfarms",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/appservice/app-service-plans/get."""
        return self._azure.web.plan(resource_id) is not None

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Refused while it has apps."""
        self._drop(configuration, lambda: self._azure.web.delete_plan(resource_id))


class WebApp(AzureResource):
    """A function app on Linux."""

    known = frozenset(
        {
            "name", "resourceGroupName", "location", "kind", "reserved", "serverFarmId", "httpsOnly", "tags",
            "siteConfig.linuxFxVersion", "siteConfig.appSettings.name", "siteConfig.appSettings.value",
            "siteConfig.minTlsVersion",
            "functionAppConfig.runtime.name", "functionAppConfig.runtime.version",
            "functionAppConfig.scaleAndConcurrency.instanceMemoryMB",
            "functionAppConfig.scaleAndConcurrency.maximumInstanceCount",
            "functionAppConfig.deployment.storage.type", "functionAppConfig.deployment.storage.value",
            "functionAppConfig.deployment.storage.authentication.type",
            "functionAppConfig.deployment.storage.authentication.storageAccountConnectionStringName",
            *_APP_ONLY, *(f"siteConfig.{name}" for name in _SITE_ONLY),
        }
    )  # fmt: skip
    name_input = "name"
    computed = (
        "azureApiVersion", "defaultHostName", "enabledHostNames", "hostNameSslStates", "hostNames", "resourceGroup",
        "state", "type",
    )  # fmt: skip

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_web.WebAppArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/appservice/web-apps/create-or-update."""
        required(inputs, "kind", is_="functionapp,linux", why="the rehearsal's apps are function apps on Linux")
        required(inputs, "reserved", is_=True, why="the rehearsal's apps are on Linux")
        required(inputs, "httpsOnly", is_=True, why="the rehearsal's apps speak nothing else")
        if "serverFarmId" not in inputs:
            raise RefusedError("serverFarmId is missing: the rehearsal makes no plan by itself")
        site_config = inputs.get("siteConfig", {})
        for given, only in ((inputs, _APP_ONLY), (site_config, _SITE_ONLY)):
            for name in set(given) & set(only):
                required(given, name, is_=only[name], why="the rehearsal's apps know no other")
        required(site_config, "minTlsVersion", is_="1.2", why="the rehearsal's apps take no older one")
        with self._asking(configuration):
            app = self._azure.web.create_app(
                inputs["resourceGroupName"],
                inputs["name"],
                location=inputs.get("location") or configuration.get("location", ""),
                tags=inputs.get("tags", {}),
                plan_id=inputs["serverFarmId"],
                site_config=site_config,
                function_app_config=inputs.get("functionAppConfig"),
            )
        shown = site_resource(app)
        properties = shown["properties"]
        names = ("defaultHostName", "enabledHostNames", "hostNameSslStates", "hostNames", "resourceGroup", "state")
        return app.site.id, {
            "azureApiVersion": _API,
            "type": shown["type"],
            **{name: properties[name] for name in names},
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/appservice/web-apps/get."""
        return self._is_there(configuration, lambda: self._azure.web.app(state["resourceGroupName"], state["name"]))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """https://learn.microsoft.com/rest/api/appservice/web-apps/delete."""
        self._drop(configuration, lambda: self._azure.web.delete_app(state["resourceGroupName"], state["name"]))


class WebAppApplicationSettings(AzureResource):
    """All the settings of a function app: one list, which an app has from the start, and which this fills."""

    known = frozenset({"name", "resourceGroupName", "properties"})
    computed = ("azureApiVersion", "type")

    @property
    def arguments(self) -> type:
        """Loaded when it is asked for: all of the SDK's module comes along."""
        return azure_web.WebAppApplicationSettingsArgs

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://learn.microsoft.com/rest/api/appservice/web-apps/update-application-settings."""
        with self._asking(configuration):
            app = self._azure.web.configure_app(
                inputs["resourceGroupName"], inputs["name"], inputs.get("properties", {})
            )
        return f"{app.site.id}/config/appsettings", {
            "azureApiVersion": _API,
            "type": "Microsoft.Web/sites/config",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """https://learn.microsoft.com/rest/api/appservice/web-apps/list-application-settings."""
        return self._is_there(configuration, lambda: self._azure.web.app(state["resourceGroupName"], state["name"]))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """The list cannot go; the provider empties it."""
        place = (state["resourceGroupName"], state["name"])
        self._drop(configuration, lambda: self._azure.web.configure_app(*place, {}))
