"""What an app may be on each plan."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.rehearsal.azure.app_rules import (
    Deployment,
    Runtime,
    check_consumption_settings,
    check_settings,
    connection,
    consumption,
    flex,
)
from orchestrator.rehearsal.azure.rest import ArmError

Y1_SITE = {"linuxFxVersion": "PYTHON|3.12"}
Y1_SETTINGS = {
    "FUNCTIONS_EXTENSION_VERSION": "~4",
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "WEBSITE_RUN_FROM_PACKAGE": "https://127.0.0.1/account/data/package.zip?sig=x",
}
FLEX_SETTINGS = {"STORE": "a connection string"}
FLEX_CONFIG: dict[str, Any] = {
    "runtime": {"name": "python", "version": "3.13"},
    "scaleAndConcurrency": {"instanceMemoryMB": 2048, "maximumInstanceCount": 40},
    "deployment": {
        "storage": {
            "type": "blobContainer",
            "value": "https://127.0.0.1/account/packages",
            "authentication": {
                "type": "StorageAccountConnectionString",
                "storageAccountConnectionStringName": "STORE",
            },
        }
    },
}


def refusal(check: Callable[..., object], *arguments: object) -> tuple[int, str]:
    with pytest.raises(ArmError) as raised:
        check(*arguments)
    return raised.value.status, raised.value.message


def flex_config(path: str, value: object) -> dict[str, Any]:
    """The configuration with one value changed, or without it."""
    changed = copy.deepcopy(FLEX_CONFIG)
    *sections, name = path.split(".")
    inner = changed
    for section in sections:
        inner = inner[section]
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return changed


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12"])
def test_a_consumption_app(version: str) -> None:
    assert consumption({"linuxFxVersion": f"Python|{version}"}, None) == Runtime(version, 1536)


@pytest.mark.parametrize("linux", ["PYTHON|3.13", "PYTHON|3.9", "PYTHON", "NODE|20", ""])
def test_the_consumption_plan_gets_no_newer_python(linux: str) -> None:
    said = refusal(consumption, {"linuxFxVersion": linux}, None)
    assert said == (400, "The parameter LinuxFxVersion has an invalid value.")


def test_what_a_consumption_app_cannot_be() -> None:
    assert refusal(consumption, Y1_SITE, FLEX_CONFIG) == (
        400,
        "Site.FunctionAppConfig is invalid.  It is for Flex Consumption sites only.",
    )
    assert refusal(check_consumption_settings, Y1_SETTINGS | {"WEBSITE_RUN_FROM_PACKAGE": "1"}) == (
        501,
        "not supported in rehearsal: an app on plan Y1 without a URL in WEBSITE_RUN_FROM_PACKAGE",
    )
    assert refusal(check_consumption_settings, Y1_SETTINGS | {"FUNCTIONS_EXTENSION_VERSION": "~3"}) == (
        501,
        "not supported in rehearsal: an app on plan Y1 with FUNCTIONS_EXTENSION_VERSION=~3; ~4 is known",
    )


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("memory", [512, 2048, 4096])
def test_a_flex_app(version: str, memory: int) -> None:
    config = flex_config("runtime.version", version)
    config["scaleAndConcurrency"]["instanceMemoryMB"] = memory
    runtime, deployment = flex({"minTlsVersion": "1.2"}, FLEX_SETTINGS, config)
    assert runtime == Runtime(version, memory)
    assert deployment == Deployment("https://127.0.0.1/account/packages", "STORE")


def test_a_flex_app_wants_its_own_section() -> None:
    assert refusal(flex, {}, FLEX_SETTINGS, None) == (
        400,
        (
            "Site.FunctionAppConfig is invalid.  The FunctionAppConfig section was not specified in the request, which "
            "is required for Flex Consumption sites. To proceed, please add the FunctionAppConfig section in your "
            "request."
        ),
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("FUNCTIONS_WORKER_RUNTIME", "python"), ("FUNCTIONS_EXTENSION_VERSION", "~4"), ("WEBSITE_RUN_FROM_PACKAGE", "1")],
)
def test_app_settings_that_flex_does_not_have(setting: str, value: str) -> None:
    assert refusal(flex, {}, FLEX_SETTINGS | {setting: value}, FLEX_CONFIG) == (
        400,
        (
            f"The following app setting (Site.SiteConfig.AppSettings.{setting}) for Flex Consumption sites is invalid. "
            " Please remove or rename it before retrying."
        ),
    )


def test_site_properties_that_flex_does_not_have() -> None:
    site = {
        "netFrameworkVersion": "v4.6",
        "ftpsState": "Disabled",
        "linuxFxVersion": "PYTHON|3.12",
        "http20Enabled": True,
    }
    assert refusal(flex, site, FLEX_SETTINGS, FLEX_CONFIG) == (
        400,
        (
            "The following list of 3 site configuration properties (Site.SiteConfig.FtpsState, "
            "Site.SiteConfig.LinuxFxVersion, Site.SiteConfig.NetFrameworkVersion) for Flex Consumption sites is "
            "invalid.  Please remove or rename them before retrying."
        ),
    )


@pytest.mark.parametrize(
    ("path", "value", "status", "said"),
    [
        (
            "runtime.version",
            "3.9",
            400,
            (
                "Site.FunctionAppConfig.Runtime.Version is invalid.  The runtime version '3.9' for runtime name "
                "'python' is not supported."
            ),
        ),
        (
            "runtime.name",
            "node",
            400,
            (
                "Site.FunctionAppConfig.Runtime.Version is invalid.  The runtime version '3.13' for runtime name "
                "'node' is not supported."
            ),
        ),
        (
            "scaleAndConcurrency.instanceMemoryMB",
            1024,
            400,
            (
                "Site.FunctionAppConfig.ScaleAndConcurrency.InstanceMemoryMB is invalid.  The value must be one of "
                "512, 2048, 4096."
            ),
        ),
        (
            "scaleAndConcurrency.maximumInstanceCount",
            39,
            400,
            (
                "Site.FunctionAppConfig.ScaleAndConcurrency.MaximumInstanceCount is invalid.  The value must be from "
                "40 to 1000."
            ),
        ),
        (
            "deployment.storage.authentication.storageAccountConnectionStringName",
            "NOT_THERE",
            400,
            (
                "Site.FunctionAppConfig.Deployment.Storage.Authentication.StorageAccountConnectionStringName is "
                "invalid.  There is no app setting NOT_THERE."
            ),
        ),
        (
            "deployment.storage.authentication.type",
            "SystemAssignedIdentity",
            501,
            "not supported in rehearsal: a deployment to blobContainer with SystemAssignedIdentity",
        ),
        (
            "scaleAndConcurrency.instanceMemoryMB",
            None,
            501,
            (
                "not supported in rehearsal: a Flex Consumption app without functionAppConfig.scaleAndConcurrency."
                "instanceMemoryMB"
            ),
        ),
    ],
)
def test_what_a_flex_app_cannot_be(path: str, value: object, status: int, said: str) -> None:
    assert refusal(flex, {}, FLEX_SETTINGS, flex_config(path, value)) == (status, said)


def test_settings_that_steer_the_host_are_refused_by_name() -> None:
    settings = {"AzureWebJobsStorage": "x", "CHART_TITLE": "Hail", "AzureFunctionsJobHost__functionTimeout": "00:01:00"}
    check_settings(settings | Y1_SETTINGS, "AzureWebJobsStorage")
    assert refusal(check_settings, settings | {"FUNCTIONS_WORKER_PROCESS_COUNT": "4"}) == (
        501,
        "not supported in rehearsal: app setting FUNCTIONS_WORKER_PROCESS_COUNT",
    )
    assert refusal(check_settings, settings | {"AzureWebJobsStorage__accountName": "x"}) == (
        501,
        "not supported in rehearsal: app setting AzureWebJobsStorage__accountName",
    )
    assert refusal(check_settings, {"CHART_TITLE": "Hail"}) == (
        501,
        "not supported in rehearsal: an app without AzureWebJobsStorage",
    )


def test_a_settings_name_is_a_variables() -> None:
    assert refusal(check_settings, {"AzureWebJobsStorage": "x", "chart-title": "Hail"}) == (
        400,
        "AppSetting with name(s) 'chart-title' is not allowed: letters, digits, underscores and periods are.",
    )


def test_connection_strings() -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=hop;AccountKey=a2V5==;BlobEndpoint=https://127.0.0.1/hop/"
    assert connection(text) == {
        "DefaultEndpointsProtocol": "https",
        "AccountName": "hop",
        "AccountKey": "a2V5==",
        "BlobEndpoint": "https://127.0.0.1/hop/",
    }
    for wrong in ("", "UseDevelopmentStorage=true", "AccountName=hop", f"{text};SharedAccessSignature=x"):
        assert connection(wrong) == {}
