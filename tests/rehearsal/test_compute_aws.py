"""What the compute stack has on AWS alone: least privilege, a layer that is too large, leftovers of other people."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from orchestrator import package
from orchestrator.clouds.aws import LAYOUT, Aws
from orchestrator.engine import Stack, StackError, StackEvent
from orchestrator.package import Package, Target
from orchestrator.rehearsal.aws import s3_resources
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.provider import RefusedError
from orchestrator.settings import AwsCompute
from stacks.contracts import ComputeOutputs
from stacks.naming import Names
from tests.rehearsal.compute_clouds import Case, ComputeClouds

ROWS = ["1990-03-25T17:00:00,1.75,3", "1991-03-25T18:00:00,1.0,3", "1992-03-04T18:00:00,,3"]


@pytest.fixture
def case(compute_clouds: ComputeClouds) -> Case:
    made = compute_clouds.case("aws")
    made.data.extract(ROWS)
    return made


@pytest.fixture
def up(new_stack: Callable[[], Stack], case: Case) -> Iterator[Callable[..., tuple[Stack, ComputeOutputs, list[str]]]]:
    """Brings a stack up: it, its outputs and the types of what it made; whatever comes of it is destroyed."""
    started = []

    def bring_up(cloud: Aws, packed: Package) -> tuple[Stack, ComputeOutputs, list[str]]:
        stack, outputs = new_stack(), Future[ComputeOutputs]()
        events: list[StackEvent] = []
        started.append(stack)
        stack.up(cloud.program(packed, case.data.live, outputs), events.append)
        return stack, outputs.result(0), sorted(event.type for event in events if event.kind == "created")

    yield bring_up
    for stack in started:
        stack.destroy(lambda _: None)


def amazon_side(names: Names, region: str = "us-east-1") -> Aws:
    return Aws(AwsCompute(cloud="aws", region=region), names, title="Hail in March", source="a test")


@pytest.fixture
def small(packed: Package) -> Package:
    """The function with a layer of nothing: quick to bring up, not to be invoked."""
    return Package(function=packed.function, layer=packed.function)


def test_the_role_may_read_one_object_until_the_run_expires_and_write_one_log(
    up: Callable[..., Any], amazon: Amazon, small: Package, names: Names
) -> None:
    up(amazon_side(names), small)
    iam, s3 = amazon.client("iam", "us-east-1"), amazon.client("s3", "us-east-1")
    assert iam.list_role_policies(RoleName=names.prefix)["PolicyNames"] == ["read-extract-write-log"]
    assert iam.list_attached_role_policies(RoleName=names.prefix)["AttachedPolicies"] == []
    policy = iam.get_role_policy(RoleName=names.prefix, PolicyName="read-extract-write-log")["PolicyDocument"]
    group = f"arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/{names.prefix}"
    assert policy["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{names.prefix}-data/extract.csv",
            "Condition": {"DateLessThan": {"aws:CurrentTime": f"{names.expires:%Y-%m-%dT%H:%M:%SZ}"}},
        },
        {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": f"{group}:*"},
    ]
    assert s3.head_object(Bucket=f"{names.prefix}-data", Key="extract.csv")["ContentType"] == "text/csv"


def test_the_fuse_burns_until_the_bucket_goes(
    up: Callable[..., Any], amazon: Amazon, small: Package, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, _, _ = up(amazon_side(names), small)
    s3, bucket = amazon.client("s3", "us-east-1"), f"{names.prefix}-data"
    fuse = {
        "ID": "fuse",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": 1},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [fuse]

    def refuse(*_: Any) -> None:
        raise RefusedError("not now")

    with monkeypatch.context() as patched:
        patched.setattr(s3_resources.Bucket, "delete", refuse)
        with pytest.raises(StackError, match="The test0 stack was not destroyed"):
            stack.destroy(lambda _: None)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [fuse]
    events: list[StackEvent] = []
    stack.destroy(events.append)
    assert [event.name for event in events if event.kind == "deleted"] == ["data"]
    assert amazon_side(names).remaining() == []


def test_a_layer_of_more_than_50_mb_in_another_region(
    up: Callable[..., Any], amazon: Amazon, names: Names, case: Case, packages: Path
) -> None:
    here = Target("", None, LAYOUT).on_this_machine()
    untrimmed = package.build(here, trim="none", cache=packages, progress=lambda _: None)
    assert untrimmed.layer is not None
    assert untrimmed.layer.zipped_bytes > 50 * 1024 * 1024
    cloud = amazon_side(names, region="eu-west-1")
    stack, outputs, types = up(cloud, untrimmed)
    assert types == [
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:iam/role:Role",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:lambda/function:Function",
        "aws:lambda/functionUrl:FunctionUrl",
        "aws:lambda/layerVersion:LayerVersion",
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketObjectv2:BucketObjectv2",
        "aws:s3/bucketObjectv2:BucketObjectv2",
    ]
    objects = amazon.client("s3", "eu-west-1").list_objects_v2(Bucket=f"{names.prefix}-data")["Contents"]
    extract = case.data.live.extract.result().path
    assert [(entry["Key"], entry["Size"]) for entry in objects] == [
        ("extract.csv", extract.stat().st_size),
        (f"layers/{untrimmed.layer.sha256}.zip", untrimmed.layer.zipped_bytes),
    ]
    assert cloud.invoke(outputs, untrimmed).counts == {"4": 1, "25": 2}
    stack.destroy(lambda _: None)
    assert cloud.remaining() == []


def test_what_somebody_else_put_there_goes_too(
    up: Callable[..., Any], amazon: Amazon, small: Package, names: Names
) -> None:
    cloud = amazon_side(names)
    stack, _, _ = up(cloud, small)
    amazon.client("s3", "us-east-1").put_object(Bucket=f"{names.prefix}-data", Key="by hand", Body=b"1")
    statement: dict[str, Any] = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    amazon.client("iam", "us-east-1").put_role_policy(
        RoleName=names.prefix, PolicyName="by-hand", PolicyDocument=document
    )
    stack.destroy(lambda _: None)
    assert cloud.remaining() == []
