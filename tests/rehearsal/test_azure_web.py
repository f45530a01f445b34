"""Plans and apps: what App Service does not take, in its own words."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.functions import FunctionApp
from orchestrator.rehearsal.azure.rest import ArmError
from orchestrator.rehearsal.azure.web import Plan
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, Apps

PYTHON = {"linuxFxVersion": "PYTHON|3.12"}


@dataclass
class Made:
    """What a test makes, with the values that App Service takes unless others are given."""

    apps: Apps

    def plan(self, name: str = "plan", **changed: str) -> Plan:
        given = {"location": "eastus", "sku": "Y1", "tier": "Dynamic", **changed}
        return self.apps.azure.web.create_plan(GROUP, name, tags={}, **given)

    def app(
        self, name: str = "hop-app", plan: str | None = None, location: str = "eastus", **settings: str
    ) -> FunctionApp:
        found = {
            "AzureWebJobsStorage": self.apps.connection,
            "FUNCTIONS_EXTENSION_VERSION": "~4",
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "WEBSITE_RUN_FROM_PACKAGE": "https://127.0.0.1/package.zip",
            **settings,
        }
        pairs = [{"name": key, "value": value} for key, value in found.items()]
        plan_id = self.plan().id if plan is None else plan
        return self.apps.azure.web.create_app(
            GROUP,
            name,
            location=location,
            tags={},
            plan_id=plan_id,
            site_config={**PYTHON, "appSettings": pairs},
            function_app_config=None,
        )


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def made(azure: AzureCloud) -> Made:
    return Made(Apps(azure))


def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    with pytest.raises(ArmError) as raised:
        call()
    return raised.value.status, raised.value.code, raised.value.message


def test_plans_that_azure_does_not_take(made: Made) -> None:
    assert refusal(lambda: made.plan(sku="B1", tier="Basic"))[2] == (
        "not supported in rehearsal: plan B1 of tier Basic; {'Y1': 'Dynamic', 'FC1': 'FlexConsumption'} are known"
    )
    assert refusal(lambda: made.plan(sku="FC1"))[0] == 501
    assert refusal(lambda: made.plan("a_plan"))[:2] == (400, "BadRequest")
    assert refusal(lambda: made.plan(sku="FC1", tier="FlexConsumption", location="australiacentral")) == (
        400,
        "BadRequest",
        "The Flex Consumption plan is not available in location 'australiacentral'.",
    )
    assert made.plan(location="Australia Central").location == "australiacentral"


def test_no_quota(made: Made, azure: AzureCloud) -> None:
    azure.subscription.limits["Y1"] = 1
    made.plan()
    made.plan("elsewhere", location="westus")
    assert refusal(lambda: made.plan("second")) == (
        401,
        "Unauthorized",
        (
            "Operation cannot be completed without additional quota. \r\nAdditional details - Location:  \r\n"
            "Current Limit (Dynamic VMs): 1 \r\nCurrent Usage: 1\r\nAmount required for this deployment (Dynamic "
            "VMs): 1 "
            "\r\n(Minimum) New Limit that you should request to enable this deployment: 2."
        ),
    )
    assert azure.subscription.usages("Microsoft.Web", "eastus") == [("Y1", 1, 1), ("FC1", 0, 10)]


@pytest.mark.parametrize("name", ["a", "x" * 61, "-hop", "hop-", "hop_app", "hop.app"])
def test_app_names_that_azure_does_not_take(made: Made, name: str) -> None:
    assert refusal(lambda: made.app(name)) == (
        400,
        "BadRequest",
        f"The host name {name}.azurewebsites.net is invalid.",
    )


def test_app_names_are_unique_in_all_of_azure(made: Made, azure: AzureCloud) -> None:
    azure.web.taken.add("Somebodys")
    plan = made.plan().id
    made.app("hop-app", plan)
    azure.subscription.create_group("other", "eastus", {})
    assert refusal(lambda: made.app("somebodys", plan)) == (
        409,
        "Conflict",
        "Website with given name somebodys already exists.",
    )


def test_the_plan_must_be_there_and_in_the_same_region(made: Made) -> None:
    plan = made.plan(location="westus").id
    assert refusal(lambda: made.app(plan=plan)) == (
        400,
        "BadRequest",
        "The app's location 'eastus' is not that of its plan plan, 'westus'.",
    )
    assert refusal(lambda: made.app(plan=f"{plan}2")) == (404, "NotFound", "Cannot find serverFarm with name plan2.")
    assert made.app(plan=plan.upper(), location="West US").site.location == "westus"


def test_a_flex_plan_takes_one_app(made: Made) -> None:
    app = made.apps.flex()
    assert refusal(lambda: made.app(plan=app.site.plan_id)) == (
        400,
        "BadRequest",
        "The Flex Consumption plan flex has an app; it takes one only.",
    )


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        (f"AccountName={ACCOUNT};AccountKey=d3Jvbmc=", "is no connection string that opens a storage account."),
        ("AccountName=another;AccountKey=d3Jvbmc=", "is no connection string that opens a storage account."),
        ("", "is no connection string that opens a storage account."),
        ("right;BlobEndpoint=https://127.0.0.1/another/", "has another account's BlobEndpoint."),
    ],
)
def test_the_hosts_own_storage_must_open(made: Made, connection: str, why: str) -> None:
    given = connection.replace("right", made.apps.connection)
    assert refusal(lambda: made.app(AzureWebJobsStorage=given)) == (
        400,
        "BadRequest",
        f"The app setting AzureWebJobsStorage {why}",
    )


def test_no_shared_keys_no_connection_string(made: Made, azure: AzureCloud) -> None:
    account = azure.storage.account_named(ACCOUNT)
    assert account is not None
    account.shared_keys_allowed = False
    assert refusal(made.app)[2].startswith("The app setting AzureWebJobsStorage is no connection string")


def test_settings_that_an_app_is_given_later_are_held_to_the_same_rules(made: Made, azure: AzureCloud) -> None:
    app = made.apps.without_settings()
    right = made.apps.settings(url="https://127.0.0.1/package.zip")

    def configured(**changed: str) -> tuple[int, str, str]:
        return refusal(lambda: azure.web.configure_app(GROUP, app.site.name, right | changed))

    assert configured(FUNCTIONS_EXTENSION_VERSION="~3")[2] == (
        "not supported in rehearsal: an app on plan Y1 with FUNCTIONS_EXTENSION_VERSION=~3; ~4 is known"
    )
    assert configured(FUNCTIONS_WORKER_PROCESS_COUNT="4")[2] == (
        "not supported in rehearsal: app setting FUNCTIONS_WORKER_PROCESS_COUNT"
    )
    assert configured(AzureWebJobsStorage="none") == (
        400,
        "BadRequest",
        "The app setting AzureWebJobsStorage is no connection string that opens a storage account.",
    )
    azure.subscription.permissions = [{"actions": ["*"], "notActions": ["Microsoft.Web/sites/config/write"]}]
    assert configured()[:2] == (403, "AuthorizationFailed")
    assert app.site.settings == {}


def test_a_flex_app_keeps_the_settings_that_it_was_made_with(made: Made, azure: AzureCloud) -> None:
    app = made.apps.flex()
    settings = dict(app.site.settings)
    assert refusal(lambda: azure.web.configure_app(GROUP, app.site.name, {"A": "b"})) == (
        501,
        "NotImplemented",
        "not supported in rehearsal: other settings of an app on plan FC1 than those it was made with",
    )
    assert app.site.settings == settings


def test_a_deployment_container_that_is_not_there(made: Made, azure: AzureCloud) -> None:
    assert refusal(lambda: made.apps.flex(container="other")) == (
        400,
        "BadRequest",
        (
            "Site.FunctionAppConfig.Deployment.Storage.Value is invalid.  There is no such container: "
            f"{azure.storage.endpoint}/{ACCOUNT}/other."
        ),
    )


def test_a_plan_with_an_app_is_not_deleted_alone(made: Made, azure: AzureCloud) -> None:
    app = made.app()
    assert refusal(lambda: azure.web.delete_plan(app.site.plan_id)) == (
        409,
        "Conflict",
        "Server farm 'plan' cannot be deleted because it has web app(s) hop-app assigned to it.",
    )
    azure.web.delete_app(GROUP, "hop-app")
    azure.web.delete_plan(app.site.plan_id)
    azure.web.delete_plan(app.site.plan_id)
    assert [resource.name for resource in azure.subscription.resources(None)] == [ACCOUNT]


def test_a_refused_app_leaves_nothing(made: Made, azure: AzureCloud) -> None:
    refusal(lambda: made.app(FUNCTIONS_WORKER_PROCESS_COUNT="4"))
    assert [resource.type for resource in azure.subscription.resources(None)] == [
        "Microsoft.Storage/storageAccounts",
        "Microsoft.Web/serverfarms",
    ]
