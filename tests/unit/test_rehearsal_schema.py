"""What a stack registers is checked against the SDK's classes, and against what the stand-in acts on."""

from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest

from orchestrator.rehearsal.schema import UNKNOWN, mistakes

# The SDKs': they warn of classes of their own as soon as those are imported.

FUNCTION = frozenset(
    {"architectures", "code", "environment.variables", "layers", "memorySize", "packageType", "publish", "role"}
)
RUNTIMES = ", ".join(runtime.value for runtime in aws.lambda_.Runtime)
BUCKET = frozenset({"location", "forceDestroy", "lifecycleRules.action.type", "lifecycleRules.condition.age"})


def rule(**action: Any) -> dict[str, Any]:
    return {"action": {"type": "Delete"} | action, "condition": {"age": 1}}


def test_all_is_right() -> None:
    function = {
        "architectures": ["arm64"],
        "code": pulumi.FileArchive("function.zip"),
        "environment": {"variables": {"DATA_KEY": "extract.csv"}},
        "layers": [],
        "memorySize": 1769,
        "packageType": "Zip",
        "publish": False,
        "role": "arn",
    }
    assert mistakes(aws.lambda_.FunctionArgs, function, FUNCTION) == []
    bucket = {"location": "US", "forceDestroy": True, "lifecycleRules": [rule(), rule()]}
    assert mistakes(gcp.storage.BucketArgs, bucket, BUCKET) == []


@pytest.mark.parametrize(
    ("values", "path", "reason"),
    [
        ({"memory": 1}, "memory", "FunctionArgs has no such input"),
        ({"memory_size": 1}, "memory_size", "FunctionArgs has no such input"),
        ({"memorySize": "1769"}, "memorySize", "expected int, got str"),
        ({"memorySize": 1.5}, "memorySize", "expected int, got float"),
        ({"memorySize": True}, "memorySize", "expected int, got bool"),
        ({"publish": 1}, "publish", "expected bool, got int"),
        ({"role": None}, "role", "expected str, got NoneType"),
        ({"code": "function.zip"}, "code", "expected Archive, got str"),
        ({"layers": "arn"}, "layers", "expected Sequence, got str"),
        ({"layers": {"0": "arn"}}, "layers", "expected Sequence, got dict"),
        ({"layers": ["arn", 1]}, "layers", "expected str, got int"),
        ({"environment": {"variable": {}}}, "environment.variable", "FunctionEnvironmentArgs has no such input"),
        ({"environment": {"variables": {"A": 1}}}, "environment.variables", "expected str, got int"),
        ({"environment": {"variables": "A=1"}}, "environment.variables", "expected Mapping, got str"),
        ({"environment": "A=1"}, "environment", "expected FunctionEnvironmentArgs, got str"),
        ({"runtime": "python3"}, "runtime", f"expected one of {RUNTIMES}; got python3"),
        ({"runtime": 3}, "runtime", "expected Runtime or str, got int"),
        ({"runtime": "python3.13"}, "runtime", "the rehearsal's stand-in does not know this input"),
        ({"tags": {"a": "b"}}, "tags", "the rehearsal's stand-in does not know this input"),
        ({"tracingConfig": {"mode": "x"}}, "tracingConfig.mode", "the rehearsal's stand-in does not know this input"),
    ],
)  # fmt: skip
def test_one_mistake(values: dict[str, Any], path: str, reason: str) -> None:
    assert mistakes(aws.lambda_.FunctionArgs, {"role": "arn"} | values, FUNCTION) == [(path, reason)]


def test_required_inputs_at_every_depth() -> None:
    assert mistakes(aws.lambda_.FunctionArgs, {}, FUNCTION) == [("role", "missing: FunctionArgs requires it")]
    rules = [rule(), {"action": {}, "condition": {"age": 1}}]
    assert mistakes(gcp.storage.BucketArgs, {"location": "US", "lifecycleRules": rules}, BUCKET) == [
        ("lifecycleRules.action.type", "missing: BucketLifecycleRuleActionArgs requires it")
    ]


def test_all_mistakes_at_once() -> None:
    values = {"forceDestroy": "yes", "lifecycleRules": [rule(storageClass="NEARLINE"), "delete"], "place": "US"}
    assert mistakes(gcp.storage.BucketArgs, values, BUCKET) == [
        ("forceDestroy", "expected bool, got str"),
        ("lifecycleRules", "expected BucketLifecycleRuleArgs, got str"),
        ("lifecycleRules.action.storageClass", "the rehearsal's stand-in does not know this input"),
        ("location", "missing: BucketArgs requires it"),
        ("place", "BucketArgs has no such input"),
    ]


@pytest.mark.parametrize("layers", [UNKNOWN, ["arn", UNKNOWN]])
def test_a_preview_does_not_know_all_values(layers: object) -> None:
    assert mistakes(aws.lambda_.FunctionArgs, {"role": UNKNOWN, "layers": layers}, FUNCTION) == []


def test_numbers_with_a_fraction() -> None:
    known = frozenset({"maxRetention", "location"})
    assert mistakes(gcp.storage.BucketArgs, {"location": 1.5}, known) == [("location", "expected str, got float")]
