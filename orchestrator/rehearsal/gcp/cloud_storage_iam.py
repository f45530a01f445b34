"""Who may do what with a bucket's objects: its IAM policy, as far as our stacks use it.

https://cloud.google.com/storage/docs/access-control/iam.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.gcp.rest import CloudError, unsupported

# https://cloud.google.com/storage/docs/access-control/iam-roles, less what has no stand-in (folders).
_ROLES: Mapping[str, frozenset[str]] = {
    "roles/storage.objectViewer": frozenset({"storage.objects.get", "storage.objects.list"}),
}
_ACCOUNT = "serviceAccount:"
# https://cloud.google.com/iam/docs/conditions-attribute-reference: of the CEL two forms of a name, and until when.
_STARTS_WITH = re.compile(r'resource\.name\.startsWith\("([^"\\]*)"\)')
_EQUALS = re.compile(r'resource\.name == "([^"\\]*)"')
_UNTIL = re.compile(r'(.*) && request\.time < timestamp\("([0-9-]{10}T[0-9:]{8}Z)"\)')


@dataclass(frozen=True)
class Binding:
    """A role for a member (``serviceAccount:...``), under a condition or under none."""

    role: str
    member: str
    title: str | None = None
    expression: str | None = None

    @property
    def resource(self) -> dict[str, Any]:
        """As the REST API gives it."""
        condition = {"condition": {"title": self.title, "expression": self.expression}} if self.expression else {}
        return {"role": self.role, "members": [self.member], **condition}

    def allows(self, email: str, permission: str, resource_name: str) -> bool:
        """Whether it lets the account do that to ``projects/_/buckets/<bucket>[/objects/<object>]``."""
        if self.member != f"{_ACCOUNT}{email}" or permission not in _ROLES[self.role]:
            return False
        if self.expression is None:
            return True
        on_name, ends = _parts(self.expression)
        if ends is not None and clock.now() >= ends:
            return False
        if starts_with := _STARTS_WITH.fullmatch(on_name):
            return resource_name.startswith(starts_with[1])
        equals = _EQUALS.fullmatch(on_name)
        return equals is not None and resource_name == equals[1]


def _parts(expression: str) -> tuple[str, datetime | None]:
    """What a condition says of the name, and when it ends, if it does. ValueError for a time that is none."""
    until = _UNTIL.fullmatch(expression)
    return (until[1], datetime.fromisoformat(until[2])) if until else (expression, None)


def object_name(bucket: str, name: str | None) -> str:
    """What conditions call an object, or with no name its bucket."""
    return f"projects/_/buckets/{bucket}" + ("" if name is None else f"/objects/{name}")


def check(binding: Binding, *, bucket: str, uniform_access: bool, public_access_prevention: str) -> None:
    """CloudError for a binding that Cloud Storage would not take, or that we could not evaluate."""
    if binding.member in {"allUsers", "allAuthenticatedUsers"} and public_access_prevention == "enforced":
        raise CloudError(
            412,
            "conditionNotMet",
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is "
            "enforced.",
        )
    if not binding.member.startswith(_ACCOUNT):
        raise unsupported(f"member {binding.member}; service accounts are known")
    if binding.role not in _ROLES:
        raise unsupported(f"role {binding.role} on a bucket; {', '.join(_ROLES)} is known")
    if binding.expression is None:
        return
    if not uniform_access:
        raise CloudError(
            412, "conditionNotMet", f"Conditions need uniform bucket-level access, which {bucket} does not have."
        )
    try:
        on_name, _ = _parts(binding.expression)
    except ValueError as error:
        raise CloudError(400, "invalid", f"Invalid timestamp in the condition {binding.expression}") from error
    found = _STARTS_WITH.fullmatch(on_name) or _EQUALS.fullmatch(on_name)
    if not found:
        raise unsupported(
            f'condition {binding.expression}; resource.name.startsWith("...") and resource.name == "..." are known, '
            'alone or with && request.time < timestamp("...Z")'
        )
    if not found[1].startswith(object_name(bucket, "")):
        raise unsupported(f"condition {binding.expression}; names of objects in {bucket} are known")
