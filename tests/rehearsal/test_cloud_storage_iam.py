"""Buckets' IAM policies: what Cloud Storage takes, and what a binding allows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.cloud_storage_iam import Binding
from orchestrator.rehearsal.gcp.rest import CloudError

READER = "hop-reader@rehearsal-project.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{READER}"
VIEWER = "roles/storage.objectViewer"
GET, LIST = "storage.objects.get", "storage.objects.list"
ONE = 'resource.name == "projects/_/buckets/hop-data/objects/a"'
MakeBucket = Callable[..., dict[str, Any]]
Call = Callable[..., tuple[int, Any, Any]]


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud], make_bucket: MakeBucket) -> GoogleCloud:
    google = start_google()
    make_bucket(google, "hop-data")
    make_bucket(google, "hop-other")
    return google


def refused(action: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(CloudError) as caught:
        action()
    return caught.value.status, caught.value.reason, caught.value.message


def test_a_binding_without_a_condition_is_for_the_whole_bucket(google: GoogleCloud) -> None:
    assert not google.storage.allows(READER, GET, "hop-data", "a")
    google.storage.grant("hop-data", Binding(VIEWER, MEMBER))
    assert google.storage.allows(READER, GET, "hop-data", "a")
    assert google.storage.allows(READER, LIST, "hop-data", None)
    assert not google.storage.allows(READER, "storage.objects.delete", "hop-data", "a")
    assert not google.storage.allows(READER, GET, "hop-other", "a")
    assert not google.storage.allows(f"x{READER}", GET, "hop-data", "a")
    assert not google.storage.allows(READER, GET, "hop-none", "a")


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ('resource.name.startsWith("projects/_/buckets/hop-data/objects/extract")', ["extract-1.csv", "extract.csv"]),
        ('resource.name == "projects/_/buckets/hop-data/objects/extract.csv"', ["extract.csv"]),
        ('resource.name.startsWith("projects/_/buckets/hop-data/objects/")', ["extract-1.csv", "extract.csv", "other"]),
    ],
)
def test_a_condition_is_on_the_objects_name(google: GoogleCloud, expression: str, allowed: list[str]) -> None:
    google.storage.grant("hop-data", Binding(VIEWER, MEMBER, "some", expression))
    names = ["extract-1.csv", "extract.csv", "other"]
    assert [name for name in names if google.storage.allows(READER, GET, "hop-data", name)] == allowed
    # Listing is asked of the bucket, whose name is another.
    assert not google.storage.allows(READER, LIST, "hop-data", None)


def test_a_condition_ends(google: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    expression = f'{ONE} && request.time < timestamp("2027-01-01T00:00:00Z")'
    google.storage.grant("hop-data", Binding(VIEWER, MEMBER, "until", expression))
    for now, allowed in ((ends - timedelta(microseconds=1), True), (ends, False)):
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        assert google.storage.allows(READER, GET, "hop-data", "a") is allowed
        assert not google.storage.allows(READER, GET, "hop-data", "b")


def test_a_condition_ends_at_a_time(google: GoogleCloud) -> None:
    expression = f'{ONE} && request.time < timestamp("2027-13-01T00:00:00Z")'
    assert refused(lambda: google.storage.grant("hop-data", Binding(VIEWER, MEMBER, "until", expression))) == (
        400, "invalid", f"Invalid timestamp in the condition {expression}"
    )  # fmt: skip


def test_a_policy_as_the_api_gives_it(google: GoogleCloud, call_google: Call) -> None:
    path = "/storage/v1/b/hop-data/iam"
    plain = {"role": VIEWER, "members": [MEMBER]}
    google.storage.grant("hop-data", Binding(VIEWER, MEMBER))
    google.storage.grant("hop-data", Binding(VIEWER, MEMBER))
    policy = {"kind": "storage#policy", "version": 1, "bindings": [plain], "etag": "CAE="}
    assert call_google("GET", path)[:2] == (200, policy)
    condition = {"title": "one", "expression": 'resource.name == "projects/_/buckets/hop-data/objects/a"'}
    binding = Binding(VIEWER, MEMBER, **condition)
    google.storage.grant("hop-data", binding)
    assert call_google("GET", path)[0] == 501
    answer = call_google("GET", f"{path}?optionsRequestedPolicyVersion=3")[1]
    assert answer == {**policy, "version": 3, "bindings": [plain, {**plain, "condition": condition}]}
    google.storage.revoke("hop-data", binding)
    google.storage.revoke("hop-data", binding)
    assert call_google("GET", path)[:2] == (200, policy)


def test_conditions_want_uniform_access(google: GoogleCloud, make_bucket: MakeBucket) -> None:
    make_bucket(google, "hop-fine", uniform_access=False)
    expression = 'resource.name == "projects/_/buckets/hop-fine/objects/a"'
    assert refused(lambda: google.storage.grant("hop-fine", Binding(VIEWER, MEMBER, "one", expression))) == (
        412, "conditionNotMet", "Conditions need uniform bucket-level access, which hop-fine does not have."
    )  # fmt: skip


def test_nobody_makes_an_enforced_bucket_public(google: GoogleCloud, make_bucket: MakeBucket) -> None:
    for member in ("allUsers", "allAuthenticatedUsers"):
        assert refused(lambda: google.storage.grant("hop-data", Binding(VIEWER, member)))[2] == (  # noqa: B023
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is "
            "enforced."
        )
    make_bucket(google, "hop-open", public_access_prevention="inherited")
    assert refused(lambda: google.storage.grant("hop-open", Binding(VIEWER, "allUsers")))[2] == (
        "not supported in rehearsal: member allUsers; service accounts are known"
    )


@pytest.mark.parametrize(
    ("binding", "what"),
    [
        (Binding(VIEWER, "user:a@b.c"), "member user:a@b.c; service accounts are known"),
        (
            Binding("roles/storage.objectAdmin", MEMBER),
            "role roles/storage.objectAdmin on a bucket; roles/storage.objectViewer is known",
        ),
        *(
            (
                Binding(VIEWER, MEMBER, "one", expression),
                (
                    f'condition {expression}; resource.name.startsWith("...") and resource.name == "..." are known, '
                    'alone or with && request.time < timestamp("...Z")'
                ),
            )
            for expression in (
                'resource.name.endsWith("projects/_/buckets/hop-data/objects/a")',
                'resource.name == "projects/_/buckets/hop-data/objects/a" || true',
                'resource.name=="projects/_/buckets/hop-data/objects/a"',
                'request.time < timestamp("2027-01-01T00:00:00Z")',
                f'{ONE} && request.time > timestamp("2027-01-01T00:00:00Z")',
                f'{ONE} && request.time < timestamp("2027-01-01")',
                f'{ONE} && request.time < timestamp("2027-01-01T00:00:00Z") && true',
                "true",
            )
        ),
        *(
            (
                Binding(VIEWER, MEMBER, "one", expression),
                f"condition {expression}; names of objects in hop-data are known",
            )
            for expression in (
                'resource.name.startsWith("projects/_/buckets/hop-")',
                'resource.name == "projects/_/buckets/hop-other/objects/a"',
            )
        ),
    ],
)
def test_a_binding_that_the_stand_in_does_not_know(google: GoogleCloud, binding: Binding, what: str) -> None:
    message = f"not supported in rehearsal: {what}"
    assert refused(lambda: google.storage.grant("hop-data", binding)) == (501, "notImplemented", message)
    assert google.storage.policy("hop-data") == []
