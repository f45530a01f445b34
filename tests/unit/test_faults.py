"""The rules of what goes wrong: which event each is about, how often it fires, how it travels."""

from typing import Any

import pytest

from orchestrator.rehearsal.call_refusals import REFUSALS, refusal
from orchestrator.rehearsal.faults import Call, CallRule, Faults, Operation, ResourceRule, from_json, to_json

BUCKET = "aws:s3/bucket:Bucket"
CREATE = Operation(BUCKET, "data", "create")
GET = Call("gcp", "GET", "/storage/v1/b/hop/o", "prefix=extract")


def resource(**changes: Any) -> ResourceRule:
    return ResourceRule(**{"type": BUCKET, "name": "data", "operation": "create", "effect": "fails", **changes})


def call(**changes: Any) -> CallRule:
    return CallRule(**{"cloud": "gcp", "method": "GET", "path": "/storage/v1/b/.*", "effect": "hangs", **changes})


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (resource(), True),
        (resource(type="gcp:storage/bucket:Bucket"), False),
        (resource(name="dat"), False),
        (resource(operation="delete"), False),
    ],
)
def test_a_resource_rule_is_about_one_operation_on_one_resource(rule: ResourceRule, *, matches: bool) -> None:
    assert rule.matches(CREATE) is matches


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (call(), True),
        (call(cloud="aws"), False),
        (call(method="DELETE"), False),
        (call(path="/storage"), False),  # The whole path counts.
        (call(target="prefix=.*"), True),
        (call(target="prefix"), False),  # So does the whole target.
        (call(target=""), False),
    ],
)
def test_a_call_rule_is_about_a_path_and_a_target(rule: CallRule, *, matches: bool) -> None:
    assert rule.matches(GET) is matches


def test_a_rule_fires_so_many_times_and_then_the_next_one_for_the_same() -> None:
    faults = Faults()
    faults.set([resource(times=2), resource(effect="hangs", times=None), call()])
    found = [faults.of_operation(CREATE) for _ in range(4)]
    assert [fault and fault.effect for fault in found] == ["fails", "fails", "hangs", "hangs"]
    assert faults.of_operation(Operation(BUCKET, "data", "delete")) is None
    assert faults.fired() == [2, 2, 0]


def test_lifted_faults_end_and_what_fired_stays_known() -> None:
    faults = Faults()
    faults.set([call(times=None)])
    fault = faults.of_call(GET)
    assert fault is not None
    assert not fault.lifted.done()
    faults.lift()
    assert fault.lifted.done()
    assert faults.of_call(GET) is None
    assert faults.fired() == [1]
    assert faults.calls() == [GET, GET]


def test_new_rules_end_the_old_ones_and_what_was_counted() -> None:
    faults = Faults()
    faults.set([call()])
    fault = faults.of_call(GET)
    assert fault is not None
    faults.set([call(effect="refused", times=None)])
    assert fault.lifted.done()
    assert (faults.fired(), faults.calls()) == ([0], [])
    again = faults.of_call(GET)
    assert again is not None
    assert (again.effect, again.lifted.done()) == ("refused", False)
    faults.take_back(fault)  # Of rules that are no more.
    assert faults.fired() == [1]
    faults.take_back(again)
    assert faults.fired() == [0]


def test_without_rules_nothing_goes_wrong() -> None:
    faults = Faults()
    assert faults.of_call(GET) is None
    assert faults.of_operation(CREATE) is None
    faults.lift()
    assert faults.fired() == []


def test_rules_travel_as_json() -> None:
    rules: list[ResourceRule | CallRule] = [resource(times=None), call(target="a|b", times=3)]
    assert from_json(to_json(rules)) == rules


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resource(effect="explodes"), "effect: expected one of fails, hangs, answer lost, .*; got explodes"),
        (lambda: resource(operation="read"), "operation: expected one of create, delete; got read"),
        (lambda: resource(operation="delete", effect="half made"), "only a create can be half made"),
        (lambda: resource(times=0), "times: expected 1 or more, or None; got 0"),
        (lambda: call(cloud="ibm"), "cloud: expected one of aws, azure, gcp; got ibm"),
        (lambda: call(effect="fails"), "effect: expected one of refused, .*; got fails"),
        (lambda: call(path="("), r"\( is no regular expression: .*"),
        (lambda: call(target="["), r"\[ is no regular expression: .*"),
        (lambda: call(times=-1), "times: expected 1 or more, or None; got -1"),
    ],
)
def test_what_is_no_rule_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_a_field_that_no_rule_has_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        from_json([{"cloud": "aws", "colour": "red"}])


# ---- refusals, in each cloud's own form


def signed_for(service: str) -> dict[str, str]:
    scope = f"AKIA/20261130/us-east-1/{service}/aws4_request"
    return {
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}",
    }


@pytest.mark.parametrize(
    ("headers", "path", "answers"),
    [
        (
            signed_for("s3"),
            "/bucket",
            [(403, "AccessDenied<"), (503, "SlowDown<"), (503, "ServiceUnavailable<"), (400, "ExpiredToken<")],
        ),
        (
            signed_for("iam"),
            "/",
            [(403, "AccessDenied<"), (400, "Throttling<"), (503, "ServiceUnavailable<"), (403, "ExpiredToken<")],
        ),
        (
            signed_for("lambda"),
            "/2015-03-31/functions/hop",
            [
                (403, '"AccessDeniedException"'),
                (429, '"TooManyRequestsException"'),
                (503, '"ServiceUnavailable"'),
                (403, '"ExpiredTokenException"'),
            ],
        ),
        (
            signed_for("logs"),
            "/",
            [
                (400, '"AccessDeniedException"'),
                (400, '"ThrottlingException"'),
                (503, '"ServiceUnavailable"'),
                (400, '"ExpiredTokenException"'),
            ],
        ),
        (
            signed_for("lambda"),
            "/",
            [(403, '"Forbidden"'), (429, '"Rate Exceeded."'), (503, '"Service Unavailable"'), (403, "expired")],
        ),
    ],
)
def test_aws_refuses_in_the_words_of_the_service(
    headers: dict[str, str], path: str, answers: list[tuple[int, str]]
) -> None:
    for effect, (status, word) in zip(REFUSALS, answers, strict=True):
        answer = refusal(Call("aws", "GET", path, ""), effect, headers)
        assert answer.status == status
        assert word in answer.body.decode()


@pytest.mark.parametrize(
    ("cloud", "path", "answers"),
    [
        (
            "azure",
            "/subscriptions/1/resourcegroups",
            [
                (403, '"AuthorizationFailed"'),
                (429, '"SubscriptionRequestsThrottled"'),
                (503, '"ServiceUnavailable"'),
                (401, '"ExpiredAuthenticationToken"'),
            ],
        ),
        (
            "azure",
            "/tenant/oauth2/v2.0/token",
            [(400, "AADSTS7000112"), (429, "AADSTS90055"), (503, "AADSTS90033"), (401, "AADSTS7000222")],
        ),
        ("azure", "/api/hail", [(403, "stopped"), (429, ""), (503, "Function host is not running."), (401, "")]),
        (
            "gcp",
            "/bigquery/v2/projects/p/jobs",
            [(403, '"accessDenied"'), (403, '"rateLimitExceeded"'), (503, '"backendError"'), (401, '"authError"')],
        ),
        (
            "gcp",
            "/storage/v1/b",
            [(403, '"forbidden"'), (429, '"rateLimitExceeded"'), (503, '"backendError"'), (401, '"authError"')],
        ),
        (
            "gcp",
            "/v2/projects/p/locations/us-central1/services",
            [
                (403, '"PERMISSION_DENIED"'),
                (429, '"RESOURCE_EXHAUSTED"'),
                (503, '"UNAVAILABLE"'),
                (401, '"UNAUTHENTICATED"'),
            ],
        ),
        (
            "gcp",
            "/",
            [(403, "Forbidden"), (429, "Rate exceeded."), (503, "Service Unavailable"), (401, "Unauthorized")],
        ),
    ],
)
def test_azure_and_google_refuse_in_the_words_of_who_is_asked(
    cloud: str, path: str, answers: list[tuple[int, str]]
) -> None:
    for effect, (status, word) in zip(REFUSALS, answers, strict=True):
        answer = refusal(Call(cloud, "GET", path, ""), effect, {})
        assert answer.status == status
        assert word in answer.body.decode()
        later = answer.headers.get("Retry-After")
        assert later == ("1" if cloud == "azure" and effect in ("throttled", "unavailable") else None)
