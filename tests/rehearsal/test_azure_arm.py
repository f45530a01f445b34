"""Resource Manager over HTTPS, asked by Azure's own client and by plain requests."""

import threading
from collections.abc import Callable, Iterator

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.mgmt.resource.resources import ResourceManagementClient

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.directory import AUDIENCE
from orchestrator.rehearsal.azure.regions import REGIONS
from orchestrator.rehearsal.azure.subscription import Resource
from tests.rehearsal.azure_apps import Apps, package

TAGGED = "tagName eq 'run-id' and tagValue eq 'mine'"
RESOURCES, WEB = "2025-04-01", "2025-05-01"


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def arm(azure: AzureCloud) -> Iterator[ResourceManagementClient]:
    with (
        DefaultAzureCredential(authority=azure.login, disable_instance_discovery=True) as credential,
        ResourceManagementClient(
            credential,
            azure.subscription.id,
            base_url=azure.endpoint,
            credential_scopes=[f"{AUDIENCE}.default"],
        ) as client,
    ):
        yield client


def ask(
    azure: AzureCloud, path: str, *, method: str = "GET", version: str = RESOURCES, bearer: str | None = "the caller's"
) -> requests.Response:
    """One request under the subscription."""
    given = azure.directory.token(AUDIENCE) if bearer == "the caller's" else bearer
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    parameters = {"api-version": version} if version else {}
    url = f"{azure.endpoint}/subscriptions/{azure.subscription.id}/{path}"
    return requests.request(method, url, params=parameters, headers=headers, timeout=30)


def error(answer: requests.Response) -> tuple[int, str, str]:
    said = answer.json()["error"]
    return answer.status_code, said["code"], said["message"]


def test_the_metadata_leads_to_the_other_hosts(azure: AzureCloud) -> None:
    host = azure.variables["ARM_METADATA_HOSTNAME"]
    url = f"https://{host}/metadata/endpoints"
    said = requests.get(url, params={"api-version": "2022-09-01"}, timeout=30).json()
    assert said == {
        "name": "Rehearsal",
        "resourceManager": f"https://{host}/",
        "authentication": {
            "loginEndpoint": f"{azure.login}/",
            "audiences": ["https://management.rehearsal.invalid/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {},
    }


def test_providers(azure: AzureCloud, arm: ResourceManagementClient) -> None:
    azure.subscription.registration["Microsoft.Storage"] = "NotRegistered"
    web, storage = arm.providers.get("Microsoft.Web"), arm.providers.get("Microsoft.Storage")
    assert (web.registration_state, storage.registration_state) == ("Registered", "NotRegistered")
    assert [kind.resource_type for kind in web.resource_types or []] == ["sites", "serverFarms"]
    assert [kind.resource_type for kind in storage.resource_types or []] == ["storageAccounts"]
    (sites, _) = web.resource_types or []
    assert sites.locations == list(REGIONS.values())
    assert sites.api_versions == ["2025-05-01"]
    with pytest.raises(ResourceNotFoundError) as raised:
        arm.providers.get("Microsoft.Compute")
    assert "InvalidResourceNamespace" in str(raised.value)


def test_groups_and_resources_by_tag(azure: AzureCloud, arm: ResourceManagementClient) -> None:
    azure.subscription.create_group("mine", "eastus", {"run-id": "mine"})
    azure.subscription.create_group("another", "westus", {"run-id": "another"})
    azure.storage.create_account(
        "mine", "hopmine", location="eastus", tags={"run-id": "mine"}, public_allowed=False, shared_keys_allowed=True
    )
    (group,) = arm.resource_groups.list(filter=TAGGED)
    assert (group.id, group.name, group.location, group.tags) == (
        f"/subscriptions/{azure.subscription.id}/resourceGroups/mine",
        "mine",
        "eastus",
        {"run-id": "mine"},
    )
    (account,) = arm.resources.list(filter=TAGGED)
    assert (account.name, account.type, account.kind, account.location) == (
        "hopmine",
        "Microsoft.Storage/storageAccounts",
        "StorageV2",
        "eastus",
    )
    assert len(list(arm.resource_groups.list())) == 2
    with pytest.raises(HttpResponseError) as raised:
        list(arm.resources.list(filter="resourceType eq 'Microsoft.Web/sites'"))
    assert "not supported in rehearsal: $filter=resourceType eq 'Microsoft.Web/sites'" in str(raised.value)


def test_a_groups_delete_is_polled(azure: AzureCloud, arm: ResourceManagementClient) -> None:
    azure.subscription.create_group("mine", "eastus", {"run-id": "mine"})
    poller = arm.resource_groups.begin_delete("mine")
    assert poller.status() == "InProgress"
    poller.result(30)
    assert list(arm.resource_groups.list(filter=TAGGED)) == []
    with pytest.raises(ResourceNotFoundError) as raised:
        arm.resource_groups.begin_delete("mine")
    assert raised.value.error is not None
    assert raised.value.error.code == "ResourceGroupNotFound"


def test_a_group_is_there_until_all_in_it_is_gone(azure: AzureCloud) -> None:
    made, gone = azure.subscription.create_group("mine", "eastus", {}), threading.Event()
    site = f"{made.id}/providers/Microsoft.Web/sites/x"
    azure.subscription.add(
        "mine", Resource(site, "Microsoft.Web/sites", "x", "eastus", {}, "app", None, lambda: _wait(gone))
    )
    taken = ask(azure, "resourcegroups/mine", method="DELETE")
    assert (taken.status_code, taken.headers["retry-after"]) == (202, "1")
    operation = taken.headers["location"].partition(f"{azure.subscription.id}/")[2].partition("?")[0]
    assert ask(azure, operation).status_code == 202
    (group,) = ask(azure, "resourcegroups").json()["value"]
    assert group["properties"] == {"provisioningState": "Deleting"}
    gone.set()
    while ask(azure, operation).status_code == 202:
        pass
    assert (ask(azure, operation).status_code, ask(azure, "resourcegroups").json()) == (200, {"value": []})


def _wait(event: threading.Event) -> None:
    assert event.wait(30)


def test_who_may_not_delete(azure: AzureCloud, arm: ResourceManagementClient) -> None:
    role = {"actions": ["*"], "notActions": ["Microsoft.Resources/subscriptions/resourceGroups/delete"]}
    azure.subscription.permissions = [role]
    azure.subscription.create_group("mine", "eastus", {})
    said = ask(azure, "providers/Microsoft.Authorization/permissions", version="2022-04-01").json()
    assert said == {"value": [role]}
    with pytest.raises(HttpResponseError) as raised:
        arm.resource_groups.begin_delete("mine")
    assert raised.value.error is not None
    assert (raised.value.status_code, raised.value.error.code) == (403, "AuthorizationFailed")


def test_a_wrong_secret(azure: AzureCloud, arm: ResourceManagementClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with (
        DefaultAzureCredential(authority=azure.login, disable_instance_discovery=True) as credential,
        pytest.raises(ClientAuthenticationError) as raised,
    ):
        credential.get_token(f"{AUDIENCE}.default")
    assert "AADSTS7000215: Invalid client secret provided." in str(raised.value)
    assert list(arm.resource_groups.list()) == []


def test_quotas(azure: AzureCloud) -> None:
    azure.subscription.limits["Y1"] = 0
    Apps(azure)
    answer = ask(azure, "providers/Microsoft.Web/locations/eastus/usages", version=WEB)
    assert answer.json()["value"] == [
        {"name": {"value": "Y1", "localizedValue": "Y1"}, "currentValue": 0, "limit": 0, "unit": "Count"},
        {"name": {"value": "FC1", "localizedValue": "FC1"}, "currentValue": 0, "limit": 10, "unit": "Count"},
    ]
    answer = ask(azure, "providers/Microsoft.Storage/locations/eastus/usages", version="2024-01-01")
    assert answer.json()["value"] == [
        {
            "name": {"value": "StorageAccounts", "localizedValue": "StorageAccounts"},
            "currentValue": 1,
            "limit": 250,
            "unit": "Count",
        },
    ]
    status, code, said = error(ask(azure, "providers/Microsoft.Web/locations/mars/usages", version=WEB))
    assert (status, code) == (400, "NoRegisteredProviderFound")
    assert said.startswith(
        "No registered resource provider found for location 'mars' and API version '2025-05-01' for type "
        "'locations/usages'. The supported api-versions are '2025-05-01'. The supported locations are '"
    )


SITE = "resourceGroups/hop/providers/Microsoft.Web/sites/hop-consumption"


def test_an_app_and_its_keys(azure: AzureCloud) -> None:
    app = Apps(azure).consumption(package())
    shown = ask(azure, SITE, version=WEB).json()
    assert (shown["name"], shown["location"], shown["properties"]["state"]) == ("hop-consumption", "eastus", "Running")
    assert shown["properties"]["defaultHostName"] == app.host_name
    assert {state["hostType"]: state["name"] for state in shown["properties"]["hostNameSslStates"]} == {
        "Standard": app.host_name,
        "Repository": app.scm_host_name,
    }
    assert app.site.settings["AzureWebJobsStorage"] not in str(shown)
    answer = ask(azure, f"{SITE}/host/default/listkeys", method="POST", version=WEB)
    assert answer.json() == {
        "masterKey": app.site.master_key,
        "functionKeys": {"default": app.site.function_key},
        "systemKeys": {},
    }
    assert len({app.site.master_key, app.site.function_key}) == 2
    azure.subscription.permissions = [{"actions": ["*/read"], "notActions": []}]
    assert error(ask(azure, f"{SITE}/host/default/listkeys", method="POST", version=WEB))[:2] == (
        403,
        "AuthorizationFailed",
    )


def test_the_keys_are_the_hosts(azure: AzureCloud) -> None:
    Apps(azure).consumption(b"no zip")
    assert error(ask(azure, f"{SITE}/host/default/listkeys", method="POST", version=WEB)) == (
        400,
        "BadRequest",
        "Encountered an error (ServiceUnavailable) from host runtime.",
    )


def test_an_app_that_is_not_there(azure: AzureCloud) -> None:
    assert error(ask(azure, SITE, version=WEB)) == (
        404,
        "ResourceGroupNotFound",
        "Resource group 'hop' could not be found.",
    )
    Apps(azure)
    assert error(ask(azure, SITE, version=WEB)) == (
        404,
        "ResourceNotFound",
        (
            "The Resource 'Microsoft.Web/sites/hop-consumption' under resource group 'hop' was not found. For more "
            "details please go to https://aka.ms/ARMResourceNotFoundFix"
        ),
    )


def test_what_every_request_needs(azure: AzureCloud) -> None:
    assert error(ask(azure, "resourcegroups", version="")) == (
        400,
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
    )
    assert error(ask(azure, "resourcegroups", version="2015-01-01")) == (
        400,
        "InvalidApiVersionParameter",
        "The api-version '2015-01-01' is invalid. The supported versions are '2025-04-01,2024-03-01'.",
    )
    assert error(ask(azure, "resourcegroups?$top=1")) == (
        501,
        "NotImplemented",
        (
            "not supported in rehearsal: query parameter $top of GET "
            f"/subscriptions/{azure.subscription.id}/resourcegroups"
        ),
    )
    assert error(ask(azure, "virtualMachines")) == (
        501,
        "NotImplemented",
        f"not supported in rehearsal: GET /subscriptions/{azure.subscription.id}/virtualMachines (404 Not Found)",
    )
    assert error(ask(azure, "../00000000-0000-0000-0000-000000000000/resourcegroups")) == (
        404,
        "SubscriptionNotFound",
        "The subscription '00000000-0000-0000-0000-000000000000' could not be found.",
    )


@pytest.mark.parametrize("path", ["resourcegroups", "resources", "nowhere", SITE])
def test_nothing_without_a_token(azure: AzureCloud, path: str) -> None:
    answer = ask(azure, path, bearer=None)
    assert error(answer)[:2] == (401, "AuthenticationFailed")
    assert answer.headers["www-authenticate"].startswith("Bearer authorization_uri=")
    storage = azure.directory.token("https://storage.azure.com/")
    assert error(ask(azure, path, bearer=storage))[:2] == (401, "InvalidAuthenticationTokenAudience")
