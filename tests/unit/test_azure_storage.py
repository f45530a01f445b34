"""Storage accounts, containers, keys: Azure's rules for them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from orchestrator.rehearsal.azure.rest import ArmError
from orchestrator.rehearsal.azure.sas import Asked, check
from orchestrator.rehearsal.azure.storage import Account, Storage
from orchestrator.rehearsal.azure.subscription import ExistsError, Subscription

TAGS = {"run-id": "20261123-174205-k3x9qz"}


@pytest.fixture
def subscription() -> Subscription:
    subscription = Subscription(client_id="a client", object_id="an object")
    for group in ("hop", "other"):
        subscription.create_group(group, "eastus", TAGS)
    return subscription


@pytest.fixture
def storage(subscription: Subscription) -> Storage:
    return Storage(subscription)


def make(
    storage: Storage, name: str = "hopaccount", group: str = "hop", *, shared_keys_allowed: bool = True
) -> Account:
    return storage.create_account(
        group, name, location="eastus", tags=TAGS, public_allowed=False, shared_keys_allowed=shared_keys_allowed
    )


def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    with pytest.raises(ArmError) as raised:
        call()
    return raised.value.status, raised.value.code, raised.value.message


@pytest.mark.parametrize("name", ["abc", "0" * 24, "hop20261123174205k3x9qz"])
def test_account_names(storage: Storage, subscription: Subscription, name: str) -> None:
    made = make(storage, name)
    assert made.id == (
        f"/subscriptions/{subscription.id}/resourceGroups/hop/providers/Microsoft.Storage/storageAccounts/{name}"
    )
    assert [resource.id for resource in subscription.resources(("run-id", TAGS["run-id"]))] == [made.id]


@pytest.mark.parametrize("name", ["ab", "0" * 25, "Hop", "hop-1", "hop_1", "höp"])
def test_account_names_that_azure_does_not_take(storage: Storage, name: str) -> None:
    assert refusal(lambda: make(storage, name)) == (
        400,
        "AccountNameInvalid",
        (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only."
        ),
    )


@pytest.mark.parametrize(
    ("tags", "code", "message"),
    [
        (
            {f"n{number}": "" for number in range(16)},
            "InvalidTagCount",
            "The number of tags 16 exceeds the maximum of 15.",
        ),
        (
            {"n" * 129: ""},
            "InvalidTagNameCharacters",
            f"The tag name '{'n' * 129}' has reserved characters or length.",
        ),
    ],
)
def test_tags_that_an_account_does_not_take(storage: Storage, tags: dict[str, str], code: str, message: str) -> None:
    def ask() -> None:
        storage.create_account(
            "hop", "hop123", location="eastus", tags=tags, public_allowed=False, shared_keys_allowed=True
        )

    assert refusal(ask) == (400, code, message)


def test_account_names_are_unique_in_all_of_azure(storage: Storage) -> None:
    storage.taken.add("somebodys")
    make(storage)
    for name, group in (("somebodys", "hop"), ("hopaccount", "other")):
        assert refusal(lambda name=name, group=group: make(storage, name, group)) == (  # type: ignore[misc]
            409,
            "StorageAccountAlreadyTaken",
            f"The storage account named {name} is already taken.",
        )
    with pytest.raises(ExistsError):
        make(storage)


def test_the_quota_of_accounts(storage: Storage, subscription: Subscription) -> None:
    subscription.limits["StorageAccounts"] = 1
    make(storage)
    assert subscription.usages("Microsoft.Storage", "East US") == [("StorageAccounts", 1, 1)]
    assert subscription.usages("Microsoft.Storage", "westus") == [("StorageAccounts", 0, 1)]
    assert refusal(lambda: make(storage, "another")) == (
        409,
        "MaxStorageAccountsCountPerSubscriptionExceeded",
        (
            f"Subscription {subscription.id} already contains 1 storage accounts in location eastus and the maximum "
            "allowed is 1."
        ),
    )


@pytest.mark.parametrize("name", ["abc", "a-b-c", "0" * 63])
def test_container_names(storage: Storage, name: str) -> None:
    made = make(storage)
    assert storage.create_container("hop", "hopaccount", name) == f"{made.id}/blobServices/default/containers/{name}"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ab", "OutOfRangeInput"),
        ("0" * 64, "OutOfRangeInput"),
        ("Data", "InvalidResourceName"),
        ("-ab", "InvalidResourceName"),
        ("ab-", "InvalidResourceName"),
        ("a--b", "InvalidResourceName"),
        ("$logs", "InvalidResourceName"),
    ],
)
def test_container_names_that_azure_does_not_take(storage: Storage, name: str, code: str) -> None:
    make(storage)
    assert refusal(lambda: storage.create_container("hop", "hopaccount", name))[:2] == (400, code)


def test_a_blob_wants_its_container_and_the_key(storage: Storage) -> None:
    make(storage)
    make(storage, "nokeys", shared_keys_allowed=False)

    def put(account: str, name: str = "extract.csv") -> None:
        storage.put_blob("hop", account, "data", name, content=b"1", content_type="text/csv")

    assert refusal(lambda: put("hopaccount"))[:2] == (404, "ContainerNotFound")
    storage.create_container("hop", "hopaccount", "data")
    put("hopaccount")
    assert storage.container("hop", "hopaccount", "data")["extract.csv"].md5 == "xMpCOKC5I4INzFCab3WEmw=="
    assert refusal(lambda: put("hopaccount", "ends."))[:2] == (400, "InvalidUri")
    assert refusal(lambda: put("nokeys"))[:2] == (403, "KeyBasedAuthenticationNotPermitted")


POLICY = "managementPolicies/default"
DELETE = "policy.rules.definition.actions.baseBlob.delete.daysAfterModificationGreaterThan"


def rule(name: str = "fuse", days: float | None = 1, *types: str) -> dict[str, Any]:
    """A lifecycle rule, for block blobs if no types are given."""
    delete = {} if days is None else {"delete": {"daysAfterModificationGreaterThan": days}}
    definition = {"filters": {"blobTypes": list(types or ["blockBlob"])}, "actions": {"baseBlob": delete}}
    return {"name": name, "type": "Lifecycle", "enabled": True, "definition": definition}


def test_an_account_has_one_lifecycle_policy_and_takes_it_along(storage: Storage) -> None:
    account = make(storage)
    assert refusal(lambda: storage.policy("hop", "hopaccount")) == (
        404, "ManagementPolicyNotFound", "No ManagementPolicy found for account hopaccount"
    )  # fmt: skip
    assert storage.set_policy("hop", "hopaccount", [rule()]) == f"{account.id}/{POLICY}"
    assert storage.policy("hop", "hopaccount") == [rule()]
    with pytest.raises(ExistsError):
        storage.set_policy("hop", "hopaccount", [rule("another")])
    storage.delete_policy("hop", "hopaccount")
    assert refusal(lambda: storage.delete_policy("hop", "hopaccount"))[:2] == (404, "ManagementPolicyNotFound")
    storage.set_policy("hop", "hopaccount", [rule()])
    storage.delete_account("hop", "hopaccount")
    make(storage)
    assert refusal(lambda: storage.policy("hop", "hopaccount"))[:2] == (404, "ManagementPolicyNotFound")


def test_a_lifecycle_policy_is_an_action_of_its_own(storage: Storage, subscription: Subscription) -> None:
    make(storage)
    action = "Microsoft.Storage/storageAccounts/managementPolicies/{}"
    subscription.permissions = [{"actions": ["*"], "notActions": [action.format("write")]}]
    said = refusal(lambda: storage.set_policy("hop", "hopaccount", [rule()]))
    assert said[:2] == (403, "AuthorizationFailed")
    assert f"'{action.format('write')}'" in said[2]
    subscription.permissions = [{"actions": ["*"], "notActions": [action.format("delete")]}]
    storage.set_policy("hop", "hopaccount", [rule()])
    assert f"'{action.format('delete')}'" in refusal(lambda: storage.delete_policy("hop", "hopaccount"))[2]


@pytest.mark.parametrize(
    ("rules", "name", "value"),
    [
        ([], "policy.rules", "0 rules"),
        ([rule(f"r{number}") for number in range(101)], "policy.rules", "101 rules"),
        ([rule("a-b")], "policy.rules.name", "a-b"),
        ([rule("r" * 257)], "policy.rules.name", "r" * 257),
        ([rule(), rule("more"), rule()], "policy.rules.name", "fuse"),
        (
            [rule("fuse", 1, "blockBlob", "pageBlob")],
            "policy.rules.definition.filters.blobTypes",
            "blockBlob, pageBlob",
        ),
        ([rule(days=None)], DELETE, "None"),
        ([rule(days=-1)], DELETE, "-1"),
        ([rule(days=0.5)], DELETE, "0.5"),
    ],
)
def test_lifecycle_rules_that_azure_does_not_take(
    storage: Storage, rules: list[dict[str, Any]], name: str, value: str
) -> None:
    make(storage)
    assert refusal(lambda: storage.set_policy("hop", "hopaccount", rules)) == (
        400, "InvalidRequestPropertyValue", f"The value '{value}' is not allowed for property {name}."
    )  # fmt: skip


def test_what_is_in_another_group_is_not_found(storage: Storage) -> None:
    make(storage)
    assert refusal(lambda: storage.list_keys("other", "hopaccount")) == (
        404,
        "ResourceNotFound",
        (
            "The Resource 'Microsoft.Storage/storageAccounts/hopaccount' under resource group 'other' was not found. "
            "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        ),
    )


def test_keys_and_signatures_are_actions_of_their_own(storage: Storage, subscription: Subscription) -> None:
    make(storage)
    allowed = ["Microsoft.Storage/storageAccounts/read", "Microsoft.Storage/storageAccounts/write"]
    subscription.permissions = [{"actions": allowed, "notActions": []}]
    assert (
        "'Microsoft.Storage/storageAccounts/listKeys/action'"
        in refusal(lambda: storage.list_keys("hop", "hopaccount"))[2]
    )
    assert "'Microsoft.Storage/storageAccounts/listServiceSas/action'" in refusal(lambda: sas(storage))[2]


def test_two_keys_and_a_new_account_has_others(storage: Storage) -> None:
    first = dict(make(storage).keys)
    storage.delete_account("hop", "hopaccount")
    second = dict(make(storage).keys)
    assert set(first) == {"key1", "key2"}
    assert len({*first.values(), *second.values()}) == 4


def sas(storage: Storage, **changed: str) -> str:
    given = {
        "canonical": "/blob/hopaccount/data/extract.csv",
        "resource": "b",
        "permissions": "r",
        "protocols": "https",
        "expires": "2026-11-23T18:42:05Z",
        **changed,
    }
    return storage.list_service_sas("hop", "hopaccount", **given)


def test_a_signature_as_resource_manager_makes_it(storage: Storage) -> None:
    account = make(storage)
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    fields = dict(parse_qsl(sas(storage, expires=f"{expires:%Y-%m-%dT%H:%M:%SZ}")))
    assert {name: fields[name] for name in ("sv", "sr", "spr", "sp")} == {
        "sv": "2015-04-05",
        "sr": "b",
        "spr": "https",
        "sp": "r",
    }
    assert fields["se"] == f"{expires:%Y-%m-%dT%H:%M:%S}.0000000Z"
    asked = Asked("hopaccount", "data", "extract.csv", "r", "https", datetime.now(UTC))
    check(fields, [account.keys["key1"]], asked)


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        (
            {"canonical": "/blob/another/data/extract.csv"},
            400,
            "Values for request parameters are invalid: canonicalizedResource.",
        ),
        (
            {"canonical": "/blob/hopaccount/data"},
            400,
            "Values for request parameters are invalid: canonicalizedResource.",
        ),
        ({"resource": "c"}, 400, "Values for request parameters are invalid: canonicalizedResource."),
        ({"expires": "tomorrow"}, 400, "Values for request parameters are invalid: signedExpiry."),
        (
            {"permissions": "rw"},
            501,
            "not supported in rehearsal: a signature for b, rw, https; b or c, r, https is known",
        ),
        (
            {"protocols": "https,http"},
            501,
            "not supported in rehearsal: a signature for b, r, https,http; b or c, r, https is known",
        ),
    ],
)
def test_signatures_that_are_not_made(storage: Storage, changed: dict[str, str], status: int, said: str) -> None:
    make(storage)
    refused = refusal(lambda: sas(storage, **changed))
    assert (refused[0], refused[2]) == (status, said)
