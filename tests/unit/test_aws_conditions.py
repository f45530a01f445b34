"""Conditions in a role's policies: until when a statement holds, and what cannot be judged."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.rehearsal.aws.conditions import UnknownConditionError, in_force

END = datetime(2026, 11, 23, 18, 42, 5, tzinfo=UTC)
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
LOG = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}
UNTIL = {"DateLessThan": {"aws:CurrentTime": "2026-11-23T18:42:05Z"}}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    ("now", "holding"), [(END - timedelta(microseconds=1), [READ, LOG]), (END, [LOG]), (END + timedelta(days=1), [LOG])]
)
def test_a_statement_holds_until_its_time(now: datetime, holding: list[dict[str, Any]]) -> None:
    assert in_force(policy({**READ, "Condition": UNTIL}, LOG), now) == policy(*holding)


def test_a_single_statement_needs_no_list() -> None:
    document = {"Version": "2012-10-17", "Statement": READ}
    assert in_force(json.dumps(document), END) == policy(READ)


@pytest.mark.parametrize(
    "condition",
    [
        {"DateGreaterThan": {"aws:CurrentTime": "2026-11-23T18:42:05Z"}},
        {"DateLessThan": {"aws:TokenIssueTime": "2026-11-23T18:42:05Z"}},
        {"DateLessThan": {"aws:CurrentTime": "2026-11-23T18:42:05Z", "aws:TokenIssueTime": "2026-11-23T18:42:05Z"}},
        {**UNTIL, "StringEquals": {"aws:SourceAccount": "123456789012"}},
        {"DateLessThan": {"aws:CurrentTime": ["2026-11-23T18:42:05Z"]}},
        {"DateLessThan": {"aws:CurrentTime": "2026-11-23T18:42:05"}},
        {"DateLessThan": {"aws:CurrentTime": "soon"}},
        {"DateLessThan": {}},
        {"DateLessThan": "soon"},
    ],
)
def test_another_condition_cannot_be_judged(condition: dict[str, Any]) -> None:
    with pytest.raises(UnknownConditionError) as raised:
        in_force(policy({**READ, "Condition": condition}), END)
    assert str(raised.value) == (
        f"not supported in rehearsal: condition {json.dumps(condition)}; one DateLessThan of aws:CurrentTime is known"
    )
