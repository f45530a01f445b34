"""Reading blobs: our endpoint and Azurite, asked by plain HTTP and by azure-storage-blob."""

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from orchestrator.rehearsal.azure import sas
from tests.contract.azure.blob_stores import ACCOUNT, API, BLOB, CONTENT, ODD, Reader

MD5 = "Y1v7buMT5CHYgyHyiwnTiw=="


# ---- what is not there


def test_a_blob_that_is_not_there(reader: Reader) -> None:
    signature = reader.signature("other.csv")
    assert reader.refused(reader.ask("other.csv", signature)) == (
        404,
        "BlobNotFound",
        "The specified blob does not exist.",
    )
    head = reader.ask("other.csv", signature, method="HEAD")
    assert (head.status_code, head.headers["x-ms-error-code"], head.content) == (404, "BlobNotFound", b"")


def test_a_container_that_is_not_there(reader: Reader) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB, "nowhere"), "nowhere")
    assert reader.refused(answer) == (404, "ContainerNotFound", "The specified container does not exist.")


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("abc", True), ("a-b-c", True), ("2026-run", True), ("a" * 63, True), ("ab", False), ("a" * 64, False),
        ("Data", False), ("a--b", False), ("-abc", False), ("abc-", False), ("a_bc", False), ("a.bc", False),
    ],
)  # fmt: skip
def test_a_containers_name(*, reader: Reader, name: str, taken: bool) -> None:
    assert reader.store.make_container(name) == taken


# ---- what is said of a blob


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_headers_of_a_blob(reader: Reader, method: str) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB), method=method, x_ms_version=API, x_ms_client_request_id="mine")
    fixed = {
        "content-length": str(len(CONTENT)),
        "content-type": "text/csv",
        "content-md5": MD5,
        "accept-ranges": "bytes",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-lease-state": "available",
        "x-ms-lease-status": "unlocked",
        "x-ms-server-encrypted": "true",
        "x-ms-version": API,
        "x-ms-client-request-id": "mine",
    }
    if method == "HEAD":
        fixed |= {"x-ms-access-tier": "Hot", "x-ms-access-tier-inferred": "true"}
    assert {name: answer.headers.get(name) for name in fixed} == fixed
    assert answer.headers["last-modified"] == answer.headers["x-ms-creation-time"]
    assert abs(parsedate_to_datetime(answer.headers["last-modified"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert re.fullmatch(r'"0x[0-9A-F]{14,16}"', answer.headers["etag"])
    assert "content-range" not in answer.headers


@pytest.mark.differs(
    "Azurite always answers with its own newest version",
    "https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services",
)
def test_the_signatures_version_answers_when_the_request_has_none(reader: Reader) -> None:
    fields = {"sv": "2015-04-05", "sr": "b", "se": "2099-01-01T00:00:00Z", "sp": "r"}
    signature = sas.sign(reader.keys["key1"], f"/blob/{ACCOUNT}/data/{BLOB}", fields)
    assert reader.ask(BLOB, signature).headers["x-ms-version"] == "2015-04-05"


# ---- a part of a blob


@pytest.mark.parametrize(
    ("headers", "first", "last"),
    [
        ({"Range": "bytes=2-5"}, 2, 5),
        ({"Range": "bytes=0-0"}, 0, 0),
        ({"Range": "bytes=20-"}, 20, 26),
        ({"Range": "bytes=0-"}, 0, 26),
        ({"Range": "bytes=20-100"}, 20, 26),
        ({"x_ms_range": "bytes=2-5"}, 2, 5),
        ({"x_ms_range": "bytes=2-5", "Range": "bytes=0-1"}, 2, 5),
    ],
)
def test_a_range(reader: Reader, headers: dict[str, str], first: int, last: int) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB), **headers)
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/27"
    assert answer.headers["x-ms-blob-content-md5"] == MD5
    assert "content-md5" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=5-2", "nonsense"])
def test_a_range_that_is_none_is_the_whole_blob(reader: Reader, asked: str) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB), Range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=28-", "bytes=28-30"])
def test_a_range_that_begins_behind_the_end(reader: Reader, asked: str) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB), Range=asked)
    assert reader.refused(answer) == (
        416,
        "InvalidRange",
        "The range specified is invalid for the current size of the resource.",
    )
    assert answer.headers["content-range"] == "bytes */27"


# ---- on a condition


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"If_Match": "the tag"}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"0x1"'}, 412),
        ({"If_None_Match": "the tag"}, 304),
        ({"If_None_Match": '"0x1"'}, 200),
        ({"If_None_Match": "*"}, 400),
        ({"If_Modified_Since": "before"}, 200),
        ({"If_Modified_Since": "then"}, 304),
        ({"If_Unmodified_Since": "before"}, 412),
        ({"If_Unmodified_Since": "then"}, 200),
        ({"If_Match": "the tag", "Range": "bytes=0-1"}, 206),
    ],
)
def test_a_condition(reader: Reader, method: str, conditions: dict[str, str], status: int) -> None:
    signature = reader.signature(BLOB)
    now = reader.ask(BLOB, signature, method="HEAD").headers
    before = format_datetime(parsedate_to_datetime(now["last-modified"]) - timedelta(seconds=1), usegmt=True)
    meant = {"the tag": now["etag"], "then": now["last-modified"], "before": before}
    answer = reader.ask(
        BLOB, signature, method=method, **{name: meant.get(value, value) for name, value in conditions.items()}
    )
    if method == "HEAD" and status == 206:
        status = 200
    assert answer.status_code == status
    code = {304: "ConditionNotMet", 400: "UnsatisfiableCondition", 412: "ConditionNotMet"}.get(status)
    assert answer.headers.get("x-ms-error-code") == code
    if method == "GET" and status == 412:
        message = "The condition specified using HTTP conditional header(s) is not met."
        assert reader.refused(answer) == (412, "ConditionNotMet", message)


# ---- Microsoft's client, with nothing but the signed URL: what a function may use


@pytest.mark.parametrize(
    "settings", [{}, {"max_single_get_size": 10, "max_chunk_get_size": 10}], ids=["whole", "parts"]
)
@pytest.mark.parametrize(
    ("name", "content"), [(BLOB, CONTENT), (ODD, CONTENT), ("empty.csv", b"")], ids=["plain", "odd", "empty"]
)
def test_the_client_downloads(reader: Reader, settings: dict[str, Any], name: str, content: bytes) -> None:
    with reader.client(name, **settings) as client:
        downloaded = client.download_blob()
        assert downloaded.readall() == content
        assert (downloaded.size, downloaded.properties.content_settings.content_type) == (len(content), "text/csv")


def test_the_client_reads_a_part_and_the_properties(reader: Reader) -> None:
    with reader.client(BLOB) as client:
        assert client.download_blob(offset=6, length=5).readall() == CONTENT[6:11]
        properties = client.get_blob_properties()
        assert (properties.name, properties.container, properties.size) == (BLOB, "data", len(CONTENT))
        assert (properties.blob_type, properties.blob_tier, properties.lease.state) == ("BlockBlob", "Hot", "available")
        assert b64encode(properties.content_settings.content_md5 or b"").decode() == MD5


def test_the_client_is_told_what_is_missing(reader: Reader) -> None:
    with reader.client("other.csv") as client:
        assert not client.exists()
        with pytest.raises(ResourceNotFoundError) as raised:
            client.download_blob()
    assert vars(raised.value)["error_code"] == "BlobNotFound"


def test_the_client_is_told_that_the_blob_is_another(reader: Reader) -> None:
    with reader.client(BLOB) as client, pytest.raises(ResourceModifiedError) as raised:
        client.download_blob(etag='"0x1"', match_condition=MatchConditions.IfNotModified)
    assert vars(raised.value)["error_code"] == "ConditionNotMet"
