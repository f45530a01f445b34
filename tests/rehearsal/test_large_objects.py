"""Objects that are larger than what may be in memory of them: in the clouds, and on their way to this machine.

Clients and stand-in clouds are one process here, so the memory that is looked at is that of both.
"""

import hashlib
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from orchestrator.clouds import gcp_download
from orchestrator.clouds.gcp import GoogleData
from orchestrator.errors import OrchestratorError
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.content import Content
from orchestrator.rehearsal.faults import CallRule, Faults
from orchestrator.rehearsal.faulty_calls import everybody, faulty
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from stacks.naming import Names
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, Apps

MIB = 1 << 20
ROW = b"1993-03-25T16:10:00,1.75,3," + b"hail " * 200 + b"\n"
ROWS = 64 * MIB // len(ROW)
HEADER = b"event_begin_time,magnitude,month,text\n"
BYTES = len(HEADER) + ROWS * len(ROW)
StartGoogle = Callable[..., GoogleCloud]


def blocks() -> Iterator[bytes]:
    yield HEADER
    for first in range(0, ROWS, 1000):
        yield ROW * min(1000, ROWS - first)


def hashed(content: Iterator[bytes], kind: str = "sha256") -> str:
    found = hashlib.new(kind, usedforsecurity=False)
    for block in content:
        found.update(block)
    return found.hexdigest()


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """Nothing in this block has more than so many bytes in memory, in all threads together."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.fixture
def data(names: Names) -> GoogleData:
    return GoogleData(project="rehearsal-project", location="US", names=names)


def fetch(data: GoogleData, folder: Path, rows: int = ROWS) -> gcp_download.Extract:
    return data.download("hop-b", to=folder / "extract.csv", expected_rows=rows, cancelled=threading.Event())


def test_google_to_this_machine(
    start_google: StartGoogle, make_bucket: Callable[..., Any], data: GoogleData, tmp_path: Path
) -> None:
    google = start_google()
    make_bucket(google, "hop-b")
    data.preflight()  # The clients are loaded.
    with at_most(16 * MIB):
        google.storage.put_object("hop-b", "extract-0.csv", Content(blocks()), "text/csv")
        google.storage.put_object("hop-b", "extract-1.csv", HEADER + ROW, "text/csv")
        extract = fetch(data, tmp_path, ROWS + 1)
    assert (extract.bytes, extract.rows) == (BYTES + len(ROW), ROWS + 1)
    assert extract.columns == ("event_begin_time", "magnitude", "month", "text")
    whole = hashed(block for part in (blocks(), iter([ROW])) for block in part)
    assert extract.sha256 == whole
    with extract.path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == whole


def test_bigquery_to_google(
    start_google: StartGoogle, make_bucket: Callable[..., Any], data: GoogleData, tmp_path: Path
) -> None:
    google = start_google()
    make_bucket(google, "hop-b")
    google.bigquery.create_dataset(google.project, "hop", location="US", labels={}, default_table_expiration_ms=None)
    google.bigquery.database.cursor().execute(
        f"CREATE TABLE result_0 AS SELECT range AS n, repeat('hail ', 200) AS text FROM range({ROWS})"
    )
    dataset = google.bigquery.prepare_destination(google.project, "hop", "result", "US")
    google.bigquery.store(dataset, "result", "result_0", {"n": "INT64", "text": "STRING"})
    go_on = threading.Event()
    data.preflight()
    with at_most(40 * MIB):  # A block of rows is there as cells, lines, text and bytes.
        data.extract("rehearsal-project.hop.result", bucket="hop-b", cancelled=go_on)
    extract = fetch(data, tmp_path)
    assert extract.sha256 == hashed((b"n,text\n", *(b"%d,%b\n" % (n, b"hail " * 200) for n in range(ROWS))).__iter__())


def test_s3(amazon: Amazon, names: Names, tmp_path: Path) -> None:
    path = tmp_path / "extract.csv"
    with path.open("wb") as file:
        file.writelines(blocks())
    s3, bucket = amazon.client("s3", "us-east-1"), f"{names.prefix}-large"
    s3.create_bucket(Bucket=bucket)
    with at_most(16 * MIB), path.open("rb") as file:
        put = s3.put_object(Bucket=bucket, Key="a/extract ü+.csv", Body=file, ContentType="text/csv")
        got = s3.get_object(Bucket=bucket, Key="a/extract ü+.csv")
        assert hashed(got["Body"].iter_chunks(MIB)) == hashed(blocks())
    tag = f'"{hashed(blocks(), "md5")}"'
    head = s3.head_object(Bucket=bucket, Key="a/extract ü+.csv")
    assert [answer["ETag"] for answer in (put, got, head)] == [tag, tag, tag]
    assert (head["ContentLength"], got["ContentLength"], got["ContentType"]) == (BYTES, BYTES, "text/csv")
    part = s3.get_object(Bucket=bucket, Key="a/extract ü+.csv", Range=f"bytes=38-{37 + len(ROW)}")
    assert (part["Body"].read(), part["ContentRange"]) == (ROW, f"bytes 38-{37 + len(ROW)}/{BYTES}")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (listed["Size"], listed["ETag"]) == (BYTES, tag)


def test_s3_gives_what_it_had_when_it_was_asked(amazon: Amazon, names: Names) -> None:
    s3, bucket = amazon.client("s3", "us-east-1"), f"{names.prefix}-large"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="extract.csv", Body=b"".join(blocks()))
    got = s3.get_object(Bucket=bucket, Key="extract.csv")["Body"]
    s3.put_object(Bucket=bucket, Key="extract.csv", Body=b"another")
    assert hashed(got.iter_chunks(MIB)) == hashed(blocks())
    s3.copy_object(Bucket=bucket, Key="copy.csv", CopySource={"Bucket": bucket, "Key": "extract.csv"})
    assert s3.get_object(Bucket=bucket, Key="copy.csv")["Body"].read() == b"another"
    s3.delete_object(Bucket=bucket, Key="extract.csv")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="extract.csv")
    unchanged = s3.get_object(Bucket=bucket, Key="copy.csv")["ETag"]
    with pytest.raises(ClientError, match=r"\(304\)"):
        s3.get_object(Bucket=bucket, Key="copy.csv", IfNoneMatch=unchanged)


def test_azures_blobs(start_azure: Callable[[], AzureCloud]) -> None:
    apps = Apps(start_azure())
    url = apps.signed("extract.csv")
    with at_most(16 * MIB):
        blob = apps.azure.storage.put_blob(
            GROUP, ACCOUNT, "data", "extract.csv", content=Content(blocks()), content_type="text/csv"
        )
        with requests.get(url, timeout=30, stream=True) as answer:
            assert hashed(answer.iter_content(MIB)) == hashed(blocks())
    part = requests.get(url, timeout=30, headers={"Range": f"bytes=38-{37 + len(ROW)}"})
    assert (part.status_code, part.content) == (206, ROW)
    assert part.headers["Content-Range"] == f"bytes 38-{37 + len(ROW)}/{BYTES}"
    assert blob.content.md5.hex() == hashed(blocks(), "md5")


# ---- chunks that go wrong on the way


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def three_chunks(
    start_google: StartGoogle, make_bucket: Callable[..., Any], faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> bytes:
    google = start_google(around=faulty(faults, "gcp", everybody))
    make_bucket(google, "hop-b")
    content = b"n,text\n" + b"".join(b"%d,hail\n" % n for n in range(1000))
    google.storage.put_object("hop-b", "extract.csv", content, "text/csv")
    monkeypatch.setattr(gcp_download, "CHUNK_BYTES", len(content) // 3 + 1)
    return content


def of_a_chunk(effect: Any, after: int) -> CallRule:
    return CallRule(cloud="gcp", method="GET", path="/download/.*", effect=effect, after=after)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_chunk_that_breaks_goes_on_where_it_was(
    data: GoogleData, three_chunks: bytes, faults: Faults, tmp_path: Path, after: int
) -> None:
    faults.set([of_a_chunk("truncated", after)])
    extract = fetch(data, tmp_path, 1000)
    assert faults.fired() == [1]
    assert extract.path.read_bytes() == three_chunks
    assert (extract.sha256, extract.rows) == (hashlib.sha256(three_chunks).hexdigest(), 1000)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_byte_of_a_chunk_that_is_another(
    data: GoogleData, three_chunks: bytes, faults: Faults, tmp_path: Path, after: int
) -> None:
    faults.set([of_a_chunk("wrong checksum", after)])
    before = set(tmp_path.iterdir())
    with pytest.raises(OrchestratorError) as caught:
        fetch(data, tmp_path, 1000)
    assert faults.fired() == [1]
    assert caught.value.brief == "The extract does not match the query's result"
    crc32c = Content([three_chunks]).crc32c_base64
    assert caught.value.details is not None
    assert caught.value.details.startswith("extract.csv has the CRC32C ")
    assert caught.value.details.endswith(f" here, {crc32c} in the bucket")
    assert set(tmp_path.iterdir()) == before


def test_an_object_that_is_replaced_between_two_chunks(
    start_google: StartGoogle,
    make_bucket: Callable[..., Any],
    data: GoogleData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    google = start_google()
    make_bucket(google, "hop-b")
    google.storage.put_object("hop-b", "extract.csv", b"n\n1\n2\n", "text/csv")
    monkeypatch.setattr(gcp_download, "CHUNK_BYTES", 3)
    write = gcp_download._Received.write

    def replacing(self: Any, block: Any) -> int:
        google.storage.put_object("hop-b", "extract.csv", b"n\n3\n4\n", "text/csv")
        return write(self, block)

    monkeypatch.setattr(gcp_download._Received, "write", replacing)
    with pytest.raises(OrchestratorError) as caught:
        fetch(data, tmp_path, 2)
    assert caught.value.brief == "The download failed"
    assert "404" in (caught.value.details or "")
