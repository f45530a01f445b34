import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import google_crc32c
import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError

from orchestrator import deadlines
from orchestrator.clouds import Remaining
from orchestrator.errors import OrchestratorError
from orchestrator.rehearsal.gcp.rest import CloudError
from tests.contract.google.broken_line import Line
from tests.contract.google.google_sides import GoogleSide

OBJECTS_DOC = "https://cloud.google.com/storage/docs/json_api/v1/objects#resource"
CONTENT = b"day,kind\n" + b"25,hail\n" * 40_000
ROWS = 40_000
DAY = b"day\n25\n"


@pytest.fixture
def bucket(google: GoogleSide) -> str:
    return google.new_bucket()


@pytest.fixture
def held(google: GoogleSide, bucket: str) -> Any:
    return google.clients.storage.bucket(bucket)


@pytest.fixture
def line(google: GoogleSide, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    direct = os.environ["STORAGE_EMULATOR_HOST"]
    line = Line(urlsplit(direct).port or 0)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", line.endpoint)
    if google.name == "theirs":  # It says where its objects are to be had; ours goes by the Host header.
        requests.put(f"{direct}/_internal/config", json={"externalUrl": line.endpoint}, timeout=10).raise_for_status()
    yield line
    line.close()
    if google.name == "theirs":
        requests.put(f"{direct}/_internal/config", json={"externalUrl": direct}, timeout=10).raise_for_status()


def refusal(action: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises((GoogleAPICallError, CloudError)) as caught:
        action()
    error = caught.value
    if isinstance(error, CloudError):  # What the stand-in leaves to Pulumi's provider.
        return error.status, error.message
    assert isinstance(error, GoogleAPICallError)
    return int(error.code or 0), error.errors[0]["message"] if error.errors else error.message


def test_objects_are_listed_by_name(google: GoogleSide, bucket: str) -> None:
    names = ["a/b c.csv", "a/ü.csv", "b+%.csv", "a.csv", "a/😀?#.csv", "A.csv", "a/z.csv"]
    for name in names:
        google.put_object(bucket, name, name.encode())
    storage = google.clients.storage
    in_order = ["A.csv", "a.csv", "a/b c.csv", "a/z.csv", "a/ü.csv", "a/😀?#.csv", "b+%.csv"]
    assert [blob.name for blob in storage.list_blobs(bucket)] == in_order
    assert [blob.name for blob in storage.list_blobs(bucket, prefix="a/")] == in_order[2:6]
    assert [blob.name for blob in storage.list_blobs(bucket, prefix="none")] == []
    for blob in storage.list_blobs(bucket):
        assert blob.download_as_bytes() == blob.name.encode()
        blob.reload()
        assert blob.size == len(blob.name.encode())


def test_objects_are_listed_in_pages(google: GoogleSide, bucket: str) -> None:
    for number in range(5):
        google.put_object(bucket, f"{number}.csv", DAY)
    pages = google.clients.storage.list_blobs(bucket, page_size=2).pages
    assert [[blob.name for blob in page] for page in pages] == [["0.csv", "1.csv"], ["2.csv", "3.csv"], ["4.csv"]]
    few = google.clients.storage.list_blobs(bucket, max_results=3)
    assert [blob.name for blob in few] == ["0.csv", "1.csv", "2.csv"]


@pytest.mark.parametrize("content", [CONTENT, b"", b"\xef\xbb\xbf\xff\x00"], ids=["text", "nothing", "bytes"])
def test_what_an_object_says_of_itself(google: GoogleSide, held: Any, content: bytes) -> None:
    google.put_object(held.name, "a/b c.csv", content)
    (blob,) = held.list_blobs()
    crc32c = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    for _ in range(2):
        assert (blob.name, blob.size, blob.content_type, blob.crc32c, blob.md5_hash, blob.metageneration) == (
            "a/b c.csv", len(content), "text/csv", crc32c, md5, 1
        )  # fmt: skip
        blob.reload()
    assert [blob.download_as_bytes(checksum=checksum) for checksum in ("crc32c", "md5")] == [content, content]


@pytest.mark.differs("its id and its link are without the generation", OBJECTS_DOC)
def test_an_object_says_which_generation_it_is(google: GoogleSide, held: Any) -> None:
    google.put_object(held.name, "a/b c.csv", DAY)
    (blob,) = held.list_blobs()
    where = f"{os.environ['STORAGE_EMULATOR_HOST']}/download/storage/v1/b/{held.name}/o/a%2Fb%20c.csv"
    assert blob.id == f"{held.name}/a/b c.csv/{blob.generation}"
    assert blob.media_link == f"{where}?generation={blob.generation}&alt=media"


def test_a_new_content_is_a_new_generation(google: GoogleSide, held: Any) -> None:
    google.put_object(held.name, "a.csv", DAY)
    first = held.get_blob("a.csv")
    google.put_object(held.name, "a.csv", CONTENT)
    second = held.get_blob("a.csv")
    assert second.generation > first.generation
    assert second.download_as_bytes() == CONTENT
    old = held.blob("a.csv", generation=first.generation)
    assert refusal(old.download_as_bytes)[0] == 404


@pytest.mark.parametrize(
    ("span", "status", "content", "says"),
    [
        ("bytes=6-10", 206, CONTENT[6:11], "bytes 6-10/320009"),
        ("bytes=320000-", 206, CONTENT[320_000:], "bytes 320000-320008/320009"),
        ("bytes=-6", 206, CONTENT[-6:], "bytes 320003-320008/320009"),
        ("bytes=320000-999999", 206, CONTENT[320_000:], "bytes 320000-320008/320009"),
        ("bytes=-999999", 206, CONTENT, "bytes 0-320008/320009"),
        ("bytes=30-20", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
    ],
    ids=["inner", "from", "last", "from, clipped", "last, clipped", "backwards", "another unit"],
)
def test_a_part_of_an_object(
    google: GoogleSide, held: Any, *, span: str, status: int, content: bytes, says: str | None
) -> None:
    google.put_object(held.name, "a.csv", CONTENT)
    answer = media(google, f"{held.name}/o/a.csv", Range=span)
    assert (answer.status_code, answer.content, answer.headers.get("Content-Range")) == (status, content, says)
    blob = held.get_blob("a.csv")
    # The hashes are of the whole object.
    assert answer.headers["X-Goog-Hash"] == f"crc32c={blob.crc32c},md5={blob.md5_hash}"
    assert answer.headers["X-Goog-Generation"] == str(blob.generation)
    assert answer.headers["X-Goog-Stored-Content-Length"] == "320009"


def media(google: GoogleSide, path: str, **headers: str) -> Any:
    url = f"{os.environ['STORAGE_EMULATOR_HOST']}/download/storage/v1/b/{path}?alt=media"
    return google.clients.storage._http.get(url, headers=headers)


def test_a_part_beyond_the_end(google: GoogleSide, held: Any) -> None:
    google.put_object(held.name, "a.csv", CONTENT)
    answer = media(google, f"{held.name}/o/a.csv", Range="bytes=320009-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */320009")


def test_what_is_not_there(google: GoogleSide, held: Any) -> None:
    storage = google.clients.storage
    assert refusal(lambda: held.blob("none.csv").reload())[0] == 404
    assert refusal(lambda: held.blob("none.csv").delete())[0] == 404
    assert refusal(lambda: held.blob("none.csv").download_as_bytes())[0] == 404
    assert held.get_blob("none.csv") is None
    for action in (
        lambda: storage.get_bucket("hop-nowhere"),
        lambda: storage.bucket("hop-nowhere").delete(),
        lambda: list(storage.list_blobs("hop-nowhere")),
    ):
        assert refusal(action)[0] == 404


def test_a_refused_download_is_said_in_plain_text(google: GoogleSide, held: Any) -> None:
    answer = media(google, f"{held.name}/o/none.csv")
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0].partition("/")[0]) == (404, "text")
    assert "{" not in answer.text


def test_an_object_is_deleted_once(google: GoogleSide, held: Any) -> None:
    google.put_object(held.name, "a/b c.csv", DAY)
    held.blob("a/b c.csv").delete()
    assert list(held.list_blobs()) == []
    assert refusal(held.blob("a/b c.csv").delete)[0] == 404


def test_a_bucket_goes_once(held: Any) -> None:
    held.delete()
    assert refusal(held.delete)[0] == 404
    assert refusal(held.reload)[0] == 404


@pytest.mark.differs("it says 412", "https://cloud.google.com/storage/docs/xml-api/delete-bucket")
def test_a_bucket_that_is_not_empty_is_a_conflict(google: GoogleSide, held: Any) -> None:
    google.put_object(held.name, "a.csv", DAY)
    assert refusal(held.delete) == (409, "The bucket you tried to delete is not empty.")
    assert [blob.name for blob in held.list_blobs()] == ["a.csv"]


def test_a_buckets_name_is_taken_once(google: GoogleSide, bucket: str) -> None:
    google.put_object(bucket, "a.csv", DAY)
    assert refusal(lambda: google.making.bucket(bucket))[0] == 409
    assert [blob.name for blob in google.clients.storage.list_blobs(bucket)] == ["a.csv"]


def test_buckets_are_listed_by_name(google: GoogleSide, bucket: str) -> None:
    other = google.new_bucket()
    names = [found.name for found in google.clients.storage.list_buckets()]
    assert names == sorted(names)
    assert {bucket, other} <= set(names)
    assert [found.name for found in google.clients.storage.list_buckets(prefix=other)] == [other]
    pages = google.clients.storage.list_buckets(page_size=1).pages
    assert [[found.name for found in page] for page in pages] == [[name] for name in names]
    assert google.clients.storage.get_bucket(bucket).location == "US"


@pytest.mark.differs("it keeps no labels", "https://cloud.google.com/storage/docs/json_api/v1/buckets#resource")
def test_a_bucket_that_is_left_is_found_by_its_label(google: GoogleSide, bucket: str) -> None:
    assert google.clients.storage.get_bucket(bucket).labels == {
        "expires-at": "20261123t184205z", "managed-by": "cloud-hopping", "run-id": "20261123-174205-k3x9qz"
    }  # fmt: skip
    assert Remaining("gcp", "storage bucket", bucket) in google.data().remaining()


def test_a_bucket_that_is_left_is_removed_with_its_objects(google: GoogleSide, bucket: str) -> None:
    for name in ("extract.csv", "a/b c.csv"):
        google.put_object(bucket, name, DAY)
    google.clients.remove_bucket(bucket)
    assert refusal(lambda: google.clients.storage.get_bucket(bucket))[0] == 404
    google.clients.remove_bucket(bucket)  # Gone already.


# ---- our client's download, on a line that breaks


def download(google: GoogleSide, bucket: str, folder: Path, rows: int = ROWS) -> Path:
    to = folder / "extract.csv"
    google.data().download(bucket, to=to, expected_rows=rows, cancelled=threading.Event())
    return to


def failure(google: GoogleSide, bucket: str, folder: Path) -> OrchestratorError:
    with pytest.raises(OrchestratorError) as caught:
        download(google, bucket, folder)
    assert list(folder.iterdir()) == []  # Not a half file, nor what it came in.
    return caught.value


@pytest.mark.usefixtures("line")
def test_parts_come_in_order_and_whole(google: GoogleSide, bucket: str, tmp_path: Path) -> None:
    for number in (2, 0, 1):
        google.put_object(bucket, f"extract-{number:012}.csv", b"day\n%d\n" % number)
    google.put_object(bucket, "other.csv", DAY)
    assert download(google, bucket, tmp_path, rows=3).read_bytes() == b"day\n0\n1\n2\n"


def test_a_download_that_breaks_goes_on_where_it_was(
    google: GoogleSide, bucket: str, line: Line, tmp_path: Path
) -> None:
    google.put_object(bucket, "extract.csv", CONTENT)
    line.cuts = [100_000, 100_000]
    assert download(google, bucket, tmp_path).read_bytes() == CONTENT
    first, second, third = line.starts
    assert first == 0
    assert 0 < second < third < len(CONTENT)


def test_a_download_that_breaks_before_its_first_byte_starts_again(
    google: GoogleSide, bucket: str, line: Line, tmp_path: Path
) -> None:
    google.put_object(bucket, "extract.csv", CONTENT)
    line.cuts = [0]
    assert download(google, bucket, tmp_path).read_bytes() == CONTENT
    assert line.starts == [0, 0]


def test_a_download_that_breaks_again_and_again_fails(
    google: GoogleSide, bucket: str, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.put_object(bucket, "extract.csv", CONTENT)
    line.cuts = [2_000] * 1000
    monkeypatch.setattr(deadlines, "CALL_WITH_RETRIES", 1.0)
    error = failure(google, bucket, tmp_path)
    assert error.brief == "The download failed"
    assert (error.details or "").startswith("Timeout of 1.0s exceeded, last exception: ")


def test_content_that_was_spoilt_on_the_way(google: GoogleSide, bucket: str, line: Line, tmp_path: Path) -> None:
    google.put_object(bucket, "extract.csv", CONTENT)
    line.spoils = {0}
    error = failure(google, bucket, tmp_path)
    assert error.brief == "The extract does not match the query's result"
    assert (error.details or "").startswith("extract.csv has the CRC32C ")


def test_content_that_was_spoilt_after_the_line_broke(
    google: GoogleSide, bucket: str, line: Line, tmp_path: Path
) -> None:
    google.put_object(bucket, "extract.csv", CONTENT)
    line.cuts, line.spoils = [100_000], {1}
    error = failure(google, bucket, tmp_path)
    assert error.brief == "The extract does not match the query's result"
    assert line.starts[1] > 0


def test_an_object_that_was_replaced_after_the_line_broke(
    google: GoogleSide, bucket: str, line: Line, tmp_path: Path
) -> None:
    google.put_object(bucket, "extract.csv", CONTENT)
    line.cuts = [100_000]
    line.at_cut = lambda: google.put_object(bucket, "extract.csv", CONTENT.replace(b"hail", b"rain"))
    error = failure(google, bucket, tmp_path)
    assert error.brief == "The download failed"
    assert "404" in (error.details or "")
