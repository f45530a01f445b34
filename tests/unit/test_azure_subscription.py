"""The subscription: groups and what is in them, who may do what, providers, quotas."""

from collections.abc import Callable

import pytest

from orchestrator.rehearsal.azure.rest import ArmError
from orchestrator.rehearsal.azure.subscription import ExistsError, Resource, Subscription

SITE = "Microsoft.Web/sites"


@pytest.fixture
def subscription() -> Subscription:
    return Subscription(client_id="a client", object_id="an object")


def add(subscription: Subscription, name: str, *, group: str = "hop", ended: list[str] | None = None) -> str:
    """Put an app into a group."""
    tags = {"run-id": name}
    made = subscription.check_new(group=group, kind=SITE, name=name, location="eastus", tags=tags)
    noted = [] if ended is None else ended
    subscription.add(
        group, Resource(made, SITE, name, "eastus", tags, "functionapp,linux", None, lambda: noted.append(name))
    )
    return made


def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    with pytest.raises(ArmError) as raised:
        call()
    return raised.value.status, raised.value.code, raised.value.message


def test_a_deleted_group_takes_its_contents_along_the_youngest_first(subscription: Subscription) -> None:
    subscription.create_group("hop", "eastus", {})
    subscription.create_group("other", "eastus", {})
    ended: list[str] = []
    for name, group in (("first", "hop"), ("second", "hop"), ("stays", "other")):
        add(subscription, name, group=group, ended=ended)
    subscription.delete_group("HOP")
    assert ended == ["second", "first"]
    assert [group.name for group in subscription.groups(None)] == ["other"]
    assert [resource.name for resource in subscription.resources(None)] == ["stays"]


def test_a_group_that_is_going_takes_nothing_new(subscription: Subscription) -> None:
    subscription.create_group("hop", "eastus", {})
    assert subscription.begin_delete_group("hop").state == "Deleting"
    assert refusal(lambda: add(subscription, "late")) == (
        409,
        "ResourceGroupBeingDeleted",
        "The resource group 'hop' is in deprovisioning state and cannot perform this operation.",
    )


def test_groups_and_resources_by_tag(subscription: Subscription) -> None:
    subscription.create_group("hop-a", "East US", {"run-id": "a"})
    subscription.create_group("hop-b", "eastus", {"run-id": "b"})
    add(subscription, "a", group="hop-b")
    assert [group.name for group in subscription.groups(("run-id", "a"))] == ["hop-a"]
    assert [group.name for group in subscription.groups(("RUN-ID", "b"))] == ["hop-b"]
    assert subscription.groups(("run-id", "A")) == []
    assert [resource.name for resource in subscription.resources(("run-id", "a"))] == ["a"]
    assert subscription.groups(None)[0].location == "eastus"


@pytest.mark.parametrize("name", ["a", "x" * 90, "Übung_(1).x-y"])
def test_group_names(subscription: Subscription, name: str) -> None:
    assert subscription.create_group(name, "eastus", {}).id == f"/subscriptions/{subscription.id}/resourceGroups/{name}"


@pytest.mark.parametrize("name", ["", "x" * 91, "ends.", "a/b", "a b"])
def test_group_names_that_azure_does_not_take(subscription: Subscription, name: str) -> None:
    status, code, _ = refusal(lambda: subscription.create_group(name, "eastus", {}))
    assert (status, code) == (400, "InvalidResourceGroupName")


def test_regions(subscription: Subscription) -> None:
    status, code, said = refusal(lambda: subscription.create_group("hop", "mars", {}))
    assert (status, code) == (400, "LocationNotAvailableForResourceGroup")
    assert said.startswith(
        "The provided location 'mars' is not available for resource group. List of available regions is 'australiac"
    )
    subscription.create_group("hop", "eastus", {})
    status, code, said = refusal(
        lambda: subscription.check_new(group="hop", kind=SITE, name="x", location="mars", tags={})
    )
    assert (status, code) == (400, "LocationNotAvailableForResourceType")
    assert said.startswith("The provided location 'mars' is not available for resource type 'Microsoft.Web/sites'.")


def test_what_is_there_is_not_written_over(subscription: Subscription) -> None:
    subscription.create_group("hop", "eastus", {})
    made = add(subscription, "app")
    with pytest.raises(ExistsError) as raised:
        subscription.create_group("Hop", "eastus", {})
    assert str(raised.value) == (
        f"cannot create already existing resource '/subscriptions/{subscription.id}/resourceGroups/Hop'"
    )
    with pytest.raises(ExistsError, match=made):
        add(subscription, "app")


def test_a_group_must_be_there(subscription: Subscription) -> None:
    said = (404, "ResourceGroupNotFound", "Resource group 'hop' could not be found.")
    assert refusal(lambda: add(subscription, "app")) == said
    assert refusal(lambda: subscription.delete_group("hop")) == said


def test_a_provider_must_be_registered(subscription: Subscription) -> None:
    subscription.create_group("hop", "eastus", {})
    subscription.registration["Microsoft.Web"] = "NotRegistered"
    assert refusal(lambda: add(subscription, "app")) == (
        409,
        "MissingSubscriptionRegistration",
        (
            "The subscription is not registered to use namespace 'Microsoft.Web'. See https://aka.ms/rps-not-found for "
            "how to register subscriptions."
        ),
    )


def test_a_role_without_delete(subscription: Subscription) -> None:
    subscription.permissions = [
        {"actions": ["*"], "notActions": ["Microsoft.Resources/subscriptions/resourceGroups/delete"]}
    ]
    subscription.create_group("hop", "eastus", {})
    assert refusal(lambda: subscription.delete_group("hop")) == (
        403,
        "AuthorizationFailed",
        (
            "The client 'a client' with object id 'an object' does not have authorization to perform action "
            f"'Microsoft.Resources/subscriptions/resourceGroups/delete' over scope '/subscriptions/{subscription.id}"
            "/resourceGroups/hop' or the scope is invalid. If access was recently granted, please refresh your "
            "credentials."
        ),
    )
    assert subscription.group("hop").state == "Succeeded"


def test_one_role_is_enough_and_case_does_not_matter(subscription: Subscription) -> None:
    subscription.permissions = [
        {"actions": ["*/read"], "notActions": []},
        {"actions": ["microsoft.resources/subscriptions/resourcegroups/*"], "notActions": []},
    ]
    subscription.create_group("hop", "eastus", {})
    assert refusal(lambda: add(subscription, "app"))[1] == "AuthorizationFailed"
    subscription.permissions = []
    assert refusal(lambda: subscription.delete_group("hop"))[1] == "AuthorizationFailed"


def test_another_subscription(subscription: Subscription) -> None:
    other = "00000000-0000-0000-0000-000000000000"
    assert refusal(lambda: subscription.check_id(other)) == (
        404,
        "SubscriptionNotFound",
        f"The subscription '{other}' could not be found.",
    )


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({str(number): "" for number in range(51)}, "InvalidTagCount"),
        ({"run/id": "a"}, "InvalidTagNameCharacters"),
        ({"run-id": "x" * 257}, "TagValueTooLong"),
    ],
)
def test_tags_that_azure_does_not_take(subscription: Subscription, tags: dict[str, str], code: str) -> None:
    assert refusal(lambda: subscription.create_group("hop", "eastus", tags))[1] == code
    assert subscription.groups(None) == []
