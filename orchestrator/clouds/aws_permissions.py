"""What a run does in AWS, and whether the caller may: asked of IAM's policy simulator before anything is made."""

from collections.abc import Iterator
from typing import Any, Final

from botocore.exceptions import ClientError

from stacks.naming import Names

# By what it is done to: the service, the resource in its ARN, and the actions.
_NEEDED: Final = (
    (
        "s3",
        "{prefix}-data",
        (
            *("s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket", "s3:ListBucketVersions"),
            *("s3:PutBucketTagging", "s3:GetBucketTagging"),
            *("s3:PutLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
        ),
    ),
    ("s3", "{prefix}-data/extract.csv", ("s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion")),
    (
        "iam",
        "role/cloud-hopping/{run_id}/{prefix}",
        (
            *("iam:CreateRole", "iam:GetRole", "iam:TagRole", "iam:DeleteRole", "iam:PassRole"),
            *("iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy"),
            *("iam:ListRolePolicies", "iam:ListAttachedRolePolicies"),
        ),
    ),
    (
        "lambda",
        "function:{prefix}",
        (
            *("lambda:CreateFunction", "lambda:GetFunction", "lambda:DeleteFunction", "lambda:InvokeFunction"),
            *("lambda:CreateFunctionUrlConfig", "lambda:DeleteFunctionUrlConfig", "lambda:InvokeFunctionUrl"),
        ),
    ),
    ("lambda", "layer:{prefix}-libraries:1", ("lambda:GetLayerVersion", "lambda:DeleteLayerVersion")),
    ("logs", "log-group:/aws/lambda/{prefix}", ("logs:CreateLogGroup", "logs:DeleteLogGroup")),
    ("logs", "log-group:*", ("logs:DescribeLogGroups",)),
    (
        "any",  # Listings that are of no resource.
        "*",
        (
            *("s3:ListAllMyBuckets", "iam:ListRoles", "tag:GetResources"),
            *("lambda:ListFunctions", "lambda:ListLayers", "lambda:ListLayerVersions"),
        ),
    ),
)
_PER_REGION = frozenset({"lambda", "logs"})
# The caller may not ask, or is somebody whom the simulator does not know: an account's root, a role of another path.
_CANNOT_TELL = frozenset({"AccessDenied", "NoSuchEntity", "InvalidInput", "ValidationError"})


def missing(iam: Any, caller_arn: str, *, names: Names, region: str) -> list[str]:
    """The actions that IAM says the caller may not do; empty, too, when IAM does not say.

    ``iam`` is boto3's client. Asking takes a permission of its own, ``iam:SimulatePrincipalPolicy``, and for a role's
    session ``iam:GetRole``. https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    try:
        principal = _principal(iam, caller_arn)
        return [
            action for group in _NEEDED for action in _denied(iam, principal, _arn(caller_arn, names, region, group))
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] in _CANNOT_TELL:
            return []
        raise


def _principal(iam: Any, caller_arn: str) -> str:
    """A role for its session ``arn:aws:sts::123456789012:assumed-role/<role>/<session>``, or the user itself."""
    resource = caller_arn.split(":", 5)[5].split("/")
    return str(iam.get_role(RoleName=resource[1])["Role"]["Arn"]) if resource[0] == "assumed-role" else caller_arn


def _arn(
    caller_arn: str, names: Names, region: str, group: tuple[str, str, tuple[str, ...]]
) -> tuple[str, tuple[str, ...]]:
    """The ARN of one group's resource, with its actions."""
    service, resource, actions = group
    if service == "any":
        return resource, actions
    _, partition, _, _, account, _ = caller_arn.split(":", 5)
    where = f"{region if service in _PER_REGION else ''}:{account if service != 's3' else ''}"
    return f"arn:{partition}:{service}:{where}:{resource.format(prefix=names.prefix, run_id=names.run_id)}", actions


def _denied(iam: Any, principal: str, asked: tuple[str, tuple[str, ...]]) -> Iterator[str]:
    """Actions that are denied whatever a request says: a condition on what it says cannot be judged beforehand."""
    arn, actions = asked
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=principal, ActionNames=list(actions), ResourceArns=[arn]
    )
    for page in pages:
        for result in page["EvaluationResults"]:
            if result["EvalDecision"] != "allowed" and not result.get("MissingContextValues"):
                yield result["EvalActionName"]
