"""What BigQuery documents for each function, computed by DuckDB."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from orchestrator.rehearsal.gcp.rest import CloudError
from orchestrator.rehearsal.sql.query import Source, Statement, translate

COLUMNS = {"t": "STRING", "n": "INT64", "x": "FLOAT64", "at": "DATETIME", "d": "DATE"}


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE rows AS SELECT * FROM (VALUES "
        "('Texas', 1, 0.5, TIMESTAMP '2024-01-07 17:30:59', DATE '2024-01-07'), "
        "('Ohio', 2, -2.5, TIMESTAMP '2024-12-31 00:00:00', DATE '2024-12-31'), "
        "('Ohio', 4, 2.5, TIMESTAMP '2023-01-01 23:59:59', DATE '2023-01-01'), "
        '(NULL, NULL, NULL, NULL, NULL)) rows(t, n, x, "at", d)'
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


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2147483647 + 1", 2147483648),
        ("-9223372036854775808", -9223372036854775808),
        ("0.1 + 0.2", 0.30000000000000004),
        ("CASE WHEN NULL THEN 1 WHEN FALSE THEN 2 END", None),
        ("CASE WHEN TRUE THEN 1 ELSE 2.5 END", 1.0),
        ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END", "b"),
        ("CASE NULL WHEN NULL THEN 'a' ELSE 'b' END", "b"),
        ("IF(NULL, 1, 2)", 2),
        ("IF(TRUE, NULL, 2)", None),
        ("IFNULL(NULL, 3)", 3),
        ("NULLIF(3, 3)", None),
        ("NULLIF(3, NULL)", 3),
        ("7 / 2", 3.5),
        ("6 / 2 / 3", 1.0),
        ("(1 + 2) / (2 + 2)", 0.75),
        ("NULL / 0", None),
        ("1 / NULL", None),
        ("SAFE_DIVIDE(1, 0)", None),
        ("SAFE_DIVIDE(1, 4)", 0.25),
        ("SAFE_DIVIDE(0, 0)", None),
        ("DIV(-7, 2)", -3),
        ("MOD(-7, 2)", -1),
        ("MOD(7, 1 + 2)", 1),
        ("ROUND(2.5)", 3.0),
        ("ROUND(-2.5)", -3.0),
        ("ROUND(7)", 7.0),
        ("ROUND(0.49999999999999994)", 0.0),
        # The nearest FLOAT64 is 1.149999..., 2.67499...; 0.125 and 2.5 are exact halves.
        ("ROUND(1.15, 1)", 1.1),
        ("ROUND(2.675, 2)", 2.67),
        ("ROUND(0.125, 2)", 0.13),
        ("ROUND(-0.125, 2)", -0.13),
        ("ROUND(0.375, 2)", 0.38),
        ("ROUND(2.25, 1)", 2.3),
        ("ROUND(2.35, 1)", 2.4),
        ("ROUND(1e300, 2)", 1e300),
        ("ROUND(NULL, 2)", None),
        ("FLOOR(-1.5)", -2.0),
        ("CEIL(1.2)", 2.0),
        ("SQRT(2)", 1.4142135623730951),
        ("POW(2, -1)", 0.5),
        ("GREATEST(1, 3, 2)", 3),
        ("GREATEST(1, NULL)", None),
        ("LEAST(1.5, 1)", 1.0),
        ("LEAST('b', 'a')", "a"),
        ("CONCAT('a', 'b', 'c')", "abc"),
        ("CONCAT('a', NULL)", None),
        ("'a' || 'b'", "ab"),
        ("'a' || NULL", None),
        ("TRIM(' \\t\\u00a0a b\\u3000\\n')", "a b"),
        ("TRIM('abca', 'ab')", "c"),
        ("LTRIM('abca', 'ab')", "ca"),
        ("RTRIM('abca', 'a')", "abc"),
        ("LTRIM('  a ')", "a "),
        ("RTRIM(NULL)", None),
        ("SUBSTR('apple', 2)", "pple"),
        ("SUBSTR('apple', 2, 2)", "pp"),
        ("SUBSTR('apple', -2)", "le"),
        ("SUBSTR('apple', 1, 123)", "apple"),
        ("SUBSTR('apple', 123)", ""),
        ("SUBSTR('apple', 0, 2)", "ap"),
        ("SUBSTR('apple', -9, 2)", "ap"),
        ("SUBSTR('äpfel', -5, 1)", "ä"),
        ("SUBSTR('apple', 2, 0)", ""),
        ("SUBSTR(NULL, 2)", None),
        ("STARTS_WITH('bar', 'b')", True),
        ("STARTS_WITH('bar', 'B')", False),
        ("ENDS_WITH('bar', '')", True),
        ("ENDS_WITH('bar', NULL)", None),
        ("REPLACE('aaa', 'a', 'b')", "bbb"),
        ("REPLACE('abc', '', 'x')", "abc"),
        ("REPLACE('abc', 'b', NULL)", None),
        (r"REGEXP_CONTAINS('Travis 3', r'\d$')", True),
        ("REGEXP_CONTAINS('Travis', '^t')", False),
        ("REGEXP_CONTAINS('Travis', '(?i)^t')", True),
        ("REGEXP_CONTAINS('a\\nb', 'a.b')", False),
        ("REGEXP_CONTAINS(NULL, 'a')", None),
        ("CAST(' -12\\n' AS INT64)", -12),
        ("CAST('1e3' AS FLOAT64)", 1000.0),
        ("CAST('.5' AS FLOAT64)", 0.5),
        ("SAFE_CAST('1.5' AS INT64)", None),
        ("SAFE_CAST('1_000' AS INT64)", None),
        ("SAFE_CAST('9223372036854775808' AS INT64)", None),
        ("SAFE_CAST('9223372036854775807' AS INT64)", 9223372036854775807),
        ("SAFE_CAST(' 7 ' AS FLOAT64)", 7.0),
        ("CAST(2.5 AS INT64)", 3),
        ("CAST(-0.5 AS INT64)", -1),
        ("SAFE_CAST(1e30 AS INT64)", None),
        ("CAST(12 AS STRING)", "12"),
        ("DATE_TRUNC(DATE '2024-05-17', QUARTER)", date(2024, 4, 1)),
        ("DATE_TRUNC(DATE '2024-01-06', WEEK)", date(2023, 12, 31)),
        ("DATETIME_TRUNC(DATETIME '2024-05-17 10:20:30', HOUR)", datetime(2024, 5, 17, 10)),  # noqa: DTZ001
        ("DATETIME_TRUNC(DATETIME '2024-01-07 10:20:30', WEEK)", datetime(2024, 1, 7)),  # noqa: DTZ001
        # Saturday to Sunday is one week, 31st to 1st one month.
        ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', WEEK)", 1),
        ("DATE_DIFF(DATE '2017-10-14', DATE '2017-10-15', DAY)", -1),
        ("DATE_DIFF(DATE '2018-01-01', DATE '2017-12-31', YEAR)", 1),
        ("DATE_DIFF(DATE '2018-02-01', DATE '2017-12-31', MONTH)", 2),
        ("FORMAT_DATE('%F|%b|%B|%a|%A|%j', DATE '2024-01-07')", "2024-01-07|Jan|January|Sun|Sunday|007"),
        ("FORMAT_DATETIME('%H:%M:%S', DATETIME '2024-01-07 01:02:03')", "01:02:03"),
        ("EXTRACT(DAYOFWEEK FROM DATE '2024-01-07')", 1),
        ("EXTRACT(DAYOFWEEK FROM DATE '2024-01-06')", 7),
        ("EXTRACT(DAYOFYEAR FROM DATE '2024-12-31')", 366),
    ],
)
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
        ("SELECT FORMAT_DATETIME('%Y-%m', at) AS m, COUNT(*) AS c FROM d.rows GROUP BY m ORDER BY m",
         ["STRING", "INT64"], [(None, 1), ("2023-01", 1), ("2024-01", 1), ("2024-12", 1)]),
        ("SELECT DATE_TRUNC(DATE(at), MONTH) AS m FROM d.rows WHERE n = 2", ["DATE"], [(date(2024, 12, 1),)]),
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
        ("CAST('1.5' AS INT64)", "Bad int64 value: 1.5"),
        ("CAST('a' AS FLOAT64)", "Bad double value: a"),
        ("CAST('0x1F' AS INT64)", "not supported in rehearsal: a number written 0x1F"),
        ("SAFE_CAST('NaN' AS FLOAT64)", "not supported in rehearsal: a number written NaN"),
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
        ("SELECT 'a' / 2", "No matching signature for operator / for argument types: STRING, INT64"),
        ("SELECT MOD(7, 2.5)", "No matching signature for function MOD for argument types: INT64, FLOAT64"),
        ("SELECT ROUND('a')", "No matching signature for function ROUND for argument types: STRING"),
        ("SELECT IF(1, 2, 3)", "No matching signature for function IF for argument types: INT64, INT64, INT64"),
        ("SELECT IF(TRUE, 1, 'a')", "No matching signature for function IF for argument types: INT64, STRING"),
        (
            "SELECT CASE WHEN TRUE THEN 1 ELSE 'a' END",
            "No matching signature for operator CASE for argument types: INT64, STRING",
        ),
        ("SELECT GREATEST(1, 'a')", "No matching signature for function GREATEST for argument types: INT64, STRING"),
        (
            "SELECT STARTS_WITH(1, 'a')",
            "No matching signature for function STARTS_WITH for argument types: INT64, STRING",
        ),
        ("SELECT 'a' || 1", "No matching signature for operator || for argument types: STRING, INT64"),
        (
            "SELECT COUNTIF(n) FROM d.rows",
            "No matching signature for aggregate function COUNTIF for argument types: INT64",
        ),
        ("SELECT SUBSTR('a', 1, -1)", "Third argument in SUBSTR() cannot be negative"),
        ("SELECT 1 UNION ALL SELECT 'a'", "Column 1 in UNION ALL has incompatible types: INT64, STRING"),
        (
            "SELECT 1 UNION ALL SELECT 1, 2",
            "Queries in UNION ALL have mismatched column count; query 1 has 1 column, query 2 has 2 columns",
        ),
        (
            "SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3",
            "Syntax error: Different set operations cannot be used in the same query without using parentheses",
        ),
        (
            "SELECT n FROM d.rows WHERE n IN (SELECT n, t FROM d.rows)",
            "Subquery of type IN must have only one output column",
        ),
        (
            "SELECT n FROM d.rows WHERE n IN (SELECT t FROM d.rows)",
            "No matching signature for operator IN for argument types: INT64, STRING",
        ),
        ("SELECT RANK() OVER () AS r FROM d.rows", "Window ORDER BY is required for analytic function RANK"),
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
        ("SELECT DATE_TRUNC(at, DAY) FROM d.rows", "DATE_TRUNC(`rows`.`at`, DAY), of DATETIME"),
        ("SELECT EXTRACT(WEEK FROM d) FROM d.rows", "EXTRACT(WEEK FROM `rows`.`d`)"),
        (
            "SELECT FORMAT_DATE('%U', d) FROM d.rows",
            "a format with anything but %Y %m %d %j %H %M %S %b %B %a %A, FORMAT_DATE('%U', `rows`.`d`)",
        ),
        ("SELECT IF(TRUE, d, at) FROM d.rows", "function IF over DATE and DATETIME"),
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
