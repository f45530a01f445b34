"""What our stand-in tells the engine and who publishes, against what is published of it.

The engine's resources and functions do not go through Resource Manager's routes here, but their shapes are its own. Of
the deployment site of a flex app (``/api/publish``) no shape is published: Kudu's, which it took over, is open source.
"""

import base64
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.mgmt.resource.resources import models as resource_models
from azure.mgmt.storage import models as storage_models
from azure.mgmt.web import models as web_models

from orchestrator.clouds.azure_publish import publish
from orchestrator.clouds.invocation import FunctionError
from orchestrator.rehearsal.azure import resources, storage_resources, web_resources
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.directory import AUDIENCE
from tests.contract.azure.arm_shapes import mistakes, state_mistakes
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, Apps, package


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def configuration(azure: AzureCloud) -> Mapping[str, Any]:
    """Of the provider, as the stack sets it."""
    return {"useDefaultAzureCredential": True, "subscriptionId": azure.subscription.id, "location": "eastus"}


def test_the_resources_states_are_of_the_published_shape(azure: AzureCloud, configuration: Mapping[str, Any]) -> None:
    types = resources.resources(azure) | storage_resources.resources(azure) | web_resources.resources(azure)

    def wrong(of: str, model: Any, **inputs: Any) -> list[str]:
        """What is wrong with the state of a new resource in the group."""
        made, state = types[f"azure-native:{of}"].create({"resourceGroupName": "mine"} | inputs, configuration)
        located = {} if model in {storage_models.BlobContainer, web_models.StringDictionary} else {"location": "eastus"}
        return state_mistakes(model, {"id": made, **located, **state})

    assert wrong("resources:ResourceGroup", resource_models.ResourceGroup, location="eastus") == []
    account = {
        "accountName": "hopmine",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "minimumTlsVersion": "TLS1_2",
        "enableHttpsTrafficOnly": True,
    }
    assert wrong("storage:StorageAccount", storage_models.StorageAccount, **account) == []
    container = {"accountName": "hopmine", "containerName": "data", "publicAccess": "None"}
    assert wrong("storage:BlobContainer", storage_models.BlobContainer, **container) == []
    plan = {"name": "hop-plan", "reserved": True, "kind": "functionapp", "sku": {"name": "Y1", "tier": "Dynamic"}}
    assert wrong("web:AppServicePlan", web_models.AppServicePlan, **plan) == []
    settings = {
        "AzureWebJobsStorage": f"AccountName=hopmine;AccountKey={azure.storage.list_keys('mine', 'hopmine')['key1']}",
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_RUN_FROM_PACKAGE": "https://127.0.0.1:9/package.zip",
    }
    assert wrong("web:WebApp", web_models.Site, name="hop-app", **_site(azure, settings)) == []
    assert wrong("web:WebApp", web_models.Site, name="hop-unset", **_site(azure, {})) == []
    configured = {"name": "hop-unset", "properties": settings}
    assert wrong("web:WebAppApplicationSettings", web_models.StringDictionary, **configured) == []


def _site(azure: AzureCloud, settings: Mapping[str, str]) -> dict[str, Any]:
    pairs = [{"name": name, "value": value} for name, value in settings.items()]
    return {
        "kind": "functionapp,linux",
        "reserved": True,
        "httpsOnly": True,
        "serverFarmId": f"{azure.subscription.path}/resourceGroups/mine/providers/Microsoft.Web/serverfarms/hop-plan",
        "siteConfig": {"linuxFxVersion": "PYTHON|3.12", "minTlsVersion": "1.2", "appSettings": pairs},
    }


def test_what_the_engine_is_told_of_an_account_is_of_the_published_shape(
    azure: AzureCloud, configuration: Mapping[str, Any]
) -> None:
    Apps(azure)
    functions = storage_resources.functions(azure)
    account = {"resourceGroupName": GROUP, "accountName": ACCOUNT}
    keys = functions["azure-native:storage:listStorageAccountKeys"].call(account, configuration)
    assert mistakes(storage_models.StorageAccountListKeysResult, keys) == []
    assert [len(base64.b64decode(key["value"])) for key in keys["keys"]] == [64, 64]
    signature = functions["azure-native:storage:listStorageAccountServiceSAS"].call(
        {
            **account,
            "canonicalizedResource": f"/blob/{ACCOUNT}/data",
            "resource": "c",
            "permissions": "r",
            "protocols": "https",
            "sharedAccessExpiryTime": "2099-01-01T00:00:00Z",
        },
        configuration,
    )
    assert mistakes(storage_models.ListServiceSasResponse, signature) == []


# ---- the deployment site

# https://github.com/projectkudu/kudu/blob/master/Kudu.Contracts/Deployment/DeployResult.cs
DEPLOY_RESULT: Mapping[str, type] = {
    "id": str, "status": int, "status_text": str, "author_email": str, "author": str, "deployer": str, "message": str,
    "progress": str, "received_time": str, "start_time": str, "end_time": str, "last_success_end_time": str,
    "complete": bool, "active": bool, "is_temp": bool, "is_readonly": bool, "url": str, "log_url": str,
    "site_name": str, "provisioningState": str,
}  # fmt: skip
# https://github.com/projectkudu/kudu/blob/master/Kudu.Contracts/Deployment/DeployStatus.cs
BUILDING, FAILED, SUCCESS = 1, 3, 4


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[requests.PreparedRequest, requests.Response]]:
    """What requests sends, and the answers."""
    passed: list[tuple[requests.PreparedRequest, requests.Response]] = []
    send = requests.Session.send

    def keep(session: requests.Session, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        answer = send(session, request, **settings)
        passed.append((request, answer))
        return answer

    monkeypatch.setattr(requests.Session, "send", keep)
    return passed


@pytest.mark.parametrize(("content", "status"), [(package(), SUCCESS), (b"no zip", FAILED)], ids=["taken", "refused"])
def test_a_deployment_is_asked_for_as_the_azure_cli_does_and_told_as_kudu_does(
    *,
    azure: AzureCloud,
    passed: list[tuple[requests.PreparedRequest, requests.Response]],
    tmp_path: Path,
    content: bytes,
    status: int,
) -> None:
    app = Apps(azure).flex()
    path = tmp_path / "package.zip"
    path.write_bytes(content)
    with nullcontext() if status == SUCCESS else pytest.raises(FunctionError):
        publish(f"https://{app.scm_host_name}", path, token=azure.directory.token(AUDIENCE))
    (asked, taken), *polled = passed
    # enable_zip_deploy_flex, but for Deployer, its own name, and RemoteBuild, which it asks of every Python app:
    # https://github.com/Azure/azure-cli/blob/dev/src/azure-cli/azure/cli/command_modules/appservice/custom.py
    assert (asked.method, asked.path_url) == ("POST", "/api/publish?RemoteBuild=False")
    assert (asked.headers["content-type"], taken.status_code) == ("application/zip", 202)
    assert {(request.method, request.path_url) for request, _ in polled} == {("GET", "/api/deployments/latest")}
    said = [answer.json() for _, answer in polled]
    assert [one["status"] for one in said] == [BUILDING] * (len(said) - 1) + [status]
    assert {one["id"] for one in said} == {taken.json()}
    for one in said:
        assert {name: type(value) for name, value in one.items()}.items() <= DEPLOY_RESULT.items()
