from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.rehearsal.gcp.rest import CloudError
from orchestrator.rehearsal.sql.query import Source, Statement, translate

COLUMNS = {"state": "STRING", "n": "INT64", "x": "FLOAT64", "begin": "DATETIME"}
PARAMETERS: Mapping[str, tuple[str, Any]] = {"state": ("STRING", "Texas"), "n": ("INT64", 2)}
HAIL = Path(__file__).parents[2] / "config" / "queries" / "hail_days.sql"


@pytest.fixture
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE storms AS SELECT * FROM (VALUES ('Texas', 1, 0.75, TIMESTAMP '1993-03-25 17:30:00', '1993'), "
        "('Texas', 2, NULL, TIMESTAMP '1994-04-01 00:00:00', '1994'), "
        "('Ohio', 3, 2.5, TIMESTAMP '1994-03-25 01:02:03', '1994')) t(state, n, x, \"begin\", _table_suffix)"
    )
    return connection


def find(project: str | None, dataset: str, table: str) -> Source:
    if (project, dataset) != (None, "d"):
        raise CloudError(404, "notFound", f"Not found: Dataset {project}:{dataset}")
    suffixes = ("1993", "1994") if table == "storms_*" else None
    return Source(f"d.{table}", "storms", COLUMNS, frozenset({"flood_cause"}), suffixes)


def translated(sql: str) -> Statement:
    return translate(sql, PARAMETERS, find)


def answer(database: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    statement = translated(sql)
    return database.execute(statement.sql, statement.arguments).fetchall()


def refused(sql: str) -> tuple[int, str]:
    with pytest.raises(CloudError) as caught:
        translated(sql)
    return caught.value.status, caught.value.message


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        (
            "SELECT State, COUNT(*), SUM(n) AS Total FROM d.storms GROUP BY State ORDER BY Total DESC, State",
            {"State": "STRING", "f0_": "INT64", "Total": "INT64"},
            [("Ohio", 1, 3), ("Texas", 2, 3)],
        ),
        (
            "SELECT AVG(n) a, MAX(x) b, COUNT(DISTINCT state) c, COUNT(x) FROM d.storms",
            {"a": "FLOAT64", "b": "FLOAT64", "c": "INT64", "f0_": "INT64"},
            [(2.0, 2.5, 2, 2)],
        ),
        (
            "SELECT EXTRACT(DAY FROM begin) AS day, EXTRACT(HOUR FROM begin) AS hour FROM d.storms ORDER BY day, hour",
            {"day": "INT64", "hour": "INT64"},
            [(1, 0), (25, 1), (25, 17)],
        ),
        # NULLs are the smallest, unlike DuckDB's.
        ("SELECT x FROM d.storms ORDER BY x", {"x": "FLOAT64"}, [(None,), (0.75,), (2.5,)]),
        ("SELECT x FROM d.storms ORDER BY x DESC LIMIT 1", {"x": "FLOAT64"}, [(2.5,)]),
        ("SELECT n FROM d.storms WHERE state = @STATE AND n >= @n", {"n": "INT64"}, [(2,)]),
        ("SELECT n FROM d.storms WHERE begin > '1994-03-01' AND state LIKE 'O%'", {"n": "INT64"}, [(3,)]),
        (
            "SELECT n FROM d.storms WHERE n BETWEEN 1 AND 2 AND NOT state IN ('Ohio') AND x IS NULL",
            {"n": "INT64"},
            [(2,)],
        ),
        (
            "SELECT COALESCE(x, n) AS c, n * x AS m FROM d.storms WHERE n = 2",
            {"c": "FLOAT64", "m": "FLOAT64"},
            [(2.0, None)],
        ),
        (
            "SELECT CAST(n AS STRING) AS t, LENGTH(state) l FROM d.storms WHERE n = 1",
            {"t": "STRING", "l": "INT64"},
            [("1", 5)],
        ),
        ("SELECT DISTINCT UPPER(state) AS s FROM d.storms ORDER BY s", {"s": "STRING"}, [("OHIO",), ("TEXAS",)]),
        (
            "WITH c AS (SELECT state, COUNT(*) AS n FROM d.storms GROUP BY state) SELECT * FROM c WHERE n > 1",
            {"state": "STRING", "n": "INT64"},
            [("Texas", 2)],
        ),
        (
            "SELECT a.n FROM d.storms AS a LEFT JOIN d.storms AS b ON a.n = b.n - 1 WHERE b.n IS NULL",
            {"n": "INT64"},
            [(3,)],
        ),
        ("SELECT s.n FROM (SELECT n, state FROM d.storms) AS s WHERE s.n = 3", {"n": "INT64"}, [(3,)]),
        ("SELECT * EXCEPT (state, x, begin) FROM d.storms WHERE n = 1", {"n": "INT64"}, [(1,)]),
        (
            "SELECT _TABLE_SUFFIX AS year, COUNT(*) AS n FROM `d.storms_*` GROUP BY year ORDER BY year",
            {"year": "STRING", "n": "INT64"},
            [("1993", 1), ("1994", 2)],
        ),
        ("SELECT NULL AS nothing, 'it\\'s' AS t", {"nothing": "INT64", "t": "STRING"}, [(None, "it's")]),
    ],
)
def test_what_a_query_gives(
    database: duckdb.DuckDBPyConnection, sql: str, columns: dict[str, str], rows: list[tuple[Any, ...]]
) -> None:
    assert translated(sql).columns == columns
    assert answer(database, sql) == rows


def test_a_result_has_bigquerys_names_in_duckdb_too(database: duckdb.DuckDBPyConnection) -> None:
    statement = translated(
        "SELECT 1, CAST(state AS STRING), MAX(n), state FROM d.storms GROUP BY state ORDER BY 3 DESC, 2"
    )
    found = database.execute(statement.sql, statement.arguments)
    assert (
        [column[0] for column in found.description or ()] == list(statement.columns) == ["f0_", "f1_", "f2_", "state"]
    )
    assert found.fetchall() == [(1, "Ohio", 3, "Ohio"), (1, "Texas", 2, "Texas")]


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT COUNT(*) AS n FROM d.storms", [((), None)]),
        ("SELECT state FROM d.storms WHERE n > 1", [(("n", "state"), None)]),
        ("SELECT s.state FROM (SELECT * FROM d.storms) AS s", [(("state",), None)]),
        (
            "SELECT a.state FROM d.storms AS a JOIN d.storms AS b ON a.n = b.n",
            [(("n", "state"), None), (("n",), None)],
        ),
        (
            "SELECT n FROM `d.storms_*` WHERE _TABLE_SUFFIX = '1993' AND n > 1 AND _TABLE_SUFFIX < '2'",
            [(("n",), "(\"_table_suffix\" = '1993') AND (\"_table_suffix\" < '2')")],
        ),
        # The condition does not hold for a whole table.
        ("SELECT n FROM `d.storms_*` WHERE _TABLE_SUFFIX = '1993' OR n > 1", [(("n",), None)]),
        ("SELECT 1 AS n", []),
    ],
)
def test_what_a_query_reads(sql: str, reads: list[tuple[tuple[str, ...], str | None]]) -> None:
    assert [(read.columns, read.pruning) for read in translated(sql).reads] == reads


def test_the_hail_query_reads_five_columns() -> None:
    columns = dict.fromkeys(("state", "cz_name", "event_type", "unused"), "STRING")
    source = Source(
        "storms_*", "storms", {**columns, "magnitude": "FLOAT64", "event_begin_time": "DATETIME"}, suffixes=("1993",)
    )
    parameters = {"state": ("STRING", "a"), "county": ("STRING", "b"), "month": ("INT64", 3)}
    statement = translate(HAIL.read_text(), parameters, lambda *_: source)
    assert statement.columns == {"event_begin_time": "DATETIME", "magnitude": "FLOAT64", "month": "INT64"}
    assert statement.arguments == {"state": "a", "county": "b", "month": 3}
    assert [read.columns for read in statement.reads] == [
        ("cz_name", "event_begin_time", "event_type", "magnitude", "state")
    ]


def test_a_parameter_is_never_text_in_the_query(database: duckdb.DuckDBPyConnection) -> None:
    hostile = "x' OR '1' = '1"
    statement = translate("SELECT n FROM d.storms WHERE state = @s", {"s": ("STRING", hostile)}, find)
    assert hostile not in statement.sql
    assert database.execute(statement.sql, statement.arguments).fetchall() == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM d.storms", "Unrecognized name: nope at [1:8]"),
        ("SELECT n FROM d.storms AS a JOIN d.storms AS b ON a.n = b.n", "Column name n is ambiguous at [1:8]"),
        ("SELECT _TABLE_SUFFIX AS y FROM d.storms", "Unrecognized name: _TABLE_SUFFIX"),
        (
            "SELECT 1 FROM d.storms WHERE n = '1'",
            "No matching signature for operator = for argument types: INT64, STRING",
        ),
        (
            "SELECT 1 FROM d.storms WHERE n = @state",
            "No matching signature for operator = for argument types: INT64, STRING",
        ),
        (
            "SELECT 1 FROM d.storms WHERE state > 1",
            "No matching signature for operator > for argument types: STRING, INT64",
        ),
        (
            "SELECT 1 FROM d.storms WHERE n IN (1, 'a')",
            "No matching signature for operator IN for argument types INT64 and {INT64, STRING}",
        ),
        ("SELECT LOWER(n) FROM d.storms", "No matching signature for function LOWER\n  Argument types: INT64"),
        (
            "SELECT SUM(state) FROM d.storms",
            "No matching signature for aggregate function SUM\n  Argument types: STRING",
        ),
        ("SELECT state + 1 FROM d.storms", "No matching signature for operator +\n  Argument types: STRING, INT64"),
        (
            "SELECT EXTRACT(DAY FROM n) FROM d.storms",
            "No matching signature for function EXTRACT for argument types: DATE_TIME_PART FROM INT64",
        ),
        ("SELECT 1 FROM d.storms WHERE n", "WHERE clause should return type BOOL, but returns INT64"),
        ("SELECT @nope AS a", "Query parameter 'nope' not found"),
        (
            "SELECT n, N FROM d.storms",
            (
                "Duplicate column names in the result are not supported when a destination table is present. "
                "Found duplicate(s): N, n"
            ),
        ),
        ("SELECT 1 FROM storms", 'Table "storms" must be qualified with a dataset (e.g. dataset.table).'),
        ("SELEC 1", 'Syntax error: Unexpected "1" at [1:7] (Invalid expression / Unexpected token)'),
        ("", "Syntax error: Unexpected end of statement"),
        ("SELECT FROM d.storms", "Syntax error: SELECT list must not be empty"),
        ("SELECT state AS s FROM d.storms WHERE s = 'a'", "Unrecognized name: s at [1:39]"),
        (
            "SELECT a.n FROM d.storms AS a JOIN d.storms AS b",
            "INNER JOIN must have an immediately following ON or USING clause",
        ),
        (
            "SELECT state, n FROM d.storms GROUP BY state",
            "SELECT list expression references column n which is neither grouped nor aggregated at [1:15]",
        ),
        ("SELECT 1 AS `a.b`", 'Invalid field name "a.b".'),
    ],
)
def test_what_bigquery_would_refuse(sql: str, message: str) -> None:
    assert refused(sql) == (400, message)


def test_a_table_that_is_not_there() -> None:
    assert refused("SELECT 1 FROM other.d.storms") == (404, "Not found: Dataset other:d")


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT 1; SELECT 2", "a script of several statements"),
        ("DELETE FROM d.storms WHERE TRUE", "a DELETE statement; one SELECT is what runs here"),
        ("SELECT flood_cause FROM d.storms", "column flood_cause: the rehearsal's tables do not have it"),
        ("SELECT CURRENT_DATE() AS d", "CURRENT_DATE"),
        ("SELECT n FROM d.storms TABLESAMPLE SYSTEM (1 PERCENT)", "d.storms TABLESAMPLE SYSTEM (1 PERCENT)"),
        ("SELECT [1, 2] AS a", "[1, 2]"),
        ("SELECT ? AS a", "?"),
        ("SELECT 1 AS a FROM d.storms NATURAL JOIN d.storms AS b", "NATURAL JOIN d.storms AS b"),
        (
            "SELECT state LIKE @state AS a FROM d.storms",
            "LIKE with anything but a literal without a backslash, `storms`.`state` LIKE CAST(@state AS STRING)",
        ),
        ("SELECT 1 FROM d.storms WHERE begin > @state", "parameter @state of type STRING taken for a time"),
    ],
)
def test_what_is_not_known_to_mean_the_same(sql: str, what: str) -> None:
    assert refused(sql) == (501, f"not supported in rehearsal: {what}")
