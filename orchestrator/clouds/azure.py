"""Azure: preflight, publish, invoke, what is left, remove it.

The caller needs the role Contributor on the subscription: it makes a resource group and what is in it, reads the
account's and the app's keys, publishes, and deletes the group. Of what that allows, ``_NEEDED`` is checked before. The
providers Microsoft.Web and Microsoft.Storage have to be registered there.
"""

import fnmatch
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import requests

from orchestrator import cost, deadlines
from orchestrator.clouds import Answer, Remaining
from orchestrator.clouds.azure_clients import RETRIES, AzureClients, azure_errors, default_subscription
from orchestrator.clouds.azure_leftovers import AzureLeftovers
from orchestrator.clouds.azure_publish import ASK_AGAIN_SECONDS, publish
from orchestrator.clouds.invocation import FunctionError, archive_file, checked, get
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import Layout, Package, Target
from orchestrator.settings import AzureCompute
from stacks.contracts import AzureComputeInputs, ComputeOutputs, LiveData
from stacks.naming import Names

if TYPE_CHECKING:
    from azure.mgmt.resource.resources.models import Provider

# https://learn.microsoft.com/azure/azure-functions/functions-reference-python#folder-structure
LAYOUT = Layout(
    "Azure Functions", "function_app.py", "requirements-azure.txt", libraries=".python_packages/lib/site-packages"
)
_NEEDED = (
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.Resources/subscriptions/resourceGroups/delete",
    "Microsoft.Resources/subscriptions/resources/read",
    "Microsoft.Storage/storageAccounts/read",
    "Microsoft.Storage/storageAccounts/write",
    "Microsoft.Storage/storageAccounts/delete",
    "Microsoft.Storage/storageAccounts/managementPolicies/write",
    "Microsoft.Storage/storageAccounts/blobServices/containers/write",
    "Microsoft.Storage/storageAccounts/listKeys/action",
    "Microsoft.Storage/storageAccounts/listServiceSas/action",
    "Microsoft.Web/serverfarms/write",
    "Microsoft.Web/serverfarms/delete",
    "Microsoft.Web/sites/read",
    "Microsoft.Web/sites/write",
    "Microsoft.Web/sites/config/write",
    "Microsoft.Web/sites/delete",
    "Microsoft.Web/sites/host/listkeys/action",
)
_WEB_API, _STORAGE_API, _PERMISSIONS_API = "2025-05-01", "2024-01-01", "2022-04-01"
_SKUS = {"consumption": "Y1", "flex": "FC1"}
# A new app's host needs a while until it has mounted its package and knows its functions and keys; until then its front
# end answers these.
_NOT_READY = frozenset({400, 404, 409, 429, 500, 502, 503})
_NO_FUNCTION_YET = frozenset({404, 429, 502, 503})


class Azure:
    """The Azure side of one run."""

    reads_in_place = False

    def __init__(self, settings: AzureCompute, names: Names, *, title: str, source: str) -> None:
        self._settings = settings
        self._names = names
        self._title = title
        self._source = source
        self._subscription = settings.subscription or default_subscription(os.environ)
        self._clients = AzureClients(self._subscription)
        self._leftovers = AzureLeftovers(self._clients, self._subscription)

    # ---- preflight

    def preflight(self) -> None:
        """Azure knows the caller and the subscription, has the region and room in it, and the caller may do all."""
        with self._accepting_the_caller():
            web, storage = (self._clients.arm.providers.get(name) for name in ("Microsoft.Web", "Microsoft.Storage"))
            permissions = self._clients.get(
                "providers/Microsoft.Authorization/permissions", api_version=_PERMISSIONS_API
            )["value"]
        self._refuse_unregistered(web, storage)
        self._refuse_unknown_region(web)
        self._refuse_missing(permissions)
        self._refuse_full()

    @contextmanager
    def _accepting_the_caller(self) -> Iterator[None]:
        try:
            with azure_errors("Azure does not accept the caller"):
                yield
        except OrchestratorError as error:
            raise UsageError(
                error.brief,
                details=error.details,
                resolution="run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (in CI use "
                f"workload identity), and check the subscription {self._subscription}.",
            ) from error

    def _refuse_unregistered(self, *providers: "Provider") -> None:
        missing = [provider for provider in providers if provider.registration_state != "Registered"]
        if missing:
            commands = " and ".join(
                f"`az provider register --wait --namespace {provider.namespace}`" for provider in missing
            )
            raise UsageError(
                "A resource provider is not registered in the Azure subscription",
                details="\n".join(f"{provider.namespace}: {provider.registration_state}" for provider in missing),
                resolution=f"run {commands}, then run again.",
            )

    def _refuse_unknown_region(self, web: "Provider") -> None:
        """Regions are listed by their display names: ``East US`` is ``eastus``."""
        names = [kind.locations or [] for kind in web.resource_types or [] if kind.resource_type == "sites"]
        regions = sorted(name.lower().replace(" ", "") for listed in names for name in listed)
        if self._settings.region not in regions:
            nearest = get_close_matches(self._settings.region, regions, n=1, cutoff=0.8)
            raise UsageError(
                f"Azure has no region {self._settings.region} for function apps",
                details=f"It has {', '.join(regions)}.",
                resolution=f"set compute.region{f' to {nearest[0]}' if nearest else ''}, then run again.",
            )

    def _refuse_missing(self, permissions: list[dict[str, Any]]) -> None:
        missing = [action for action in _NEEDED if not _allowed(action, permissions)]
        if missing:
            raise UsageError(
                "The caller may not do in Azure what a run needs, destroying included",
                details="missing:\n" + "\n".join(missing),
                resolution=f"give the caller the role Contributor on the subscription {self._subscription}.",
            )

    def _refuse_full(self) -> None:
        """Quotas of the region that are used up; one that Azure does not list is not known to be."""
        region = self._settings.region
        with self._accepting_the_caller():
            usages = [
                *self._clients.get(f"providers/Microsoft.Web/locations/{region}/usages", api_version=_WEB_API)["value"],
                *self._clients.get(f"providers/Microsoft.Storage/locations/{region}/usages", api_version=_STORAGE_API)[
                    "value"
                ],
            ]
        wanted = {_SKUS[self._settings.plan], "StorageAccounts"}
        full = [
            f"{usage['name']['value']}: {usage['currentValue']} of {usage['limit']} used"
            for usage in usages
            if usage["name"]["value"] in wanted and 0 <= usage["limit"] <= usage["currentValue"]  # -1: no limit.
        ]
        if full:
            raise UsageError(
                f"There is no quota left in the Azure region {region}",
                details="\n".join(full),
                resolution="choose another compute.region or compute.plan, or ask for quota in the Azure portal.",
            )

    # ---- the run

    def package_target(self) -> Target:
        """Function apps on Linux run on Debian with glibc 2.31 or later."""
        return Target(python=self._settings.python, platform="x86_64-manylinux_2_28", layout=LAYOUT)

    def program(self, package: Package, data: LiveData, outputs: Future[ComputeOutputs]) -> Callable[[], None]:
        """``stacks/compute_azure.py`` with this run's inputs."""
        inputs = AzureComputeInputs(
            names=self._names,
            subscription=self._subscription,
            region=self._settings.region,
            plan=self._settings.plan,
            python=self._settings.python,
            memory=self._settings.memory_mib,
            timeout=self._settings.timeout,
            title=self._title,
            source=self._source,
            package=archive_file(package.function),
            extract=data.extract,
        )
        from stacks import compute_azure  # noqa: PLC0415 - the SDK takes a second to import: not before it is needed

        return lambda: compute_azure.program(inputs, outputs)

    def most_usd(self) -> float:
        """One execution that runs to the timeout."""
        return cost.azure_functions_usd(self._settings.plan, self._settings.memory_mib, self._settings.timeout)

    def invoke(self, function: ComputeOutputs, package: Package) -> Answer:
        """One GET with the app's key; on plan flex the package is published first."""
        if self._settings.plan == "flex":
            with azure_errors("The package was not published"):
                publish(self._site(function), package.function.path, token=self._clients.token())
        deadline = time.monotonic() + deadlines.FUNCTION_READY
        key = self._key(function, deadline)
        while True:
            try:
                response = get(function.url, {"x-functions-key": key}, timeout=self._settings.timeout)
            except FunctionError as error:  # A new name is not in DNS at once.
                if not isinstance(error.__cause__, requests.ConnectionError) or time.monotonic() > deadline:
                    raise
            else:
                if response.status_code not in _NO_FUNCTION_YET or time.monotonic() > deadline:
                    return checked(response.status_code, response.content)
            time.sleep(ASK_AGAIN_SECONDS)

    def _key(self, function: ComputeOutputs, deadline: float) -> str:
        """The app's function key. It is fetched here and not by the stack, so that it is in no state and no log."""
        from azure.core.exceptions import (  # noqa: PLC0415 - slow, see azure_clients
            HttpResponseError,
            ServiceRequestError,
            ServiceResponseError,
        )

        unanswered = 0
        with azure_errors("Azure did not give the function's key"):
            while True:
                try:
                    path = f"{self._app(function)}/host/default/listkeys"
                    key: str = self._clients.post(path, api_version=_WEB_API)["functionKeys"]["default"]
                except HttpResponseError as error:
                    if error.status_code not in _NOT_READY or time.monotonic() > deadline:
                        raise
                except (ServiceRequestError, ServiceResponseError):
                    # The client does not repeat a POST. This one only reads; and the app starts to answer it.
                    unanswered += 1
                    if unanswered > RETRIES:
                        raise
                else:
                    return key
                time.sleep(ASK_AGAIN_SECONDS)

    def _site(self, function: ComputeOutputs) -> str:
        """The app's deployment site."""
        names = self._clients.get(self._app(function), api_version=_WEB_API)["properties"]["hostNameSslStates"]
        for name in names:
            if name["hostType"] == "Repository":
                return f"https://{name['name']}"
        raise OrchestratorError(f"Azure named no deployment site of {function.function}", details=str(names))

    def _app(self, function: ComputeOutputs) -> str:
        return f"resourceGroups/{self._names.prefix}/providers/Microsoft.Web/sites/{function.function}"

    # ---- what is left

    def remaining(self) -> list[Remaining]:
        """Resource groups by tag and by name, and what has the tag outside of them."""
        return self._leftovers.find(self._names.run_id)

    def remove(self, left: Remaining) -> None:
        """If it is a group, named as a run names it."""
        self._leftovers.remove(left)


def _allowed(action: str, permissions: Iterable[dict[str, Any]]) -> bool:
    """Whether one of the caller's roles allows the action: https://learn.microsoft.com/azure/role-based-access-control/role-definitions."""
    return any(
        _matches(action, role.get("actions", [])) and not _matches(action, role.get("notActions", []))
        for role in permissions
    )


def _matches(action: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)
