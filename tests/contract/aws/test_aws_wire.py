"""What our gate in front of moto says and lets through, held against botocore's models and moto's own gate.

Where there is a side: ours is the gate, theirs is moto's own check of credentials and policies, in a server of its own.
"""

import hashlib
import http.client
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import HeadersDict
from botocore.config import Config
from botocore.exceptions import ClientError, FlexibleChecksumError, ResponseStreamingError
from botocore.parsers import create_parser

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.refusals import Refusal, denied, of_signature
from orchestrator.rehearsal.aws.sigv4 import NotSignedError, SignatureError, UnknownKeyError, WrongTokenError
from stacks.naming import Names
from tests.contract.parts import free_port, serving

REGION = "us-east-1"


# ---- Refusals


@dataclass(frozen=True)
class Account:
    """An account of one side, and its only user's key."""

    endpoint: str
    key_id: str
    secret: str

    def refusal(self, service: Any, operation: str) -> tuple[int, str, str]:
        """HTTP status, code and message of a call that is refused."""
        client: Any = boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
        )
        with pytest.raises(ClientError) as raised:
            getattr(client, operation)()
        error = raised.value.response
        return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


@pytest.fixture(scope="session")
def account(side: str, amazon: Amazon) -> Iterator[Account]:
    if side == "ours":
        yield Account(amazon.endpoint, amazon.caller.key_id, amazon.caller.secret)
        return
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # Three calls are let through: they make a user with a key, who may do everything.
    with serving(command, lambda line: "Running on" in line, {"INITIAL_NO_AUTH_ACTION_COUNT": "3"}):
        endpoint = f"http://127.0.0.1:{port}"
        anybody = boto3.Session("none", "none", region_name=REGION)
        iam = anybody.client("iam", endpoint_url=endpoint)
        iam.create_user(UserName="caller")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName="caller", PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName="caller")["AccessKey"]
        yield Account(endpoint, key["AccessKeyId"], key["SecretAccessKey"])


MISMATCH = "The request signature we calculated does not match the signature you provided."
WRONG = (
    f"{MISMATCH} Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)
UNKNOWN = "The security token included in the request is invalid."


@pytest.mark.parametrize(
    ("service", "operation", "code", "message"),
    [
        ("s3", "list_buckets", "SignatureDoesNotMatch", f"{MISMATCH} Check your key and signing method."),
        ("iam", "list_roles", "SignatureDoesNotMatch", WRONG),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch", WRONG),
    ],
)
def test_a_wrong_secret(account: Account, service: str, operation: str, code: str, message: str) -> None:
    assert replace(account, secret="wrong").refusal(service, operation) == (403, code, message)


@pytest.mark.parametrize(
    ("service", "operation", "code", "message"),
    [
        (
            *("s3", "list_buckets"),
            *("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
        ),
        ("iam", "list_roles", "InvalidClientTokenId", UNKNOWN),
        ("sts", "get_caller_identity", "InvalidClientTokenId", UNKNOWN),
    ],
)
def test_an_unknown_key(account: Account, service: str, operation: str, code: str, message: str) -> None:
    assert replace(account, key_id="AKIAUNKNOWN").refusal(service, operation) == (403, code, message)


@pytest.mark.parametrize("service", ["s3", "iam", "sts", "lambda", "logs", "resourcegroupstaggingapi"])
@pytest.mark.parametrize(
    "refuse",
    [
        lambda name: of_signature(name, SignatureError("<wrong> & more")),
        lambda name: of_signature(name, UnknownKeyError("unknown")),
        lambda name: of_signature(name, WrongTokenError("wrong token")),
        lambda name: of_signature(name, NotSignedError("unsigned")),
        lambda name: denied(name, "not <you> & yours"),
    ],
    ids=["signature", "key", "token", "none", "denied"],
)
def test_a_refusal_in_the_form_of_its_service(amazon: Amazon, service: Any, refuse: Callable[[str], Refusal]) -> None:
    model = amazon.client(service, REGION).meta.service_model
    refusal = refuse(model.signing_name)
    status, headers, content = refusal.answer(model.signing_name)
    sent = {"status_code": int(status[:3]), "headers": HeadersDict(headers), "body": content}
    operation = model.operation_model(model.operation_names[0])
    parsed = create_parser(model.resolved_protocol).parse(sent, operation.output_shape)
    error = parsed["Error"]
    assert (error["Code"], error["Message"]) == (refusal.code, refusal.message)
    modelled = model.shape_for_error_code(refusal.code)
    if modelled is not None:
        said = modelled.metadata.get("error", {}).get("httpStatusCode", refusal.status)
        assert said == refusal.status


def test_the_simulators_refusals_have_the_models_status(amazon: Amazon) -> None:
    iam = amazon.client("iam", REGION)
    caller = amazon.client("sts", REGION).get_caller_identity()["Arn"]
    asked: dict[str, Any] = {"PolicySourceArn": caller, "ActionNames": ["s3:GetObject"]}
    wrong: tuple[dict[str, Any], ...] = ({"PolicySourceArn": f"{caller}2"}, {"MaxItems": 1})
    for change, name in zip(wrong, ("NoSuchEntityException", "InvalidInputException"), strict=True):
        with pytest.raises(getattr(iam.exceptions, name)) as raised:
            iam.simulate_principal_policy(**asked | change)
        declared = iam.meta.service_model.shape_for(name).metadata["error"]
        response = raised.value.response
        assert response["Error"]["Code"] == declared["code"]
        assert response["ResponseMetadata"]["HTTPStatusCode"] == declared["httpStatusCode"]


def test_the_simulators_answer_has_what_the_model_requires(amazon: Amazon) -> None:
    iam = amazon.client("iam", REGION)
    caller = amazon.client("sts", REGION).get_caller_identity()["Arn"]
    resource = "arn:aws:s3:::hop-<&>"
    answer = iam.simulate_principal_policy(
        PolicySourceArn=caller, ActionNames=["s3:GetObject", "s3:PutObject"], ResourceArns=[resource]
    )
    shape = iam.meta.service_model.operation_model("SimulatePrincipalPolicy").output_shape
    result = shape.members["EvaluationResults"].member
    assert [set(result.required_members) <= set(entry) for entry in answer["EvaluationResults"]] == [True, True]
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert answer == {
        "IsTruncated": False,
        "EvaluationResults": [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
            for action in ("s3:GetObject", "s3:PutObject")
        ],
    }
    decisions = result.members["EvalDecision"].enum
    assert {"allowed", "explicitDeny"} <= set(decisions)


# ---- Objects


@pytest.fixture
def bucket(amazon: Amazon, names: Names) -> str:
    amazon.client("s3", REGION).create_bucket(Bucket=f"{names.prefix}-data")
    return f"{names.prefix}-data"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_an_upload_is_checked_and_its_checksum_kept(amazon: Amazon, bucket: str, algorithm: str) -> None:
    s3 = amazon.client("s3", REGION)
    put = s3.put_object(Bucket=bucket, Key="extract.csv", Body=b"11 hail days", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="extract.csv", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"11 hail days"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(b"11 hail days", usedforsecurity=False).hexdigest()}"'


def test_a_body_changed_on_the_way_up_is_refused(amazon: Amazon, bucket: str) -> None:
    s3 = amazon.client("s3", REGION)

    def corrupt(request: Any, **_: Any) -> None:
        request.body = b"12 hail days"

    s3.meta.events.register("before-send.s3.PutObject", corrupt)
    try:
        with pytest.raises(ClientError) as raised:
            s3.put_object(Bucket=bucket, Key="extract.csv", Body=b"11 hail days")
    finally:
        s3.meta.events.unregister("before-send.s3.PutObject", corrupt)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert str(raised.value) == (
        "An error occurred (XAmzContentSHA256Mismatch) when calling the PutObject operation: "
        "The provided 'x-amz-content-sha256' header does not match what was computed."
    )


class _Corrupting(ThreadingHTTPServer):
    """Between a client and the cloud: hands requests on as they are, and spoils the answers to a GET."""

    def __init__(self, endpoint: str, spoil: Callable[[bytes], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.endpoint = endpoint.removeprefix("http://")
        self.spoil = spoil


class _Passing(BaseHTTPRequestHandler):
    server: _Corrupting

    def do_GET(self) -> None:
        connection = http.client.HTTPConnection(self.server.endpoint)
        connection.request("GET", self.path, headers=dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.spoil(content))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def through(amazon: Amazon) -> Iterator[Callable[..., Any]]:
    """An S3 client whose downloads are spoilt on the way."""
    servers: list[_Corrupting] = []

    def client(spoil: Callable[[bytes], bytes]) -> Any:
        servers.append(_Corrupting(amazon.endpoint, spoil))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        return boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{servers[-1].server_port}",
            aws_access_key_id=amazon.caller.key_id,
            aws_secret_access_key=amazon.caller.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    yield client
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_body_changed_on_the_way_down_is_noticed(amazon: Amazon, bucket: str, through: Callable[..., Any]) -> None:
    amazon.client("s3", REGION).put_object(Bucket=bucket, Key="extract.csv", Body=b"11 hail days")
    whole = through(lambda content: content).get_object(Bucket=bucket, Key="extract.csv")
    assert whole["Body"].read() == b"11 hail days"
    spoilt = through(lambda content: content.replace(b"11", b"12")).get_object(Bucket=bucket, Key="extract.csv")
    with pytest.raises(FlexibleChecksumError):
        spoilt["Body"].read()
    cut = through(lambda content: content[:-1]).get_object(Bucket=bucket, Key="extract.csv")
    with pytest.raises(ResponseStreamingError):
        cut["Body"].read()


def test_an_upload_in_parts(amazon: Amazon, bucket: str) -> None:
    s3, part = amazon.client("s3", REGION), 5 * 1024 * 1024
    content = bytes(range(256)) * 4096 * 11  # 11 MiB: three parts.
    transfer = TransferConfig(multipart_threshold=part, multipart_chunksize=part)
    s3.upload_fileobj(io.BytesIO(content), bucket, "layers/libraries.zip", Config=transfer)
    head = s3.head_object(Bucket=bucket, Key="layers/libraries.zip")
    assert (head["ContentLength"], head["ETag"].rpartition("-")[2]) == (len(content), '3"')
    fetched = io.BytesIO()
    s3.download_fileobj(bucket, "layers/libraries.zip", fetched, Config=transfer)
    assert fetched.getvalue() == content
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


# ---- Tags


def test_what_is_tagged_is_listed_page_by_page(
    amazon: Amazon, names: Names, make_function: Callable[..., str], bucket: str
) -> None:
    tags = {"run-id": names.run_id, "Größe": "11 & mehr"}
    function = make_function("", Tags=tags)
    amazon.client("logs", REGION).create_log_group(logGroupName=f"/aws/lambda/{function}", tags=tags)
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    amazon.client("s3", REGION).put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": listed})
    pages = amazon.client("resourcegroupstaggingapi", REGION).get_paginator("get_resources")
    asked = [{"Key": "run-id", "Values": [names.run_id]}]
    found = {
        entry["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in entry["Tags"]}
        for page in pages.paginate(TagFilters=asked, ResourcesPerPage=1)
        for entry in page["ResourceTagMappingList"]
    }
    owner = f"{REGION}:123456789012"
    arns = (
        f"arn:aws:s3:::{bucket}",
        f"arn:aws:lambda:{owner}:function:{function}",
        f"arn:aws:logs:{owner}:log-group:/aws/lambda/{function}",
    )
    assert found == dict.fromkeys(arns, tags)
