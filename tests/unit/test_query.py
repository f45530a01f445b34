import contextlib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.query import Query, Scalar, read
from orchestrator.settings import DEFAULT_CONFIG, load

HAIL = """\
SELECT event_begin_time, magnitude
FROM `bigquery-public-data.noaa_historic_severe_storms.storms_*`
WHERE LOWER(event_type) = 'hail' AND UPPER(state) = UPPER(@state) -- not @this
  AND EXTRACT(MONTH FROM event_begin_time) = @month AND @@time_zone = '?@that'
"""
GIVEN: dict[str, Scalar] = {"state": "Texas", "month": 3}
ONLY_A_QUERY = "only a query may run (SELECT, WITH or FROM), nothing that defines, changes or exports data"
WRITES = "it writes: only a query may run, nothing that defines, changes or exports data"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checked(sql: str, **parameters: Scalar) -> Query:
    Path("q.sql").write_text(sql, encoding="utf-8")
    return read(Path("q.sql"), parameters)


def mistakes(sql: str, **parameters: Scalar) -> list[str]:
    with pytest.raises(UsageError) as caught:
        checked(sql, **parameters)
    assert caught.value.exit_code == 2
    brief, *details, resolution = str(caught.value).split("\n")
    assert brief == ("q.sql has 1 mistake" if len(details) == 1 else f"q.sql has {len(details)} mistakes")
    assert resolution == "To fix it: correct the query, or the values under analysis.parameters."
    return [detail.removeprefix("  ") for detail in details]


def test_a_query_and_its_parameters() -> None:
    assert checked(HAIL, **GIVEN) == Query(HAIL, GIVEN)


def test_the_shipped_query_takes_the_shipped_parameters() -> None:
    analysis = load(DEFAULT_CONFIG, environ={}).analysis
    assert read(analysis.query, analysis.parameters).parameters == {"state": "Texas", "county": "TRAVIS", "month": 3}


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT 1 AS n) SELECT n FROM a;",
        "(SELECT 1) UNION ALL (SELECT 2); -- done",
        "FROM t |> WHERE n = 1 |> SELECT n",
        "-- first\nSELECT 'a;b' AS `?`",
    ],
)
def test_whatever_is_one_query(sql: str) -> None:
    assert checked(sql).sql == sql


@pytest.mark.parametrize("sql", ["", " \n", "-- only a comment", "/* a */ ;"])
def test_no_query(sql: str) -> None:
    assert mistakes(sql) == ["there is no query in it: it is empty or holds only comments"]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT 1",
        "UPDATE t SET n = 1 WHERE TRUE",
        "DELETE FROM t WHERE TRUE",
        "MERGE t USING u ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
        "TRUNCATE TABLE t",
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN n INT64",
        "EXPORT DATA OPTIONS(uri='gs://b/*', format='CSV') AS SELECT 1",
        "LOAD DATA INTO t FROM FILES (uris=['gs://b/a'])",
        "DECLARE n INT64",
        "SET n = 1",
        "CALL p()",
        "EXECUTE IMMEDIATE 'SELECT 1'",
        "GRANT `roles/x` ON TABLE t TO 'user:a@b.c'",
        "SELEC 1",
    ],
)
def test_anything_but_a_query(sql: str, caplog: pytest.LogCaptureFixture) -> None:
    assert mistakes("\n" + sql) == [f'line 2: it starts with "{sql.partition(" ")[0]}"; {ONLY_A_QUERY}']
    assert not caplog.records  # sqlglot's own remark about a statement that it does not parse.


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", WRITES),
        ("WITH a AS (DELETE FROM t WHERE TRUE) SELECT 1", WRITES),
        ("SELECT 1 INTO t", WRITES),
        ("SELECT *\nFRM t", 'line 2, column 5: not BigQuery SQL at "t": unexpected here'),
        ("SELECT *\nFROM t\nWHERE (n = 1", 'line 3, column 12: not BigQuery SQL at "1": Expecting )'),
        ("SELECT CASE WHEN", 'line 1, column 13: not BigQuery SQL at "WHEN": unexpected here'),
        ("SELECT\n'abc", "not BigQuery SQL: the ' opened on line 2 is never closed"),
        ("SELECT `abc", "not BigQuery SQL: the ` opened on line 1 is never closed"),
        ("SELECT 1 /* abc", "not BigQuery SQL: a comment or a text is never closed"),
        ("SELECT", "not BigQuery SQL: a SELECT names no columns"),
        (f"SELECT {'(' * 5000}1{')' * 5000}", "it nests too deeply to be checked"),
        ("SELECT 1;\nSELECT 2", 'line 2: a second statement starts with "SELECT"; the run makes one query'),
        ("SELECT 1;\n;", 'a ";" ends no statement; take it out'),
        (";SELECT 1", 'a ";" ends no statement; take it out'),
        ("SELECT ?", 'line 1: "?" is a positional parameter; name it, such as @month'),
        ("SELECT\n@month", 'line 2: @month is used, but analysis.parameters has no "month"'),
    ],
)
def test_one_mistake(sql: str, why: str) -> None:
    assert mistakes(sql) == [why]


def test_every_mistake_is_reported_at_once() -> None:
    assert mistakes("DROP TABLE t;\nSELECT @Month, @state, ?, @state", month=3, county="TRAVIS") == [
        f'line 1: it starts with "DROP"; {ONLY_A_QUERY}',
        'line 2: a second statement starts with "SELECT"; the run makes one query',
        'line 2: "?" is a positional parameter; name it, such as @month',
        'line 2: @Month is used, but analysis.parameters has no "Month"; did you mean "month"?',
        'line 2: @state is used, but analysis.parameters has no "state"',
        'analysis.parameters.month is given, but the query has no @month; did you mean "Month"?',
        "analysis.parameters.county is given, but the query has no @county",
    ]


def test_no_such_file() -> None:
    with pytest.raises(UsageError) as caught:
        read(Path("q.sql"), {})
    assert str(caught.value) == (
        "q.sql does not exist\n  It was to be the query.\nTo fix it: correct analysis.query, which names the file."
    )


def test_not_utf_8() -> None:
    Path("q.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(UsageError) as caught:
        read(Path("q.sql"), {})
    assert str(caught.value) == (
        "q.sql is not UTF-8 text\n  line 1: the byte 0xff does not belong there\nTo fix it: save the file as UTF-8."
    )


PIECES = st.sampled_from(
    ["SELECT", "(", ")", "'", '"""', "`", "@", "@@", "?", ";", "--", "/*", "*/", "{", "|>", "INSERT INTO t", "r'", "\\"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(HAIL)), st.integers(0, 40), PIECES | st.text(max_size=8)), min_size=1, max_size=5
    )
)
def test_whatever_a_file_says_it_is_a_query_or_a_usage_error(edits: list[tuple[int, int, str]]) -> None:
    sql = HAIL
    for start, length, piece in edits:
        sql = sql[:start] + piece + sql[start + length :]
    Path("q.sql").write_bytes(sql.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(UsageError):
        assert read(Path("q.sql"), {"state": "Texas", "month": 3, "day": date(1955, 3, 25)}).sql
