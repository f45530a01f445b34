"""AWS, as far as it needs no AWS: names of what is left, the function's answer, the package's target."""

import base64
import json
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from orchestrator.clouds import Answer, Remaining
from orchestrator.clouds.aws import Aws, FunctionError, _answer, _from_arn
from orchestrator.package import Target
from orchestrator.settings import AwsCompute
from stacks.naming import Names, new_run_id

PNG = b"\x89PNG\r\n\x1a\nand so on"
SAID = {"counts": {"4": 1, "25": 11}, "chart_png": base64.b64encode(PNG).decode(), "rows": 12}


def amazon(**settings: Any) -> Aws:
    names = Names(new_run_id(datetime.now(UTC)))
    return Aws(AwsCompute.model_validate({"cloud": "aws"} | settings), names, title="Hail in March", source="a test")


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        ("arn:aws:s3:::hop-r1-data", "s3 bucket"),
        ("arn:aws:iam::123456789012:role/cloud-hopping/r1/hop-r1", "iam role"),
        ("arn:aws:lambda:us-east-1:123456789012:function:hop-r1", "lambda function"),
        ("arn:aws:lambda:us-east-1:123456789012:layer:hop-r1-libraries:1", "lambda layer"),
        ("arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/hop-r1", "logs log-group"),
        ("arn:aws-cn:logs:cn-north-1:123456789012:log-group:/aws/lambda/hop-r1", "logs log-group"),
    ],
)
def test_what_is_left_has_a_kind_and_its_arn(arn: str, kind: str) -> None:
    assert _from_arn(arn) == Remaining("aws", kind, arn)


def test_the_answer() -> None:
    assert _answer(json.dumps(SAID).encode()) == Answer({"4": 1, "25": 11}, 12, PNG)
    assert _answer(json.dumps(SAID | {"counts": {}, "rows": 0}).encode()) == Answer({}, 0, PNG)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (b"<html>", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "TypeError: list indices must be integers or slices, not str"),
        (b"{}", "KeyError: 'counts'"),
        (json.dumps(SAID | {"counts": [1]}), "AttributeError: 'list' object has no attribute 'items'"),
        (json.dumps(SAID | {"counts": {"25": "11"}}), "TypeError: '11' is no whole number"),
        (json.dumps(SAID | {"counts": {"25": 1.5}}), "TypeError: 1.5 is no whole number"),
        (json.dumps(SAID | {"counts": {"25": float("inf")}}), "TypeError: inf is no whole number"),
        (json.dumps(SAID | {"rows": True}), "TypeError: True is no whole number"),
        (json.dumps(SAID | {"rows": None}), "TypeError: None is no whole number"),
        (json.dumps(SAID | {"chart_png": "*"}), "Error: Only base64 data is allowed"),
        (json.dumps(SAID | {"chart_png": "PHN2Zz4="}), "ValueError: chart_png is no PNG"),
        (json.dumps({"counts": {}, "rows": 0}), "KeyError: 'chart_png'"),
    ],
)
def test_an_answer_of_another_form(content: bytes | str, reason: str) -> None:
    with pytest.raises(FunctionError) as raised:
        _answer(content if isinstance(content, bytes) else content.encode())
    assert raised.value.exit_code == 1
    assert str(raised.value) == (
        "The function's answer is not what it should be\n"
        f'  {reason}. Expected {{"counts": {{"25": 11, ...}}, "chart_png": "<base64>", "rows": 27}}.\n'
        "To fix it: see aws_main.py in function_code/ for the answer's form."
    )


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("arm64", Target("3.13", "aarch64-manylinux_2_28")),
        ("x86_64", Target("3.13", "x86_64-manylinux_2_28")),
    ],
)
def test_the_packages_target(architecture: Literal["arm64", "x86_64"], target: Target) -> None:
    assert amazon(architecture=architecture).package_target() == target


def test_the_most_it_may_cost() -> None:
    assert amazon(memory="1024 MiB", timeout="60 s").most_usd() == pytest.approx(
        60 * 0.0000133334 + 0.0000002, rel=1e-12
    )
    assert amazon(memory="128 MiB", timeout="1 s", architecture="x86_64").most_usd() == pytest.approx(
        0.0000166667 / 8 + 0.0000002, rel=1e-12
    )
