"""A stand-in of one Azure subscription: who may do what, which providers are registered, quotas, groups, resources.

What a provider's own resources are is in ``storage`` and ``web``; here is what Resource Manager knows of
them. Its REST routes are in ``arm``.
"""

import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from orchestrator.rehearsal.azure.regions import REGIONS, region
from orchestrator.rehearsal.azure.rest import ArmError

# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources
_GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
_MOST_TAGS, _TAG_NAME, _TAG_VALUE = 50, 512, 256
_QUOTA_STORAGE = "StorageAccounts"
_STORAGE = "Microsoft.Storage"


@dataclass(frozen=True)
class Resource:
    """A resource as Resource Manager lists it; ``end`` takes it away, when its group is deleted."""

    id: str
    type: str
    name: str
    location: str
    tags: Mapping[str, str]
    kind: str
    sku: str | None
    end: Callable[[], None]


@dataclass
class Group:
    """A resource group, and what is in it by lower-case id."""

    id: str
    name: str
    location: str
    tags: Mapping[str, str]
    state: str = "Succeeded"
    resources: dict[str, Resource] = field(default_factory=dict)


class ExistsError(Exception):
    """What azure-native says before it would write over a resource; Azure itself would update it."""

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"cannot create already existing resource '{resource_id}'")


class Subscription:
    """One subscription. Safe to use from several threads.

    Set ``registration`` (a provider's state), ``permissions`` (the caller's roles, as Authorization lists them) and
    ``limits`` (a quota in every region) to what a test wants.
    """

    def __init__(self, *, client_id: str, object_id: str, subscription_id: str | None = None) -> None:
        self.id = (subscription_id or str(uuid.uuid4())).lower()
        self.registration = {"Microsoft.Web": "Registered", _STORAGE: "Registered"}
        self.permissions: list[dict[str, list[str]]] = [{"actions": ["*"], "notActions": []}]
        self.limits = {_QUOTA_STORAGE: 250, "Y1": 10, "FC1": 10}
        self.lock = threading.RLock()
        self._caller = f"The client '{client_id}' with object id '{object_id}'"
        self._groups: dict[str, Group] = {}

    @property
    def path(self) -> str:
        """The id that all others begin with."""
        return f"/subscriptions/{self.id}"

    def check_id(self, subscription: str) -> None:
        """Refuse another subscription's id."""
        if subscription.lower() != self.id:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")

    def authorize(self, action: str, scope: str) -> None:
        """Refuse what no role of the caller allows.

        https://learn.microsoft.com/azure/role-based-access-control/role-definitions#actions
        """
        for role in self.permissions:
            if _matches(action, role["actions"]) and not _matches(action, role["notActions"]):
                return
        raise ArmError(
            403,
            "AuthorizationFailed",
            f"{self._caller} does not have authorization to perform action '{action}' over scope '{scope}' or the "
            "scope is invalid. If access was recently granted, please refresh your credentials.",
        )

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, id) of the groups, and of what Resource Manager lists in them."""
        for group in self.groups(None):
            yield "resource group", group.id
        yield from ((resource.type, resource.id) for resource in self.resources(None))

    # ---- groups

    def group_id(self, name: str) -> str:
        """The id of a group of that name."""
        return f"{self.path}/resourceGroups/{name}"

    def create_group(self, name: str, location: str, tags: Mapping[str, str]) -> Group:
        """https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update."""
        self.authorize("Microsoft.Resources/subscriptions/resourceGroups/write", self.group_id(name))
        if not _GROUP_NAME.fullmatch(name):
            raise ArmError(
                400,
                "InvalidResourceGroupName",
                f"The provided resource group name '{name}' is invalid: 1 to 90 letters, digits, underscores, "
                "parentheses, hyphens and periods, and no period at the end.",
            )
        if region(location) not in REGIONS:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceGroup",
                f"The provided location '{location}' is not available for resource group. List of available regions is "
                f"'{','.join(sorted(REGIONS))}'.",
            )
        with self.lock:
            if name.lower() in self._groups:
                raise ExistsError(self.group_id(name))
            group = Group(self.group_id(name), name, region(location), _checked(tags))
            self._groups[name.lower()] = group
            return group

    def group(self, name: str) -> Group:
        """The group of that name; ArmError 404 when there is none."""
        group = self._groups.get(name.lower())
        if group is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return group

    def groups(self, tag: tuple[str, str] | None) -> list[Group]:
        """All groups, or those with the tag (name, value), by name."""
        with self.lock:
            found = [self._groups[name] for name in sorted(self._groups)]
        return [group for group in found if tag is None or _has(group.tags, tag)]

    def begin_delete_group(self, name: str) -> Group:
        """Say that the group is going; what is in it is still there."""
        self.authorize("Microsoft.Resources/subscriptions/resourceGroups/delete", self.group_id(name))
        with self.lock:
            group = self.group(name)
            group.state = "Deleting"
            return group

    def delete_group(self, name: str) -> None:
        """Delete the group and all that is in it, the youngest first."""
        group = self.begin_delete_group(name)
        for resource in reversed(list(group.resources.values())):  # There is no new one in a group that is going.
            self.remove(resource.id)
        with self.lock:
            self._groups.pop(name.lower(), None)

    # ---- resources

    def check_new(self, *, group: str, kind: str, name: str, location: str, tags: Mapping[str, str]) -> str:
        """The id of a new resource, if Resource Manager lets its provider make it; ``kind`` as ``Microsoft.Web/sites``.

        https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider
        """
        namespace = kind.partition("/")[0]
        resource_id = f"{self.group_id(group)}/providers/{kind}/{name}"
        self.authorize(f"{kind}/write", resource_id)
        if self.registration[namespace] != "Registered":
            raise ArmError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found "
                "for how to register subscriptions.",
            )
        if region(location) not in REGIONS:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{kind}'. List of available "
                f"regions for the resource type is '{','.join(sorted(REGIONS))}'.",
            )
        found = self.group(group)
        if found.state != "Succeeded":
            raise ArmError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{group}' is in deprovisioning state and cannot perform this operation.",
            )
        if resource_id.lower() in found.resources:
            raise ExistsError(resource_id)
        _checked(tags)
        return resource_id

    def add(self, group: str, resource: Resource) -> None:
        """List a resource from now on."""
        with self.lock:
            self.group(group).resources[resource.id.lower()] = resource

    def remove(self, resource_id: str) -> None:
        """End a resource and list it no more; none is fine."""
        with self.lock:
            group = self._groups.get(resource_id.split("/")[4].lower())
            resource = group.resources.pop(resource_id.lower(), None) if group else None
        if resource:
            resource.end()

    def resources(self, tag: tuple[str, str] | None) -> list[Resource]:
        """All resources, or those with the tag (name, value), by group and age."""
        with self.lock:
            found = [resource for group in self.groups(None) for resource in group.resources.values()]
        return [resource for resource in found if tag is None or _has(resource.tags, tag)]

    # ---- quotas

    def usages(self, namespace: str, location: str) -> list[tuple[str, int, int]]:
        """(name, used, limit) of a provider's quotas in a region."""
        used = self._used(location)
        names = [name for name in self.limits if (name == _QUOTA_STORAGE) == (namespace == _STORAGE)]
        return [(name, used[name], self.limits[name]) for name in names]

    def is_full(self, name: str, location: str) -> bool:
        """Whether the quota of that name is used up in the region."""
        return self._used(location)[name] >= self.limits[name]

    def _used(self, location: str) -> Counter[str]:
        found = [resource for resource in self.resources(None) if resource.location == region(location)]
        return Counter(
            _QUOTA_STORAGE if resource.type.startswith(_STORAGE) else resource.sku for resource in found if resource.sku
        )


def _matches(action: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def _has(tags: Mapping[str, str], tag: tuple[str, str]) -> bool:
    """Tags' names do not regard case, their values do."""
    return any((name.lower(), value) == (tag[0].lower(), tag[1]) for name, value in tags.items())


def _checked(tags: Mapping[str, str]) -> Mapping[str, str]:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations."""
    if len(tags) > _MOST_TAGS:
        raise ArmError(400, "InvalidTagCount", f"The number of tags {len(tags)} exceeds the maximum of {_MOST_TAGS}.")
    for name, value in tags.items():
        if not name or len(name) > _TAG_NAME or re.search(r"[<>%&\\?/]", name):
            raise ArmError(400, "InvalidTagNameCharacters", f"The tag name '{name}' has reserved characters or length.")
        if len(value) > _TAG_VALUE:
            raise ArmError(400, "TagValueTooLong", f"The value of tag '{name}' exceeds {_TAG_VALUE} characters.")
    return dict(tags)
