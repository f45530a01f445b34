"""The handler against S3's real wire protocol: moto's server on loopback, the runtime's own boto3."""

import base64
import importlib
import json
import sys
import threading
import zlib
from collections.abc import Generator, Iterator
from typing import Any
from unittest.mock import Mock

import aws_main
import boto3
import cold_start
import pytest
from botocore.response import StreamingBody
from moto.server import ThreadedMotoServer
from urllib3.exceptions import SSLError

from orchestrator.rehearsal.front_door import Answer, Listener
from tests.rehearsal.short_answers import shortened

CSV = b"event_begin_time,magnitude,month\n1993-03-25T16:10:00,1.75,3\n1985-03-04T17:00:00,,3\n"


def request(accept: str | None) -> dict[str, Any]:
    """A function URL's event, payload format 2.0, with what a handler may look at."""
    headers = {"host": "abc.lambda-url.us-east-1.on.aws"} | ({"accept": accept} if accept else {})
    return {"version": "2.0", "rawPath": "/", "rawQueryString": "", "headers": headers, "isBase64Encoded": False}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DATA_BUCKET": "hop-data",
        "DATA_KEY": "extract.csv",
        "CHART_TITLE": "Hail in March",
        "CHART_SOURCE": "a test",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_main, "_ahead", [])  # When it was imported, there was nothing to be fetched.
    boto3.client("s3").create_bucket(Bucket="hop-data")
    yield "hop-data"
    server.stop()


def put(bucket: str, csv: bytes) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="extract.csv", Body=csv)


def test_json(bucket: str) -> None:
    put(bucket, CSV)
    answer = aws_main.handler(request("application/json"), None)
    body = json.loads(answer.pop("body"))
    assert answer == {"statusCode": 200, "headers": {"content-type": "application/json"}}
    assert (body["counts"], body["rows"]) == ({"4": 1, "25": 1}, 2)
    assert base64.b64decode(body["chart_png"]).startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("accept", ["text/html", None])
def test_a_page(bucket: str, accept: str | None) -> None:
    put(bucket, CSV)
    answer = aws_main.handler(request(accept), None)
    assert answer["headers"] == {"content-type": "text/html; charset=utf-8"}
    assert '<img src="data:image/png;base64,iVBOR' in answer["body"]
    assert 'alt="Hail in March: 2 rows">' in answer["body"]


def test_what_was_fetched_ahead_is_taken_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_main, "_ahead", [cold_start.Download(lambda: (block for block in [CSV]))])
    put(bucket, CSV.splitlines()[0])
    rows = [json.loads(aws_main.handler(request("application/json"), None)["body"])["rows"] for _ in range(2)]
    assert rows == [2, 0]


def test_what_could_not_be_fetched_ahead_is_fetched_now(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_KEY", "later.csv")
    ahead = cold_start.Download(aws_main._fetch)
    with pytest.raises(RuntimeError, match="NoSuchKey"):
        ahead.stream()
    monkeypatch.setattr(aws_main, "_ahead", [ahead])
    boto3.client("s3").put_object(Bucket=bucket, Key="later.csv", Body=CSV)
    assert json.loads(aws_main.handler(request("application/json"), None)["body"])["rows"] == 2


def test_what_breaks_off_that_was_fetched_ahead_is_fetched_now(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks_off() -> Generator[bytes, None, None]:
        yield CSV.splitlines(keepends=True)[0]
        raise aws_main._NotFetchedError("the connection is gone")

    monkeypatch.setattr(aws_main, "_ahead", [cold_start.Download(breaks_off)])
    put(bucket, CSV)
    assert json.loads(aws_main.handler(request("application/json"), None)["body"])["rows"] == 2


def test_an_analysis_that_fails_is_not_repeated(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    respond = Mock(side_effect=RuntimeError("no luck"))
    monkeypatch.setattr(aws_main, "_ahead", [cold_start.Download(lambda: (block for block in [CSV]))])
    monkeypatch.setattr("chart.respond", respond)
    put(bucket, CSV)
    with pytest.raises(RuntimeError, match="no luck"):
        aws_main.handler(request(None), None)
    assert respond.call_count == 1


def test_it_is_fetched_while_the_libraries_are_imported(
    chart_waits_for: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_service: str) -> None:
        chart_waits_for.set()
        raise RuntimeError

    monkeypatch.setattr(boto3, "client", fetch)
    monkeypatch.setenv("DATA_BUCKET", "hop-data")
    monkeypatch.setenv("DATA_KEY", "extract.csv")
    monkeypatch.delitem(sys.modules, "aws_main")
    assert importlib.import_module("aws_main") is not aws_main


def test_no_rows_is_an_answer_like_any_other(bucket: str) -> None:
    put(bucket, CSV.splitlines()[0])
    answer = aws_main.handler(request("application/json"), None)
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["counts"], body["rows"]) == (200, {}, 0)


@pytest.mark.usefixtures("bucket")
def test_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_KEY", "absent.csv")
    with pytest.raises(RuntimeError) as raised:
        aws_main.handler(request(None), None)
    assert str(raised.value) == (
        "cannot read s3://hop-data/absent.csv: "
        "An error occurred (NoSuchKey) when calling the GetObject operation: The specified key does not exist."
    )


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("name", ["DATA_BUCKET", "DATA_KEY", "CHART_TITLE", "CHART_SOURCE"])
def test_a_missing_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(RuntimeError) as raised:
        aws_main.handler(request(None), None)
    assert str(raised.value) == f"the environment variable {name} is not set; the compute stack has to set it"


def test_a_csv_that_cannot_be_read(bucket: str) -> None:
    put(bucket, b"day\n25\n")
    with pytest.raises(ValueError, match="CSV") as raised:
        aws_main.handler(request(None), None)
    assert str(raised.value) == "the CSV lacks the columns event_begin_time, magnitude, month; it has day"


def test_a_connection_that_is_gone(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, CSV)
    unexpected = SSLError("UNEXPECTED_EOF_WHILE_READING")
    monkeypatch.setattr(StreamingBody, "iter_chunks", Mock(side_effect=unexpected))
    with pytest.raises(RuntimeError) as raised:
        aws_main.handler(request(None), None)
    assert str(raised.value) == "cannot read s3://hop-data/extract.csv: UNEXPECTED_EOF_WHILE_READING"


def checksum(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("body", "missing", "said"),
    [
        (CSV[:-10], 10, f"{len(CSV) - 10} read, but total bytes expected is {len(CSV)}."),
        (
            CSV.replace(b"25T", b"26T"),
            0,
            f"Expected checksum {checksum(CSV)} did not match calculated checksum: "
            + checksum(CSV.replace(b"25T", b"26T")),
        ),
    ],
)
def test_content_that_is_short_or_damaged(
    monkeypatch: pytest.MonkeyPatch, body: bytes, missing: int, said: str
) -> None:
    answer = Answer(200, {"x-amz-checksum-crc32": checksum(CSV)}, body)
    listener = Listener(lambda _: answer, around=lambda door: shortened(door, missing))
    monkeypatch.setenv("AWS_ENDPOINT_URL", listener.url)
    monkeypatch.setattr(cold_start, "BLOCK_BYTES", 16)
    with pytest.raises(RuntimeError) as raised:
        aws_main.handler(request(None), None)
    assert str(raised.value) == f"cannot read s3://hop-data/extract.csv: {said}"
    listener.close()
