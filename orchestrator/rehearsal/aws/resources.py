"""The AWS resource types that our stacks use: from the engine's inputs to calls on the stand-in cloud, and back.

Here are what they share, log groups and roles; the others are in ``s3_resources`` and ``lambda_resources``. Each class
acts on exactly the inputs in ``known``; ``provider.py`` refuses every other one.
"""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pulumi_aws as aws
from botocore.exceptions import ClientError, ParamValidationError

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.aws import constraints
from orchestrator.rehearsal.aws.cloud import ACCOUNT, Amazon
from orchestrator.rehearsal.aws.conditions import UnknownConditionError, in_force
from orchestrator.rehearsal.aws.constraints import ConstraintError
from orchestrator.rehearsal.provider import HalfMadeError, LiveType, RefusedError, ResourceType

CONFIGURATION: Mapping[str, Callable[[str], Any]] = {
    "region": str,
    "defaultTags": json.loads,
    # The SDK gives these two by itself; there is nothing to validate here.
    "skipCredentialsValidation": json.loads,
    "skipRegionValidation": json.loads,
}
_GONE = frozenset(
    {
        "404", "NoSuchBucket", "NoSuchKey", "NoSuchLifecycleConfiguration", "NoSuchEntity", "ResourceNotFoundException"
    }
)  # fmt: skip


def resources(amazon: Amazon) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "aws:cloudwatch/logGroup:LogGroup": LogGroup(amazon),
        "aws:iam/role:Role": Role(amazon),
        "aws:iam/rolePolicy:RolePolicy": RolePolicy(amazon),
    }


class AwsResource(ResourceType):
    """What the types share: clients, the provider's tags, and errors in AWS's words."""

    service: str

    def __init__(self, amazon: Amazon) -> None:
        self._amazon = amazon

    def _client(self, configuration: Mapping[str, Any]) -> Any:
        return self._amazon.client(self.service, configuration["region"])

    def _ask(self, doing: str, call: Callable[..., Any], **arguments: Any) -> Any:
        """The cloud's answer; its refusal names what we were doing, as the real provider's does."""
        given = {key: value for key, value in arguments.items() if value is not None}
        client = getattr(call, "__self__").meta  # noqa: B009 - a method of a client, which its type does not say
        try:
            constraints.check(client.service_model.operation_model(client.method_to_api_mapping[call.__name__]), given)
            return call(**given)
        except (ClientError, ConstraintError, ParamValidationError) as error:
            raise RefusedError(f"{doing}: {error}") from error

    def _is_there(self, call: Callable[..., Any], **arguments: Any) -> bool:
        """Whether the cloud finds it."""
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return False
            raise RefusedError(str(error)) from error
        return True

    def _drop(self, doing: str, call: Callable[..., Any], **arguments: Any) -> None:
        """Delete; what is gone already is fine."""
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise RefusedError(f"{doing}: {error}") from error


def tags(configuration: Mapping[str, Any]) -> dict[str, str]:
    """The provider's default tags: our stacks give no others."""
    return dict(configuration.get("defaultTags", {}).get("tags", {}))


def tag_list(configuration: Mapping[str, Any]) -> list[dict[str, str]]:
    """The same as S3 and IAM take them."""
    return [{"Key": key, "Value": value} for key, value in tags(configuration).items()]


def file_path(inputs: Mapping[str, Any], key: str) -> Path:
    """Where a file asset or archive is: the engine hands over paths, not contents."""
    path = getattr(inputs[key], "path", None)
    if path is None:
        raise RefusedError(f"{key}: the rehearsal takes files only")
    return Path(path)


class LogGroup(AwsResource, LiveType):
    """A CloudWatch log group."""

    service = "logs"
    arguments = aws.cloudwatch.LogGroupArgs
    known = frozenset({"name", "retentionInDays"})
    name_input = "name"
    computed = ("arn",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html."""
        client, name = self._client(configuration), inputs["name"]
        doing = f"creating CloudWatch Logs Log Group ({name})"
        self._ask(doing, client.create_log_group, logGroupName=name, tags=tags(configuration) or None)
        outputs = {"arn": _log_group_arn(name, configuration)}
        days = inputs.get("retentionInDays")
        if days is not None:
            try:
                self._ask(doing, client.put_retention_policy, logGroupName=name, retentionInDays=days)
            except RefusedError as refusal:
                raise HalfMadeError(str(refusal), name, outputs) from refusal
        return name, outputs

    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """DescribeLogGroups lists by prefix."""
        found = self._client(configuration).describe_log_groups(logGroupNamePrefix=resource_id)["logGroups"]
        for group in found:
            if group["logGroupName"] == resource_id:
                arn = _log_group_arn(resource_id, configuration)
                return {"name": resource_id, "retentionInDays": group.get("retentionInDays"), "arn": arn}
        return None

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteLogGroup."""
        doing = f"deleting CloudWatch Logs Log Group ({resource_id})"
        self._drop(doing, self._client(configuration).delete_log_group, logGroupName=resource_id)


def _log_group_arn(name: str, configuration: Mapping[str, Any]) -> str:
    return f"arn:aws:logs:{configuration['region']}:{ACCOUNT}:log-group:{name}"


class Role(AwsResource):
    """An IAM role."""

    service = "iam"
    arguments = aws.iam.RoleArgs
    known = frozenset({"name", "path", "assumeRolePolicy", "forceDetachPolicies"})
    name_input = "name"
    computed = ("arn", "uniqueId")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html."""
        name = inputs["name"]
        role = self._ask(
            f"creating IAM Role ({name})",
            self._client(configuration).create_role,
            RoleName=name,
            Path=inputs.get("path"),
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Tags=tag_list(configuration),
        )["Role"]
        return name, {"arn": role["Arn"], "uniqueId": role["RoleId"]}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """GetRole."""
        return self._is_there(self._client(configuration).get_role, RoleName=resource_id)

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Refused while it has policies, unless the state says ``forceDetachPolicies``."""
        client = self._client(configuration)
        if state.get("forceDetachPolicies") and self.exists(resource_id, state, configuration):
            for name in client.list_role_policies(RoleName=resource_id)["PolicyNames"]:
                client.delete_role_policy(RoleName=resource_id, PolicyName=name)
            for policy in client.list_attached_role_policies(RoleName=resource_id)["AttachedPolicies"]:
                client.detach_role_policy(RoleName=resource_id, PolicyArn=policy["PolicyArn"])
        self._drop(f"deleting IAM Role ({resource_id})", client.delete_role, RoleName=resource_id)


class RolePolicy(AwsResource):
    """A role's inline policy."""

    service = "iam"
    arguments = aws.iam.RolePolicyArgs
    known = frozenset({"name", "role", "policy"})
    name_input = "name"

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html."""
        role, name = inputs["role"], inputs["name"]
        try:
            with suppress(KeyError, ValueError):  # What is no policy, IAM refuses in its own words.
                in_force(inputs["policy"], clock.now())
        except UnknownConditionError as unknown:
            raise RefusedError(f"policy: {unknown}") from unknown
        self._ask(
            f"putting IAM Role ({role}) Policy ({name})",
            self._client(configuration).put_role_policy,
            RoleName=role,
            PolicyName=name,
            PolicyDocument=inputs["policy"],
        )
        return f"{role}:{name}", {}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """GetRolePolicy."""
        client = self._client(configuration)
        return self._is_there(client.get_role_policy, RoleName=state["role"], PolicyName=state["name"])

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteRolePolicy."""
        self._drop(
            f"deleting IAM Role Policy ({resource_id})",
            self._client(configuration).delete_role_policy,
            RoleName=state["role"],
            PolicyName=state["name"],
        )
