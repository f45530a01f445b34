"""The AWS resource types that our stacks use: from the engine's inputs to calls on the stand-in cloud, and back.

Each class acts on exactly the inputs in ``known``; ``provider.py`` refuses every other one.
"""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi_aws as aws
from botocore.exceptions import ClientError, ParamValidationError

from orchestrator.rehearsal.aws import constraints
from orchestrator.rehearsal.aws.cloud import ACCOUNT, Amazon
from orchestrator.rehearsal.aws.constraints import ConstraintError
from orchestrator.rehearsal.provider import HalfMadeError, LiveType, RefusedError, ResourceType

CONFIGURATION: Mapping[str, Callable[[str], Any]] = {
    "region": str,
    "defaultTags": json.loads,
    # The SDK gives these two by itself; there is nothing to validate here.
    "skipCredentialsValidation": json.loads,
    "skipRegionValidation": json.loads,
}
_GONE = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NoSuchEntity", "ResourceNotFoundException"})


def resources(amazon: Amazon) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "aws:s3/bucket:Bucket": Bucket(amazon),
        "aws:s3/bucketObjectv2:BucketObjectv2": BucketObject(amazon),
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


def _tag_list(configuration: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags(configuration).items()]


def file_content(inputs: Mapping[str, Any], key: str) -> bytes:
    """A file asset's or archive's bytes: the engine hands over paths, not contents."""
    path = getattr(inputs[key], "path", None)
    if path is None:
        raise RefusedError(f"{key}: the rehearsal takes files only")
    return Path(path).read_bytes()


class Bucket(AwsResource, LiveType):
    """An S3 bucket."""

    service = "s3"
    arguments = aws.s3.BucketArgs
    known = frozenset({"bucket", "forceDestroy"})
    name_input = "bucket"
    computed = ("arn", "region")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html."""
        client, name, region = self._client(configuration), inputs["bucket"], configuration["region"]
        doing = f"creating S3 Bucket ({name})"
        place = None if region == "us-east-1" else {"LocationConstraint": region}
        self._ask(doing, client.create_bucket, Bucket=name, CreateBucketConfiguration=place)
        tags = {"TagSet": _tag_list(configuration)}
        outputs = {"arn": f"arn:aws:s3:::{name}", "region": region}
        try:
            self._ask(f"tagging S3 Bucket ({name})", client.put_bucket_tagging, Bucket=name, Tagging=tags)
        except RefusedError as refusal:
            raise HalfMadeError(str(refusal), name, outputs) from refusal
        return name, outputs

    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """HeadBucket."""
        client = self._client(configuration)
        if not self._is_there(client.head_bucket, Bucket=resource_id):
            return None
        region = client.get_bucket_location(Bucket=resource_id)["LocationConstraint"] or "us-east-1"
        return {"bucket": resource_id, "arn": f"arn:aws:s3:::{resource_id}", "region": region}

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Refused while it has objects, unless the state says ``forceDestroy``."""
        client = self._client(configuration)
        if state.get("forceDestroy") and self.exists(resource_id, state, configuration):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=resource_id):
                for entry in page.get("Contents", []):
                    client.delete_object(Bucket=resource_id, Key=entry["Key"])
        self._drop(f"deleting S3 Bucket ({resource_id})", client.delete_bucket, Bucket=resource_id)


class BucketObject(AwsResource):
    """An object in a bucket."""

    service = "s3"
    arguments = aws.s3.BucketObjectv2Args
    known = frozenset({"bucket", "key", "source", "sourceHash", "contentType"})
    computed = ("etag",)
    not_stored = ("source",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html."""
        bucket, key = inputs["bucket"], inputs["key"]
        answer = self._ask(
            f"uploading S3 Object ({key}) to Bucket ({bucket})",
            self._client(configuration).put_object,
            Bucket=bucket,
            Key=key,
            Body=file_content(inputs, "source"),
            ContentType=inputs.get("contentType"),
        )
        return f"{bucket}/{key}", {"etag": answer["ETag"].strip('"')}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """HeadObject."""
        return self._is_there(self._client(configuration).head_object, Bucket=state["bucket"], Key=state["key"])

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteObject."""
        doing = f"deleting S3 Object ({resource_id})"
        self._drop(doing, self._client(configuration).delete_object, Bucket=state["bucket"], Key=state["key"])


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
            Tags=_tag_list(configuration),
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
