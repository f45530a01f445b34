"""What runs left in AWS, and how it is removed. Nothing but the account is asked: no journal, no state.

The caller needs, to list: ``tag:GetResources``, ``s3:ListAllMyBuckets``, ``iam:ListRoles``, ``lambda:ListFunctions``,
``lambda:ListLayers``, ``lambda:ListLayerVersions`` and ``logs:DescribeLogGroups``; to remove: the deletes of each, of a
bucket's objects ``s3:ListBucketVersions``, ``s3:DeleteObject`` and ``s3:DeleteObjectVersion``, of a role's policies
``iam:ListRolePolicies``, ``iam:ListAttachedRolePolicies``, ``iam:DeleteRolePolicy`` and ``iam:DetachRolePolicy``.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from orchestrator.clouds import Remaining
from orchestrator.clouds.patience import patiently
from orchestrator.errors import OrchestratorError
from stacks.naming import MANAGED_BY, names_in

_NAMES: Final = {
    "lambda function": "function:{prefix}",
    "lambda layer": "layer:{prefix}-libraries:<version>",
    "iam role": "role/cloud-hopping/{run_id}/{prefix}",
    "s3 bucket": "{prefix}-data",
    "logs log-group": "log-group:/aws/lambda/{prefix}",
}
"""What ``stacks/compute_aws.py`` makes, as its ARNs end, in the order of its removal: a function goes with its URL, and
before the role that it works as and the log that it writes."""
_GONE = frozenset({"NoSuchBucket", "NoSuchEntity", "ResourceNotFoundException"})
# Conflicts, and what the services say while they are busy:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_PASSES = frozenset(
    {
        *("BucketNotEmpty", "OperationAborted", "DeleteConflict", "ConcurrentModification"),
        *("ResourceConflictException", "ResourceInUseException", "OperationAbortedException"),
        *("SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"),
        *("InternalError", "InternalFailure", "ServiceException", "ServiceUnavailable", "ServiceUnavailableException"),
    }
)
_SERVER_ERROR = 500


class AwsLeftovers:
    """One account, seen from one ``region``: buckets and roles are found wherever they are, the rest in it only."""

    def __init__(self, session: Any, region: str) -> None:
        self._session = session
        self._region = region

    @property
    def place(self) -> str:
        """Where it looks."""
        return f"AWS ({self._region})"

    def find(self, run_id: str | None = None) -> list[Remaining]:
        """What is left of a run, or of any, by tag and by name, in the order of its removal."""
        try:
            found = {*self._tagged(run_id), *(left for left in self._named(run_id) if self._is_of(left, run_id))}
        except (BotoCoreError, ClientError) as error:
            raise OrchestratorError("AWS did not say what is left", details=str(error)) from error
        order = list(_NAMES)
        return sorted(
            found, key=lambda left: (order.index(left.kind) if left.kind in order else len(order), left.kind, left.id)
        )

    def run_of(self, left: Remaining) -> str | None:
        """The run that made it; None when it is not named as a run names it, whatever its tags say."""
        resource = re.sub("(?<=-libraries:)[0-9]+$", "<version>", left.id.split(":", 5)[5])
        names = names_in(resource)
        if names is None or left.kind not in _NAMES:
            return None
        name = _NAMES[left.kind].format(prefix=names.prefix, run_id=names.run_id)
        return names.run_id if resource == name else None

    def remove(self, left: Remaining) -> None:
        """Through the service that its ARN names; a bucket or a role is emptied first. Gone already is fine.

        Raises:
            OrchestratorError: AWS refused, or it is not named as a run names it.
        """
        if self.run_of(left) is None:
            raise OrchestratorError(
                f"No run made {left.id}, so it is not removed",
                details="only its tag, or its path, is that of a run.",
                resolution="look at it in the AWS console.",
            )
        try:
            patiently(lambda: self._remove(left), passes=_passes)
        except (BotoCoreError, ClientError) as error:
            if _code(error) not in _GONE:
                raise OrchestratorError(f"AWS did not remove {left.id}", details=str(error)) from error

    # ---- listing

    def _is_of(self, left: Remaining, run_id: str | None) -> bool:
        made_by = self.run_of(left)
        return made_by is not None and run_id in (None, made_by)

    def _tagged(self, run_id: str | None) -> Iterator[Remaining]:
        """By tag, or, which is the tag of a role here, by path."""
        tag = {"Key": "run-id", "Values": [run_id]} if run_id else {"Key": "managed-by", "Values": [MANAGED_BY]}
        for entry in self._all("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList", TagFilters=[tag]):
            yield _from_arn(entry["ResourceARN"])
        path = f"/cloud-hopping/{run_id}/" if run_id else "/cloud-hopping/"
        for role in self._all("iam", "list_roles", "Roles", PathPrefix=path):
            yield _from_arn(role["Arn"])

    def _named(self, run_id: str | None) -> Iterator[Remaining]:
        """What may have a run's name, for what was made and not tagged, or cannot be found by tag."""
        prefix = f"hop-{run_id or ''}"
        partition = self._session.get_partition_for_region(self._region)
        for bucket in self._all("s3", "list_buckets", "Buckets", Prefix=prefix):
            yield _from_arn(f"arn:{partition}:s3:::{bucket['Name']}")
        for function in self._all("lambda", "list_functions", "Functions"):
            yield _from_arn(function["FunctionArn"])
        for layer in self._all("lambda", "list_layers", "Layers"):
            if layer["LayerName"].startswith(prefix):
                versions = self._all("lambda", "list_layer_versions", "LayerVersions", LayerName=layer["LayerName"])
                yield from (_from_arn(version["LayerVersionArn"]) for version in versions)
        for group in self._all("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=f"/aws/lambda/{prefix}"):
            yield _from_arn(group["arn"].removesuffix(":*"))

    def _all(self, service: str, operation: str, field: str, **arguments: Any) -> Iterator[Any]:
        for page in self._client(service).get_paginator(operation).paginate(**arguments):
            yield from page.get(field, [])

    def _client(self, service: str) -> Any:
        return self._session.client(service, region_name=self._region)

    # ---- removing

    def _remove(self, left: Remaining) -> None:
        name = left.id.rpartition(":")[2]
        match left.kind:
            case "s3 bucket":
                self._remove_bucket(name)
            case "iam role":
                self._remove_role(name.rpartition("/")[2])
            case "lambda function":
                self._client("lambda").delete_function(FunctionName=name)
            case "lambda layer":
                layer = left.id.split(":")[6]
                self._client("lambda").delete_layer_version(LayerName=layer, VersionNumber=int(name))
            case "logs log-group":
                self._client("logs").delete_log_group(logGroupName=name)

    def _remove_bucket(self, name: str) -> None:
        """With all that is in it, a thousand at a time; should it keep versions, with these."""
        client = self._client("s3")
        for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
            kept = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if kept:
                objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in kept]
                done = client.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
                for refused in done.get("Errors", []):
                    raise ClientError({"Error": refused}, "DeleteObjects")
        client.delete_bucket(Bucket=name)

    def _remove_role(self, name: str) -> None:
        for policy in self._all("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name):
            self._client("iam").detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for policy in self._all("iam", "list_role_policies", "PolicyNames", RoleName=name):
            self._client("iam").delete_role_policy(RoleName=name, PolicyName=policy)
        self._client("iam").delete_role(RoleName=name)


def _from_arn(arn: str) -> Remaining:
    """``arn:aws:lambda:us-east-1:123456789012:function:hop-...`` is a ``lambda function``."""
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    kind = "bucket" if service == "s3" else resource.replace("/", ":").split(":")[0]
    return Remaining("aws", f"{service} {kind}", arn)


def _code(error: Exception) -> str:
    return str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else ""


def _passes(error: Exception) -> bool:
    """Whether AWS may take it in a moment: a conflict, a service that is busy, or one that is not to be reached."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return _code(error) in _PASSES or status >= _SERVER_ERROR
    return isinstance(error, NoConnectionError | HTTPClientError)
