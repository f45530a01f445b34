"""What BigQuery documents for each function, computed by DuckDB."""

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from orchestrator.rehearsal.gcp.rest import CloudError
from orchestrator.rehearsal.sql.query import Source, Statement, translate
from tests.sql_expressions import EXPRESSIONS

COLUMNS = {"t": "STRING", "n": "INT64", "x": "FLOAT64", "moment": "DATETIME", "d": "DATE"}


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE rows AS SELECT * FROM (VALUES "
        "('Texas', 1, 0.5, TIMESTAMP '2024-01-07 17:30:59', DATE '2024-01-07'), "
        "('Ohio', 2, -2.5, TIMESTAMP '2024-12-31 00:00:00', DATE '2024-12-31'), "
        "('Ohio', 4, 2.5, TIMESTAMP '2023-01-01 23:59:59', DATE '2023-01-01'), "
        '(NULL, NULL, NULL, NULL, NULL)) rows(t, n, x, "moment", d)'
    )
    connection.execute("ALTER TABLE rows ALTER n TYPE BIGINT")
    connection.execute("ALTER TABLE rows ALTER x TYPE DOUBLE")
    return connection


def translated(sql: str) -> Statement:
    return translate(sql, {"n": ("INT64", 1)}, lambda *_: Source("d.rows", "rows", COLUMNS))


def answer(database: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    statement = translated(sql)
    return database.execute(statement.sql, statement.arguments).fetchall()


def refused(sql: str) -> tuple[int, str]:
    with pytest.raises(CloudError) as caught:
        translated(sql)
    return caught.value.status, caught.value.message


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS)
def test_an_expression(database: duckdb.DuckDBPyConnection, expression: str, value: Any) -> None:
    ((found,),) = answer(database, f"SELECT {expression} AS v")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("SELECT n / 2 AS h FROM d.rows ORDER BY n", ["FLOAT64"], [(None,), (0.5,), (1.0,), (2.0,)]),
        ("SELECT COUNTIF(n > 1), COUNTIF(n > 9) FROM d.rows", ["INT64"] * 2, [(2, 0)]),
        ("SELECT COUNTIF(n > 1) AS c FROM d.rows WHERE FALSE", ["INT64"], [(0,)]),
        ("SELECT COUNT(DISTINCT t) AS c, SUM(n) / COUNT(n) AS a FROM d.rows", ["INT64", "FLOAT64"], [(2, 7 / 3)]),
        ("SELECT STDDEV(n), STDDEV_POP(n) FROM d.rows WHERE n = 1", ["FLOAT64"] * 2, [(None, 0.0)]),
        ("SELECT STDDEV(n) AS s FROM d.rows WHERE t = 'Ohio'", ["FLOAT64"], [(2**0.5,)]),
        ("SELECT n FROM d.rows ORDER BY n LIMIT 2 OFFSET 1", ["INT64"], [(1,), (2,)]),
        ("SELECT n FROM d.rows ORDER BY n DESC LIMIT @n OFFSET @n", ["INT64"], [(2,)]),
        ("SELECT n FROM d.rows WHERE n IN (SELECT n FROM d.rows WHERE x > 0) ORDER BY n", ["INT64"], [(1,), (4,)]),
        # A NULL among the values: nothing is surely not in it.
        ("SELECT n FROM d.rows WHERE n NOT IN (SELECT n FROM d.rows WHERE n IS NULL OR n = 1)", ["INT64"], []),
        ("SELECT n AS k FROM d.rows UNION ALL SELECT x FROM d.rows WHERE n = 1 ORDER BY k LIMIT 2 OFFSET 1",
         ["FLOAT64"], [(0.5,), (1.0,)]),
        ("SELECT 1 UNION DISTINCT SELECT 1.0", ["FLOAT64"], [(1.0,)]),
        ("SELECT NULL AS a UNION ALL SELECT 'b' ORDER BY a", ["STRING"], [(None,), ("b",)]),
        ("SELECT u.a FROM (SELECT NULL AS a UNION ALL SELECT 'b') AS u ORDER BY a", ["STRING"], [(None,), ("b",)]),
        ("SELECT u.a / 2 AS h FROM (SELECT 1 AS a UNION ALL SELECT 2) AS u ORDER BY h", ["FLOAT64"], [(0.5,), (1.0,)]),
        ("WITH c AS (SELECT n FROM d.rows) SELECT MAX(n) FROM c UNION ALL SELECT 3", ["INT64"], [(4,), (3,)]),
        ("SELECT n, ROW_NUMBER() OVER (PARTITION BY t ORDER BY n DESC) AS r FROM d.rows ORDER BY n",
         ["INT64", "INT64"], [(None, 1), (1, 1), (2, 2), (4, 1)]),
        ("SELECT n, RANK() OVER (ORDER BY t) AS r FROM d.rows ORDER BY n",
         ["INT64", "INT64"], [(None, 1), (1, 4), (2, 2), (4, 2)]),
        ("SELECT LAG(n) OVER (ORDER BY n) AS a, LEAD(n, 2, -1) OVER (ORDER BY n) AS b FROM d.rows ORDER BY n",
         ["INT64", "INT64"], [(None, 2), (None, 4), (1, -1), (2, -1)]),
        # Without a frame, rows of the same rank are summed together.
        ("SELECT n, SUM(n) OVER (ORDER BY t) AS s, COUNT(*) OVER () AS c FROM d.rows ORDER BY n",
         ["INT64"] * 3, [(None, None, 4), (1, 7, 4), (2, 6, 4), (4, 6, 4)]),
        ("SELECT AVG(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS a FROM d.rows ORDER BY n",
         ["FLOAT64"], [(None,), (1.0,), (1.5,), (3.0,)]),
        ("SELECT t, n FROM d.rows WHERE t IS NOT NULL QUALIFY MAX(n) OVER (PARTITION BY t) = n ORDER BY n",
         ["STRING", "INT64"], [("Texas", 1), ("Ohio", 4)]),
        ("SELECT t, SUM(COUNT(*)) OVER () AS c FROM d.rows GROUP BY t ORDER BY t",
         ["STRING", "INT64"], [(None, 4), ("Ohio", 4), ("Texas", 4)]),
        ("SELECT FORMAT_DATETIME('%Y-%m', moment) AS m, COUNT(*) AS c FROM d.rows GROUP BY m ORDER BY m",
         ["STRING", "INT64"], [(None, 1), ("2023-01", 1), ("2024-01", 1), ("2024-12", 1)]),
        ("SELECT DATE_TRUNC(DATE(moment), MONTH) AS m FROM d.rows WHERE n = 2", ["DATE"], [(date(2024, 12, 1),)]),
        ("SELECT 1 AS k, COUNT(*) AS c FROM d.rows GROUP BY k ORDER BY 2", ["INT64"] * 2, [(1, 4)]),
        ("SELECT 1; -- done", ["INT64"], [(1,)]),
        ("SELECT 1 AS a -- done", ["INT64"], [(1,)]),
    ],
)  # fmt: skip
def test_a_query(
    database: duckdb.DuckDBPyConnection, sql: str, columns: list[str], rows: list[tuple[Any, ...]]
) -> None:
    assert list(translated(sql).columns.values()) == columns
    assert answer(database, sql) == rows


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0", "division by zero: 1 / 0"),
        ("0.5 / 0.0", "division by zero: 0.5 / 0"),
        ("DIV(7, 0)", "division by zero: DIV(7, 0)"),
        ("MOD(7, 0)", "division by zero: MOD(7, 0)"),
        ("SQRT(-1)", "Argument to SQRT cannot be negative: -1"),
        ("POW(0, -1)", "Floating point error in function: POW(0, -1)"),
        ("CAST(TRIM('1.5') AS INT64)", "Bad int64 value: 1.5"),
        ("CAST(TRIM('a') AS FLOAT64)", "Bad double value: a"),
        ("CAST('0x1F' AS INT64)", "not supported in rehearsal: a number written 0x1F"),
        ("SAFE_CAST('NaN' AS FLOAT64)", "not supported in rehearsal: a number written NaN"),
        ("UPPER('straße')", "not supported in rehearsal: UPPER of straße"),
        ("LOWER('ΟΔΟΣ')", "not supported in rehearsal: LOWER of ΟΔΟΣ"),
        ("FORMAT_DATE('%F', DATE '0024-01-07')", "not supported in rehearsal: a format of a year before 1000"),
    ],
)
def test_what_fails_as_it_runs(database: duckdb.DuckDBPyConnection, expression: str, message: str) -> None:
    with pytest.raises(duckdb.InvalidInputException) as caught:
        answer(database, f"SELECT {expression} AS v")
    assert str(caught.value) == f"Invalid Input Error: {message}"


@pytest.mark.parametrize(
    "value",
    [
        "9223372036854775807 + n",
        "SUM(n + 4611686018427387904) > 0",
        "SUM(n + 4611686018427387904) OVER () > 0",
    ],
)
def test_integers_overflow(database: duckdb.DuckDBPyConnection, value: str) -> None:
    with pytest.raises(duckdb.Error, match="INT64"):
        answer(database, f"SELECT {value} AS v FROM d.rows")


def test_weeks_start_on_sunday(database: duckdb.DuckDBPyConnection) -> None:
    for number in range(21):
        day = date(2023, 12, 24) + timedelta(days=number)  # A Sunday, and three weeks from it.
        ((start, passed, weekday),) = answer(
            database,
            f"SELECT DATE_TRUNC(DATE '{day}', WEEK) AS a, DATE_DIFF(DATE '{day}', DATE '2023-12-24', WEEK) AS b, "
            f"EXTRACT(DAYOFWEEK FROM DATE '{day}') AS c",
        )
        assert (start, passed, weekday) == (day - timedelta(days=number % 7), number // 7, number % 7 + 1)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 'a' / 2", "No matching signature for operator /\n  Argument types: STRING, INT64"),
        ("SELECT MOD(7, 2.5)", "No matching signature for function MOD\n  Argument types: INT64, FLOAT64"),
        ("SELECT ROUND('a')", "No matching signature for function ROUND\n  Argument types: STRING"),
        ("SELECT IF(1, 2, 3)", "No matching signature for function IF\n  Argument types: INT64, INT64, INT64"),
        ("SELECT IF(TRUE, 1, 'a')", "No matching signature for function IF\n  Argument types: BOOL, INT64, STRING"),
        (
            "SELECT CASE WHEN TRUE THEN 1 ELSE 'a' END",
            (
                "No matching signature for operator CASE; all THEN/ELSE arguments must be coercible to a common type "
                "but found: INT64, STRING; actual argument types (WHEN THEN) ELSE: (BOOL INT64) STRING"
            ),
        ),
        ("SELECT GREATEST(1, 'a')", "No matching signature for function GREATEST\n  Argument types: INT64, STRING"),
        (
            "SELECT STARTS_WITH(1, 'a')",
            "No matching signature for function STARTS_WITH\n  Argument types: INT64, STRING",
        ),
        (
            "SELECT COUNTIF(n) FROM d.rows",
            "No matching signature for aggregate function COUNTIF\n  Argument types: INT64",
        ),
        ("SELECT SUBSTR('a', 1, -1)", "Third argument in SUBSTR() cannot be negative"),
        ("SELECT 1 UNION ALL SELECT 'a'", "Column 1 in UNION ALL has incompatible types: INT64, STRING"),
        (
            "SELECT 1 UNION ALL SELECT 1, 2",
            "Queries in UNION ALL have mismatched column count; query 1 has 1 column, query 2 has 2 columns",
        ),
        (
            "SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3",
            (
                "Syntax error: Different set operations cannot be used in the same query "
                "without using parentheses for grouping"
            ),
        ),
        (
            "SELECT n FROM d.rows WHERE n IN (SELECT n, t FROM d.rows)",
            "Subquery of type IN must have only one output column",
        ),
        (
            "SELECT n FROM d.rows WHERE n IN (SELECT t FROM d.rows)",
            "Cannot execute IN subquery with uncomparable types INT64 and STRING",
        ),
        ("SELECT RANK() OVER () AS r FROM d.rows", "Window ORDER BY is required for analytic function rank"),
        ("SELECT n FROM d.rows LIMIT -1", "LIMIT expects a non-negative integer literal or parameter"),
    ],
)
def test_what_bigquery_would_refuse(sql: str, message: str) -> None:
    assert refused(sql) == (400, message)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT ANY_VALUE(n) FROM d.rows", "ANY_VALUE(`rows`.`n`)"),
        ("SELECT ROUND(x, -1) FROM d.rows", "ROUND to anything but 0 to 4 digits, ROUND(`rows`.`x`, -1)"),
        ("SELECT CAST(x AS STRING) FROM d.rows", "CAST(`rows`.`x` AS STRING), from FLOAT64 to STRING"),
        (
            "SELECT SUBSTR(t, n) FROM d.rows",
            "SUBSTR with anything but integer literals, SUBSTR(`rows`.`t`, `rows`.`n`)",
        ),
        (
            "SELECT TRIM(t, t) FROM d.rows",
            "TRIM of anything but ASCII characters in a literal, TRIM(`rows`.`t`, `rows`.`t`)",
        ),
        ("SELECT CONCAT(t, n) FROM d.rows", "CONCAT(`rows`.`t`, `rows`.`n`), of STRING, INT64"),
        ("SELECT DATE_TRUNC(d, ISOWEEK) FROM d.rows", "DATE_TRUNC(`rows`.`d`, ISOWEEK)"),
        ("SELECT DATE_TRUNC(moment, DAY) FROM d.rows", "DATE_TRUNC(`rows`.`moment`, DAY), of DATETIME"),
        ("SELECT EXTRACT(WEEK FROM d) FROM d.rows", "EXTRACT(WEEK FROM `rows`.`d`)"),
        (
            "SELECT FORMAT_DATE('%U', d) FROM d.rows",
            "a format with anything but %Y %m %d %j %H %M %S %b %B %a %A, FORMAT_DATE('%U', `rows`.`d`)",
        ),
        ("SELECT IF(TRUE, d, moment) FROM d.rows", "function IF over DATE and DATETIME"),
        ("SELECT NTILE(2) OVER (ORDER BY n) FROM d.rows", "NTILE(2) OVER (ORDER BY `rows`.`n`)"),
        (
            "SELECT SUM(n) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM d.rows",
            "SUM(`rows`.`n`) OVER (ORDER BY `rows`.`n` RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)",
        ),
        ("SELECT 1 EXCEPT DISTINCT SELECT 2", "a EXCEPT statement; one SELECT is what runs here"),
        ("SELECT (SELECT 1) AS a", "a subquery as an expression, (SELECT 1 AS `1`)"),
        ("SELECT EXISTS(SELECT 1) AS a", "EXISTS(SELECT 1 AS `1`)"),
    ],
)
def test_what_is_not_known_to_mean_the_same(sql: str, what: str) -> None:
    assert refused(sql) == (501, f"not supported in rehearsal: {what}")
