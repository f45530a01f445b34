"""What a run asks of Azure besides its stack: may it run there at all, publish, the key, one call of the function."""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from orchestrator import deadlines
from orchestrator.clouds.azure import LAYOUT, Azure
from orchestrator.clouds.azure_publish import publish
from orchestrator.clouds.invocation import FunctionError
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import Archive, Layout, Package
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.front_door import Answer, Listener, Request
from orchestrator.settings import AzureCompute
from stacks.contracts import ComputeOutputs
from stacks.naming import Names
from tests.rehearsal.compute_clouds import Case, ComputeClouds
from tests.rehearsal.test_compute_contract import ROWS, Up

NEW_CALLER = (
    "To fix it: run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (in CI use workload "
    "identity), and check the subscription {subscription}."
)


@pytest.fixture
def stand_in(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def client(stand_in: AzureCloud, names: Names) -> Callable[..., Azure]:  # noqa: ARG001 - it is in the environment
    def make(**settings: Any) -> Azure:
        chosen = AzureCompute.model_validate({"cloud": "azure"} | settings)
        return Azure(chosen, names, title="Hail in March", source="a test")

    return make


def refusal(cloud: Azure) -> str:
    with pytest.raises(UsageError) as raised:
        cloud.preflight()
    return str(raised.value)


def test_a_caller_whom_azure_does_not_know(
    stand_in: AzureCloud, client: Callable[..., Azure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    said = refusal(client())
    assert said.startswith("Azure does not accept the caller\n")
    assert "Invalid client secret provided" in said
    assert said.endswith(NEW_CALLER.format(subscription=stand_in.subscription.id))


def test_a_subscription_that_the_caller_does_not_have(client: Callable[..., Azure]) -> None:
    other = "01234567-89ab-cdef-0123-456789abcdef"
    assert refusal(client(subscription=other)) == (
        "Azure does not accept the caller\n"
        f"  The subscription '{other}' could not be found. (SubscriptionNotFound)\n"
        + NEW_CALLER.format(subscription=other)
    )


def test_a_provider_that_is_not_registered(stand_in: AzureCloud, client: Callable[..., Azure]) -> None:
    stand_in.subscription.registration |= {"Microsoft.Web": "NotRegistered", "Microsoft.Storage": "Registering"}
    assert refusal(client()) == (
        "A resource provider is not registered in the Azure subscription\n"
        "  Microsoft.Web: NotRegistered\n"
        "  Microsoft.Storage: Registering\n"
        "To fix it: run `az provider register --wait --namespace Microsoft.Web` and "
        "`az provider register --wait --namespace Microsoft.Storage`, then run again."
    )


def test_a_region_that_azure_does_not_have(client: Callable[..., Azure]) -> None:
    said = refusal(client(region="eastuss"))
    assert said.startswith("Azure has no region eastuss for function apps\n  It has australiacentral, ")
    assert said.endswith("\nTo fix it: set compute.region to eastus, then run again.")


def test_a_caller_who_may_not_delete(stand_in: AzureCloud, client: Callable[..., Azure]) -> None:
    stand_in.subscription.permissions = [{"actions": ["*"], "notActions": ["*/delete"]}]
    assert refusal(client()) == (
        "The caller may not do in Azure what a run needs, destroying included\n"
        "  missing:\n"
        "  Microsoft.Resources/subscriptions/resourceGroups/delete\n"
        "  Microsoft.Storage/storageAccounts/delete\n"
        "  Microsoft.Web/serverfarms/delete\n"
        "  Microsoft.Web/sites/delete\n"
        f"To fix it: give the caller the role Contributor on the subscription {stand_in.subscription.id}."
    )


@pytest.mark.parametrize(("plan", "quota"), [("consumption", "Y1"), ("flex", "FC1"), ("flex", "StorageAccounts")])
def test_no_quota_left(stand_in: AzureCloud, client: Callable[..., Azure], plan: str, quota: str) -> None:
    stand_in.subscription.limits |= {"Y1": 10, "FC1": 10, quota: 0}
    assert refusal(client(plan=plan)) == (
        "There is no quota left in the Azure region eastus\n"
        f"  {quota}: 0 of 0 used\n"
        "To fix it: choose another compute.region or compute.plan, or ask for quota in the Azure portal."
    )


@pytest.mark.parametrize("limits", [{"FC1": 0}, {"Y1": -1}], ids=["of the other plan", "without a limit"])
def test_a_quota_that_does_not_matter(
    stand_in: AzureCloud, client: Callable[..., Azure], limits: dict[str, int]
) -> None:
    stand_in.subscription.limits |= limits
    client(plan="consumption").preflight()


def packed_as(package: Package, path: Path, content: bytes) -> Package:
    path.write_bytes(content)
    return replace(package, function=Archive(path, "", len(content), len(content)))


@pytest.fixture
def flex(compute_clouds: ComputeClouds, new_stack: Callable[[], Any]) -> Any:
    """A flex app that is up, and empty."""
    case = compute_clouds.case("azure-flex")
    case.data.extract(ROWS)
    up = Up(new_stack(), case)
    up.wait()
    yield case, up.outputs.result(0)
    up.stack.destroy(lambda _: None)


@pytest.mark.parametrize("name", ["azure", "azure-flex"])
def test_no_key_and_no_signature_is_in_the_state_in_plain_text(
    compute_clouds: ComputeClouds, new_stack: Callable[[], Any], session_folder: Path, name: str
) -> None:
    case = compute_clouds.case(name)
    case.data.extract(ROWS)
    up = Up(new_stack(), case)
    up.wait()
    assert up.failure is None
    (state,) = (session_folder / "state" / ".pulumi" / "stacks").rglob(f"{case.names.run_id}-*.json")
    text = state.read_text()
    assert "ciphertext" in text
    assert [word for word in ("AccountKey", "sig=") if word in text] == []
    up.stack.destroy(lambda _: None)


def test_a_package_that_azure_does_not_unpack(flex: tuple[Case, ComputeOutputs], tmp_path: Path) -> None:
    case, function = flex
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "no function")
    with pytest.raises(FunctionError) as raised:
        case.cloud.invoke(function, packed_as(case.package, tmp_path / "other.zip", empty.getvalue()))
    assert raised.value.brief == "Azure did not unpack the package"
    assert "host.json" in str(raised.value.details)


# ---- an app that is not ready yet


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function app that answers what a test says, one after the other."""
    listeners = []

    def start(*statuses: int) -> tuple[Azure, ComputeOutputs, list[Request]]:
        asked: list[Request] = []

        def answer(request: Request) -> Answer:
            asked.append(request)
            return Answer(statuses[min(len(asked), len(statuses)) - 1], {}, b"what it said")

        listeners.append(Listener(answer))
        cloud = Azure(
            AzureCompute(cloud="azure"), Names("20261123-174205-k3x9qz"), title="Hail in March", source="a test"
        )
        monkeypatch.setattr(cloud, "_key", lambda *_: "key")
        return cloud, ComputeOutputs("hop", f"{listeners[-1].url}/api/hail"), asked

    yield start
    for listener in listeners:
        listener.close()


def test_a_host_that_starts_is_asked_again(answering: Any, packed: Package) -> None:
    cloud, function, asked = answering(503, 404, 502, 500)
    with pytest.raises(FunctionError) as raised:
        cloud.invoke(function, packed)
    assert str(raised.value) == (
        "The function answered 500\n"
        "  what it said\n"
        "To fix it: the lines above are the function's: mend analysis.query or function_code/, and run again."
    )
    assert [request.headers["x-functions-key"] for request in asked] == ["key"] * 4


def test_a_host_that_never_starts_is_given_up(answering: Any, packed: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "FUNCTION_READY", 0.0)
    cloud, function, _ = answering(HTTPStatus.SERVICE_UNAVAILABLE)
    with pytest.raises(FunctionError) as raised:
        cloud.invoke(function, packed)
    assert raised.value.brief == "The function answered 503"


def test_a_wrong_key_is_not_tried_again(answering: Any, packed: Package) -> None:
    cloud, function, asked = answering(401, 200)
    with pytest.raises(FunctionError) as raised:
        cloud.invoke(function, packed)
    assert (raised.value.brief, len(asked)) == ("The function answered 401", 1)


def test_the_key_of_an_app_that_never_comes(
    client: Callable[..., Azure], packed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "FUNCTION_READY", 0.0)
    with pytest.raises(OrchestratorError) as raised:
        client().invoke(ComputeOutputs("hop", "https://127.0.0.1:9/api/hail"), packed)
    assert raised.value.brief == "Azure did not give the function's key"
    assert "(ResourceGroupNotFound)" in str(raised.value.details)


def test_the_package_is_one_zip_with_the_libraries_where_azure_looks(pack: Callable[[Layout], Package]) -> None:
    packed = pack(LAYOUT)
    assert packed.layer is None
    with zipfile.ZipFile(packed.function.path) as archive:
        names = archive.namelist()
    assert {"function_app.py", "host.json", "analysis.py", "chart.py"} <= set(names)
    libraries = ".python_packages/lib/site-packages"
    assert f"{libraries}/azure/functions/__init__.py" in names
    assert f"{libraries}/pandas/__init__.py" in names
    for module in ("function_app", "analysis", "chart"):  # A cold start compiles none of them.
        assert f"__pycache__/{module}.{sys.implementation.cache_tag}.pyc" in names
    assert f"{libraries}/pandas/__pycache__/__init__.{sys.implementation.cache_tag}.pyc" in names


# ---- a deployment site that is not up yet


@pytest.fixture
def site() -> Any:
    """A deployment site that answers what a test says, one after the other: a status, and a deployment or nothing."""
    listeners = []

    def start(*answers: tuple[int, dict[str, Any] | None]) -> tuple[str, list[str]]:
        asked: list[str] = []

        def answer(request: Request) -> Answer:
            asked.append(f"{request.method} {urlsplit(request.url).path}")
            status, said = answers[min(len(asked), len(answers)) - 1]
            return Answer(status, {"Content-Type": "application/json"}, json.dumps(said).encode() if said else b"")

        listeners.append(Listener(answer))
        return listeners[-1].url, asked

    yield start
    for listener in listeners:
        listener.close()


RUNNING, DONE = {"complete": False}, {"complete": True, "status": 4}


def test_a_site_that_is_not_up_is_asked_again(site: Any, packed: Package) -> None:
    url, asked = site((503, None), (404, None), (202, None), (502, None), (200, RUNNING), (404, None), (200, DONE))
    publish(url, packed.function.path, token="token")
    assert asked == ["POST /api/publish"] * 3 + ["GET /api/deployments/latest"] * 4


def test_a_site_that_does_not_take_the_package(site: Any, packed: Package) -> None:
    url, _ = site((409, {"Message": "a deployment is in progress"}))
    with pytest.raises(FunctionError) as raised:
        publish(url, packed.function.path, token="token")
    assert str(raised.value) == ('Azure did not take the package\n  409 {"Message": "a deployment is in progress"}')


def test_a_site_that_nobody_serves(packed: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "PUBLISH", 0.1)
    with pytest.raises(requests.ConnectionError):
        publish("http://127.0.0.1:9", packed.function.path, token="token")
