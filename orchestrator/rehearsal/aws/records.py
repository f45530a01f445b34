"""What moto's own records hold that a caller made, in every region: read from its models, not asked of its API."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

SERVICES: Final = ("s3", "iam", "sts", "lambda", "logs", "resourcegroupstaggingapi")
"""By moto's names: those that the rehearsal's AWS has."""
# What is no thing of a caller's: moto's own books, sessions and questions that end by themselves, AWS's own policies.
_NOT_MADE: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset({"_pagination_tokens"}),
    "iam": frozenset({"aws_managed_policies"}),
    "sts": frozenset({"assumed_roles"}),
    "lambda": frozenset(),
    "logs": frozenset({"queries"}),
    "resourcegroupstaggingapi": frozenset({"_pages"}),
}


def held(caller: str) -> Iterator[tuple[str, str]]:
    """(kind, name or ARN) of each; the user ``caller`` and its keys are the rehearsal's own.

    A kind that is not known here is counted under moto's name for it: nothing is passed over.
    """
    for service in SERVICES:
        for region, backend in list(get_backend(service)[DEFAULT_ACCOUNT_ID].items()):
            known = dict(_READERS.get(service, {}))
            for attribute, records in vars(backend).items():
                if attribute in known:
                    yield from known.pop(attribute)(records, caller)
                elif isinstance(records, dict | list | set) and attribute not in _NOT_MADE[service]:
                    yield from ((f"{service} {attribute}", f"{region}: {record}") for record in list(records))
            if known:
                raise AssertionError(f"moto's {service} has no {', '.join(known)}")


def _buckets(buckets: Any, _caller: str) -> Iterator[tuple[str, str]]:
    for name, bucket in list(buckets.items()):
        yield "s3 bucket", name
        yield from (("s3 object", f"{name}/{key}") for key in list(bucket.keys))
        if bucket.rules:
            yield "s3 lifecycle", name
        yield from (("s3 upload", f"{name}/{upload}") for upload in list(bucket.multiparts))


def _roles(roles: Any, _caller: str) -> Iterator[tuple[str, str]]:
    for role in list(roles.values()):
        yield "iam role", role.name
        yield from (("iam role policy", f"{role.name}:{policy}") for policy in list(role.policies))


def _users(users: Any, caller: str) -> Iterator[tuple[str, str]]:
    yield from (("iam user", name) for name in list(users) if name != caller)


def _access_keys(keys: Any, caller: str) -> Iterator[tuple[str, str]]:
    # Those of a session of a role end by themselves, and begin with ASIA.
    users = (key for key, found in list(keys.items()) if key.startswith("AKIA") and found.user_name != caller)
    yield from (("iam access key", key) for key in users)


def _policies(policies: Any, _caller: str) -> Iterator[tuple[str, str]]:
    yield from (("iam policy", arn) for arn in list(policies) if not arn.startswith("arn:aws:iam::aws:"))


def _functions(storage: Any, _caller: str) -> Iterator[tuple[str, str]]:
    for function in storage.latest():
        yield "lambda function", function.function_arn
        if function.url_config is not None:
            yield "lambda url", function.function_arn
        if function.policy.statements:
            yield "lambda permission", function.function_arn
    for function, aliases in list(storage._aliases.items()):  # noqa: SLF001 - moto has no other way to all of them
        yield from (("lambda alias", f"{function}:{alias}") for alias in list(aliases))


def _layers(storage: Any, _caller: str) -> Iterator[tuple[str, str]]:
    for layer in list(storage._layers.values()):  # noqa: SLF001 - its own list leaves out layers without versions
        yield from (("lambda layer", version.arn) for version in list(layer.layer_versions.values()))


def _groups(groups: Any, _caller: str) -> Iterator[tuple[str, str]]:
    yield from (("logs log-group", group.arn) for group in list(groups.values()))


_READERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "s3": {"buckets": _buckets},
    "iam": {"roles": _roles, "users": _users, "access_keys": _access_keys, "managed_policies": _policies},
    "lambda": {"_lambdas": _functions, "_layers": _layers},
    "logs": {"groups": _groups},
}
