"""The compute stack on Azure: up, asked as its owner, a stranger, and Resource Manager; destroyed, nothing left."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import requests
from azure.identity import DefaultAzureCredential
from azure.mgmt.resource.resources import ResourceManagementClient

from orchestrator.clouds.azure import LAYOUT
from orchestrator.engine import Stack, StackError, StackEvent
from orchestrator.package import Archive, Layout, Package
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.directory import AUDIENCE
from stacks import compute_azure
from stacks.contracts import ArchiveFile, AzureComputeInputs, ComputeOutputs, ExtractFile
from stacks.naming import Names

ROWS = ["1990-03-25T17:00:00,1.75,3", "1991-03-25T18:00:00,1.0,3", "1992-03-04T18:00:00,,3"]
Plan = Literal["consumption", "flex"]


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud], provide_azure: Callable[[AzureCloud], None]) -> AzureCloud:
    azure = start_azure()
    provide_azure(azure)
    return azure


@pytest.fixture
def arm(azure: AzureCloud) -> Iterator[ResourceManagementClient]:
    scope = f"{AUDIENCE}.default"
    with (
        DefaultAzureCredential(authority=azure.login, disable_instance_discovery=True) as credential,
        ResourceManagementClient(
            credential, azure.subscription.id, base_url=azure.endpoint, credential_scopes=[scope]
        ) as client,
    ):
        yield client


@pytest.fixture
def packed(pack: Callable[[Layout], Package]) -> Archive:
    return pack(LAYOUT).function


@pytest.fixture
def inputs(azure: AzureCloud, names: Names, packed: Archive, tmp_path: Path) -> Callable[..., AzureComputeInputs]:
    """The stack's inputs for a plan."""
    path = tmp_path / "extract.csv"
    path.write_text("\n".join(["event_begin_time,magnitude,month", *ROWS, ""]))
    extract: Future[ExtractFile] = Future()
    extract.set_result(ExtractFile(path, hashlib.sha256(path.read_bytes()).hexdigest(), len(ROWS), ("extract.csv",)))

    def make(plan: Plan, python: str = "3.12") -> AzureComputeInputs:
        return AzureComputeInputs(
            names=names,
            subscription=azure.subscription.id,
            region="eastus",
            plan=plan,
            python=python,
            memory=2048 if plan == "flex" else None,
            timeout=60,
            title="Hail in March",
            source="a test",
            package=ArchiveFile(packed.path, packed.sha256, packed.zipped_bytes),
            extract=extract,
        )

    return make


def site(azure: AzureCloud, names: Names, path: str = "", method: str = "GET") -> requests.Response:
    """Resource Manager's answer about the app."""
    url = (
        f"{azure.endpoint}/subscriptions/{azure.subscription.id}/resourceGroups/{names.prefix}/providers/Microsoft.Web"
        f"/sites/{names.prefix}{path}"
    )
    headers = {"Authorization": f"Bearer {azure.directory.token(AUDIENCE)}"}
    return requests.request(method, url, params={"api-version": "2025-05-01"}, headers=headers, timeout=60)


def publish(azure: AzureCloud, names: Names, package: bytes) -> None:
    hosts = site(azure, names).json()["properties"]["hostNameSslStates"]
    (host,) = (state["name"] for state in hosts if state["hostType"] == "Repository")
    headers = {"Authorization": f"Bearer {azure.directory.token(AUDIENCE)}", "Content-Type": "application/zip"}
    taken = requests.post(f"https://{host}/api/publish?RemoteBuild=False", headers=headers, data=package, timeout=60)
    assert taken.status_code == 202
    said = {"complete": False, "status": 1}
    while not said["complete"]:
        assert said["status"] == 1
        said = requests.get(f"https://{host}/api/deployments/latest", headers=headers, timeout=60).json()
    assert said["status"] == 4


@pytest.mark.parametrize("plan", ["consumption", "flex"])
def test_from_nothing_to_a_chart_to_nothing(
    *,
    new_stack: Callable[[], Stack],
    azure: AzureCloud,
    arm: ResourceManagementClient,
    inputs: Callable[..., AzureComputeInputs],
    names: Names,
    packed: Archive,
    plan: Plan,
) -> None:
    stack, outputs, events = new_stack(), Future[ComputeOutputs](), list[StackEvent]()
    stack.up(lambda: compute_azure.program(inputs(plan), outputs), events.append)
    tagged = f"tagName eq 'run-id' and tagValue eq '{names.run_id}'"
    try:
        if plan == "flex":
            publish(azure, names, packed.path.read_bytes())
        made = outputs.result(0)
        assert made.function == names.prefix
        key = site(azure, names, "/host/default/listkeys", "POST").json()["functionKeys"]["default"]
        accept = {"Accept": "application/json"}
        answer = requests.get(made.url, headers={"x-functions-key": key, **accept}, timeout=60)
        assert (answer.status_code, answer.json()["counts"]) == (200, {"4": 1, "25": 2})
        stranger = requests.get(made.url, headers={"x-functions-key": "wrong", **accept}, timeout=60)
        assert (stranger.status_code, stranger.content) == (401, b"")
        assert sorted(str(found.type) for found in arm.resources.list(filter=tagged)) == [
            "Microsoft.Storage/storageAccounts",
            "Microsoft.Web/serverfarms",
            "Microsoft.Web/sites",
        ]
        _least_privilege(azure, names, plan)
        assert azure.storage.policy(names.prefix, names.account) == [
            {
                "name": "fuse",
                "type": "Lifecycle",
                "enabled": True,
                "definition": {
                    "filters": {"blobTypes": ["blockBlob"]},
                    "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 1}}},
                },
            }
        ]
        (worker,) = (
            process for process in psutil.Process().children() if "azure/bootstrap.py" in " ".join(process.cmdline())
        )
    finally:
        stack.destroy(lambda _: None)
    assert list(arm.resource_groups.list(filter=tagged)) == []
    assert list(arm.resources.list(filter=tagged)) == []
    assert not worker.is_running()


def _least_privilege(azure: AzureCloud, names: Names, plan: Plan) -> None:
    """Each signature is for one blob, for reading, over HTTPS, until the run expires."""
    settings = azure.web.app(names.prefix, names.prefix).site.settings
    urls = [settings["DATA_URL"]] + ([settings["WEBSITE_RUN_FROM_PACKAGE"]] if plan == "consumption" else [])
    for url in urls:
        fields = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
        assert (fields["sr"], fields["sp"], fields["spr"]) == ("b", "r", "https")
        assert fields["se"] == f"{names.expires:%Y-%m-%dT%H:%M:%S}.0000000Z"
        bare = requests.get(url.partition("?")[0], timeout=30)
        assert (bare.status_code, bare.headers["x-ms-error-code"]) == (409, "PublicAccessNotPermitted")


def test_no_key_and_no_signature_is_in_the_state(
    *,
    new_stack: Callable[[], Stack],
    azure: AzureCloud,
    inputs: Callable[..., AzureComputeInputs],
    names: Names,
    session_folder: Path,
) -> None:
    stack = new_stack()
    stack.up(lambda: compute_azure.program(inputs("consumption"), Future()), lambda _: None)
    app = azure.web.app(names.prefix, names.prefix)
    account = azure.storage.account_named(names.account)
    assert account is not None
    secret = [*account.keys.values(), "sig=", app.site.master_key, app.site.function_key]
    stored = [path.read_text("utf-8", "replace") for path in (session_folder / "state").rglob("*") if path.is_file()]
    state = "".join(text for text in stored if app.site.id in text)
    assert '"ciphertext"' in state
    assert [value for value in secret if value in state] == []
    stack.destroy(lambda _: None)


def test_only_the_group_is_deleted_by_name(
    new_stack: Callable[[], Stack],
    azure: AzureCloud,
    inputs: Callable[..., AzureComputeInputs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = new_stack()
    stack.up(lambda: compute_azure.program(inputs("consumption"), Future()), lambda _: None)
    for service, method in (
        (azure.web, "delete_app"),
        (azure.web, "delete_plan"),
        (azure.storage, "delete_account"),
        (azure.storage, "delete_policy"),
        (azure.storage, "delete_container"),
    ):
        monkeypatch.delattr(type(service), method)
    stack.destroy(lambda _: None)
    assert azure.subscription.groups(None) == []
    assert azure.subscription.resources(None) == []


def test_a_python_that_the_plan_does_not_have(
    new_stack: Callable[[], Stack], azure: AzureCloud, inputs: Callable[..., AzureComputeInputs]
) -> None:
    stack = new_stack()
    with pytest.raises(StackError) as raised:
        stack.up(lambda: compute_azure.program(inputs("consumption", "3.13"), Future()), lambda _: None)
    assert raised.value.details == (
        'app: Status=400 Code="BadRequest" Message="The parameter LinuxFxVersion has an invalid value."'
    )
    stack.destroy(lambda _: None)
    assert azure.subscription.groups(None) == []
