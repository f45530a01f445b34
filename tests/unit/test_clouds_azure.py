"""Azure, as far as it needs no Azure: what roles allow, the subscription, the package's target, the price."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.clouds.azure import _NEEDED, LAYOUT, Azure, _allowed
from orchestrator.clouds.azure_clients import default_subscription
from orchestrator.package import Target
from orchestrator.settings import AzureCompute
from stacks.naming import Names, new_run_id

DELETE = "Microsoft.Resources/subscriptions/resourceGroups/delete"


def azure(**settings: Any) -> Azure:
    names = Names(new_run_id(datetime.now(UTC)))
    return Azure(AzureCompute.model_validate({"cloud": "azure"} | settings), names, title="Hail", source="a test")


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ([], False),
        ([{"actions": ["*"], "notActions": []}], True),
        ([{"actions": ["Microsoft.Resources/*"]}], True),
        ([{"actions": ["*/read"]}], False),
        ([{"actions": ["microsoft.resources/subscriptions/resourcegroups/DELETE"]}], True),
        ([{"actions": ["*"], "notActions": ["*/delete"]}], False),
        # What one role leaves out, another may give.
        ([{"actions": ["*"], "notActions": ["*/delete"]}, {"actions": [DELETE]}], True),
    ],
)
def test_what_the_callers_roles_allow(roles: list[dict[str, Any]], *, allowed: bool) -> None:
    assert _allowed(DELETE, roles) is allowed


def test_contributor_is_enough() -> None:
    # https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged#contributor
    contributor = {
        "actions": ["*"],
        "notActions": [
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
        ],
    }
    assert [action for action in _NEEDED if not _allowed(action, [contributor])] == []


@pytest.mark.parametrize(
    ("environ", "subscription"),
    [
        ({}, ""),
        ({"ARM_SUBSCRIPTION_ID": "arm"}, "arm"),
        ({"ARM_SUBSCRIPTION_ID": "arm", "AZURE_SUBSCRIPTION_ID": "azure"}, "azure"),
        ({"ARM_SUBSCRIPTION_ID": "arm", "AZURE_SUBSCRIPTION_ID": ""}, "arm"),
    ],
)
def test_the_environments_subscription(environ: dict[str, str], subscription: str) -> None:
    assert default_subscription(environ) == subscription


@pytest.mark.parametrize(("settings", "python"), [({}, "3.12"), ({"plan": "flex", "python": "3.13"}, "3.13")])
def test_the_package_is_for_azures_machines(settings: dict[str, str], python: str) -> None:
    assert azure(**settings).package_target() == Target(python, "x86_64-manylinux_2_28", LAYOUT)


def test_what_it_costs_at_most() -> None:
    # 1.5 GB for 60 s, and the execution; 2 GB on flex.
    assert azure().most_usd() == pytest.approx(1.5 * 60 * 0.000016 + 0.20 / 1e6)
    assert azure(plan="flex").most_usd() == pytest.approx(2 * 60 * 0.000026 + 0.40 / 1e6)
