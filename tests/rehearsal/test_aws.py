"""The gate of the stand-in for Amazon: who is let in, and what a function's role may do."""

import gc
import io
import json
import weakref
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.sigv4 import AccessKey
from stacks.naming import Names

REGION = "us-east-1"


@pytest.fixture
def client(amazon: Amazon) -> Callable[..., Any]:
    """A client with any key."""

    def make(service: Any, key: AccessKey) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=amazon.endpoint,
            aws_access_key_id=key.key_id,
            aws_secret_access_key=key.secret,
            aws_session_token=key.session_token,
        )

    return make


def refusal(call: Callable[..., Any], *, status: int = 403, **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    return str(raised.value)


def test_unsigned(amazon: Amazon) -> None:
    with pytest.raises(HTTPError) as raised, urlopen(f"{amazon.endpoint}/hop-any"):  # noqa: S310 - our own http
        pass
    assert raised.value.code == 403
    assert json.load(raised.value) == {
        "__type": "MissingAuthenticationTokenException",
        "message": "Missing Authentication Token",
    }


@pytest.mark.parametrize(
    ("service", "operation", "wrong", "unknown", "status"),
    [
        ("s3", "list_buckets", "SignatureDoesNotMatch", "InvalidAccessKeyId", 403),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch", "InvalidClientTokenId", 403),
        ("iam", "list_roles", "SignatureDoesNotMatch", "InvalidClientTokenId", 403),
        ("lambda", "list_functions", "InvalidSignatureException", "UnrecognizedClientException", 403),
        ("logs", "describe_log_groups", "InvalidSignatureException", "UnrecognizedClientException", 400),
        (
            *("resourcegroupstaggingapi", "get_resources"),
            *("InvalidSignatureException", "UnrecognizedClientException", 400),
        ),
    ],
)
def test_a_wrong_secret_and_an_unknown_key(
    *,
    client: Callable[..., Any],
    amazon: Amazon,
    service: str,
    operation: str,
    wrong: str,
    unknown: str,
    status: int,
) -> None:
    guessed = client(service, AccessKey(amazon.caller.key_id, "wrong"))
    assert f"({wrong})" in refusal(getattr(guessed, operation), status=status)
    stranger = client(service, AccessKey("AKIAUNKNOWN", amazon.caller.secret))
    assert f"({unknown})" in refusal(getattr(stranger, operation), status=status)
    getattr(client(service, amazon.caller), operation)()


def test_a_service_without_a_stand_in(client: Callable[..., Any], amazon: Amazon) -> None:
    assert refusal(client("sqs", amazon.caller).list_queues) == (
        "An error occurred (UnknownService) when calling the ListQueues operation: "
        "the rehearsal has no stand-in for sqs"
    )


@pytest.fixture
def session(amazon: Amazon, names: Names) -> AccessKey:
    """A function's role that may read one object of two."""
    s3, iam = amazon.client("s3", REGION), amazon.client("iam", REGION)
    bucket = f"{names.prefix}-data"
    s3.create_bucket(Bucket=bucket)
    for key in ("extract.csv", "other & more.csv"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/extract.csv"}
    role = iam.create_role(RoleName=names.prefix, AssumeRolePolicyDocument=_policy(trust))["Role"]
    iam.put_role_policy(RoleName=names.prefix, PolicyName="read", PolicyDocument=_policy(read))
    return amazon.assume(REGION, role["Arn"])


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def denied(names: Names, operation: str, action: str, resource: str) -> str:
    return (
        f"An error occurred (AccessDenied) when calling the {operation} operation: "
        f"User: arn:aws:iam::123456789012:role/{names.prefix} is not authorized to perform: {action} "
        f"on resource: arn:aws:s3:::{names.prefix}-data{resource} "
        f"because no identity-based policy allows the {action} action"
    )


def test_a_role_does_what_its_policy_says(
    client: Callable[..., Any], session: AccessKey, amazon: Amazon, names: Names
) -> None:
    bucket, s3 = f"{names.prefix}-data", client("s3", session)
    assert s3.get_object(Bucket=bucket, Key="extract.csv")["Body"].read() == b"extract.csv"
    other = "other & more.csv"
    assert refusal(s3.get_object, Bucket=bucket, Key=other) == denied(names, "GetObject", "s3:GetObject", f"/{other}")
    assert refusal(s3.put_object, Bucket=bucket, Key="extract.csv", Body=b"1") == (
        denied(names, "PutObject", "s3:PutObject", "/extract.csv")
    )
    assert refusal(s3.delete_object, Bucket=bucket, Key="extract.csv") == (
        denied(names, "DeleteObject", "s3:DeleteObject", "/extract.csv")
    )
    assert refusal(s3.list_objects_v2, Bucket=bucket) == denied(names, "ListObjectsV2", "s3:ListBucket", "")
    assert refusal(s3.get_object_acl, Bucket=bucket, Key="extract.csv") == (
        "An error occurred (AccessDenied) when calling the GetObjectAcl operation: the rehearsal lets a function "
        f"read, write and list objects, not GET arn:aws:s3:::{bucket}/extract.csv"
    )
    assert refusal(client("iam", session).list_roles) == (
        "An error occurred (AccessDenied) when calling the ListRoles operation: the rehearsal lets a function "
        "read, write and list objects, not POST / of iam"
    )
    assert amazon.client("s3", REGION).get_object(Bucket=bucket, Key="extract.csv")["Body"].read() == b"extract.csv"


def test_a_role_reads_until_the_time_that_its_policy_says(
    client: Callable[..., Any], session: AccessKey, amazon: Amazon, names: Names
) -> None:
    s3, iam, bucket = client("s3", session), amazon.client("iam", REGION), f"{names.prefix}-data"

    def read_until(end: timedelta) -> None:
        until = {"DateLessThan": {"aws:CurrentTime": f"{datetime.now(UTC) + end:%Y-%m-%dT%H:%M:%SZ}"}}
        read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": until}
        iam.put_role_policy(RoleName=names.prefix, PolicyName="read", PolicyDocument=_policy(read))

    read_until(timedelta(hours=1))
    assert s3.get_object(Bucket=bucket, Key="extract.csv")["Body"].read() == b"extract.csv"
    read_until(timedelta(hours=-1))
    assert refusal(s3.get_object, Bucket=bucket, Key="extract.csv") == (
        denied(names, "GetObject", "s3:GetObject", "/extract.csv")
    )


def test_a_role_session_needs_its_token(client: Callable[..., Any], session: AccessKey, names: Names) -> None:
    stolen = client("s3", AccessKey(session.key_id, session.secret))
    assert refusal(stolen.get_object, status=400, Bucket=f"{names.prefix}-data", Key="extract.csv") == (
        "An error occurred (InvalidToken) when calling the GetObject operation: "
        "The provided token is malformed or otherwise invalid."
    )


def test_a_deny_wins(client: Callable[..., Any], session: AccessKey, amazon: Amazon, names: Names) -> None:
    deny = _policy({"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    amazon.client("iam", REGION).put_role_policy(RoleName=names.prefix, PolicyName="no", PolicyDocument=deny)
    s3 = client("s3", session)
    assert refusal(s3.get_object, Bucket=f"{names.prefix}-data", Key="extract.csv") == (
        denied(names, "GetObject", "s3:GetObject", "/extract.csv")
    )


def test_a_layer_that_is_deleted_takes_no_memory(amazon: Amazon) -> None:
    client, archive = amazon.client("lambda", REGION), io.BytesIO()
    zipfile.ZipFile(archive, "w").close()
    made = client.publish_layer_version(LayerName="hop-libraries", Content={"ZipFile": archive.getvalue()})
    records = get_backend("lambda")[DEFAULT_ACCOUNT_ID][REGION]
    record = weakref.ref(records.layers_versions_by_arn(made["LayerVersionArn"]))
    assert record() is not None
    client.delete_layer_version(LayerName="hop-libraries", VersionNumber=made["Version"])
    gc.collect()
    assert record() is None
