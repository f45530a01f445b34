"""A stand-in of Azure's storage accounts and their blobs. Its blob endpoint is in ``blob_rest``.

https://learn.microsoft.com/rest/api/storagerp/ and https://learn.microsoft.com/rest/api/storageservices/.
"""

import base64
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.azure import lifecycle, sas
from orchestrator.rehearsal.azure.regions import region
from orchestrator.rehearsal.azure.rest import ArmError, not_found, unsupported
from orchestrator.rehearsal.azure.subscription import ExistsError, Resource, Subscription
from orchestrator.rehearsal.content import Content

ACCOUNT = "Microsoft.Storage/storageAccounts"
# https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create: fewer and shorter than other resources'.
_MOST_TAGS, _LONGEST_TAG = 15, 128
_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_CONTAINER_NAME = re.compile(r"[a-z0-9](-?[a-z0-9])*")
_CONTAINER_LENGTH = range(3, 64)
_BLOB_LENGTH = range(1, 1025)
_CANONICAL = re.compile(r"/blob/([^/]+)/([^/]+)(?:/(.+))?")


@dataclass(frozen=True)
class Blob:
    """A block blob."""

    name: str
    content: Content
    content_type: str
    modified: datetime

    @property
    def md5(self) -> str:
        """Base64 of the MD5."""
        return self.content.md5_base64

    @property
    def etag(self) -> str:
        """As Azure's: hexadecimal, of the time of the last change."""
        return f'"0x{int(self.modified.timestamp() * 10_000_000):X}"'


@dataclass
class Account:
    """A storage account with its two keys (base64), and its containers with their blobs, all by name.

    ``policy`` are its lifecycle rules as Resource Manager has them. They are kept, and nothing is done by them: no
    rehearsal lasts a day.
    """

    id: str
    name: str
    group: str
    location: str
    public_allowed: bool
    shared_keys_allowed: bool
    keys: Mapping[str, str]
    created: datetime
    policy: Sequence[Mapping[str, Any]] | None = None
    containers: dict[str, dict[str, Blob]] = field(default_factory=dict)


class Storage:
    """The storage accounts of a subscription. Put the names that somebody else has into ``taken``."""

    def __init__(self, subscription: Subscription) -> None:
        self.endpoint = ""
        """The blob endpoint's URL without a slash; its paths begin with the account, as Azurite's do."""
        self.taken: set[str] = set()
        self._subscription = subscription
        self._accounts: dict[str, Account] = {}

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, id) of the accounts, their containers and blobs."""
        for account in list(self._accounts.values()):
            yield "account", account.id
            if account.policy is not None:
                yield "lifecycle", f"{account.id}/managementPolicies/default"
            for container, blobs in list(account.containers.items()):
                yield "container", self.container_id(account, container)
                yield from (("blob", f"{self.container_id(account, container)}/blobs/{name}") for name in list(blobs))

    def create_account(
        self,
        group: str,
        name: str,
        *,
        location: str,
        tags: Mapping[str, str],
        public_allowed: bool,
        shared_keys_allowed: bool,
    ) -> Account:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create."""
        if not _ACCOUNT_NAME.fullmatch(name):
            raise ArmError(
                400,
                "AccountNameInvalid",
                f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters "
                "in length and use numbers and lower-case letters only.",
            )
        _check_tags(tags)
        with self._subscription.lock:
            account_id = self._subscription.check_new(
                group=group, kind=ACCOUNT, name=name, location=location, tags=tags
            )
            if name in self.taken or name in self._accounts:
                raise ArmError(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")
            if self._subscription.is_full("StorageAccounts", location):
                limit = self._subscription.limits["StorageAccounts"]
                raise ArmError(
                    409,
                    "MaxStorageAccountsCountPerSubscriptionExceeded",
                    f"Subscription {self._subscription.id} already contains {limit} storage accounts in location "
                    f"{location} and the maximum allowed is {limit}.",
                )
            keys = {key: base64.b64encode(secrets.token_bytes(64)).decode() for key in ("key1", "key2")}
            account = Account(
                account_id,
                name,
                group,
                region(location),
                public_allowed=public_allowed,
                shared_keys_allowed=shared_keys_allowed,
                keys=keys,
                created=datetime.now(UTC),
            )
            self._accounts[name] = account
            resource = Resource(
                account_id, ACCOUNT, name, account.location, tags, "StorageV2", "Standard_LRS", lambda: self._end(name)
            )
            self._subscription.add(group, resource)
            return account

    def account(self, group: str, name: str) -> Account:
        """The account of that name in the group; ArmError 404 when there is none."""
        self._subscription.group(group)
        account = self._accounts.get(name)
        if account is None or account.group.lower() != group.lower():
            raise not_found(ACCOUNT, name, group)
        return account

    def account_named(self, name: str) -> Account | None:
        """The account of that name, in whichever group."""
        return self._accounts.get(name)

    def delete_account(self, group: str, name: str) -> None:
        """Delete an account with all that is in it; ArmError 404 when there is none."""
        account = self.account(group, name)
        self._subscription.authorize(f"{ACCOUNT}/delete", account.id)
        self._subscription.remove(account.id)

    def _end(self, name: str) -> None:
        del self._accounts[name]

    # ---- the lifecycle of its blobs

    def set_policy(self, group: str, name: str, rules: Sequence[Mapping[str, Any]]) -> str:
        """Give an account its lifecycle rules; the policy's id. All accounts here are of a kind that takes them.

        https://learn.microsoft.com/rest/api/storagerp/management-policies/create-or-update
        """
        account = self.account(group, name)
        policy_id = f"{account.id}/managementPolicies/default"
        self._subscription.authorize(f"{ACCOUNT}/managementPolicies/write", policy_id)
        if account.policy is not None:
            raise ExistsError(policy_id)
        lifecycle.check(rules)
        account.policy = rules
        return policy_id

    def policy(self, group: str, name: str) -> Sequence[Mapping[str, Any]]:
        """An account's lifecycle rules; ArmError 404 when it has none."""
        account = self.account(group, name)
        if account.policy is None:
            raise ArmError(404, "ManagementPolicyNotFound", f"No ManagementPolicy found for account {name}")
        return account.policy

    def delete_policy(self, group: str, name: str) -> None:
        """Take an account's lifecycle rules away; ArmError 404 when it has none."""
        self.policy(group, name)
        account = self.account(group, name)
        self._subscription.authorize(f"{ACCOUNT}/managementPolicies/delete", f"{account.id}/managementPolicies/default")
        account.policy = None

    # ---- keys and signatures

    def list_keys(self, group: str, name: str) -> Mapping[str, str]:
        """https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys."""
        account = self.account(group, name)
        self._subscription.authorize(f"{ACCOUNT}/listKeys/action", account.id)
        return account.keys

    def list_service_sas(
        self, group: str, name: str, *, canonical: str, resource: str, permissions: str, protocols: str, expires: str
    ) -> str:
        """A token: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-service-sas."""
        account = self.account(group, name)
        self._subscription.authorize(f"{ACCOUNT}/listServiceSas/action", account.id)
        matched = _CANONICAL.fullmatch(canonical)
        if matched is None or matched[1] != name or (matched[3] is None) != (resource == "c"):
            raise ArmError(
                400,
                "InvalidValuesForRequestParameters",
                "Values for request parameters are invalid: canonicalizedResource.",
            )
        if resource not in {"b", "c"} or permissions != "r" or protocols != "https":
            raise unsupported(f"a signature for {resource}, {permissions}, {protocols}; b or c, r, https is known")
        try:
            ends = datetime.fromisoformat(expires)
        except ValueError as error:
            raise ArmError(
                400, "InvalidValuesForRequestParameters", "Values for request parameters are invalid: signedExpiry."
            ) from error
        fields = {
            "sv": sas.ARM_VERSION,
            "sr": resource,
            "spr": protocols,
            "st": _seven_digits(clock.now()),
            "se": _seven_digits(ends.astimezone(UTC)),
            "sp": permissions,
        }
        return sas.sign(account.keys["key1"], canonical, fields)

    # ---- containers and blobs

    def create_container(self, group: str, account_name: str, name: str) -> str:
        """Make a private container; its id. https://learn.microsoft.com/rest/api/storagerp/blob-containers/create."""
        account = self.account(group, account_name)
        container_id = self.container_id(account, name)
        self._subscription.authorize(f"{ACCOUNT}/blobServices/containers/write", container_id)
        if len(name) not in _CONTAINER_LENGTH:
            raise ArmError(
                400, "OutOfRangeInput", "The specified resource name length is not within the permissible limits."
            )
        if not _CONTAINER_NAME.fullmatch(name):
            raise ArmError(400, "InvalidResourceName", "The specified resource name contains invalid characters.")
        if name in account.containers:
            raise ExistsError(container_id)
        account.containers[name] = {}
        return container_id

    def container_id(self, account: Account, name: str) -> str:
        """A container's id."""
        return f"{account.id}/blobServices/default/containers/{name}"

    def container(self, group: str, account_name: str, name: str) -> dict[str, Blob]:
        """A container's blobs by name; ArmError 404 when there is no such container."""
        account = self.account(group, account_name)
        if name not in account.containers:
            raise ArmError(404, "ContainerNotFound", "The specified container does not exist.")
        return account.containers[name]

    def delete_container(self, group: str, account_name: str, name: str) -> None:
        """Delete a container with its blobs; ArmError 404 when there is none."""
        self.container(group, account_name, name)
        account = self.account(group, account_name)
        self._subscription.authorize(f"{ACCOUNT}/blobServices/containers/delete", self.container_id(account, name))
        del account.containers[name]

    def put_blob(
        self, group: str, account_name: str, container: str, name: str, *, content: Content | bytes, content_type: str
    ) -> Blob:
        """Write a blob with the account's key, as azure-native does."""
        account = self.account(group, account_name)
        if not account.shared_keys_allowed:
            raise ArmError(
                403,
                "KeyBasedAuthenticationNotPermitted",
                "Key based authentication is not permitted on this storage account.",
            )
        if len(name) not in _BLOB_LENGTH or name.endswith((".", "/")):
            raise ArmError(400, "InvalidUri", "The requested URI does not represent any resource on the server.")
        held = Content([content]) if isinstance(content, bytes) else content
        blob = Blob(name, held, content_type, datetime.now(UTC))
        self.container(group, account_name, container)[name] = blob
        return blob


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > _MOST_TAGS:
        raise ArmError(400, "InvalidTagCount", f"The number of tags {len(tags)} exceeds the maximum of {_MOST_TAGS}.")
    for name in tags:
        if len(name) > _LONGEST_TAG:
            raise ArmError(400, "InvalidTagNameCharacters", f"The tag name '{name}' has reserved characters or length.")


def _seven_digits(time: datetime) -> str:
    """A time as .NET writes it: seconds with seven digits."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond:06}0Z"
