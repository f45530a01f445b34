import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound
from google.cloud import bigquery

from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.rehearsal import clock
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.rest import CloudError

PROJECT = "rehearsal-project"
STORMS = "`bigquery-public-data.noaa_historic_severe_storms.storms_2010`"
API = f"/bigquery/v2/projects/{PROJECT}"
JOBS = f"{API}/jobs"
MakeBucket = Callable[..., dict[str, Any]]
Call = Callable[..., tuple[int, Any, Any]]


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud]) -> GoogleCloud:
    cloud = start_google(part_bytes=1_000)
    new_dataset(cloud, "ours", labels={"run-id": "one"}, default_table_expiration_ms=3_600_000)
    return cloud


@pytest.fixture
def client(google: GoogleCloud) -> bigquery.Client:
    return GoogleClients(project=google.project, location="US").bigquery


def new_dataset(google: GoogleCloud, name: str, **changes: Any) -> dict[str, Any]:
    given = {"location": "US", "labels": {}, "default_table_expiration_ms": None, **changes}
    return google.bigquery.create_dataset(PROJECT, name, **given)


def refused(action: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(CloudError) as caught:
        action()
    return caught.value.status, caught.value.reason, caught.value.message


def error_of(job: Any) -> dict[str, str]:
    with pytest.raises(GoogleAPICallError):
        job.result(timeout=30)
    job.reload()
    assert job.state == "DONE"
    return dict(job.error_result)


def job_body(job_id: str, configuration: dict[str, Any]) -> dict[str, Any]:
    reference = {"projectId": PROJECT, "jobId": job_id, "location": "US"}
    return {"jobReference": reference, "configuration": configuration}


def query_body(job_id: str, **changes: Any) -> dict[str, Any]:
    return job_body(job_id, {"query": {"query": "SELECT 1 AS one", "useLegacySql": False, **changes}})


def test_a_query_comes_back_row_by_row_in_the_clients_types(client: bigquery.Client) -> None:
    job = client.query(
        "SELECT 7 AS n, 1.5 AS x, 'a' AS t, TRUE AS b, DATE '2025-03-25' AS d, DATETIME '2025-03-25 17:30:00' AS dt, "
        "NULL AS nothing"
    )
    (row,) = job.result()
    assert {name: repr(value) for name, value in row.items()} == {
        "n": "7",
        "x": "1.5",
        "t": "'a'",
        "b": "True",
        "d": "datetime.date(2025, 3, 25)",
        "dt": "datetime.datetime(2025, 3, 25, 17, 30)",
        "nothing": "None",
    }
    assert (job.state, job.statement_type, job.cache_hit, job.total_bytes_billed) == ("DONE", "SELECT", False, 0)


def test_rows_come_in_pages(client: bigquery.Client) -> None:
    found = client.query(f"SELECT event_id FROM {STORMS}").result(page_size=50)
    assert [len(list(page)) for page in found.pages] == [50, 50, 50, 30]


def test_a_result_table_has_schema_rows_and_logical_bytes(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")
    client.query("SELECT 'äb' AS t, 7 AS n, NULL AS nothing", config).result()
    table = client.get_table("ours.result")
    # A text is 2 bytes and its UTF-8, an INT64 8, NULL nothing.
    assert (table.num_rows, table.num_bytes) == (1, 2 + 3 + 8)
    assert [(field.name, field.field_type) for field in table.schema] == [
        ("t", "STRING"), ("n", "INTEGER"), ("nothing", "INTEGER")
    ]  # fmt: skip
    assert table.expires is not None
    assert table.created is not None
    assert (table.expires - table.created).total_seconds() == 3_600
    assert [listed.table_id for listed in client.list_tables("ours")] == ["result"]


def test_a_destination_with_rows_is_not_overwritten(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")
    client.query("SELECT 1 AS n", config).result()
    assert error_of(client.query("SELECT 2 AS n", config)) == {
        "reason": "duplicate", "message": f"Already Exists: Table {PROJECT}:ours.result"
    }  # fmt: skip
    assert [row.n for row in client.query("SELECT n FROM ours.result").result()] == [1]


def test_a_table_goes_when_its_time_is_up(client: bigquery.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.query("SELECT 1 AS n", bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")).result()
    expires = client.get_table("ours.result").expires
    assert expires is not None
    monkeypatch.setattr(clock, "seconds", lambda: expires.timestamp() - 0.001)
    assert [listed.table_id for listed in client.list_tables("ours")] == ["result"]
    monkeypatch.setattr(clock, "seconds", expires.timestamp)
    assert list(client.list_tables("ours")) == []
    with pytest.raises(NotFound, match=r"Not found: Table rehearsal-project:ours\.result"):
        client.get_table("ours.result")
    assert error_of(client.query("SELECT n FROM ours.result")) == {
        "reason": "notFound", "message": f"Not found: Table {PROJECT}:ours.result was not found in location US"
    }  # fmt: skip
    # The dataset has no end of its own, and takes a new result.
    assert [dataset.dataset_id for dataset in client.list_datasets()] == ["ours"]
    client.query("SELECT 2 AS n", bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")).result()


def test_a_dry_run_counts_the_columns_read_and_runs_nothing(client: bigquery.Client, google: GoogleCloud) -> None:
    job = client.query(
        f"SELECT COUNT(*) AS n FROM {STORMS} WHERE injuries_direct > 0", bigquery.QueryJobConfig(dry_run=True)
    )
    assert (job.total_bytes_processed, job.total_bytes_billed, job.state) == (180 * 8, 0, "DONE")
    assert google.jobs.all() == []


def test_an_everyday_query_runs_and_is_billed(client: bigquery.Client) -> None:
    wildcard = "`bigquery-public-data.noaa_historic_severe_storms.storms_*`"
    job = client.query(
        "SELECT IF(EXTRACT(MONTH FROM event_begin_time) < 7, 'early', 'late') AS half, COUNT(*) AS n, "
        "ROUND(100 * COUNT(*) / SUM(COUNT(*)) OVER (), 1) AS share "
        f"FROM {wildcard} WHERE CAST(_TABLE_SUFFIX AS INT64) BETWEEN 2010 AND 2011 GROUP BY half ORDER BY half; -- done"
    )
    early, late = job.result()
    assert (early.half, late.half, early.n + late.n) == ("early", "late", 360)
    assert (early.share, late.share) == (round(early.n / 3.6, 1), round(late.n / 3.6, 1))
    # An event's DATETIME is 8 bytes; two tables are billed 10 MB each.
    assert (job.total_bytes_processed, job.total_bytes_billed) == (360 * 8, 20 << 20)


def test_a_division_by_zero_fails_the_job(client: bigquery.Client) -> None:
    error = error_of(client.query(f"SELECT 1 / (COUNT(*) - 180) AS x FROM {STORMS}"))
    assert (error["reason"], error["message"].rpartition("Error: ")[2]) == ("invalidQuery", "division by zero: 1 / 0")


def test_the_table_suffix_spares_tables(client: bigquery.Client) -> None:
    wildcard = "`bigquery-public-data.noaa_historic_severe_storms.storms_*`"
    dry = bigquery.QueryJobConfig(dry_run=True, query_parameters=[bigquery.ScalarQueryParameter("y", "STRING", "2011")])
    all_years = client.query(f"SELECT injuries_direct FROM {wildcard}", dry)
    assert (all_years.total_bytes_processed, all_years.total_bytes_billed) == (10 * 180 * 8, 0)
    two = client.query(f"SELECT injuries_direct FROM {wildcard} WHERE _TABLE_SUFFIX <= @y AND injuries_direct < 5", dry)
    assert (two.total_bytes_processed, two.total_bytes_billed) == (2 * 180 * 8, 0)


def test_a_job_id_is_taken_for_ever(client: bigquery.Client) -> None:
    client.query("SELECT 1 AS n", job_id="mine", job_retry=None).result()
    with pytest.raises(Conflict, match=r"Already Exists: Job rehearsal-project:US\.mine"):
        client.query("SELECT 1 AS n", job_id="mine", job_retry=None)


def test_a_job_is_pending_then_running_then_done(client: bigquery.Client) -> None:
    tables = ", ".join(f"{STORMS} t{n}" for n in range(6))
    job = client.query(f"SELECT COUNT(*) AS n FROM {tables} WHERE t0.event_id < t5.event_id")
    assert job.state == "PENDING"
    while job.state == "PENDING":
        job.reload()
    assert job.state == "RUNNING"
    job.cancel()
    assert error_of(job) == {
        "reason": "stopped", "message": "Job execution was cancelled: User requested cancellation"
    }  # fmt: skip


def test_an_extract_is_one_file_or_several(
    client: bigquery.Client, google: GoogleCloud, make_bucket: MakeBucket
) -> None:
    make_bucket(google, "hop-b")
    config = bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")
    client.query(f"SELECT injuries_direct AS n FROM {STORMS}", config).result()
    # 180 rows of 8 bytes, at most 1,000 bytes a file.
    assert error_of(client.extract_table("ours.result", "gs://hop-b/all.csv")) == {
        "reason": "invalid",
        "message": "Table gs://hop-b/all.csv too large to be exported to a single file. Specify a uri including a * to "
        "shard export. See 'Exporting data into one or more files' in "
        "https://cloud.google.com/bigquery/docs/exporting-data.",
    }
    job = client.extract_table("ours.result", "gs://hop-b/part-*.csv")
    job.result()
    assert job.destination_uri_file_counts == [2]
    parts = google.storage.list_objects("hop-b", "")
    assert [(part.name, part.content.read()) for part in parts] == [
        (f"part-{number:012}.csv", b"n\n" + b"0\n" * 90) for number in range(2)
    ]
    empty = bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.empty")
    client.query(f"SELECT state FROM {STORMS} WHERE state = 'Ohio'", empty).result()
    client.extract_table("ours.empty", "gs://hop-b/empty-*.csv").result()
    assert google.storage.get_object("hop-b", "empty-000000000000.csv").content.read() == b"state\n"


def test_an_extract_from_another_location(google: GoogleCloud, make_bucket: MakeBucket) -> None:
    new_dataset(google, "europe", location="EU")
    make_bucket(google, "hop-us")
    client = GoogleClients(project=PROJECT, location="EU").bigquery
    client.query("SELECT 1 AS n", bigquery.QueryJobConfig(destination=f"{PROJECT}.europe.result")).result()
    assert error_of(client.extract_table("europe.result", "gs://hop-us/all.csv")) == {
        "reason": "invalid",
        "message": "Cannot read and write in different locations: source: EU, destination: US",
    }


def test_datasets_by_label_and_their_end(client: bigquery.Client, google: GoogleCloud) -> None:
    new_dataset(google, "theirs", labels={"run-id": "two"})
    client.query("SELECT 1 AS n").result()  # Its anonymous result is in a hidden dataset.
    assert [found.dataset_id for found in client.list_datasets()] == ["ours", "theirs"]
    assert [found.dataset_id for found in client.list_datasets(filter="labels.run-id:two")] == ["theirs"]
    assert [found.dataset_id for found in client.list_datasets(filter="labels.run-id")] == ["ours", "theirs"]
    assert [found.dataset_id for found in client.list_datasets(max_results=1)] == ["ours"]
    dataset = client.get_dataset("ours")
    assert (dataset.location, dataset.labels, dataset.default_table_expiration_ms) == (
        "US", {"run-id": "one"}, 3_600_000
    )  # fmt: skip
    client.query("SELECT 1 AS n", bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")).result()
    with pytest.raises(GoogleAPICallError, match="Dataset rehearsal-project:ours is still in use"):
        client.delete_dataset("ours")
    client.delete_dataset("ours", delete_contents=True)
    with pytest.raises(NotFound, match="Not found: Dataset rehearsal-project:ours"):
        client.get_dataset("ours")


@pytest.mark.parametrize(
    ("name", "changes", "answer"),
    [
        ("ours", {}, (409, "duplicate", "Already Exists: Dataset rehearsal-project:ours")),
        (
            "a-b",
            {},
            (
                400,
                "invalid",
                (
                    'Invalid dataset ID "a-b". Dataset IDs must be alphanumeric (plus underscores) '
                    "and must be at most 1024 characters long."
                ),
            ),
        ),
        ("a", {"location": "Mars"}, (400, "invalid", "Invalid storage region Mars")),
        (
            "a",
            {"default_table_expiration_ms": 1},
            (400, "invalid", "defaultTableExpirationMs must be at least 3600000 (one hour) if it is given"),
        ),
        (
            "a",
            {"labels": {"Run": "x"}},
            (400, "invalid", "Label key 'Run' contains invalid characters or length."),
        ),
        (
            "a",
            {"labels": {"run": "X"}},
            (400, "invalid", "Label value 'X' contains invalid characters or length."),
        ),
    ],
)
def test_a_dataset_that_bigquery_would_not_take(
    google: GoogleCloud, name: str, changes: dict[str, Any], answer: tuple[int, str, str]
) -> None:
    assert refused(lambda: new_dataset(google, name, **changes)) == answer


def test_another_project_is_not_there(google: GoogleCloud) -> None:
    answer = (404, "notFound", "Not found: Project other")
    assert refused(lambda: google.bigquery.get_dataset("other", "ours")) == answer


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("PATCH", f"{API}/datasets/d", {}, f"PATCH {API}/datasets/d (405 Method Not Allowed)"),
        ("GET", "/bigquery/v2/nothing", None, "GET /bigquery/v2/nothing (404 Not Found)"),
        ("GET", f"{JOBS}/x?fields=id", None, f"query parameter fields of GET {JOBS}/x"),
        ("POST", JOBS, {"id": "x"}, "field id of the job"),
        ("POST", JOBS, job_body("j", {"load": {}}), "field load of configuration"),
        ("POST", JOBS, query_body("j", allowLargeResults=True, useLegacySql=False), None),
        ("POST", JOBS, {**query_body("j"), "jobReference": {"jobId": "j"}}, "a job without a location"),
        ("GET", f"{API}/datasets?filter=x", None, "filter x; labels.KEY and labels.KEY:VALUE are known"),
    ],
)
def test_what_the_stand_in_does_not_know_is_an_error(
    call_google: Call, method: str, path: str, body: Any, what: str | None
) -> None:
    status, answer, _ = call_google(method, path, body)
    if what is None:  # A field of a query is looked at when the job runs.
        assert status == 200
        status, answer, _ = call_google("GET", f"{API}/queries/j")
        what = "field allowLargeResults of configuration.query"
    message = f"not supported in rehearsal: {what}"
    assert (status, answer) == (
        501,
        {
            "error": {
                "code": 501,
                "message": message,
                "errors": [{"domain": "global", "reason": "notImplemented", "message": message}],
            }
        },
    )


@pytest.mark.parametrize(
    ("configuration", "what"),
    [
        ({"compression": "GZIP"}, "compression GZIP of an extract; NONE is known"),
        ({"destinationFormat": "AVRO"}, "destinationFormat AVRO of an extract; CSV is known"),
        ({"printHeader": False}, "printHeader False of an extract; True is known"),
        ({"destinationUris": ["gs://a/b", "gs://a/c"]}, "2 destination URIs of an extract; one is known"),
    ],
)
def test_an_extract_that_the_stand_in_does_not_know(
    client: bigquery.Client, google: GoogleCloud, configuration: dict[str, Any], what: str
) -> None:
    client.query("SELECT 1 AS n", bigquery.QueryJobConfig(destination=f"{PROJECT}.ours.result")).result()
    source = {"projectId": PROJECT, "datasetId": "ours", "tableId": "result"}
    google.jobs.insert(PROJECT, job_body("e", {"extract": {"sourceTable": source, **configuration}}))
    job = google.jobs.get(PROJECT, "e", "US")
    assert job.done.wait(10)
    assert job.error is not None
    assert job.error.message == f"not supported in rehearsal: {what}"


@pytest.mark.usefixtures("google")
def test_a_caller_must_say_who_it_is() -> None:
    url = os.environ["BIGQUERY_EMULATOR_HOST"] + f"{API}/datasets"
    for headers, message in (
        ({}, "Login Required."),
        ({"Authorization": "Basic eA=="}, "Login Required."),
        ({"Authorization": "Bearer x"}, "Invalid Credentials"),
        ({"Authorization": "Bearer e30.e30.AAAA"}, "Invalid Credentials"),
    ):
        answer = requests.get(url, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["error"]["message"]) == (401, message)


def test_jobs_run_side_by_side(client: bigquery.Client) -> None:
    found: dict[int, int] = {}

    def ask(number: int) -> None:
        (row,) = client.query(f"SELECT COUNT(*) + {number} AS n FROM {STORMS}").result()
        found[number] = row.n

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: 180 + number for number in range(4)}
