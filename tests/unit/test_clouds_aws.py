"""AWS, as far as it needs no AWS: names of what is left, the package's target, the price."""

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from orchestrator.clouds import Remaining
from orchestrator.clouds.aws import LAYOUT, Aws
from orchestrator.clouds.aws_leftovers import _from_arn
from orchestrator.package import Target
from orchestrator.settings import AwsCompute
from stacks.naming import Names, new_run_id


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


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("arm64", Target("3.13", "aarch64-manylinux_2_28", LAYOUT)),
        ("x86_64", Target("3.13", "x86_64-manylinux_2_28", LAYOUT)),
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
