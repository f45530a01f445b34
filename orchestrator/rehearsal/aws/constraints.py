"""What AWS takes as the arguments of a call: moto checks a part of it.

First what botocore's own service models say (lengths, ranges, patterns, enum values), which AWS publishes and botocore
does not check but for the minima; then what stands in the documents only. The words are AWS's:
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

_CODES = {"iam": "ValidationError", "lambda": "ValidationException", "logs": "InvalidParameterException"}
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9]([a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_NO_BUCKET_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_NO_BUCKET_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_MOST_KEY_BYTES = 1024
_MOST_RULES = 1000
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging-managing.html
_TAG = re.compile(r"[\w +\-=.:/@]*")
_LONGEST_TAG_KEY, _LONGEST_TAG_VALUE = 128, 256
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
_RESERVED = frozenset(
    {
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
    }
)  # fmt: skip
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MOST_VARIABLE_BYTES = 4096
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
_LONGEST_FUNCTION_NAME = 64
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: white space does not count.
_MOST_TRUST_CHARACTERS, _MOST_POLICY_CHARACTERS = 2048, 10_240
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_RETENTIONS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip


class ConstraintError(Exception):
    """AWS would refuse the call: with the code and the text of its answer, as botocore words them."""

    def __init__(self, operation: str, code: str, text: str) -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation} operation: {text}")


def check(operation: OperationModel, arguments: Mapping[str, Any]) -> None:
    """ConstraintError for what AWS would not take."""
    service = str(operation.service_model.service_name)
    if operation.input_shape is not None:
        found = list(_violations(operation.input_shape, arguments, ""))
        if found:
            count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
            raise ConstraintError(operation.name, _CODES.get(service, "InvalidArgument"), count + "; ".join(found))
    if operation.name in _DOCUMENTED:
        refusal = _DOCUMENTED[operation.name](arguments)
        if refusal:
            raise ConstraintError(operation.name, *refusal)


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """A text for each; values of another type are botocore's own to refuse."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, member in shape.members.items():
            if name in value:
                yield from _violations(member, value[name], f"{path}.{name[0].lower()}{name[1:]}".lstrip("."))
        return
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        for whose, inner, items in (("keys", shape.key, value.keys()), ("values", shape.value, value.values())):
            broken = {text: None for item in items for text in _broken(inner, item)}
            if broken:
                shown = ", ".join(f"{key}={item}" for key, item in value.items())
                yield (
                    f"Value '{{{shown}}}' at '{path}' failed to satisfy constraint: Map {whose} must satisfy "
                    f"constraint: [{', '.join(broken)}]"
                )
    if isinstance(shape, ListShape) and isinstance(value, list):
        for number, item in enumerate(value, start=1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    shown = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    for text in _broken(shape, value):
        yield f"Value '{shown}' at '{path}' failed to satisfy constraint: {text}"


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """What one value breaks of its own shape's constraints."""
    if isinstance(value, str) and not isinstance(shape, StringShape):
        return
    sized = isinstance(value, str | list | Mapping)
    measure = len(value) if sized else value
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    what = "length" if sized else "value"
    if isinstance(measure, int):
        if least is not None and measure < least:
            yield f"Member must have {what} greater than or equal to {least}"
        if most is not None and measure > most:
            yield f"Member must have {what} less than or equal to {most}"
    pattern = shape.metadata.get("pattern")
    if pattern and isinstance(value, str) and not re.fullmatch(_in_python(pattern), value):
        yield f"Member must satisfy regular expression pattern: {pattern}"
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _in_python(pattern: str) -> str:
    r"""Java's classes for all of Unicode: ``\w`` has letters, digits and an underscore, allowed wherever they are."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", " ")


# ---- what stands in the documents only


def _bucket(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    name = arguments["Bucket"]
    if (
        not _BUCKET.fullmatch(name)
        or _ADDRESS.fullmatch(name)
        or name.startswith(_NO_BUCKET_STARTS)
        or name.endswith(_NO_BUCKET_ENDS)
    ):
        return "InvalidBucketName", "The specified bucket is not valid."
    return None


def _object(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    if len(arguments["Key"].encode()) > _MOST_KEY_BYTES:
        return "KeyTooLongError", "Your key is too long"
    return None


def _lifecycle(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html."""
    rules = arguments["LifecycleConfiguration"]["Rules"]
    if not 1 <= len(rules) <= _MOST_RULES or any("Filter" not in rule for rule in rules):
        return (
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    if len({rule["ID"] for rule in rules}) < len(rules):
        return "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule"
    for rule in rules:
        if not {"Expiration", "AbortIncompleteMultipartUpload"} & set(rule):
            return "InvalidRequest", "At least one action needs to be specified in a rule"
        for action, days in (("Expiration", "Days"), ("AbortIncompleteMultipartUpload", "DaysAfterInitiation")):
            if action in rule and rule[action][days] < 1:
                return "InvalidArgument", f"'{days}' for {action} action must be a positive integer"
    return None


def _bucket_tags(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    for tag in arguments["Tagging"]["TagSet"]:
        if len(tag["Key"]) > _LONGEST_TAG_KEY or not _TAG.fullmatch(tag["Key"]):
            return "InvalidTag", "The TagKey you have provided is invalid"
        if len(tag["Value"]) > _LONGEST_TAG_VALUE or not _TAG.fullmatch(tag["Value"]):
            return "InvalidTag", "The TagValue you have provided is invalid"
        if tag["Key"].lower().startswith("aws:"):
            return "InvalidTag", "System tags cannot be added/updated by requester"
    return None


def _reserved_tag(code: str, keys: Iterator[str]) -> tuple[str, str] | None:
    """https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html."""
    if any(key.lower().startswith("aws:") for key in keys):
        return code, "aws: prefixed tag key names are not allowed for external use."
    return None


def _role(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    if _characters(arguments["AssumeRolePolicyDocument"]) > _MOST_TRUST_CHARACTERS:
        return "LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {_MOST_TRUST_CHARACTERS}"
    return _reserved_tag("InvalidInput", (tag["Key"] for tag in arguments.get("Tags", [])))


def _role_policy(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    if _characters(arguments["PolicyDocument"]) > _MOST_POLICY_CHARACTERS:
        role = arguments["RoleName"]
        return "LimitExceeded", f"Maximum policy size of {_MOST_POLICY_CHARACTERS} bytes exceeded for role {role}"
    return None


def _characters(text: str) -> int:
    return len("".join(text.split()))


def _log_group(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    return _reserved_tag("InvalidParameterException", iter(arguments.get("tags", {})))


def _retention(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    if arguments["retentionInDays"] not in _RETENTIONS:
        values = ", ".join(map(str, _RETENTIONS))
        return "InvalidParameterException", f"retentionInDays must be one of {values}"
    return None


def _function(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    code = "InvalidParameterValueException"
    unable = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided "
    )
    name = arguments["FunctionName"]
    if len(name) > _LONGEST_FUNCTION_NAME:  # The model's is the whole ARN's.
        return "ValidationException", (
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: Member must "
            f"have length less than or equal to {_LONGEST_FUNCTION_NAME}"
        )
    variables = (arguments.get("Environment") or {}).get("Variables", {})
    reserved = sorted(_RESERVED & set(variables))
    if reserved:
        return code, (
            f"{unable}contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > _MOST_VARIABLE_BYTES:
        return code, f"{unable}exceeded the 4KB limit. String measured: {measured}"
    return _reserved_tag(code, iter(arguments.get("Tags", {})))


_DOCUMENTED: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, str] | None]] = {
    "CreateBucket": _bucket,
    "PutBucketTagging": _bucket_tags,
    "PutBucketLifecycleConfiguration": _lifecycle,
    "PutObject": _object,
    "CreateRole": _role,
    "PutRolePolicy": _role_policy,
    "CreateLogGroup": _log_group,
    "PutRetentionPolicy": _retention,
    "CreateFunction": _function,
}
