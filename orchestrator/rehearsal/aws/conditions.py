"""The conditions in a role's policies, which moto does not regard: "until that time", the one that our stacks use.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Date.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any


class UnknownConditionError(Exception):
    """A condition that cannot be judged here; the text names it."""


def in_force(policy: str, now: datetime) -> str:
    """The policy document with the statements only that hold at that time, and without their conditions.

    Raises:
        UnknownConditionError: a statement has a condition of another kind.
    """
    document = json.loads(policy)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    holding = [statement for statement in statements if _holds(statement.get("Condition", {}), now)]
    without = [{key: value for key, value in statement.items() if key != "Condition"} for statement in holding]
    return json.dumps({**document, "Statement": without})


def _holds(condition: Mapping[str, Any], now: datetime) -> bool:
    if not condition:
        return True
    try:
        ((operator, ((key, end),)),) = ((name, tuple(of.items())) for name, of in condition.items())
        ends = datetime.fromisoformat(end)
    except (AttributeError, TypeError, ValueError) as error:
        raise _unknown(condition) from error
    if (operator, key) != ("DateLessThan", "aws:CurrentTime") or ends.tzinfo is None:
        raise _unknown(condition)
    return now < ends


def _unknown(condition: Mapping[str, Any]) -> UnknownConditionError:
    return UnknownConditionError(
        f"not supported in rehearsal: condition {json.dumps(condition)}; one DateLessThan of aws:CurrentTime is known"
    )
