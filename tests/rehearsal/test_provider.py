"""The stand-in provider, driven by the real engine: a small inline program each."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from orchestrator.engine import Stack, StackEvent
from orchestrator.rehearsal.aws.cloud import Amazon

Program = Callable[[], None]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        ],
    }
)


def options() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=aws.Provider("amazon", region="us-east-1"))


def one(resource_type: str, name: str, inputs: Mapping[str, Any]) -> Program:
    """A program with one resource, past the SDK class's own checks."""
    return lambda: _declare(resource_type, name, inputs)


def _declare(resource_type: str, name: str, inputs: Mapping[str, Any]) -> None:
    pulumi.CustomResource(resource_type, name, dict(inputs), options())


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        pytest.param(
            one("aws:sqs/queue:Queue", "jobs", {}),
            "jobs: the rehearsal has no stand-in for aws:sqs/queue:Queue (jobs)",
            id="unknown type",
        ),
        pytest.param(
            one("aws:s3/bucket:Bucket", "data", {"buckt": "x"}),
            "data: aws:s3/bucket:Bucket resource 'data': property buckt value {x} has a problem: "
            "BucketArgs has no such input",
            id="unknown input",
        ),
        pytest.param(
            one("aws:lambda/function:Function", "f", {"role": "r", "environment": {"vars": {"A": "1"}}}),
            "f: aws:lambda/function:Function resource 'f': property environment.vars value {<nil>} has a problem: "
            "FunctionEnvironmentArgs has no such input",
            id="unknown input, nested",
        ),
        pytest.param(
            one("aws:iam/role:Role", "role", {}),
            "role: aws:iam/role:Role resource 'role': property assumeRolePolicy value {<nil>} has a problem: "
            "missing: RoleArgs requires it",
            id="missing input",
        ),
        pytest.param(
            one("aws:lambda/function:Function", "f", {"role": "r", "memorySize": "a lot"}),
            "f: aws:lambda/function:Function resource 'f': property memorySize value {a lot} has a problem: "
            "expected int, got str",
            id="wrong type",
        ),
        pytest.param(
            one("aws:lambda/function:Function", "f", {"role": "r", "layers": ["arn", 3]}),
            "f: aws:lambda/function:Function resource 'f': property layers value {[{arn} {3}]} has a problem: "
            "expected str, got int",
            id="wrong type in a list",
        ),
        pytest.param(
            one("aws:s3/bucket:Bucket", "data", {"bucketPrefix": "x"}),
            "data: aws:s3/bucket:Bucket resource 'data': property bucketPrefix value {x} has a problem: "
            "the rehearsal's stand-in does not know this input",
            id="an input that would be ignored",
        ),
        pytest.param(
            lambda: _declare_nothing(aws.Provider("amazon", region="us-east-1", max_retries=3)),
            "amazon: pulumi:providers:aws resource 'amazon': property maxRetries value {3} has a problem: "
            "the rehearsal's stand-in does not know this argument",
            id="unknown provider argument",
        ),
    ],
)
def test_refused_with_the_resources_name(
    refused: Callable[[Program], str | None], program: Program, reason: str
) -> None:
    assert refused(program) == reason


def _declare_nothing(_: pulumi.ProviderResource) -> None:
    """A program's value is its outputs: there are none."""


def test_every_mistake_of_a_resource_at_once(refused: Callable[[Program], str | None]) -> None:
    said = refused(one("aws:s3/bucket:Bucket", "data", {"buckt": "x", "forceDestroy": "yes"}))
    assert said == (
        "data: aws:s3/bucket:Bucket resource 'data': property buckt value {x} has a problem: "
        "BucketArgs has no such input\n"
        "data: aws:s3/bucket:Bucket resource 'data': property forceDestroy value {yes} has a problem: "
        "expected bool, got str"
    )


def test_autonaming(up: Callable[[Program], tuple[Stack, list[StackEvent]]], amazon: Amazon) -> None:
    outputs: list[str] = []

    def program() -> None:
        opts = options()
        role = aws.iam.Role("role", assume_role_policy=TRUST, opts=opts)
        # The policy needs an output of the role that only its creation can tell.
        statement = {"Effect": "Deny", "Action": "*", "Resource": role.arn}
        document = pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [statement]})
        aws.iam.RolePolicy("nothing", role=role.name, policy=document, opts=opts)
        pulumi.Output.all(role.arn, role.unique_id).apply(outputs.extend)

    stack, _ = up(program)
    arn, unique_id = outputs
    name = arn.rpartition("/")[2]
    assert name.startswith("role-")
    assert len(name) == len("role-") + 7
    role = amazon.client("iam", "us-east-1").get_role(RoleName=name)["Role"]
    assert (role["Arn"], role["RoleId"]) == (arn, unique_id)
    stack.destroy(lambda _: None)


class _Room(pulumi.ComponentResource):
    def __init__(self) -> None:
        super().__init__("test:index:Room", "room")


def test_a_resource_in_a_component(up: Callable[[Program], tuple[Stack, list[StackEvent]]], amazon: Amazon) -> None:
    def program() -> None:
        in_it = pulumi.ResourceOptions.merge(options(), pulumi.ResourceOptions(parent=_Room()))
        aws.s3.Bucket("data", bucket="hop-in-a-room", opts=in_it)

    stack, _ = up(program)
    amazon.client("s3", "us-east-1").head_bucket(Bucket="hop-in-a-room")
    stack.destroy(lambda _: None)
