"""What Azure takes as the lifecycle rules of a storage account.

https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.rehearsal.azure.rest import ArmError

_MOST_RULES = 100
_RULE_NAME = re.compile(r"[A-Za-z0-9]{1,256}")
_BLOB_TYPES = frozenset({"blockBlob", "appendBlob"})


def check(rules: Sequence[Mapping[str, Any]]) -> None:
    """ArmError for what Azure would not take, of rules that delete base blobs a number of days after a change."""
    if not 1 <= len(rules) <= _MOST_RULES:
        raise _not_allowed("policy.rules", f"{len(rules)} rules")
    names = [rule["name"] for rule in rules]
    for name in names:
        if not _RULE_NAME.fullmatch(name) or names.count(name) > 1:
            raise _not_allowed("policy.rules.name", name)
    for rule in rules:
        types = rule["definition"].get("filters", {}).get("blobTypes", [])
        if not types or not set(types) <= _BLOB_TYPES:
            raise _not_allowed("policy.rules.definition.filters.blobTypes", ", ".join(types))
        delete = rule["definition"]["actions"].get("baseBlob", {}).get("delete", {})
        days = delete.get("daysAfterModificationGreaterThan")
        if days is None or days < 0 or days != int(days):
            raise _not_allowed("policy.rules.definition.actions.baseBlob.delete.daysAfterModificationGreaterThan", days)


def _not_allowed(name: str, value: object) -> ArmError:
    return ArmError(400, "InvalidRequestPropertyValue", f"The value '{value}' is not allowed for property {name}.")
