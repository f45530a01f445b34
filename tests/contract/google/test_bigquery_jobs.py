import math
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from orchestrator.clouds import Remaining
from orchestrator.clouds.gcp import DryRun
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.query import Query
from orchestrator.rehearsal.gcp.rest import CloudError
from tests.contract.google.google_sides import NAMES, STORMS, GoogleSide

API = "https://cloud.google.com/bigquery/docs/reference/rest/v2"
ERRORS = "https://cloud.google.com/bigquery/docs/error-messages"
PARAMETERS = "https://cloud.google.com/bigquery/docs/parameterized-queries"


@pytest.fixture
def client(google: GoogleSide) -> bigquery.Client:
    return google.clients.bigquery


@pytest.fixture
def dataset(google: GoogleSide) -> str:
    return google.new_dataset()


def run(client: bigquery.Client, sql: str, *parameters: Any, **config: Any) -> bigquery.QueryJob:
    settings = bigquery.QueryJobConfig(query_parameters=list(parameters), **config)
    job = client.query(sql, settings, job_retry=None)
    job.result(timeout=30)
    return job


def rows(client: bigquery.Client, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in run(client, sql, *parameters).result()]


def refusal(action: Callable[[], Any]) -> tuple[int, str, str]:
    """(HTTP status, reason, message); theirs writes places as [at 1:8], and says which of its steps it was."""
    with pytest.raises(GoogleAPICallError) as caught:
        action()
    error = caught.value.errors[0]
    message = error["message"].removeprefix("failed to analyze: ").replace("[at ", "at [")
    return int(caught.value.code or 0), error["reason"], message


# ---- datasets (first: theirs takes the longer to delete one the more there are)


def test_a_dataset_goes_with_its_tables_or_not_at_all(client: bigquery.Client, dataset: str) -> None:
    run(client, "SELECT 1 AS n", destination=f"{client.project}.{dataset}.result")
    assert refusal(lambda: client.delete_dataset(dataset)) == (
        400, "resourceInUse", f"Dataset {client.project}:{dataset} is still in use"
    )  # fmt: skip
    client.delete_dataset(dataset, delete_contents=True)
    assert refusal(lambda: client.get_dataset(dataset))[:2] == (404, "notFound")
    client.delete_dataset(dataset, not_found_ok=True)


@pytest.mark.differs("it says 500", ERRORS)
def test_a_datasets_name_is_taken_once(google: GoogleSide, dataset: str) -> None:
    with pytest.raises((GoogleAPICallError, CloudError)) as caught:
        google.making.dataset(dataset)
    assert (getattr(caught.value, "status", None) or getattr(caught.value, "code", None)) == 409


@pytest.mark.differs("it lists all of them, those of queries without a table too", f"{API}/datasets/list")
def test_datasets_that_are_left_are_found_by_their_label_and_removed(google: GoogleSide) -> None:
    dataset = NAMES.dataset
    google.making.dataset(dataset)
    run(google.clients.bigquery, "SELECT 1 AS n")
    listed = google.clients.bigquery.list_datasets(filter="labels.run-id:none")
    assert list(listed) == []
    left = Remaining("gcp", "bigquery dataset", f"{google.project}:{dataset}")
    assert left in google.data().remaining()
    google.data().remove(left)
    assert left not in google.data().remaining()


# ---- rows


def test_every_type_comes_back_as_python_has_it(client: bigquery.Client) -> None:
    sql = r"""SELECT -7 AS i, 9223372036854775807 AS big, 1.5 AS f, 1e300 AS large, TRUE AS b, 'ä\'"😀' AS s, '' AS e,
        DATE '2025-03-25' AS d, DATETIME '2025-03-25 17:30:01' AS dt"""
    found = rows(client, sql)
    expected = (-7, 2**63 - 1, 1.5, 1e300, True, "ä'\"😀", "", date(2025, 3, 25), datetime(2025, 3, 25, 17, 30, 1))  # noqa: DTZ001
    assert [(value, type(value)) for value in found[0]] == [(value, type(value)) for value in expected]


def test_a_schema_has_the_legacy_names_of_types(client: bigquery.Client) -> None:
    sql = "SELECT 1 AS i, 1.5 AS f, TRUE AS b, 's' AS s, DATE '2025-03-25' AS d, DATETIME '2025-03-25 17:30:01' AS dt"
    found = run(client, sql).result()
    assert [(field.name, field.field_type) for field in found.schema] == [
        ("i", "INTEGER"), ("f", "FLOAT"), ("b", "BOOLEAN"), ("s", "STRING"), ("d", "DATE"), ("dt", "DATETIME")
    ]  # fmt: skip
    assert found.total_rows == 1


def test_nulls_are_none_and_empty_text_is_not(client: bigquery.Client) -> None:
    sql = (
        "SELECT NULL AS bare, CAST(NULL AS STRING) AS s, CAST(NULL AS INT64) AS i, '' AS empty, "
        "COALESCE(CAST(NULL AS INT64), 7) AS seven, CAST(NULL AS INT64) = 7 AS neither"
    )
    assert rows(client, sql) == [(None, None, None, "", 7, None)]


def test_rows_come_in_pages_and_all_of_them(client: bigquery.Client) -> None:
    found = client.query(f"SELECT event_id FROM `{STORMS}2010`").result(page_size=50)
    pages = [[row.event_id for row in page] for page in found.pages]
    assert [len(page) for page in pages] == [50, 50, 50, 30]
    counted = rows(client, f"SELECT event_id FROM `{STORMS}2010`")
    assert sorted(event for page in pages for event in page) == sorted(event for (event,) in counted)


def test_no_rows_have_a_schema_all_the_same(client: bigquery.Client) -> None:
    found = run(client, f"SELECT state FROM `{STORMS}2010` WHERE state = 'Ohio'").result()
    assert (found.total_rows, list(found), [field.name for field in found.schema]) == (0, [], ["state"])


# ---- parameters


def given(kind: str, value: Any) -> Any:
    return bigquery.ScalarQueryParameter("p", kind, value)


_FLOATS = pytest.mark.differs(
    "it takes no number for a FLOAT64, which Google's client sends",
    "https://github.com/googleapis/python-bigquery (google/cloud/bigquery/_helpers.py, _float_to_json)",
)


@pytest.mark.parametrize(
    ("kind", "value", "literal"),
    [
        ("STRING", "ä'\"\\😀\n", r"'ä\'\"\\😀\n'"),
        ("STRING", "", "''"),
        ("INT64", -7, "-7"),
        ("INT64", 2**63 - 1, "9223372036854775807"),
        pytest.param("FLOAT64", 1.5, "1.5", marks=_FLOATS),
        pytest.param("FLOAT64", 1e300, "1e300", marks=_FLOATS),
        ("BOOL", False, "FALSE"),
        ("DATE", date(2025, 3, 25), "DATE '2025-03-25'"),
    ],
    ids=["text", "no text", "negative", "largest", "float", "large float", "bool", "date"],
)
def test_a_parameter_is_its_literal(client: bigquery.Client, kind: str, value: Any, literal: str) -> None:
    assert rows(client, f"SELECT @p = {literal} AS same, @p IS NULL AS none", given(kind, value)) == [(True, False)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("STRING", "ä"),
        ("INT64", 7),
        pytest.param("FLOAT64", 1.5, marks=_FLOATS),
        ("FLOAT64", math.inf),
        ("BOOL", True),
        pytest.param("DATE", date(2025, 3, 25), marks=pytest.mark.differs("it gives a text back", PARAMETERS)),
    ],
    ids=["text", "int", "float", "infinity", "bool", "date"],
)
def test_a_parameter_comes_back_in_its_type(client: bigquery.Client, kind: str, value: Any) -> None:
    ((found,),) = rows(client, "SELECT @p AS p", given(kind, value))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("kind", ["STRING", "INT64", "FLOAT64", "BOOL", "DATE"])
def test_a_parameter_may_be_null(client: bigquery.Client, kind: str) -> None:
    assert rows(client, "SELECT @p AS p, @p IS NULL AS none", given(kind, None)) == [(None, True)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DATETIME", datetime(2025, 3, 25, 17, 30)),  # noqa: DTZ001
        ("TIMESTAMP", datetime(2025, 3, 25, 17, 30, tzinfo=UTC)),
        ("TIME", time(17, 30)),
        ("NUMERIC", Decimal("1.25")),
        ("BYTES", b"\x00\xff"),
    ],
)
def test_a_parameter_of_another_type_is_taken_or_refused_by_name(
    google: GoogleSide, client: bigquery.Client, kind: str, value: Any
) -> None:
    if google.name == "theirs":
        assert rows(client, "SELECT @p IS NULL AS none", given(kind, value)) == [(False,)]
    else:
        assert refusal(lambda: rows(client, "SELECT @p IS NULL AS none", given(kind, value))) == (
            501, "notImplemented", f"not supported in rehearsal: parameter @p of type {kind}"
        )  # fmt: skip


def test_an_array_is_taken_or_refused_by_name(google: GoogleSide, client: bigquery.Client) -> None:
    array = bigquery.ArrayQueryParameter("p", "STRING", ["a", "b"])
    sql = "SELECT 'b' IN UNNEST(@p) AS has"
    if google.name == "theirs":
        assert rows(client, sql, array) == [(True,)]
    else:
        assert refusal(lambda: rows(client, sql, array)) == (
            501, "notImplemented", "not supported in rehearsal: field arrayType of parameterType"
        )  # fmt: skip


def test_a_parameters_name_has_no_case_and_may_be_used_twice(client: bigquery.Client) -> None:
    assert rows(client, "SELECT @P AS a, @p + 1 AS b", given("INT64", 1)) == [(1, 2)]


# ---- dry runs


def test_a_dry_run_is_done_at_once_and_runs_nothing(client: bigquery.Client, dataset: str) -> None:
    config = bigquery.QueryJobConfig(dry_run=True, destination=f"{client.project}.{dataset}.result")
    job = client.query(f"SELECT state FROM `{STORMS}2010`", config, job_retry=None)
    assert (job.state, job.dry_run, job.statement_type, job.error_result) == ("DONE", True, "SELECT", None)
    assert job.total_bytes_processed > 0
    assert list(client.list_tables(dataset)) == []
    assert refusal(lambda: client.get_job(job.job_id, location="US"))[0] == 404


@pytest.mark.differs("it counts the bytes of the rows, and says not of which tables", f"{API}/Job#JobStatistics2")
def test_a_dry_run_says_what_would_be_read(google: GoogleSide) -> None:
    query = Query(f"SELECT injuries_direct FROM `{STORMS}*` WHERE _TABLE_SUFFIX < @year", {"year": "2013"})
    # An INT64 is 8 bytes.
    assert google.data().dry_run(query) == DryRun(bytes_processed=3 * 180 * 8, tables=3)


@pytest.mark.differs("it says so in the job only, with another reason", f"{API}/Job#JobConfiguration")
def test_a_dry_run_of_what_cannot_run_is_refused(google: GoogleSide) -> None:
    with pytest.raises(UsageError) as caught:
        google.data().dry_run(Query(f"SELECT nope FROM `{STORMS}2010`", {}))
    assert caught.value.details == "Unrecognized name: nope at [1:8] (invalidQuery)"


# ---- the table that a query writes


def test_a_query_writes_the_table_that_it_is_given(client: bigquery.Client, dataset: str) -> None:
    name = f"{client.project}.{dataset}.result"
    run(client, "SELECT 'äb' AS t, 7 AS n, NULL AS nothing UNION ALL SELECT NULL, 8, NULL", destination=name)
    table = client.get_table(name)
    assert (table.num_rows, table.table_type, table.full_table_id) == (
        2, "TABLE", f"{client.project}:{dataset}.result"
    )  # fmt: skip
    assert [(field.name, field.field_type, field.mode) for field in table.schema] == [
        ("t", "STRING", "NULLABLE"), ("n", "INTEGER", "NULLABLE"), ("nothing", "INTEGER", "NULLABLE")
    ]  # fmt: skip
    assert rows(client, f"SELECT t, n FROM `{name}` ORDER BY n") == [("äb", 7), (None, 8)]
    assert [listed.table_id for listed in client.list_tables(dataset)] == ["result"]


@pytest.mark.differs("it says neither bytes nor place, and counts time in seconds", f"{API}/tables#Table")
def test_a_table_says_how_large_where_and_when(client: bigquery.Client, dataset: str) -> None:
    name = f"{client.project}.{dataset}.result"
    run(client, "SELECT 'äb' AS t, 7 AS n, 1.5 AS x, TRUE AS b, DATE '2025-03-25' AS d, NULL AS n2", destination=name)
    table = client.get_table(name)
    # A text is 2 bytes and its UTF-8; a BOOL is one, the others 8.
    assert (table.num_bytes, table.location) == (2 + 3 + 8 + 8 + 1 + 8, "US")
    assert table.created is not None
    assert abs((datetime.now(UTC) - table.created).total_seconds()) < 60


@pytest.mark.differs("it adds to a table that has rows", f"{API}/Job#JobConfigurationQuery")
def test_a_table_that_has_rows_is_not_written(client: bigquery.Client, dataset: str) -> None:
    name = f"{client.project}.{dataset}.result"
    run(client, "SELECT 1 AS n", destination=name)
    assert refusal(lambda: run(client, "SELECT 2 AS n", destination=name)) == (
        409, "duplicate", f"Already Exists: Table {client.project}:{dataset}.result"
    )  # fmt: skip
    assert rows(client, f"SELECT n FROM `{name}`") == [(1,)]


@pytest.mark.differs("it has a reason and words of its own", ERRORS)
def test_a_table_in_no_dataset_cannot_be_written(client: bigquery.Client) -> None:
    assert refusal(lambda: run(client, "SELECT 1 AS n", destination=f"{client.project}.nowhere.result")) == (
        404, "notFound", f"Not found: Dataset {client.project}:nowhere was not found in location US"
    )  # fmt: skip


@pytest.mark.differs("it has no limit", f"{API}/Job#JobConfigurationQuery")
def test_a_query_that_would_be_billed_too_much_is_not_run(google: GoogleSide, dataset: str) -> None:
    with pytest.raises(OrchestratorError) as caught:
        google.data().query(
            Query(f"SELECT state FROM `{STORMS}2010`", {}),
            dataset=dataset,
            max_bytes_billed=(10 << 20) - 1,
            cancelled=threading.Event(),
        )
    assert caught.value.details == (
        "Query exceeded limit for bytes billed: 10485759. 10485760 or higher required. (bytesBilledLimitExceeded)"
    )
    assert list(google.clients.bigquery.list_tables(dataset)) == []


def test_our_client_runs_a_query_into_a_table(google: GoogleSide, dataset: str) -> None:
    query = Query(
        f"SELECT state, COUNT(*) AS n FROM `{STORMS}*` WHERE state = @state AND _TABLE_SUFFIX >= @year GROUP BY state",
        {"state": "Texas", "year": "2018"},
    )
    done = google.data().query(query, dataset=dataset, max_bytes_billed=1 << 30, cancelled=threading.Event())
    assert (done.table, done.rows) == (f"{google.project}.{dataset}.result", 1)
    assert rows(google.clients.bigquery, f"SELECT * FROM `{done.table}`") == [("Texas", 180)]


# ---- what cannot run


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope", "Unrecognized name: nope at [1:8]"),
        (f"SELECT 1 AS a,\n  nope\nFROM `{STORMS}2010`", "Unrecognized name: nope at [2:3]"),
    ],
    ids=["no table", "third line"],
)
def test_a_name_that_is_not_there(client: bigquery.Client, sql: str, message: str) -> None:
    assert refusal(lambda: run(client, sql))[2] == message


@pytest.mark.parametrize(
    ("sql", "types"),
    [
        ("SELECT 'a' = 1 AS same", "= for argument types: STRING, INT64"),
        (f"SELECT state FROM `{STORMS}2010` WHERE injuries_direct > state", "> for argument types: INT64, STRING"),
    ],
    ids=["=", ">"],
)
def test_operands_of_types_that_do_not_go_together(client: bigquery.Client, sql: str, types: str) -> None:
    _, _, message = refusal(lambda: run(client, sql))
    assert message.splitlines()[0] == f"No matching signature for operator {types}"


@pytest.mark.differs("its reason for everything is jobInternalError", ERRORS)
def test_what_cannot_run_has_a_reason(client: bigquery.Client, dataset: str) -> None:
    for sql in ("SELEC 1", "SELECT nope", "SELECT 'a' = 1 AS same", "SELECT 1 / 0 AS x", ""):
        assert refusal(lambda sql=sql: run(client, sql))[:2] == (400, "invalidQuery")  # type: ignore[misc]
    for table in ("nowhere.t", f"{dataset}.none", f"{STORMS}1800"):
        sql = f"SELECT 1 AS n FROM `{table}`"
        assert refusal(lambda sql=sql: run(client, sql))[:2] == (404, "notFound")  # type: ignore[misc]


def test_what_is_not_there(client: bigquery.Client, dataset: str) -> None:
    for action in (
        lambda: client.get_table(f"{dataset}.none"),
        lambda: client.get_table("nowhere.none"),
        lambda: client.get_dataset("nowhere"),
        lambda: client.delete_dataset("nowhere"),
        lambda: client.get_job("none", location="US"),
        lambda: client.cancel_job("none", location="US"),
    ):
        assert refusal(action)[:2] == (404, "notFound")


@pytest.mark.differs("it is only in the first answer", f"{API}/Job#JobStatus")
def test_a_job_that_failed_is_done_and_says_why(client: bigquery.Client) -> None:
    job = client.query("SELECT nope", job_id="failed-job", location="US", job_retry=None)
    _, reason, _ = refusal(lambda: job.result(timeout=30))
    found = client.get_job("failed-job", location="US")
    assert (found.state, found.error_result["reason"]) == ("DONE", reason)
    assert found.errors == [found.error_result]


# ---- jobs


def test_a_job_is_found_by_its_id(client: bigquery.Client) -> None:
    labelled = bigquery.QueryJobConfig(labels={"run-id": "x"})
    client.query("SELECT 1 AS n", labelled, job_id="found-job", job_retry=None).result(timeout=30)
    found = client.get_job("found-job", location="US")
    assert isinstance(found, bigquery.QueryJob)
    assert (found.state, found.error_result, found.labels) == ("DONE", None, {"run-id": "x"})
    resource = found._properties
    assert (resource["kind"], resource["configuration"]["jobType"]) == ("bigquery#job", "QUERY")
    assert resource["selfLink"].partition("/bigquery/")[2].startswith(f"v2/projects/{client.project}/jobs/found-job")
    assert found.result().total_rows == 1


def test_a_schema_is_in_the_statistics_of_a_dry_run_only(client: bigquery.Client) -> None:
    job = run(client, "SELECT 1 AS n")
    job.reload()
    assert "schema" not in job._properties["statistics"]["query"]


@pytest.mark.differs("it counts in seconds", f"{API}/Job#JobStatistics")
def test_a_job_says_when_it_ran(client: bigquery.Client) -> None:
    job = run(client, "SELECT 1 AS n")
    job.reload()
    now = datetime.now(UTC)
    assert job.created is not None
    assert job.created <= job.started <= job.ended <= now
    assert (now - job.created).total_seconds() < 60


@pytest.mark.differs("it has a reason of its own", ERRORS)
def test_a_jobs_id_is_taken_once(client: bigquery.Client) -> None:
    for _ in range(2):
        try:
            client.query("SELECT 1 AS n", job_id="taken-job", location="US", job_retry=None).result(timeout=30)
        except GoogleAPICallError as error:
            assert (error.code, error.errors[0]["reason"]) == (409, "duplicate")  # noqa: PT017
            return
    pytest.fail("it was taken twice")


@pytest.mark.differs("it answers only when the query is done", f"{API}/jobs/insert")
def test_a_job_that_runs_is_stopped(google: GoogleSide, client: bigquery.Client) -> None:
    tables = 6 if google.name == "ours" else 1  # Hours of work; theirs is asked for a moment's, because it does it.
    names = ", ".join(f"`{STORMS}2010` t{number}" for number in range(tables))
    job = client.query(f"SELECT COUNT(*) AS n FROM {names}", job_retry=None)
    job.cancel()
    assert refusal(lambda: job.result(timeout=30))[1:] == (
        "stopped", "Job execution was cancelled: User requested cancellation"
    )  # fmt: skip
    job.reload()
    assert (job.state, job.error_result["reason"]) == ("DONE", "stopped")


def test_a_job_that_is_done_stays_so_when_it_is_cancelled(client: bigquery.Client) -> None:
    job = client.query("SELECT 1 AS n", job_id="done-job", job_retry=None)
    job.result(timeout=30)
    client.cancel_job("done-job", location="US")
    again = client.get_job("done-job", location="US")
    assert isinstance(again, bigquery.QueryJob)
    assert (again.state, again.error_result) == ("DONE", None)
    assert again.result().total_rows == 1
