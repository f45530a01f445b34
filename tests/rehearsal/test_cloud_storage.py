import base64
import hashlib
import io
from collections.abc import Callable
from typing import Any

import google_crc32c
import pytest
from google.api_core.exceptions import Conflict, NotFound

from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.rest import CloudError

MakeBucket = Callable[..., dict[str, Any]]
Call = Callable[..., tuple[int, Any, Any]]
CONTENT = b"day,n\n" + b"25,11\n" * 1000
MEDIA = "/download/storage/v1/b/hop-b/o/a%2Fb%20c.csv?alt=media"


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud]) -> GoogleCloud:
    return start_google()


@pytest.fixture
def client(google: GoogleCloud) -> Any:
    return GoogleClients(project=google.project, location="US").storage


@pytest.fixture
def stored(google: GoogleCloud, make_bucket: MakeBucket) -> GoogleCloud:
    make_bucket(google, "hop-b", labels={"run-id": "one"})
    google.storage.put_object("hop-b", "a/b c.csv", CONTENT, "text/csv")
    return google


def refused(action: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(CloudError) as caught:
        action()
    return caught.value.status, caught.value.reason, caught.value.message


def test_buckets_are_listed_with_their_labels(client: Any, stored: GoogleCloud, make_bucket: MakeBucket) -> None:
    make_bucket(stored, "hop-a")
    assert [(bucket.name, bucket.labels) for bucket in client.list_buckets()] == [
        ("hop-a", {}), ("hop-b", {"run-id": "one"})
    ]  # fmt: skip
    assert [bucket.name for bucket in client.list_buckets(prefix="hop-b")] == ["hop-b"]
    assert [bucket.name for bucket in client.list_buckets(page_size=1)] == ["hop-a", "hop-b"]
    bucket = client.get_bucket("hop-b")
    assert (bucket.location, bucket.location_type, bucket.storage_class) == ("US", "multi-region", "STANDARD")
    assert bucket.iam_configuration.uniform_bucket_level_access_enabled is True
    assert bucket.iam_configuration.public_access_prevention == "enforced"
    assert bucket.soft_delete_policy.retention_duration_seconds == 0
    assert [dict(rule) for rule in bucket.lifecycle_rules] == [{"action": {"type": "Delete"}, "condition": {"age": 1}}]


def test_a_bucket_goes_only_when_it_is_empty(client: Any, stored: GoogleCloud) -> None:
    with pytest.raises(Conflict, match=r"The bucket you tried to delete is not empty\."):
        client.bucket("hop-b").delete()
    assert refused(lambda: stored.storage.delete_bucket("hop-b", force=False))[0] == 409
    client.bucket("hop-b").blob("a/b c.csv").delete()
    client.bucket("hop-b").delete()
    with pytest.raises(NotFound, match=r"The specified bucket does not exist\."):
        client.get_bucket("hop-b")


def test_force_takes_the_objects_along(stored: GoogleCloud) -> None:
    stored.storage.delete_bucket("hop-b", force=True)
    answer = (404, "notFound", "The specified bucket does not exist.")
    assert refused(lambda: stored.storage.get_bucket("hop-b")) == answer


@pytest.mark.usefixtures("stored")
def test_an_object_comes_back_whole_with_its_hashes(client: Any) -> None:
    (blob,) = client.list_blobs("hop-b", prefix="a/")
    crc32c = base64.b64encode(google_crc32c.value(CONTENT).to_bytes(4, "big")).decode()
    md5 = base64.b64encode(hashlib.md5(CONTENT, usedforsecurity=False).digest()).decode()
    assert (blob.name, blob.size, blob.content_type, blob.crc32c, blob.md5_hash) == (
        "a/b c.csv", 6006, "text/csv", crc32c, md5
    )  # fmt: skip
    for checksum in ("crc32c", "md5"):
        into = io.BytesIO()
        blob.download_to_file(into, checksum=checksum)
        assert into.getvalue() == CONTENT
    assert blob.download_as_bytes(start=6, end=10) == b"25,11"
    with pytest.raises(NotFound, match="No such object: hop-b/none"):
        client.bucket("hop-b").blob("none").reload()


def test_a_range_and_the_hashes_of_the_whole(stored: GoogleCloud, call_google: Call) -> None:
    status, content, headers = call_google("GET", MEDIA, Range="bytes=6-10")
    assert (status, content, headers["Content-Range"]) == (206, b"25,11", "bytes 6-10/6006")
    (found,) = stored.storage.list_objects("hop-b", "")
    assert headers["X-Goog-Hash"] == f"crc32c={found.crc32c},md5={found.md5}"
    assert call_google("GET", MEDIA, Range="bytes=6000-")[1] == b"25,11\n"
    assert call_google("GET", MEDIA, Range="bytes=-6")[1] == b"25,11\n"
    status, content, headers = call_google("GET", MEDIA, Range="bytes=7000-")
    assert (status, content, headers["Content-Range"]) == (416, b"Request range not satisfiable", "bytes */6006")
    status, content, _ = call_google("GET", MEDIA, Range="bytes=0-1,4-5")
    assert (status, content) == (501, b"not supported in rehearsal: a download of several ranges, bytes=0-1,4-5")


@pytest.mark.parametrize("name", ["ab", "Hop", "hop_", "-hop", "google-x", "my-g00gle", "goog-x", "10.0.0.1", "a" * 64])
def test_a_name_that_cloud_storage_would_not_take(google: GoogleCloud, make_bucket: MakeBucket, name: str) -> None:
    assert refused(lambda: make_bucket(google, name)) == (400, "invalid", f"Invalid bucket name: '{name}'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "Invalid object name: ''"),
        ("..", "Invalid object name: '..'"),
        (".well-known/acme-challenge/a", "Invalid object name: '.well-known/acme-challenge/a'"),
        ("a\nb", "Disallowed unicode characters present in object name 'a\nb'"),
        (
            "ü" * 513,
            f"The maximum object length is 1024 characters, but got a name with 1026 characters: ''{'ü' * 513}...''",
        ),
    ],
)
def test_an_object_name_that_cloud_storage_would_not_take(stored: GoogleCloud, name: str, message: str) -> None:
    with pytest.raises(CloudError) as raised:
        stored.storage.put_object("hop-b", name, b"", "text/csv")
    assert (raised.value.status, raised.value.reason, raised.value.message) == (400, "invalid", message)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"location": "Mars"}, (400, "invalid", "The specified location constraint is not valid: MARS")),
        (
            {"soft_delete_seconds": 60},
            (400, "invalid", "softDeletePolicy.retentionDurationSeconds must be 0, or 7 to 90 days."),
        ),
        (
            {"public_access_prevention": "no"},
            (400, "invalid", "Invalid value for publicAccessPrevention: no"),
        ),
        ({"labels": {"a": "B"}}, (400, "invalid", "Label value 'B' contains invalid characters or length.")),
        (
            {"lifecycle_rules": [{"action": {"type": "Delete"}, "condition": {"isLive": True}}]},
            (
                501,
                "notImplemented",
                (
                    "not supported in rehearsal: lifecycle rule {'action': {'type': 'Delete'}, "
                    "'condition': {'isLive': True}}; deleting by age in days is known"
                ),
            ),
        ),
    ],
)
def test_a_bucket_that_cloud_storage_would_not_take(
    google: GoogleCloud, make_bucket: MakeBucket, changes: dict[str, Any], answer: tuple[int, str, str]
) -> None:
    assert refused(lambda: make_bucket(google, "hop-x", **changes)) == answer


def test_a_name_is_taken_once(stored: GoogleCloud, make_bucket: MakeBucket) -> None:
    assert refused(lambda: make_bucket(stored, "hop-b")) == (
        409, "conflict", "Your previous request to create the named bucket succeeded and you already own it."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("POST", "/storage/v1/b", "POST /storage/v1/b (405 Method Not Allowed)"),
        ("GET", "/storage/v2/b", "GET /storage/v2/b (404 Not Found)"),
        ("GET", "/storage/v1/b?project=x&softDeleted=true", "query parameter softDeleted of GET /storage/v1/b"),
        ("GET", "/storage/v1/b/hop-b/o?delimiter=/", "query parameter delimiter of GET /storage/v1/b/hop-b/o"),
        ("GET", "/download/storage/v1/b/hop-b/o/x", "a download with alt=None"),
    ],
)
@pytest.mark.usefixtures("stored")
def test_what_the_stand_in_does_not_know_is_an_error(call_google: Call, method: str, path: str, what: str) -> None:
    status, answer, _ = call_google(method, path)
    assert (status, answer["error"]["message"]) == (501, f"not supported in rehearsal: {what}")
