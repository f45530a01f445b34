"""What Azure Functions lets a Linux Python app be, by its plan: pure checks of what is asked for.

https://learn.microsoft.com/azure/azure-functions/functions-infrastructure-as-code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.rehearsal.azure.rest import ArmError, unsupported

Y1, FC1 = "Y1", "FC1"
TIERS: Final = {Y1: "Dynamic", FC1: "FlexConsumption"}
# https://learn.microsoft.com/azure/azure-functions/functions-reference-python#python-version, and the last of Y1:
# https://learn.microsoft.com/azure/azure-functions/functions-versions
_PYTHONS = {Y1: ("3.10", "3.11", "3.12"), FC1: ("3.10", "3.11", "3.12", "3.13", "3.14")}
Y1_MEMORY_MIB: Final = 1536
"""https://learn.microsoft.com/azure/azure-functions/functions-scale#service-limits."""
# https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#instance-sizes and #scale
_FLEX_MEMORY = (512, 2048, 4096)
_FLEX_INSTANCES = range(40, 1001)
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
_NOT_ON_FLEX = frozenset(
    {
        "ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME",
        "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_MAX_HTTP_CONCURRENCY", "FUNCTIONS_WORKER_PROCESS_COUNT",
        "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED", "SCM_DO_BUILD_DURING_DEPLOYMENT",
        "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTOVERVNET", "WEBSITE_CONTENTSHARE",
        "WEBSITE_DNS_SERVER", "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_NODE_DEFAULT_VERSION",
        "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_SKIP_CONTENTSHARE_VALIDATION", "WEBSITE_VNET_ROUTE_ALL", "XDG_CACHE_HOME",
    }
)  # fmt: skip
# https://github.com/Azure/terraform-azurerm-avm-res-web-site/pull/345, though not yet in all regions. Pulumi's SDK
# gives the third by itself: https://github.com/pulumi/pulumi-azure-native/issues/4168
_SITE_PROPERTIES_NOT_ON_FLEX = {
    "ftpsState": "FtpsState",
    "linuxFxVersion": "LinuxFxVersion",
    "netFrameworkVersion": "NetFrameworkVersion",
}
HOST_STORAGE: Final = "AzureWebJobsStorage"
"""The setting without which no host starts: https://learn.microsoft.com/azure/azure-functions/functions-app-settings."""
# What steers the host or the Python worker: https://learn.microsoft.com/azure/azure-functions/functions-app-settings.
# The host here acts on some, and takes others at the value that it has.
_STEERED = frozenset({HOST_STORAGE, "AzureFunctionsJobHost__functionTimeout", "WEBSITE_RUN_FROM_PACKAGE"})
_FIXED = {"FUNCTIONS_EXTENSION_VERSION": "~4", "FUNCTIONS_WORKER_RUNTIME": "python"}
_STEERING = re.compile(
    ""
    "(AzureWebJobs|AzureFunctions|AZURE_FUNCTIONS_|FUNCTIONS_|WEBSITES?_|PYTHON_|SCM_|ENABLE_ORYX|APPINSIGHTS_|APPLICATIONINSIGHTS_|"
    "languageWorkers__).*",
    re.IGNORECASE,
)
# On Linux: https://learn.microsoft.com/azure/app-service/configure-common#configure-app-settings
_SETTING_NAME = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True)
class Runtime:
    """What an app runs on: Python's version, an instance's memory in MiB."""

    python: str
    memory_mib: int


@dataclass(frozen=True)
class _Sections:
    """A FunctionAppConfig, all of whose values are optional in the SDK."""

    config: Mapping[str, Any]

    def at(self, *path: str) -> Any:
        """A value, or a refusal that names it."""
        found: Any = self.config
        for name in path:
            if name not in found:
                raise unsupported(f"a Flex Consumption app without functionAppConfig.{'.'.join(path)}")
            found = found[name]
        return found


@dataclass(frozen=True)
class Deployment:
    """Where a flex app keeps its package: a container's URL, and the app setting with the connection string."""

    container_url: str
    connection_setting: str


def consumption(site_config: Mapping[str, Any], function_app_config: Mapping[str, Any] | None) -> Runtime:
    """The runtime of an app on plan Y1, if Azure would take it."""
    if function_app_config is not None:
        raise _bad("Site.FunctionAppConfig is invalid.  It is for Flex Consumption sites only.")
    language, _, version = site_config.get("linuxFxVersion", "").partition("|")
    if language.upper() != "PYTHON" or version not in _PYTHONS[Y1]:
        raise _bad("The parameter LinuxFxVersion has an invalid value.")
    return Runtime(version, Y1_MEMORY_MIB)


def check_consumption_settings(settings: Mapping[str, str]) -> None:
    """Refuse settings with which the host of an app on plan Y1 is not the one that the rehearsal knows."""
    if not settings.get("WEBSITE_RUN_FROM_PACKAGE", "").startswith("https://"):
        raise unsupported("an app on plan Y1 without a URL in WEBSITE_RUN_FROM_PACKAGE")
    for name, value in _FIXED.items():
        if settings.get(name) != value:
            raise unsupported(f"an app on plan Y1 with {name}={settings.get(name)}; {value} is known")


def flex(
    site_config: Mapping[str, Any], settings: Mapping[str, str], function_app_config: Mapping[str, Any] | None
) -> tuple[Runtime, Deployment]:
    """The runtime of an app on plan FC1, and where its package is kept, if Azure would take it."""
    if function_app_config is None:
        raise _bad(
            "Site.FunctionAppConfig is invalid.  The FunctionAppConfig section was not specified in the request, which "
            "is required for Flex Consumption sites. To proceed, please add the FunctionAppConfig section in your "
            "request."
        )
    properties = [
        f"Site.SiteConfig.{said}" for name, said in _SITE_PROPERTIES_NOT_ON_FLEX.items() if name in site_config
    ]
    _refuse_on_flex("site configuration property", "site configuration properties", properties)
    not_taken = [f"Site.SiteConfig.AppSettings.{name}" for name in settings if name in _NOT_ON_FLEX]
    _refuse_on_flex("app setting", "app settings", not_taken)
    given = _Sections(function_app_config)
    language, version = given.at("runtime", "name"), given.at("runtime", "version")
    if language != "python" or version not in _PYTHONS[FC1]:
        raise _bad(
            f"Site.FunctionAppConfig.Runtime.Version is invalid.  The runtime version '{version}' for runtime name "
            f"'{language}' is not supported."
        )
    memory = given.at("scaleAndConcurrency", "instanceMemoryMB")
    if memory not in _FLEX_MEMORY:
        raise _bad(
            "Site.FunctionAppConfig.ScaleAndConcurrency.InstanceMemoryMB is invalid.  The value must be one of "
            f"{', '.join(map(str, _FLEX_MEMORY))}."
        )
    if given.at("scaleAndConcurrency", "maximumInstanceCount") not in _FLEX_INSTANCES:
        raise _bad(
            "Site.FunctionAppConfig.ScaleAndConcurrency.MaximumInstanceCount is invalid.  The value must be from "
            f"{_FLEX_INSTANCES[0]} to {_FLEX_INSTANCES[-1]}."
        )
    return Runtime(version, memory), _deployment(given, settings)


def _deployment(given: "_Sections", settings: Mapping[str, str]) -> Deployment:
    kind = given.at("deployment", "storage", "type")
    authentication = given.at("deployment", "storage", "authentication", "type")
    if (kind, authentication) != ("blobContainer", "StorageAccountConnectionString"):
        raise unsupported(f"a deployment to {kind} with {authentication}")
    setting = given.at("deployment", "storage", "authentication", "storageAccountConnectionStringName")
    if setting not in settings:
        raise _bad(
            "Site.FunctionAppConfig.Deployment.Storage.Authentication.StorageAccountConnectionStringName is invalid.  "
            f"There is no app setting {setting}."
        )
    return Deployment(given.at("deployment", "storage", "value"), setting)


def check_settings(settings: Mapping[str, str], *connections: str) -> None:
    """Refuse app settings that Linux cannot have, and those that steer the host and are not known here.

    ``connections`` are settings that hold a connection string.
    """
    for name, value in settings.items():
        if not _SETTING_NAME.fullmatch(name):
            raise _bad(
                f"AppSetting with name(s) '{name}' is not allowed: letters, digits, underscores and periods are."
            )
        if _STEERING.fullmatch(name) and name not in {*_STEERED, *connections} and _FIXED.get(name) != value:
            raise unsupported(f"app setting {name}")
    if HOST_STORAGE not in settings:
        raise unsupported(f"an app without {HOST_STORAGE}")


def connection(text: str) -> dict[str, str]:
    """A storage connection string's parts by name; empty when it is none.

    https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
    """
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part)
    known = {"DefaultEndpointsProtocol", "AccountName", "AccountKey", "BlobEndpoint", "EndpointSuffix"}
    complete = {"AccountName", "AccountKey"} <= set(parts) <= known
    return parts if complete else {}


def _refuse_on_flex(one: str, several: str, names: list[str]) -> None:
    if len(names) == 1:
        raise _bad(
            f"The following {one} ({names[0]}) for Flex Consumption sites is invalid.  Please remove or rename it "
            "before retrying."
        )
    if names:
        raise _bad(
            f"The following list of {len(names)} {several} ({', '.join(names)}) for Flex Consumption sites is "
            "invalid.  Please remove or rename them before retrying."
        )


def _bad(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)
