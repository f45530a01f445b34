import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from orchestrator.clouds import gcp
from orchestrator.query import Query
from tests.contract.google.google_sides import PART_BYTES, STORMS, GoogleSide

API = "https://cloud.google.com/bigquery/docs/reference/rest/v2"
ERRORS = "https://cloud.google.com/bigquery/docs/error-messages"
EXPORTING = "https://cloud.google.com/bigquery/docs/exporting-data"


@pytest.fixture
def client(google: GoogleSide) -> bigquery.Client:
    return google.clients.bigquery


@pytest.fixture
def bucket(google: GoogleSide) -> str:
    return google.new_bucket()


@pytest.fixture
def result(google: GoogleSide, client: bigquery.Client) -> Callable[[str], str]:
    """Makes a table of a query's rows; its name."""
    dataset = google.new_dataset()
    table = f"{google.project}.{dataset}.of_{dataset}"  # Theirs finds a table by its last name only.

    def make(sql: str) -> str:
        client.query(sql, bigquery.QueryJobConfig(destination=table), job_retry=None).result(timeout=30)
        return table

    return make


def extract(client: bigquery.Client, table: str, uri: str, **settings: Any) -> bigquery.ExtractJob:
    config = bigquery.ExtractJobConfig(destination_format="CSV", **settings)  # type: ignore[no-untyped-call]
    job = client.extract_table(table, uri, job_config=config)
    job.result(timeout=30)
    return job


def content(google: GoogleSide, bucket: str) -> dict[str, bytes]:
    return {blob.name: blob.download_as_bytes() for blob in google.clients.storage.list_blobs(bucket)}


@pytest.mark.parametrize(
    ("literals", "line"),
    [
        (r"'plain', 'a,b', 'x;y\tz', '#n'", 'plain,"a,b",x;y\tz,#n'),
        (r"""'he said "no"', '"', "it's", 'a\\b'""", '"he said ""no""","""",it\'s,a\\b'),
        (r"'two\nlines', 'a\rb', 'a\r\nb', '\n'", '"two\nlines","a\rb","a\r\nb","\n"'),
        ("'äöüß', '€', '😀', '日本', 'é'", "äöüß,€,😀,日本,é"),
        ("-7, 9223372036854775807, 0, TRUE, FALSE", "-7,9223372036854775807,0,true,false"),
        ("1.5, -0.25, 0.1, 1e100", "1.5,-0.25,0.1,1e+100"),
        ("DATE '2025-03-25', DATETIME '2025-03-25 07:30:01'", "2025-03-25,2025-03-25T07:30:01"),
        ("'a', CAST(NULL AS STRING), CAST(NULL AS INT64), 'z'", "a,,,z"),
    ],
    ids=["delimiters", "quotes", "line breaks", "letters", "numbers", "floats", "times", "nulls"],
)
def test_a_cell_is_written_so_that_it_can_be_read(
    google: GoogleSide,
    client: bigquery.Client,
    bucket: str,
    result: Callable[[str], str],
    *,
    literals: str,
    line: str,
) -> None:
    cells = literals.split(", ")
    columns = [f"c{number}" for number in range(len(cells))]
    named = ", ".join(f"{cell} AS {column}" for cell, column in zip(cells, columns, strict=True))
    extract(client, result(f"SELECT {named}"), f"gs://{bucket}/extract.csv")
    assert content(google, bucket) == {"extract.csv": f"{','.join(columns)}\n{line}\n".encode()}


def test_an_extract_is_all_rows_under_one_header(
    google: GoogleSide, client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    table = result(f"SELECT event_id, injuries_direct FROM `{STORMS}2010` ORDER BY event_id LIMIT 40")
    extract(client, table, f"gs://{bucket}/a b/extract.csv")
    (written,) = content(google, bucket).items()
    lines = written[1].decode().splitlines()
    listed = [(row.event_id, row.injuries_direct) for row in client.query(f"SELECT * FROM `{table}`").result()]
    assert (written[0], lines[0]) == ("a b/extract.csv", "event_id,injuries_direct")
    assert sorted(lines[1:]) == sorted(f"{event},{injuries}" for event, injuries in listed)


def test_an_extract_replaces_what_was_there(
    google: GoogleSide, client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    google.put_object(bucket, "extract.csv", b"old\n" * 100)
    extract(client, result("SELECT 1 AS n"), f"gs://{bucket}/extract.csv")
    assert content(google, bucket) == {"extract.csv": b"n\n1\n"}


@pytest.mark.differs("it writes one file, whose name has the *", EXPORTING)
def test_an_extract_in_parts_has_a_header_in_each(
    google: GoogleSide, client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    # 180 rows of 8 bytes.
    table = result(f"SELECT injuries_direct AS n FROM `{STORMS}2010`")
    job = extract(client, table, f"gs://{bucket}/extract-*.csv")
    assert PART_BYTES < 180 * 8 < 2 * PART_BYTES
    assert content(google, bucket) == {
        "extract-000000000000.csv": b"n\n" + b"0\n" * 90, "extract-000000000001.csv": b"n\n" + b"0\n" * 90
    }  # fmt: skip
    assert job.destination_uri_file_counts == [2]


@pytest.mark.differs("it wants to be told the format", f"{API}/Job#JobConfigurationExtract")
def test_csv_is_what_is_written_if_nothing_is_said(
    google: GoogleSide, client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    client.extract_table(result("SELECT 1 AS n"), f"gs://{bucket}/extract.csv").result(timeout=30)
    assert content(google, bucket) == {"extract.csv": b"n\n1\n"}


@pytest.mark.differs("it writes no header when it is asked for one", f"{API}/Job#JobConfigurationExtract")
def test_a_header_that_is_asked_for_is_written(
    google: GoogleSide, client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    extract(client, result("SELECT 1 AS n"), f"gs://{bucket}/extract.csv", print_header=True)
    assert content(google, bucket) == {"extract.csv": b"n\n1\n"}


@pytest.mark.differs("it says not how many files there are", f"{API}/Job#JobStatistics4")
def test_an_extract_says_how_many_files_it_wrote(
    client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    job = extract(client, result("SELECT 1 AS n"), f"gs://{bucket}/extract.csv")
    assert (job.state, job.destination_uri_file_counts) == ("DONE", [1])


def test_an_extract_is_found_by_its_id(client: bigquery.Client, bucket: str, result: Callable[[str], str]) -> None:
    job = extract(client, result("SELECT 1 AS n"), f"gs://{bucket}/extract.csv", labels={"run-id": "x"})
    found = client.get_job(job.job_id, location="US")
    assert isinstance(found, bigquery.ExtractJob)
    assert (found.state, found.error_result, found.labels) == ("DONE", None, {"run-id": "x"})
    assert (found.destination_uris, found.source) == ([f"gs://{bucket}/extract.csv"], job.source)
    assert found._properties["configuration"]["jobType"] == "EXTRACT"


def refusal(action: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(GoogleAPICallError) as caught:
        action()
    return int(caught.value.code or 0), caught.value.errors[0]["reason"]


def test_an_extract_to_somewhere_else_is_refused(
    client: bigquery.Client, bucket: str, result: Callable[[str], str]
) -> None:
    table = result("SELECT 1 AS n")
    assert refusal(lambda: extract(client, table, f"https://{bucket}/extract.csv"))[0] == 400


_OWN_REASONS = pytest.mark.differs(
    "it has a reason of its own", "https://cloud.google.com/bigquery/docs/error-messages"
)


@_OWN_REASONS
def test_an_extract_of_no_table(client: bigquery.Client, google: GoogleSide, bucket: str) -> None:
    table = f"{google.project}.{google.new_dataset()}.none"
    assert refusal(lambda: extract(client, table, f"gs://{bucket}/extract.csv")) == (404, "notFound")


@pytest.mark.differs("it makes the bucket", ERRORS)
def test_an_extract_to_no_bucket(client: bigquery.Client, result: Callable[[str], str]) -> None:
    table = result("SELECT 1 AS n")
    assert refusal(lambda: extract(client, table, "gs://hop-held-nowhere/extract.csv")) == (404, "notFound")


def test_our_client_downloads_what_theirs_extracted(
    google: GoogleSide, client: bigquery.Client, bucket: str, result: Callable[[str], str], tmp_path: Path
) -> None:
    table = result(r"""SELECT 'two\nlines, "quoted"' AS a, 1 AS b UNION ALL SELECT NULL, NULL""")
    extract(client, table, f"gs://{bucket}/extract.csv")
    to = tmp_path / "it.csv"
    file = google.data().download(bucket, to=to, expected_rows=2, cancelled=threading.Event())
    assert (file.rows, file.columns, file.bytes) == (2, ("a", "b"), to.stat().st_size)
    assert file.sha256 == hashlib.sha256(content(google, bucket)["extract.csv"]).hexdigest()
    assert sorted(to.read_bytes()[4:].split(b"\n", 2)) == sorted(b'"two\nlines, ""quoted""",1\n,\n'.split(b"\n", 2))


@pytest.mark.differs("it gives a table no size, and writes no header when it is asked for one", f"{API}/tables#Table")
@pytest.mark.parametrize("largest", [1_000_000_000, PART_BYTES], ids=["one file", "parts"])
def test_our_client_goes_from_the_query_to_the_file(
    google: GoogleSide, bucket: str, tmp_path: Path, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp, "SINGLE_FILE_BYTES", largest)
    go_on, data = threading.Event(), google.data()
    rows = 40 if largest > PART_BYTES else 180
    query = Query(f"SELECT injuries_direct AS n FROM `{STORMS}2010` LIMIT {rows}", {})
    dataset = google.new_dataset()
    done = data.query(query, dataset=dataset, max_bytes_billed=1 << 30, cancelled=go_on)
    parts = data.extract(done.table, bucket=bucket, cancelled=go_on)
    assert list(parts) == list(content(google, bucket))
    assert len(parts) == (1 if largest > PART_BYTES else 2)
    file = data.download(bucket, to=tmp_path / "it.csv", expected_rows=done.rows, cancelled=go_on)
    assert file.path.read_bytes() == b"n\n" + b"0\n" * rows
