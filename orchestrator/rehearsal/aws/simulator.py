"""IAM's policy simulator, which moto does not have: what the rehearsal's caller may do.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html.
"""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from xml.sax.saxutils import escape

_KNOWN = frozenset({"Action", "Version", "PolicySourceArn"})


class UnknownParameterError(Exception):
    """The request has a parameter that the simulator here would ignore."""


def asks(form: Mapping[str, Sequence[str]]) -> bool:
    """Whether an IAM request is for the simulator."""
    return list(form.get("Action", ())) == ["SimulatePrincipalPolicy"]


def answer(form: Mapping[str, Sequence[str]], *, principal: str, denied: Collection[str]) -> str:
    """The XML of an answer about ``principal``, who may do all but the actions that a pattern in ``denied`` matches.

    Raises:
        UnknownParameterError: naming it.
        LookupError: the question is about somebody else.
    """
    actions = _members(form, "ActionNames")
    resources = _members(form, "ResourceArns") or ["*"]
    for name in form:
        if name not in _KNOWN and not name.startswith(("ActionNames.member.", "ResourceArns.member.")):
            raise UnknownParameterError(name)
    (source,) = form["PolicySourceArn"]
    if source != principal:
        raise LookupError(source)
    results = "".join(_result(action, resource, denied) for action in actions for resource in resources)
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated>"
        f"<EvaluationResults>{results}</EvaluationResults></SimulatePrincipalPolicyResult>"
        "<ResponseMetadata><RequestId>rehearsal</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )


def _members(form: Mapping[str, Sequence[str]], name: str) -> list[str]:
    return [value for key, values in form.items() if key.startswith(f"{name}.member.") for value in values]


def _result(action: str, resource: str, denied: Collection[str]) -> str:
    decision = "explicitDeny" if any(fnmatch.fnmatchcase(action, pattern) for pattern in denied) else "allowed"
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName><EvalDecision>{decision}</EvalDecision></member>"
    )
