"""What AWS would refuse of a call's arguments, in its words. tests/contract has the rules' examples."""

import json
from typing import Any

import botocore.session
import pytest

from orchestrator.rehearsal.aws.constraints import ConstraintError, check

SESSION = botocore.session.Session()
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "CreateBucket": ("s3", {"Bucket": "hop-data"}),
    "PutBucketTagging": ("s3", {"Bucket": "hop-data", "Tagging": {"TagSet": [{"Key": "k", "Value": "v"}]}}),
    "PutBucketLifecycleConfiguration": (
        "s3",
        {
            "Bucket": "hop-data",
            "LifecycleConfiguration": {
                "Rules": [{"ID": "i", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        },
    ),
    "PutObject": ("s3", {"Bucket": "hop-data", "Key": "extract.csv", "Body": b""}),
    "CreateRole": ("iam", {"RoleName": "hop", "Path": "/hop/", "AssumeRolePolicyDocument": TRUST}),
    "PutRolePolicy": ("iam", {"RoleName": "hop", "PolicyName": "p", "PolicyDocument": TRUST}),
    "CreateLogGroup": ("logs", {"logGroupName": "/aws/lambda/hop", "tags": {"k": "v"}}),
    "PutRetentionPolicy": ("logs", {"logGroupName": "/aws/lambda/hop", "retentionInDays": 1}),
    "CreateFunction": (
        "lambda",
        {
            "FunctionName": "hop",
            "Role": "arn:aws:iam::123456789012:role/hop/hop",
            "Code": {"ZipFile": b""},
            "Architectures": ["arm64"],
            "MemorySize": 1769,
            "Environment": {"Variables": {"DATA_KEY": "extract.csv"}},
        },
    ),
    "DeleteBucket": ("s3", {"Bucket": "hop-data"}),
}


MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"


def rules(*changes: dict[str, Any]) -> dict[str, Any]:
    """Lifecycle rules: what is None in a change is left out."""
    rule = {"ID": "i", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    made = [{name: value for name, value in (rule | changed).items() if value is not None} for changed in changes]
    return {"LifecycleConfiguration": {"Rules": made}}


def refusal(operation: str, changes: dict[str, Any]) -> str | None:
    service, arguments = CALLS[operation]
    try:
        check(SESSION.get_service_model(service).operation_model(operation), arguments | changes)
    except ConstraintError as error:
        return str(error)
    return None


@pytest.mark.parametrize("operation", CALLS)
def test_what_our_stacks_ask_for_is_fine(operation: str) -> None:
    assert refusal(operation, {}) is None


ONE, TWO = "1 validation error detected: Value", "2 validation errors detected: Value"
MUST = "failed to satisfy constraint: Member must"
CANNOT = "Lambda was unable to configure your environment variables because the environment variables you have provided"


@pytest.mark.parametrize(
    ("operation", "changes", "code", "text"),
    [
        pytest.param(
            "CreateLogGroup",
            {"logGroupName": "a b"},
            "InvalidParameterException",
            f"{ONE} 'a b' at 'logGroupName' {MUST} satisfy regular expression pattern: "
            r"[\.\-_/#A-Za-z0-9]+",
        ),
        pytest.param(
            "CreateRole",
            {"RoleName": "r" * 65, "Path": "hop"},
            "ValidationError",
            f"{TWO} 'hop' at 'path' "
            rf"{MUST} satisfy regular expression pattern: (\u002F)|(\u002F[\u0021-\u007E]+\u002F); "
            f"Value '{'r' * 65}' at 'roleName' {MUST} have length less than or equal to 64",
        ),
        pytest.param(
            "CreateRole",
            {"Tags": [{"Key": "k", "Value": ""}, {"Key": "", "Value": ""}]},
            "ValidationError",
            f"{TWO} '' at 'tags.2.member.key' {MUST} have length greater than or equal to "
            f"1; Value '' at 'tags.2.member.key' {MUST} satisfy regular expression pattern: "
            r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+",
        ),
        pytest.param(
            "CreateFunction",
            {"MemorySize": 127},
            "ValidationException",
            f"{ONE} '127' at 'memorySize' {MUST} have value greater than or equal to 128",
        ),
        pytest.param(
            "CreateFunction",
            {"Architectures": ["amd64"]},
            "ValidationException",
            f"{ONE} 'amd64' at 'architectures.1.member' {MUST} satisfy enum value set: [x86_64, arm64]",
        ),
        pytest.param(
            "CreateFunction",
            {"Architectures": ["arm64", "x86_64"]},
            "ValidationException",
            f"{ONE} '[arm64, x86_64]' at 'architectures' {MUST} have length less than or equal to 1",
        ),
        pytest.param(
            "CreateFunction",
            {"FunctionName": "f" * 65},
            "ValidationException",
            f"{ONE} '{'f' * 65}' at 'functionName' {MUST} have length less than or equal to 64",
        ),
        pytest.param(
            "CreateFunction",
            {"Environment": {"Variables": {"A-B": "1", "A": "2"}}},
            "ValidationException",
            f"{ONE} '{{A-B=1, A=2}}' at 'environment.variables' failed to satisfy constraint: "
            "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
            "[a-zA-Z]([a-zA-Z0-9_])+]",
        ),
        pytest.param(
            "CreateFunction",
            {"Environment": {"Variables": {"AWS_REGION": "", "AB": ""}}},
            "InvalidParameterValueException",
            f"{CANNOT} contains reserved keys that are currently not supported for modification. Reserved keys used in "
            "this request: AWS_REGION",
        ),
        pytest.param(
            "CreateFunction",
            {"Environment": {"Variables": {"AB": "v" * 4088}}},
            "InvalidParameterValueException",
            f'{CANNOT} exceeded the 4KB limit. String measured: {{"AB":"{"v" * 4088}"}}',
        ),
        pytest.param(
            "CreateFunction",
            {"Tags": {"Aws:k": ""}},
            "InvalidParameterValueException",
            "aws: prefixed tag key names are not allowed for external use.",
        ),
        pytest.param("CreateBucket", {"Bucket": "hop_data"}, "InvalidBucketName", "The specified bucket is not valid."),
        pytest.param("PutObject", {"Key": "ü" * 513}, "KeyTooLongError", "Your key is too long"),
        pytest.param(
            "PutBucketTagging",
            {"Tagging": {"TagSet": [{"Key": "k?", "Value": ""}]}},
            "InvalidTag",
            "The TagKey you have provided is invalid",
        ),
        pytest.param(
            "PutBucketTagging",
            {"Tagging": {"TagSet": [{"Key": "k", "Value": "v" * 257}]}},
            "InvalidTag",
            "The TagValue you have provided is invalid",
        ),
        pytest.param(
            "PutBucketTagging",
            {"Tagging": {"TagSet": [{"Key": "AWS:k", "Value": ""}]}},
            "InvalidTag",
            "System tags cannot be added/updated by requester",
        ),
        pytest.param("PutBucketLifecycleConfiguration", rules(), "MalformedXML", MALFORMED),
        pytest.param("PutBucketLifecycleConfiguration", rules({"Filter": None}), "MalformedXML", MALFORMED),
        pytest.param(
            "PutBucketLifecycleConfiguration",
            rules(*({"ID": f"{number}"} for number in range(1001))),
            "MalformedXML",
            MALFORMED,
        ),
        pytest.param(
            "PutBucketLifecycleConfiguration",
            rules({}, {"ID": "j"}, {}),
            "InvalidArgument",
            "Rule ID must be unique. Found same ID for more than one rule",
        ),
        pytest.param(
            "PutBucketLifecycleConfiguration",
            rules({"Expiration": None}),
            "InvalidRequest",
            "At least one action needs to be specified in a rule",
        ),
        pytest.param(
            "PutBucketLifecycleConfiguration",
            rules({"Expiration": {"Days": 0}}),
            "InvalidArgument",
            "'Days' for Expiration action must be a positive integer",
        ),
        pytest.param(
            "PutBucketLifecycleConfiguration",
            rules({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}}),
            "InvalidArgument",
            "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer",
        ),
        pytest.param(
            "PutBucketLifecycleConfiguration",
            rules({"Status": "On"}),
            "InvalidArgument",
            f"{ONE} 'On' at 'lifecycleConfiguration.rules.1.member.status' {MUST} satisfy enum value set: [Enabled, "
            "Disabled]",
        ),
        pytest.param(
            "CreateRole",
            {"AssumeRolePolicyDocument": "t" * 2049},
            "LimitExceeded",
            "Cannot exceed quota for ACLSizePerRole: 2048",
        ),
        pytest.param(
            "PutRolePolicy",
            {"PolicyDocument": "p" * 10_241},
            "LimitExceeded",
            "Maximum policy size of 10240 bytes exceeded for role hop",
        ),
        pytest.param(
            "PutRetentionPolicy",
            {"retentionInDays": 2},
            "InvalidParameterException",
            "retentionInDays must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, "
            "2192, 2557, 2922, 3288, 3653",
        ),
    ],
)
def test_refused(operation: str, changes: dict[str, Any], code: str, text: str) -> None:
    assert refusal(operation, changes) == f"An error occurred ({code}) when calling the {operation} operation: {text}"


def test_white_space_in_a_policy_does_not_count() -> None:
    assert refusal("PutRolePolicy", {"PolicyDocument": "p " * 10_240}) is None


def test_what_has_another_type_is_botocores_to_refuse() -> None:
    assert refusal("CreateFunction", {"MemorySize": "much", "Environment": []}) is None
