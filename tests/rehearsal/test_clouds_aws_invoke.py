"""What a run asks of AWS besides its stack: who am I, one call of the function, what is left."""

import base64
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.clouds import Answer, Remaining
from orchestrator.clouds.aws import Aws
from orchestrator.clouds.invocation import FunctionError
from orchestrator.errors import UsageError
from orchestrator.package import Package
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.settings import AwsCompute
from stacks.contracts import ComputeOutputs
from stacks.naming import Names

REGION = "us-east-1"
PNG = b"\x89PNG\r\n\x1a\n"
Failure = Callable[[Aws, ComputeOutputs], FunctionError]


@pytest.fixture
def cloud(in_force: None, names: Names) -> Aws:  # noqa: ARG001 - boto3 reads the environment
    return Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test")


@pytest.fixture
def made(functions: FunctionHost, make_function: Callable[..., str]) -> Callable[..., ComputeOutputs]:
    """Makes a function with a URL; arguments are ``make_function``'s, whose end closes it."""

    def make(code: str, **settings: Any) -> ComputeOutputs:
        name = make_function(code, **settings)
        return ComputeOutputs(name, functions.open_url(REGION, name))

    return make


def answering(value: Any) -> str:
    """The text of a function that answers this."""
    return f"import json\ndef handler(event, context):\n    return json.loads({json.dumps(value)!r})\n"


@pytest.fixture
def failure(packed: Package) -> Failure:
    """Calls a function that must fail: how it did."""

    def call(cloud: Aws, function: ComputeOutputs) -> FunctionError:
        with pytest.raises(FunctionError) as raised:
            cloud.invoke(function, packed)
        return raised.value

    return call


def test_preflight(cloud: Aws) -> None:
    cloud.preflight()


def test_preflight_with_a_key_that_aws_does_not_know(cloud: Aws, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    del cloud  # It has read the environment already.
    with pytest.raises(UsageError) as raised:
        Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test").preflight()
    assert str(raised.value) == (
        "AWS does not accept the caller\n"
        "  An error occurred (InvalidClientTokenId) when calling the GetCallerIdentity operation: "
        "The security token included in the request is invalid.\n"
        "To fix it: check the profile, its expiry and the region, then run again."
    )


def test_preflight_without_credentials(
    in_force: None,  # noqa: ARG001
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError) as raised:
        Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test").preflight()
    assert str(raised.value) == (
        "There are no AWS credentials\n"
        "  looked in the environment, the shared profiles and the instance or job identity.\n"
        "To fix it: run `aws configure sso` or set AWS_PROFILE; in CI use OpenID Connect."
    )


def test_an_answer(cloud: Aws, made: Callable[..., ComputeOutputs], packed: Package) -> None:
    good = {"counts": {"25": 11}, "rows": 27, "chart_png": base64.b64encode(PNG).decode()}
    assert cloud.invoke(made(answering(good)), packed) == Answer({"25": 11}, 27, PNG)


FORM = 'Expected {"counts": {"25": 11, ...}, "chart_png": "<base64>", "rows": 27}.'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"rows": 27}, "KeyError: 'counts'."),
        ({"counts": {}, "rows": 27, "chart_png": "iVBO"}, "ValueError: chart_png is no PNG."),
        ({"counts": {"25": "many"}, "rows": 27, "chart_png": ""}, "TypeError: 'many' is no whole number."),
        ([], "TypeError: list indices must be integers or slices, not str."),
    ],
)
def test_an_answer_in_another_form(
    cloud: Aws, made: Callable[..., ComputeOutputs], answer: Any, reason: str, failure: Failure
) -> None:
    assert str(failure(cloud, made(answering(answer)))) == (
        "The function's answer is not what it should be\n"
        f"  {reason} {FORM}\n"
        "To fix it: see chart.py in function_code/ for the answer's form."
    )


def test_a_function_that_raises(
    cloud: Aws,
    made: Callable[..., ComputeOutputs],
    functions: FunctionHost,
    log: Callable[[str], list[str]],
    failure: Failure,
) -> None:
    function = made("def handler(event, context):\n    raise RuntimeError('no hail today')\n")
    error = failure(cloud, function)
    assert error.brief == "The function answered 502"
    assert (
        error.resolution == "the lines above are the function's: mend analysis.query or function_code/, and run again."
    )
    lines = (error.details or "").splitlines()
    task = functions._instances[REGION, function.function]._folder / "var" / "task"
    assert len(log(function.function)) == 4
    assert lines[1:-2] == [
        "[ERROR] RuntimeError: no hail today",
        "Traceback (most recent call last):",
        f'\u00a0\u00a0File "{task}/main.py", line 2, in handler',
        "\u00a0\u00a0\u00a0\u00a0raise RuntimeError('no hail today')",
    ]


def test_a_function_without_a_log(cloud: Aws, made: Callable[..., ComputeOutputs], failure: Failure) -> None:
    function = made("raise SystemExit\n", allowed=["s3:GetObject"])
    assert failure(cloud, function).details == "Internal Server Error"


def test_a_caller_whom_the_function_refuses(
    cloud: Aws, made: Callable[..., ComputeOutputs], names: Names, monkeypatch: pytest.MonkeyPatch, failure: Failure
) -> None:
    function = made(answering({}))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    del cloud
    error = failure(Aws(AwsCompute(cloud="aws"), names, title="Hail in March", source="a test"), function)
    assert error.brief == "The function answered 403"
    assert error.details == (
        '{"Message": "The request signature we calculated does not match the signature you provided. '
        'Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}'
    )


def test_nobody_answers(cloud: Aws, failure: Failure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(cloud, ComputeOutputs("hop", f"http://127.0.0.1:{port}/"))
    assert error.brief == "The function did not answer"
    assert error.details is not None
    assert error.details.startswith(f"HTTPConnectionPool(host='127.0.0.1', port={port}): ")
    assert error.details.endswith('Connection refused"))')


def test_what_is_left_is_found_by_tag_by_path_and_by_name(cloud: Aws, amazon: Amazon, names: Names) -> None:
    assert cloud.remaining() == []
    tags = [{"Key": key, "Value": value} for key, value in names.tags.items()]
    s3, iam, logs = (amazon.client(service, REGION) for service in ("s3", "iam", "logs"))
    s3.create_bucket(Bucket="any-name")
    s3.put_bucket_tagging(Bucket="any-name", Tagging={"TagSet": tags})
    s3.create_bucket(Bucket="of-another-run")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    path = f"/cloud-hopping/{names.run_id}/"
    iam.create_role(RoleName="any-role", Path=path, AssumeRolePolicyDocument=document)
    iam.create_role(RoleName="of-another-run", AssumeRolePolicyDocument=document)
    logs.create_log_group(logGroupName=f"/aws/lambda/{names.prefix}")
    assert cloud.remaining() == [
        Remaining("aws", "iam role", f"arn:aws:iam::123456789012:role{path}any-role"),
        Remaining("aws", "s3 bucket", "arn:aws:s3:::any-name"),
        Remaining("aws", "logs log-group", f"arn:aws:logs:{REGION}:123456789012:log-group:/aws/lambda/{names.prefix}"),
    ]


def test_preflight_of_a_caller_who_may_not_delete(cloud: Aws, amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amazon, "denied", {"s3:DeleteBucket", "lambda:Delete*"})
    with pytest.raises(UsageError) as raised:
        cloud.preflight()
    assert str(raised.value) == (
        "The caller may not do in AWS what a run needs, destroying included\n"
        "  missing:\n"
        "  s3:DeleteBucket\n"
        "  lambda:DeleteFunction\n"
        "  lambda:DeleteFunctionUrlConfig\n"
        "  lambda:DeleteLayerVersion\n"
        "To fix it: allow arn:aws:iam::123456789012:user/rehearsal these actions on resources named hop-*, "
        "listings on all, and run again."
    )
