import hashlib
import os
import socket
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clouds import Remaining
from orchestrator.clouds import gcp as module
from orchestrator.clouds.gcp import DryRun, GoogleData, QueryOutcome
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.query import Query, Scalar
from orchestrator.rehearsal.gcp import cloud_storage_rest
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from stacks.naming import Names

NAMES = Names("20261123-174205-k3x9qz")
LABELS = NAMES.tags
HAIL = (Path(__file__).parents[2] / "config" / "queries" / "hail_days.sql").read_text()
STORMS = "`bigquery-public-data.noaa_historic_severe_storms.storms_2010`"
GIB = 1 << 30
StartGoogle = Callable[..., GoogleCloud]
MakeStack = Callable[[GoogleCloud], None]


def data(project: str = "rehearsal-project", location: str = "US") -> GoogleData:
    return GoogleData(project=project, location=location, names=NAMES)


def ask(sql: str, **parameters: Scalar) -> Query:
    return Query(sql, parameters)


@pytest.fixture
def make_stack(make_bucket: Callable[..., dict[str, Any]]) -> MakeStack:
    def make(google: GoogleCloud) -> None:
        google.bigquery.create_dataset(
            google.project, "hop", location="US", labels=LABELS, default_table_expiration_ms=3_600_000
        )
        make_bucket(google, "hop-extract", labels=LABELS)

    return make


def fails_with(action: Callable[[], Any]) -> str:
    with pytest.raises(OrchestratorError) as caught:
        action()
    return str(caught.value)


@pytest.fixture
def noaa_parquet() -> str:
    default = Path(__file__).parents[2].parent / "shared" / "data" / "noaa_storms_1950_1995.parquet"
    path = Path(os.environ.get("NOAA_PARQUET", default))
    if not path.exists():
        pytest.skip("noaa_storms_1950_1995.parquet is not here: set NOAA_PARQUET")
    return str(path)


@pytest.fixture
def go_on() -> threading.Event:
    return threading.Event()


def test_the_known_answer_on_real_reports(
    start_google: StartGoogle, make_stack: MakeStack, noaa_parquet: str, tmp_path: Path, go_on: threading.Event
) -> None:
    make_stack(start_google(noaa_parquet))
    google, query = data(), ask(HAIL, state="Texas", county="TRAVIS", month=3)
    assert google.dry_run(query) == DryRun(bytes_processed=11_046_875, tables=46)
    outcome = google.query(query, dataset="hop", max_bytes_billed=GIB, cancelled=go_on)
    # 46 tables, at least 10 MiB each.
    assert outcome == QueryOutcome("rehearsal-project.hop.result", 27, 11_046_875, 460 << 20)
    assert google.extract(outcome.table, bucket="hop-extract", cancelled=go_on) == ("extract.csv",)
    file = google.download("hop-extract", to=tmp_path / "extract.csv", expected_rows=27, cancelled=go_on)
    lines = file.path.read_text().splitlines()
    assert (lines[0], file.rows, file.columns) == (
        "event_begin_time,magnitude,month", 27, ("event_begin_time", "magnitude", "month")
    )  # fmt: skip
    assert file.bytes == file.path.stat().st_size
    assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
    days = [date.fromisoformat(line[:10]).day for line in lines[1:]]
    assert {day: days.count(day) for day in sorted(set(days))} == {
        4: 1, 10: 1, 11: 1, 12: 3, 16: 1, 20: 3, 21: 1, 23: 1, 25: 11, 27: 2, 28: 1, 30: 1
    }  # fmt: skip


def test_nothing_leaves_the_machine(
    start_google: StartGoogle,
    make_stack: MakeStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    go_on: threading.Event,
) -> None:
    make_stack(start_google())
    asked: set[str] = set()
    resolve = socket.getaddrinfo

    def watched(host: Any, *rest: Any, **options: Any) -> Any:
        asked.add(str(host))
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    google = data()
    google.preflight()
    google.query(ask("SELECT 1 AS one"), dataset="hop", max_bytes_billed=GIB, cancelled=go_on)
    google.extract("rehearsal-project.hop.result", bucket="hop-extract", cancelled=go_on)
    google.download("hop-extract", to=tmp_path / "extract.csv", expected_rows=1, cancelled=go_on)
    assert asked == {"127.0.0.1"}


def test_parts_are_joined_in_order_with_one_header(
    start_google: StartGoogle,
    make_stack: MakeStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    go_on: threading.Event,
) -> None:
    google, ours = start_google(part_bytes=1_000), data()
    make_stack(google)
    monkeypatch.setattr(module, "SINGLE_FILE_BYTES", 1_000)
    outcome = ours.query(
        ask(f"SELECT event_id, cz_name FROM {STORMS}"), dataset="hop", max_bytes_billed=GIB, cancelled=go_on
    )
    assert outcome.rows == 180
    parts = ours.extract(outcome.table, bucket="hop-extract", cancelled=go_on)
    assert parts == tuple(f"extract-{number:012}.csv" for number in range(4))
    file = ours.download("hop-extract", to=tmp_path / "extract.csv", expected_rows=180, cancelled=go_on)
    lines = file.path.read_text().splitlines()
    assert (lines[0], len(lines), lines.count("event_id,cz_name")) == ("event_id,cz_name", 181, 1)
    stored = google.storage.list_objects("hop-extract", "")
    assert lines[1:] == [line for part in stored for line in part.content.read().decode().splitlines()[1:]]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_quoted_line_break_does_not_end_a_row(
    start_google: StartGoogle, make_stack: MakeStack, tmp_path: Path, go_on: threading.Event
) -> None:
    make_stack(start_google())
    google, text = data(), 'two\nlines, and "quotes"'
    outcome = google.query(
        ask("SELECT @text AS text, '' AS nothing, NULL AS missing", text=text),
        dataset="hop",
        max_bytes_billed=GIB,
        cancelled=go_on,
    )
    google.extract(outcome.table, bucket="hop-extract", cancelled=go_on)
    file = google.download("hop-extract", to=tmp_path / "extract.csv", expected_rows=1, cancelled=go_on)
    assert file.path.read_text() == 'text,nothing,missing\n"two\nlines, and ""quotes""","",\n'
    assert file.rows == 1


def test_every_parameter_type_arrives_as_its_bigquery_type(
    start_google: StartGoogle, make_stack: MakeStack, tmp_path: Path, go_on: threading.Event
) -> None:
    make_stack(start_google())
    google = data()
    query = ask("SELECT @a AS a, @b AS b, @c AS c, @d AS d, @e AS e", a="x", b=7, c=1.5, d=True, e=date(2025, 3, 25))
    table = google.query(query, dataset="hop", max_bytes_billed=GIB, cancelled=go_on).table
    google.extract(table, bucket="hop-extract", cancelled=go_on)
    file = google.download("hop-extract", to=tmp_path / "extract.csv", expected_rows=1, cancelled=go_on)
    assert file.path.read_text() == "a,b,c,d,e\nx,7,1.5,true,2025-03-25\n"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1 FROM d.t", "Not found: Dataset rehearsal-project:d was not found in location US (notFound)"),
        (
            "SELECT 1 FROM `bigquery-public-data.noaa_historic_severe_storms.storms_1800`",
            (
                "Not found: Table bigquery-public-data:noaa_historic_severe_storms.storms_1800 "
                "was not found in location US (notFound)"
            ),
        ),
        (f"SELECT nope FROM {STORMS}", "Unrecognized name: nope at [1:8] (invalidQuery)"),
        (
            f"SELECT 1 AS one FROM {STORMS} WHERE injuries_direct = @state",
            "No matching signature for operator = for argument types: INT64, STRING (invalidQuery)",
        ),
    ],
)
def test_a_query_that_bigquery_does_not_accept(start_google: StartGoogle, sql: str, said: str) -> None:
    start_google()
    with pytest.raises(UsageError) as caught:
        data().dry_run(ask(sql, state="Texas"))
    assert str(caught.value) == (
        f"BigQuery does not accept the query\n  {said}\n"
        "To fix it: correct the query, or the values under analysis.parameters."
    )


def test_a_query_that_no_rehearsal_supports_is_not_called_wrong(start_google: StartGoogle) -> None:
    start_google()
    with pytest.raises(UsageError) as caught:
        data().dry_run(ask("SELECT NTILE(2) OVER () AS a"))
    assert str(caught.value) == (
        "The query needs what is not implemented\n"
        "  not supported in rehearsal: NTILE(2) OVER () (notImplemented)\n"
        "To fix it: write it in another way; what no rehearsal supports, BigQuery itself may know."
    )


def test_a_query_over_the_limit_fails_without_a_table(
    start_google: StartGoogle, make_stack: MakeStack, go_on: threading.Event
) -> None:
    google = start_google()
    make_stack(google)
    query = ask(HAIL, state="Texas", county="TRAVIS", month=3)
    assert fails_with(lambda: data().query(query, dataset="hop", max_bytes_billed=1 << 20, cancelled=go_on)) == (
        "The query failed\n"
        "  Query exceeded limit for bytes billed: 1048576. 104857600 or higher required. (bytesBilledLimitExceeded)\n"
        "To fix it: raise data.max_bytes_billed, or read less."
    )
    assert google.bigquery.list_tables(google.project, "hop") == []


def test_a_dataset_elsewhere_is_not_found(
    start_google: StartGoogle, make_stack: MakeStack, go_on: threading.Event
) -> None:
    make_stack(start_google())
    query = ask("SELECT 1 AS one")
    assert fails_with(
        lambda: data(location="EU").query(query, dataset="hop", max_bytes_billed=GIB, cancelled=go_on)
    ) == ("The query failed\n  Not found: Dataset rehearsal-project:hop was not found in location EU (notFound)")


def test_an_extract_to_no_bucket(start_google: StartGoogle, make_stack: MakeStack, go_on: threading.Event) -> None:
    make_stack(start_google())
    google = data()
    table = google.query(ask("SELECT 1 AS one"), dataset="hop", max_bytes_billed=GIB, cancelled=go_on).table
    assert fails_with(lambda: google.extract(table, bucket="hop-nowhere", cancelled=go_on)) == (
        "The extract failed\n  Not found: URI gs://hop-nowhere/extract.csv (notFound)"
    )


def test_an_extract_with_other_rows_leaves_no_file(
    start_google: StartGoogle, make_stack: MakeStack, tmp_path: Path, go_on: threading.Event
) -> None:
    google = start_google()
    make_stack(google)
    google.storage.put_object("hop-extract", "extract.csv", b"a\n1\n2\n", "text/csv")
    before = set(tmp_path.iterdir())
    to = tmp_path / "extract.csv"
    assert fails_with(lambda: data().download("hop-extract", to=to, expected_rows=3, cancelled=go_on)) == (
        "The extract does not match the query's result\n  the query gave 3 rows, the extract has 2\n"
        "To fix it: run again; nothing is kept."
    )
    assert set(tmp_path.iterdir()) == before


def test_content_that_does_not_match_its_checksum(
    start_google: StartGoogle,
    make_stack: MakeStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    go_on: threading.Event,
) -> None:
    google = start_google()
    make_stack(google)
    google.storage.put_object("hop-extract", "extract.csv", b"a\n1\n", "text/csv")
    monkeypatch.setattr("orchestrator.rehearsal.gcp.cloud_storage.StoredObject.crc32c", "AAAAAA==")
    to = tmp_path / "extract.csv"
    message = fails_with(lambda: data().download("hop-extract", to=to, expected_rows=1, cancelled=go_on))
    assert message.splitlines()[0] == "The extract does not match the query's result"
    assert "AAAAAA==" in message
    assert not to.exists()


def test_fewer_bytes_than_the_bucket_says(
    start_google: StartGoogle,
    make_stack: MakeStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    go_on: threading.Event,
) -> None:
    google = start_google()
    make_stack(google)
    google.storage.put_object("hop-extract", "extract.csv", b"a\n1\n", "text/csv")
    tell = cloud_storage_rest._object_resource
    monkeypatch.setattr(cloud_storage_rest, "_object_resource", lambda *given: tell(*given) | {"size": "5"})
    to = tmp_path / "extract.csv"
    assert fails_with(lambda: data().download("hop-extract", to=to, expected_rows=1, cancelled=go_on)) == (
        "The extract does not match the query's result\n  extract.csv has 4 bytes here, 5 in the bucket\n"
        "To fix it: run again; nothing is kept."
    )
    assert not to.exists()


def test_a_run_that_stops_cancels_its_query(start_google: StartGoogle, make_stack: MakeStack) -> None:
    google = start_google()
    make_stack(google)
    # Hours of work: a cross join of 180 rows with itself, five times.
    sql = f"SELECT COUNT(*) AS n FROM {', '.join(f'{STORMS} t{n}' for n in range(6))} WHERE t0.event_id < t5.event_id"

    class StopsAtTheFirstLook(threading.Event):
        """Not set when the job is started, set when it is first waited for."""

        def wait(self, timeout: float | None = None) -> bool:
            self.set()
            return super().wait(timeout)

    stopped = StopsAtTheFirstLook()
    message = fails_with(lambda: data().query(ask(sql), dataset="hop", max_bytes_billed=GIB, cancelled=stopped))
    assert message == "The query was cancelled: the run is stopping"
    (job,) = google.jobs.all()
    assert job.done.wait(10)
    assert job.error is not None
    assert job.error.proto == {
        "reason": "stopped", "message": "Job execution was cancelled: User requested cancellation"
    }  # fmt: skip


def test_nothing_is_started_once_the_run_stops(
    start_google: StartGoogle, make_stack: MakeStack, tmp_path: Path
) -> None:
    google = start_google()
    make_stack(google)
    google.storage.put_object("hop-extract", "extract.csv", b"a\n1\n", "text/csv")
    stopped = threading.Event()
    stopped.set()
    ours = data()
    query = ask("SELECT 1 AS one")
    assert fails_with(lambda: ours.query(query, dataset="hop", max_bytes_billed=GIB, cancelled=stopped)) == (
        "The query was not started: the run is stopping"
    )
    assert fails_with(
        lambda: ours.download("hop-extract", to=tmp_path / "extract.csv", expected_rows=1, cancelled=stopped)
    ) == ("The download was cancelled: the run is stopping")


def test_what_is_left_is_asked_by_the_run_label(start_google: StartGoogle, make_stack: MakeStack) -> None:
    google = start_google()
    ours = data()
    assert ours.remaining() == []
    make_stack(google)
    google.bigquery.create_dataset(
        google.project, "other", location="US", labels={"run-id": "x"}, default_table_expiration_ms=None
    )
    assert ours.remaining() == [
        Remaining("gcp", "storage bucket", "hop-extract"),
        Remaining("gcp", "bigquery dataset", "rehearsal-project:hop"),
    ]
    google.bigquery.delete_dataset(google.project, "hop", delete_contents=True)
    google.storage.delete_bucket("hop-extract", force=True)
    assert ours.remaining() == []


def test_preflight(start_google: StartGoogle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start_google()
    data().preflight()
    with pytest.raises(UsageError) as caught:
        data(project="someone-elses").preflight()
    assert str(caught.value) == (
        "Google Cloud does not accept the caller\n  Not found: Project someone-elses (notFound)\n"
        "To fix it: check data.project (someone-elses) and the caller's roles in it, then run again."
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(UsageError) as caught:
        data().preflight()
    assert str(caught.value) == (
        f"There are no Google Cloud credentials\n  File {tmp_path}/none.json was not found.\n"
        "To fix it: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS; "
        "in CI use workload identity."
    )


def test_an_account_that_the_cloud_does_not_know(start_google: StartGoogle) -> None:
    google = start_google()
    google.access.delete_account("rehearsal@rehearsal-project.iam.gserviceaccount.com")
    with pytest.raises(UsageError) as caught:
        data().preflight()
    assert caught.value.details == "Invalid Credentials (authError)"
