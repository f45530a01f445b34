"""Resource Manager: what our client asks and what our stand-in answers, held against Microsoft's own SDKs.

There is no other server to hold beside ours, so nothing here has two sides. The SDKs are of the api-versions that we
speak.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from azure.core import AzureClouds
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import AzureAuthorityHosts, DefaultAzureCredential
from azure.mgmt.authorization.v2022_04_01 import models as authorization_models
from azure.mgmt.core.tools import get_arm_endpoints
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.resources import models as resource_models
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storage import models as storage_models
from azure.mgmt.web import WebSiteManagementClient
from azure.mgmt.web import models as web_models

from orchestrator.clouds.azure import Azure
from orchestrator.clouds.azure_clients import PUBLIC
from orchestrator.package import Archive, Package
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.directory import AUDIENCE
from orchestrator.rehearsal.azure.subscription import Resource
from orchestrator.settings import AzureCompute
from stacks.contracts import ComputeOutputs
from stacks.naming import Names
from tests.contract.azure.arm_shapes import Exchange, Operation, Recorder, mistakes, operations
from tests.rehearsal import azure_apps
from tests.rehearsal.azure_apps import Apps, package

PUBLISHED = operations(
    "azure.mgmt.resource.resources.operations._operations",
    "azure.mgmt.web.operations._operations",
    "azure.mgmt.storage.operations._usages_operations",
    "azure.mgmt.storage.operations._storage_accounts_operations",
    "azure.mgmt.authorization.v2022_04_01.operations._permissions_operations",
)
# Not in the specification for a subscription, where it can be called nevertheless; for a group it is.
# https://github.com/Azure/azure-rest-api-specs/issues/19473
PERMISSIONS = "/providers/Microsoft.Authorization/permissions"
METADATA = "/metadata/endpoints"
# What an operation answers: one model, or pages of it.
ANSWERS: Mapping[str, tuple[Any, bool]] = {
    "build_providers_get_request": (resource_models.Provider, False),
    "build_resource_groups_list_request": (resource_models.ResourceGroup, True),
    "build_resources_list_request": (resource_models.GenericResourceExpanded, True),
    "build_web_apps_get_request": (web_models.Site, False),
    "build_web_apps_list_host_keys_request": (web_models.HostKeys, False),
    "build_get_usages_in_location_list_request": (web_models.CsmUsageQuota, True),
    "build_list_by_location_request": (storage_models.Usage, True),
}
ANSWER = """
    import base64, json

    @app.route(route="hail", methods=["GET"])
    def hail(req: functions.HttpRequest) -> functions.HttpResponse:
        png = base64.b64encode(bytes.fromhex("89504e470d0a1a0a")).decode()
        return functions.HttpResponse(json.dumps({"counts": {"25": 11}, "rows": 27, "chart_png": png}))
"""


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def recorder(azure: AzureCloud) -> Recorder:
    """What passes before Resource Manager."""
    recorder = Recorder(azure._arm.app)
    azure._arm.app = recorder
    return recorder


@pytest.fixture
def clients(
    azure: AzureCloud,
) -> Iterator[tuple[ResourceManagementClient, WebSiteManagementClient, StorageManagementClient]]:
    """Microsoft's clients, each of its own api-version."""
    given: dict[str, Any] = {"base_url": azure.endpoint, "credential_scopes": [f"{AUDIENCE}.default"]}
    with (
        DefaultAzureCredential(authority=azure.login, disable_instance_discovery=True) as credential,
        ResourceManagementClient(credential, azure.subscription.id, **given) as arm,
        WebSiteManagementClient(credential, azure.subscription.id, **given) as web,
        StorageManagementClient(credential, azure.subscription.id, **given) as storage,
    ):
        yield arm, web, storage


def published(asked: Exchange) -> Operation | None:
    """The operation that a request is one of."""
    return next((operation for operation in PUBLISHED if operation.matches(asked.method, asked.path)), None)


def answered(asked: Exchange) -> list[str]:
    """What is wrong with the answer to one request of a published operation."""
    operation = published(asked)
    assert operation is not None
    if operation.builder not in ANSWERS:
        return [] if asked.content is None else [f"{operation.builder}: a body"]
    model, pages = ANSWERS[operation.builder]
    if not pages:
        return mistakes(model, asked.content, operation.builder)
    return page_mistakes(model, asked.content, operation.builder)


def page_mistakes(model: Any, content: Any, where: str) -> list[str]:
    assert set(content) <= {"value", "nextLink"}
    return [said for at, one in enumerate(content["value"]) for said in mistakes(model, one, f"{where}[{at}]")]


# ---- our client


def test_the_public_clouds_endpoints_are_those_of_microsofts_libraries() -> None:
    arm = get_arm_endpoints(AzureClouds.AZURE_PUBLIC_CLOUD)
    assert (arm["resource_manager"], arm["credential_scopes"], AzureAuthorityHosts.AZURE_PUBLIC_CLOUD) == (
        f"{PUBLIC.resource_manager}/",
        [f"{PUBLIC.audience}/.default"],
        PUBLIC.login,
    )


def a_run(plan: str, azure: AzureCloud, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that our client asks of Azure in a run, with an app that the engine would have made."""
    monkeypatch.setattr(azure_apps, "GROUP", names.prefix)
    client = Azure(AzureCompute.model_validate({"cloud": "azure", "plan": plan}), names, title="Hail", source="a test")
    client.preflight()
    path, content = tmp_path / "package.zip", package(ANSWER)
    path.write_bytes(content)
    apps = Apps(azure)
    azure.subscription.group(names.prefix).tags = {"run-id": names.run_id}
    app = apps.flex() if plan == "flex" else apps.consumption(content)
    function = ComputeOutputs(app.site.name, f"https://{app.host_name}/api/hail")
    archive = Archive(path, "", len(content), len(content))
    assert client.invoke(function, Package(archive, None)).counts == {"25": 11}
    for left in client.remaining():
        client.remove(left)
    assert client.remaining() == []


@pytest.mark.parametrize("plan", ["consumption", "flex"])
def test_what_our_client_asks_is_published_and_so_is_what_it_is_told(
    *, plan: str, azure: AzureCloud, recorder: Recorder, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(plan, azure, names, tmp_path, monkeypatch)
    told = {said.headers["location"].partition("?")[0] for said in recorder.exchanges if "location" in said.headers}
    asked = [said for said in recorder.exchanges if f"{azure.endpoint}{said.path}" not in told]
    assert len(asked) < len(recorder.exchanges)
    unpublished = {said.path.removeprefix(azure.subscription.path) for said in asked if published(said) is None}
    assert unpublished == {METADATA, PERMISSIONS}
    for said in asked:
        operation = published(said)
        if operation is not None:
            assert said.query["api-version"] == [operation.version], operation
            assert (set(said.query) - operation.query, said.body, operation.has_body) == (set(), b"", False), operation
            assert said.status in {200, 202}
            assert answered(said) == []
        elif said.path.endswith(PERMISSIONS):
            assert said.query == {"api-version": ["2022-04-01"]}
            assert page_mistakes(authorization_models.Permission, said.content, PERMISSIONS) == []
    builders = {operation.builder for said in asked if (operation := published(said))}
    site = {"build_web_apps_get_request"} if plan == "flex" else set()
    assert builders == set(ANSWERS) - {"build_web_apps_get_request"} | site | {"build_resource_groups_delete_request"}


# ---- Microsoft's clients


def test_microsofts_clients_read_everything(azure: AzureCloud, recorder: Recorder, clients: Any) -> None:
    apps = Apps(azure)
    app = apps.consumption(package())
    apps.flex()
    arm, web, storage = clients
    for namespace in ("Microsoft.Web", "Microsoft.Storage"):
        provider = arm.providers.get(namespace)
        assert (provider.namespace, provider.registration_state) == (namespace, "Registered")
    assert [group.properties.provisioning_state for group in arm.resource_groups.list()] == ["Succeeded"]
    assert sorted((one.type, one.kind) for one in arm.resources.list()) == [
        ("Microsoft.Storage/storageAccounts", "StorageV2"),
        ("Microsoft.Web/serverfarms", "functionapp"),
        ("Microsoft.Web/serverfarms", "functionapp"),
        ("Microsoft.Web/sites", "functionapp,linux"),
        ("Microsoft.Web/sites", "functionapp,linux"),
    ]
    site = web.web_apps.get(azure_apps.GROUP, app.site.name)
    assert (site.default_host_name, site.state, site.https_only) == (app.host_name, "Running", True)
    assert {state.host_type: state.name for state in site.host_name_ssl_states} == {
        web_models.HostType.STANDARD: app.host_name,
        web_models.HostType.REPOSITORY: app.scm_host_name,
    }
    keys = web.web_apps.list_host_keys(azure_apps.GROUP, app.site.name)
    assert keys.function_keys == {"default": app.site.function_key}
    assert [(one.name.value, one.current_value) for one in web.get_usages_in_location.list("eastus")] == [
        ("Y1", 1),
        ("FC1", 1),
    ]
    assert [(one.name.value, one.current_value, one.limit) for one in storage.usages.list_by_location("eastus")] == [
        ("StorageAccounts", 1, 250)
    ]
    assert {said.status for said in recorder.exchanges} == {200}
    assert {said.path: answered(said) for said in recorder.exchanges} == {said.path: [] for said in recorder.exchanges}


def test_a_groups_delete_goes_as_microsofts_poller_expects(azure: AzureCloud, recorder: Recorder, clients: Any) -> None:
    group, gone = azure.subscription.create_group("mine", "eastus", {}), threading.Event()
    site = f"{group.id}/providers/Microsoft.Web/sites/x"
    held = Resource(site, "Microsoft.Web/sites", "x", "eastus", {}, "app", None, lambda: _wait(gone))
    azure.subscription.add("mine", held)
    poller = clients[0].resource_groups.begin_delete("mine", polling_interval=0)
    assert (poller.status(), poller.done()) == ("InProgress", False)
    assert [one.properties.provisioning_state for one in clients[0].resource_groups.list()] == ["Deleting"]
    gone.set()
    poller.wait(30)
    assert (poller.status(), poller.done(), poller.result()) == ("Succeeded", True, None)
    deleted, polled = recorder.exchanges[0], [said for said in recorder.exchanges if "/operationresults/" in said.path]
    assert (deleted.status, deleted.headers["retry-after"], polled[-1].status) == (202, "1", 200)
    assert {said.status for said in polled[:-1]} <= {202}
    assert deleted.headers["location"].startswith(f"{azure.endpoint}{polled[-1].path}?api-version=")
    assert [said.content for said in (deleted, *polled)] == [None] * (len(polled) + 1)


def _wait(event: threading.Event) -> None:
    assert event.wait(30)


def _forbid(azure: AzureCloud, action: str) -> None:
    azure.subscription.permissions = [{"actions": ["*"], "notActions": [action]}]


WRONG: Mapping[str, tuple[Callable[[Any, Any, Any], Any], int, str]] = {
    "no such group": (lambda arm, _, __: arm.resource_groups.begin_delete("nowhere"), 404, "ResourceGroupNotFound"),
    "no group of an app": (lambda _, web, __: web.web_apps.get("nowhere", "x"), 404, "ResourceGroupNotFound"),
    "no such app": (lambda _, web, __: web.web_apps.get("hop", "x"), 404, "ResourceNotFound"),
    "no such provider": (lambda arm, _, __: arm.providers.get("Microsoft.X"), 404, "InvalidResourceNamespace"),
    "no such region": (
        lambda _, __, storage: list(storage.usages.list_by_location("mars")),
        400,
        "NoRegisteredProviderFound",
    ),
    "may not": (lambda arm, _, __: arm.resource_groups.begin_delete("hop"), 403, "AuthorizationFailed"),
    "no host": (lambda _, web, __: web.web_apps.list_host_keys("hop", "hop-consumption"), 400, "BadRequest"),
    "not known here": (lambda arm, _, __: list(arm.resources.list(expand="createdTime")), 501, "NotImplemented"),
    "not known at all": (lambda _, web, __: list(web.web_apps.list()), 501, "NotImplemented"),
}


@pytest.mark.parametrize("how", WRONG)
def test_an_error_is_of_the_published_shape(azure: AzureCloud, recorder: Recorder, clients: Any, how: str) -> None:
    Apps(azure).consumption(b"no zip")
    _forbid(azure, "Microsoft.Resources/subscriptions/resourceGroups/delete" if how == "may not" else "none")
    ask, status, code = WRONG[how]
    with pytest.raises(HttpResponseError) as raised:
        ask(*clients)
    said = recorder.exchanges[-1]
    assert raised.value.error is not None
    assert (raised.value.status_code, raised.value.error.code) == (status, code)
    assert raised.value.error.message == said.content["error"]["message"]
    for model in (
        resource_models.CloudError,
        web_models.DefaultErrorResponse,
        storage_models.ErrorResponseAutoGenerated,
    ):
        assert mistakes(model, said.content) == []


def test_a_caller_without_a_valid_token(
    azure: AzureCloud, recorder: Recorder, clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure.directory, "token", lambda _: "no token")
    with pytest.raises(ClientAuthenticationError) as raised:
        list(clients[0].resource_groups.list())
    assert raised.value.error is not None
    assert raised.value.error.code == "InvalidAuthenticationToken"
    assert mistakes(resource_models.CloudError, recorder.exchanges[-1].content) == []


def test_another_subscription(azure: AzureCloud, recorder: Recorder) -> None:
    other = "01234567-89ab-cdef-0123-456789abcdef"
    with (
        DefaultAzureCredential(authority=azure.login, disable_instance_discovery=True) as credential,
        ResourceManagementClient(
            credential, other, base_url=azure.endpoint, credential_scopes=[f"{AUDIENCE}.default"]
        ) as client,
        pytest.raises(ResourceNotFoundError) as raised,
    ):
        client.providers.get("Microsoft.Web")
    assert raised.value.error is not None
    assert raised.value.error.code == "SubscriptionNotFound"
    assert mistakes(resource_models.CloudError, recorder.exchanges[-1].content) == []
