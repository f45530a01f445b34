"""AWS's resource types through the real engine: what AWS refuses is refused, in its words."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from orchestrator.engine import Stack, StackError, StackEvent
from orchestrator.rehearsal.aws.cloud import Amazon
from stacks.naming import Names

Program = Callable[[], None]
ACCOUNT = "123456789012"


def trust(service: str) -> str:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def options(region: str = "us-east-1", **tags: str) -> pulumi.ResourceOptions:
    default_tags = aws.ProviderDefaultTagsArgs(tags=tags) if tags else None
    return pulumi.ResourceOptions(provider=aws.Provider("amazon", region=region, default_tags=default_tags))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("main.py", "def handler(event, context):\n    return 'hello'\n")
    return path


def function(archive: Path, *, role: Any = None, **settings: Any) -> Program:
    """A program with one function; without ``role`` it has one that Lambda may assume."""

    def program() -> None:
        opts = options()
        arn = role or aws.iam.Role("role", assume_role_policy=trust("lambda.amazonaws.com"), opts=opts).arn
        aws.lambda_.Function(
            "function",
            name="hop-refused",
            runtime="python3.13",
            handler="main.handler",
            role=arn,
            code=pulumi.FileArchive(str(archive)),
            opts=opts,
            **settings,
        )

    return program


def test_a_bucket_name_that_is_taken(refused: Callable[[Program], str | None], amazon: Amazon) -> None:
    place = {"LocationConstraint": "eu-west-1"}
    amazon.client("s3", "eu-west-1").create_bucket(Bucket="hop-taken", CreateBucketConfiguration=place)
    said = refused(lambda: _bucket("hop-taken", options("eu-west-1")))
    assert said == (
        "data: creating S3 Bucket (hop-taken): An error occurred (BucketAlreadyOwnedByYou) when calling the "
        "CreateBucket operation: Your previous request to create the named bucket succeeded and you already own it."
    )


def _bucket(name: str, opts: pulumi.ResourceOptions) -> None:
    aws.s3.Bucket("data", bucket=name, opts=opts)


CREATING = "function: creating Lambda Function (hop-refused): "
CALLING = CREATING + "An error occurred ({}) when calling the CreateFunction operation: "


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param(
            {"role": f"arn:aws:iam::{ACCOUNT}:role/nobody"},
            CALLING.format("InvalidParameterValueException")
            + "The role defined for the function cannot be assumed by Lambda.",
            id="a role that is not there",
        ),
        pytest.param(
            {"layers": [f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:nothing:1"]},
            CALLING.format("ResourceNotFoundException")
            + f"One or more LayerVersion does not exist ['arn:aws:lambda:us-east-1:{ACCOUNT}:layer:nothing:1']",
            id="an unknown layer",
        ),
        pytest.param(
            {"memory_size": 64},
            CREATING + "memorySize must be from 128 to 10240, not 64",
            id="too little memory",
        ),
        pytest.param(
            {"memory_size": 10_241},
            CREATING + "memorySize must be from 128 to 10240, not 10241",
            id="too much memory",
        ),
        pytest.param(
            {"timeout": 901},
            CREATING + "timeout must be from 1 to 900, not 901",
            id="too long",
        ),
        pytest.param(
            {"logging_config": {"log_format": "Text", "log_group": "elsewhere"}},
            CREATING + "the rehearsal's functions log to /aws/lambda/<name> only",
            id="another log group",
        ),
        pytest.param(
            {"logging_config": {"log_format": "JSON"}},
            CREATING + "not supported in rehearsal: logFormat JSON",
            id="log lines as JSON",
        ),
    ],
)
def test_a_function_that_lambda_refuses(
    refused: Callable[[Program], str | None], archive: Path, settings: dict[str, Any], reason: str
) -> None:
    assert refused(function(archive, **settings)) == reason


def test_a_role_that_lambda_may_not_assume(
    refused: Callable[[Program], str | None], archive: Path, amazon: Amazon
) -> None:
    made = amazon.client("iam", "us-east-1").create_role(
        RoleName="hop-for-ec2", AssumeRolePolicyDocument=trust("ec2.amazonaws.com")
    )
    said = refused(function(archive, role=made["Role"]["Arn"]))
    assert said == CREATING + "The role defined for the function cannot be assumed by Lambda."
    assert amazon.client("lambda", "us-east-1").list_functions()["Functions"] == []


def test_a_policy_with_a_condition_that_cannot_be_judged(refused: Callable[[Program], str | None]) -> None:
    condition = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    said = refused(lambda: _role_policy(policy, options()))
    assert said == (
        f"permissions: policy: not supported in rehearsal: condition {json.dumps(condition)}; one DateLessThan of "
        "aws:CurrentTime is known"
    )


def test_a_policy_that_is_none(refused: Callable[[Program], str | None], amazon: Amazon) -> None:
    amazon.client("iam", "us-east-1").create_role(
        RoleName="nobody", AssumeRolePolicyDocument=trust("lambda.amazonaws.com")
    )
    for policy in ("{}", "{"):
        assert refused(lambda policy=policy: _role_policy(policy, options())) == (  # type: ignore[misc]
            "permissions: putting IAM Role (nobody) Policy (read): An error occurred (MalformedPolicyDocument) when "
            "calling the PutRolePolicy operation: Syntax errors in policy."
        )


def _role_policy(policy: str, opts: pulumi.ResourceOptions) -> None:
    aws.iam.RolePolicy("permissions", name="read", role="nobody", policy=policy, opts=opts)


def test_no_code(refused: Callable[[Program], str | None]) -> None:
    said = refused(lambda: _layer(options(), s3_bucket="hop-no-key"))
    assert said == "libraries: either the code or its place in S3 (bucket and key) must be given"


def test_a_zip_too_big_for_a_direct_upload(refused: Callable[[Program], str | None], tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("zeros", bytes(50 * 1024 * 1024))
    size = path.stat().st_size
    said = refused(lambda: _layer(options(), code=pulumi.FileArchive(str(path))))
    assert said == (f"libraries: the zip has {size} bytes; a direct upload must not have more than 52428800: use S3")


def _layer(opts: pulumi.ResourceOptions, **source: Any) -> None:
    aws.lambda_.LayerVersion("libraries", layer_name="hop-libraries", opts=opts, **source)


def _everything(archive: Path, names: Names) -> Program:
    """One of each type, in a region that is not the default one; the layer comes through S3."""

    def program() -> None:
        opts = options("eu-west-1", **names.tags)
        bucket = aws.s3.Bucket("data", bucket=f"{names.prefix}-data", opts=opts)
        rule: aws.s3.BucketLifecycleConfigurationRuleArgsDict = {
            "id": "soon",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "expiration": {"days": 1},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 2},
        }
        aws.s3.BucketLifecycleConfiguration("fuse", bucket=bucket.bucket, rules=[rule], opts=opts)
        upload = aws.s3.BucketObjectv2(
            "upload", bucket=bucket.bucket, key="layer.zip", source=pulumi.FileAsset(str(archive)), opts=opts
        )
        layer = aws.lambda_.LayerVersion(
            "libraries", layer_name=names.prefix, s3_bucket=bucket.bucket, s3_key=upload.key, opts=opts
        )
        role = aws.iam.Role("role", name=names.prefix, assume_role_policy=trust("lambda.amazonaws.com"), opts=opts)
        statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        aws.iam.RolePolicy("permissions", name="read", role=role.name, policy=policy, opts=opts)
        aws.cloudwatch.LogGroup("logs", name=f"/aws/lambda/{names.prefix}", retention_in_days=1, opts=opts)
        function = aws.lambda_.Function(
            "function",
            name=names.prefix,
            runtime="python3.13",
            handler="main.handler",
            role=role.arn,
            layers=[layer.arn],
            code=pulumi.FileArchive(str(archive)),
            opts=opts,
        )
        aws.lambda_.FunctionUrl("url", function_name=function.name, authorization_type="AWS_IAM", opts=opts)

    return program


CREATED = [
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:lambda/function:Function",
    "aws:lambda/functionUrl:FunctionUrl",
    "aws:lambda/layerVersion:LayerVersion",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketObjectv2:BucketObjectv2",
]


def _in_the_cloud(amazon: Amazon, names: Names) -> dict[str, Any]:
    """What AWS says about everything of a run."""
    s3, logs = amazon.client("s3", "eu-west-1"), amazon.client("logs", "eu-west-1")
    functions, iam = amazon.client("lambda", "eu-west-1"), amazon.client("iam", "eu-west-1")
    groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{names.prefix}")["logGroups"]
    return {
        "buckets": [b["Name"] for b in s3.list_buckets()["Buckets"] if names.prefix in b["Name"]],
        "groups": [(group["logGroupName"], group["retentionInDays"]) for group in groups],
        "functions": [f["FunctionName"] for f in functions.list_functions()["Functions"]],
        "layers": [layer["LayerName"] for layer in functions.list_layers()["Layers"]],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"] == names.prefix],
    }


NOTHING: dict[str, Any] = {"buckets": [], "groups": [], "functions": [], "layers": [], "roles": []}


def test_one_of_each_with_tags_in_another_region(
    up: Callable[[Program], tuple[Stack, list[StackEvent]]], archive: Path, amazon: Amazon, names: Names
) -> None:
    stack, events = up(_everything(archive, names))
    assert sorted(event.type for event in events if event.kind == "created") == CREATED
    assert _in_the_cloud(amazon, names) == {
        "buckets": [f"{names.prefix}-data"],
        "groups": [(f"/aws/lambda/{names.prefix}", 1)],
        "functions": [names.prefix],
        "layers": [names.prefix],
        "roles": [names.prefix],
    }
    s3 = amazon.client("s3", "eu-west-1")
    assert s3.get_bucket_location(Bucket=f"{names.prefix}-data")["LocationConstraint"] == "eu-west-1"
    assert s3.get_bucket_lifecycle_configuration(Bucket=f"{names.prefix}-data")["Rules"] == [
        {
            "ID": "soon",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"Days": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
        }
    ]
    tagging = amazon.client("resourcegroupstaggingapi", "eu-west-1")
    tagged = tagging.get_resources(TagFilters=[{"Key": "run-id", "Values": [names.run_id]}])["ResourceTagMappingList"]
    assert {entry["ResourceARN"]: _tags(entry["Tags"]) for entry in tagged} == {
        f"arn:aws:s3:::{names.prefix}-data": names.tags,
        f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{names.prefix}": names.tags,
        f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/{names.prefix}": names.tags,
    }
    assert _tags(amazon.client("iam", "eu-west-1").list_role_tags(RoleName=names.prefix)["Tags"]) == names.tags

    # The layer's zip came through S3 as it was.
    arn = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:{names.prefix}:1"
    assert zipfile.ZipFile(io.BytesIO(amazon.layer_code("eu-west-1", arn))).namelist() == ["main.py"]

    gone: list[StackEvent] = []
    stack.destroy(gone.append)
    assert sorted(event.type for event in gone if event.kind == "deleted") == CREATED
    assert _in_the_cloud(amazon, names) == NOTHING


def _tags(listed: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in listed}


def test_destroy_with_things_gone_already(
    up: Callable[[Program], tuple[Stack, list[StackEvent]]], archive: Path, amazon: Amazon, names: Names
) -> None:
    stack, _ = up(_everything(archive, names))
    name, bucket = names.prefix, f"{names.prefix}-data"
    functions, iam = amazon.client("lambda", "eu-west-1"), amazon.client("iam", "eu-west-1")
    functions.delete_function_url_config(FunctionName=name)
    functions.delete_function(FunctionName=name)
    functions.delete_layer_version(LayerName=name, VersionNumber=1)
    iam.delete_role_policy(RoleName=name, PolicyName="read")
    iam.delete_role(RoleName=name)
    amazon.client("logs", "eu-west-1").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    amazon.client("s3", "eu-west-1").delete_object(Bucket=bucket, Key="layer.zip")
    amazon.client("s3", "eu-west-1").delete_bucket(Bucket=bucket)
    assert _in_the_cloud(amazon, names) == NOTHING
    gone: list[StackEvent] = []
    stack.destroy(gone.append)
    assert sorted(event.type for event in gone if event.kind == "deleted") == CREATED


def test_a_bucket_with_objects_goes_only_by_force(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    def program() -> None:
        opts = options()
        aws.s3.Bucket("kept", bucket="hop-kept", opts=opts)
        aws.s3.Bucket("emptied", bucket="hop-emptied", force_destroy=True, opts=opts)

    stack, s3 = new_stack(), amazon.client("s3", "us-east-1")
    stack.up(program, lambda _: None)
    for bucket in ("hop-kept", "hop-emptied"):
        s3.put_object(Bucket=bucket, Key="left by the function", Body=b"1")
    with pytest.raises(StackError) as raised:
        stack.destroy(lambda _: None)
    assert raised.value.brief == "The test0 stack was not destroyed"
    assert raised.value.details == (
        "kept: deleting S3 Bucket (hop-kept): An error occurred (BucketNotEmpty) when calling the DeleteBucket "
        "operation: The bucket you tried to delete is not empty"
    )
    names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert names & {"hop-kept", "hop-emptied"} == {"hop-kept"}
    s3.delete_object(Bucket="hop-kept", Key="left by the function")
    stack.destroy(lambda _: None)


def test_a_role_with_policies_goes_only_by_force(new_stack: Callable[[], Stack], amazon: Amazon) -> None:
    def program() -> None:
        opts = options()
        for name, force in (("kept", False), ("emptied", True)):
            policy = trust("lambda.amazonaws.com")
            aws.iam.Role(name, name=f"hop-{name}", assume_role_policy=policy, force_detach_policies=force, opts=opts)

    stack, iam = new_stack(), amazon.client("iam", "us-east-1")
    stack.up(program, lambda _: None)
    statement = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for role in ("hop-kept", "hop-emptied"):
        iam.put_role_policy(RoleName=role, PolicyName="by-hand", PolicyDocument=document)
    with pytest.raises(StackError) as raised:
        stack.destroy(lambda _: None)
    assert raised.value.details == (
        "kept: deleting IAM Role (hop-kept): An error occurred (DeleteConflict) when calling the DeleteRole operation: "
        "Cannot delete entity, must delete policies first."
    )
    iam.delete_role_policy(RoleName="hop-kept", PolicyName="by-hand")
    stack.destroy(lambda _: None)
