"""The compute stack on AWS, as a run drives it: up, invoked, destroyed, nothing left."""

import hashlib
import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from orchestrator import package
from orchestrator.clouds.aws import Aws
from orchestrator.engine import Stack, StackError, StackEvent
from orchestrator.package import Package, Target
from orchestrator.rehearsal.aws import Amazon
from orchestrator.settings import AwsCompute
from stacks.contracts import ComputeOutputs, ExtractFile
from stacks.naming import Names

ROWS = ["1990-03-25T17:00:00,1.75,3", "1991-03-25T18:00:00,1.0,3", "1992-03-04T18:00:00,,3"]
PNG = b"\x89PNG\r\n\x1a\n"
DIRECT = [
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:lambda/function:Function",
    "aws:lambda/functionUrl:FunctionUrl",
    "aws:lambda/layerVersion:LayerVersion",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketObjectv2:BucketObjectv2",
]


@pytest.fixture
def extract(tmp_path: Path) -> ExtractFile:
    path = tmp_path / "extract.csv"
    path.write_text("\n".join(["event_begin_time,magnitude,month", *ROWS, ""]))
    return ExtractFile(path, hashlib.sha256(path.read_bytes()).hexdigest(), len(ROWS))


def there(extract: ExtractFile) -> Future[ExtractFile]:
    """An extract that has arrived already."""
    future: Future[ExtractFile] = Future()
    future.set_result(extract)
    return future


def get(amazon: Amazon, url: str, region: str, accept: str | None) -> AWSResponse:
    """What the function answers to the rehearsal's caller."""
    request = AWSRequest("GET", url, headers={"Accept": accept} if accept else {})
    SigV4Auth(Credentials(amazon.caller.key_id, amazon.caller.secret), "lambda", region).add_auth(request)
    session = URLLib3Session(timeout=120)
    answer = session.send(request.prepare())
    session.close()
    return answer


def test_from_nothing_to_a_chart_to_nothing(
    new_stack: Callable[[], Stack], amazon: Amazon, packed: Package, names: Names, extract: ExtractFile
) -> None:
    stack, cloud = new_stack(), Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test")
    outputs: Future[ComputeOutputs] = Future()
    events: list[StackEvent] = []
    stack.up(cloud.program(packed, there(extract), outputs), events.append)
    try:
        made = outputs.result(0)
        assert made.function == names.prefix
        assert sorted(event.type for event in events if event.kind == "created") == DIRECT
        _least_privilege(amazon, names)
        _tagged(amazon, names)

        answer = cloud.invoke(made)
        assert (answer.counts, answer.rows) == ({"4": 1, "25": 2}, 3)
        assert answer.chart.startswith(PNG)
        page = get(amazon, made.url, "us-east-1", None)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b'<img src="data:image/png;base64,iVBOR' in page.content
        same = get(amazon, made.url, "us-east-1", "application/json")
        assert same.headers["content-type"] == "application/json"
        assert json.loads(same.content)["counts"] == {"4": 1, "25": 2}
        assert sorted(f"{left.kind} {left.id.rpartition(':')[2]}" for left in cloud.remaining()) == [
            f"iam role role/cloud-hopping/{names.run_id}/{names.prefix}",
            f"lambda function {names.prefix}",
            "lambda layer 1",
            f"logs log-group /aws/lambda/{names.prefix}",
            f"s3 bucket {names.prefix}-data",
        ]
    finally:
        stack.destroy(lambda _: None)
    assert cloud.remaining() == []


def _least_privilege(amazon: Amazon, names: Names) -> None:
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
        },
        {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": f"{group}:*"},
    ]
    assert s3.head_object(Bucket=f"{names.prefix}-data", Key="extract.csv")["ContentType"] == "text/csv"


def _tagged(amazon: Amazon, names: Names) -> None:
    tagging = amazon.client("resourcegroupstaggingapi", "us-east-1")
    found = tagging.get_resources(TagFilters=[{"Key": "run-id", "Values": [names.run_id]}])["ResourceTagMappingList"]
    for entry in found:
        assert {tag["Key"]: tag["Value"] for tag in entry["Tags"]} == names.tags
    assert len(found) == 3  # Bucket, log group, function: a role is found by its path, a layer by its name.


def test_a_layer_of_more_than_50_mb_in_another_region(
    new_stack: Callable[[], Stack],
    amazon: Amazon,
    names: Names,
    extract: ExtractFile,
    session_folder: Path,
) -> None:
    here = Target(f"{sys.version_info.major}.{sys.version_info.minor}", None)
    untrimmed = package.build(here, trim="none", cache=session_folder / "untrimmed", progress=lambda _: None)
    assert untrimmed.layer.zipped_bytes > 50 * 1024 * 1024
    stack, cloud = (
        new_stack(),
        Aws(AwsCompute(cloud="aws", region="eu-west-1"), names, title="Hail in March", source="a test"),
    )
    outputs: Future[ComputeOutputs] = Future()
    events: list[StackEvent] = []
    stack.up(cloud.program(untrimmed, there(extract), outputs), events.append)
    try:
        made = [event.type for event in events if event.kind == "created"]
        assert sorted(made) == sorted([*DIRECT, "aws:s3/bucketObjectv2:BucketObjectv2"])
        objects = amazon.client("s3", "eu-west-1").list_objects_v2(Bucket=f"{names.prefix}-data")["Contents"]
        assert [(entry["Key"], entry["Size"]) for entry in objects] == [
            ("extract.csv", extract.path.stat().st_size),
            (f"layers/{untrimmed.layer.sha256}.zip", untrimmed.layer.zipped_bytes),
        ]
        assert cloud.invoke(outputs.result(0)).counts == {"4": 1, "25": 2}
    finally:
        stack.destroy(lambda _: None)
    assert cloud.remaining() == []


@pytest.fixture
def small(packed: Package) -> Package:
    """The function with a layer of nothing: quick to bring up, not to be invoked."""
    return Package(function=packed.function, layer=packed.function)


def test_only_the_data_object_waits_for_the_extract(
    new_stack: Callable[[], Stack], small: Package, names: Names, extract: ExtractFile
) -> None:
    stack, cloud = new_stack(), Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test")
    arriving: Future[ExtractFile] = Future()
    outputs: Future[ComputeOutputs] = Future()
    url_is_there = threading.Event()
    events: list[StackEvent] = []

    def on_event(event: StackEvent) -> None:
        events.append(event)
        if (event.kind, event.name) == ("created", "url"):
            url_is_there.set()

    coming_up = threading.Thread(target=stack.up, args=(cloud.program(small, arriving, outputs), on_event))
    coming_up.start()
    assert url_is_there.wait(60)
    assert [event for event in events if event.name == "extract"] == []
    assert not outputs.done()
    arriving.set_result(extract)
    coming_up.join(60)
    assert [event.kind for event in events if event.name == "extract"] == ["creating", "created"]
    assert outputs.result(0).function == names.prefix
    stack.destroy(lambda _: None)
    assert cloud.remaining() == []


def test_no_extract_ends_the_stack(new_stack: Callable[[], Stack], small: Package, names: Names) -> None:
    stack, cloud = new_stack(), Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test")
    failing: Future[ExtractFile] = Future()
    failing.set_exception(RuntimeError("the query failed"))
    outputs: Future[ComputeOutputs] = Future()
    with pytest.raises(StackError) as raised:
        stack.up(cloud.program(small, failing, outputs), lambda _: None)
    assert "the query failed" in str(raised.value)
    assert not outputs.done()
    stack.destroy(lambda _: None)
    assert cloud.remaining() == []


def test_what_somebody_else_put_there_goes_too(
    new_stack: Callable[[], Stack], amazon: Amazon, small: Package, names: Names, extract: ExtractFile
) -> None:
    stack, cloud = new_stack(), Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test")
    outputs: Future[ComputeOutputs] = Future()
    stack.up(cloud.program(small, there(extract), outputs), lambda _: None)
    amazon.client("s3", "us-east-1").put_object(Bucket=f"{names.prefix}-data", Key="by hand", Body=b"1")
    statement: dict[str, Any] = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    amazon.client("iam", "us-east-1").put_role_policy(
        RoleName=names.prefix, PolicyName="by-hand", PolicyDocument=document
    )
    stack.destroy(lambda _: None)
    assert cloud.remaining() == []
