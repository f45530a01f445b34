import math
from datetime import date, datetime
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

from tests.contract.google.google_sides import GoogleSide
from tests.contract.google.storm_tables import storms_in
from tests.sql_expressions import EXPRESSIONS

ONCE = Retry(predicate=if_exception_type())
DOCS = "https://cloud.google.com/bigquery/docs/reference/standard-sql"
SOURCES = "https://github.com/google/zetasql/blob/1620550cbcc072cae5b5dfc614beab12fec690ce/zetasql/public/functions"

Answer = tuple[list[tuple[str, str]], list[tuple[Any, ...]]]
"""The columns (name, type) of a result, and its rows."""

# Of the tables storms (2010), next_year and all_storms: how many rows a query gives, and the first of them.
QUERIES: list[tuple[str, int, tuple[Any, ...]]] = [
    (
        (
            "SELECT COUNT(*) AS n, COUNT(magnitude) AS measured, COUNT(DISTINCT cz_name) AS counties, "
            "COUNTIF(event_type = 'hail') AS hail, SUM(damage_property) AS damage, AVG(magnitude) AS mean, "
            "MIN(state) AS first_state, MAX(event_begin_time) AS last FROM all_storms"
        ),
        1,
        (1800, 1449, 6, 1079, 17019000, 17.5345203589, "Colorado", "2019-10-28T15:01:00"),
    ),
    (
        "SELECT _TABLE_SUFFIX AS year, COUNT(*) AS n FROM all_storms GROUP BY year ORDER BY year DESC",
        10,
        ("2019", 180),
    ),
    (
        (
            "SELECT _TABLE_SUFFIX AS year, COUNT(*) AS n FROM all_storms WHERE _TABLE_SUFFIX BETWEEN '2012' AND "
            "'2014' AND event_type = 'hail' GROUP BY 1 ORDER BY 1"
        ),
        3,
        ("2012", 98),
    ),
    (
        (
            "SELECT s._TABLE_SUFFIX AS year, MAX(s.magnitude) AS most FROM all_storms AS s WHERE "
            "CAST(s._TABLE_SUFFIX AS INT64) >= 2018 GROUP BY year ORDER BY year"
        ),
        2,
        ("2018", 79.0),
    ),
    (
        (
            "SELECT event_id, ROW_NUMBER() OVER (PARTITION BY state ORDER BY magnitude, event_id) AS number, "
            "RANK() OVER (PARTITION BY state ORDER BY magnitude DESC) AS place FROM storms ORDER BY event_id"
        ),
        180,
        ("103775", 1, 26),
    ),
    (
        (
            "SELECT event_id, LAG(magnitude) OVER (PARTITION BY cz_name ORDER BY event_begin_time, event_id) AS "
            "before, LEAD(magnitude, 2, -1.0) OVER (PARTITION BY cz_name ORDER BY event_begin_time, event_id) AS "
            "after FROM storms ORDER BY event_id"
        ),
        180,
        ("103775", 2.0, None),
    ),
    (
        (
            "SELECT event_id, SUM(damage_property) OVER (PARTITION BY state ORDER BY event_begin_time) AS "
            "running, AVG(magnitude) OVER (PARTITION BY state ORDER BY event_begin_time, event_id ROWS BETWEEN 3 "
            "PRECEDING AND CURRENT ROW) AS moving, COUNT(*) OVER () AS n, COUNTIF(magnitude > 1) OVER (PARTITION "
            "BY state) AS large, MAX(magnitude) OVER (ORDER BY event_begin_time) AS most FROM storms ORDER BY "
            "event_id"
        ),
        180,
        ("103775", 263000, 27.0, 180, 20, 79.0),
    ),
    (
        (
            "SELECT state, event_id, magnitude FROM storms WHERE magnitude IS NOT NULL QUALIFY ROW_NUMBER() OVER "
            "(PARTITION BY state ORDER BY magnitude DESC, event_id) <= 2 ORDER BY state, magnitude DESC, event_id"
        ),
        8,
        ("Colorado", "871535", 79.0),
    ),
    (
        "SELECT state, ROW_NUMBER() OVER (ORDER BY state, event_id) AS r FROM storms QUALIFY r = 100",
        1,
        ("Texas", 100),
    ),
    (
        "SELECT state, SUM(COUNT(*)) OVER (ORDER BY state) AS so_far FROM storms GROUP BY state ORDER BY state",
        4,
        ("Colorado", 30),
    ),
    (
        (
            "SELECT EXTRACT(YEAR FROM event_begin_time) AS y, EXTRACT(MONTH FROM event_begin_time) AS m, "
            "EXTRACT(DAY FROM event_begin_time) AS d, EXTRACT(HOUR FROM event_begin_time) AS h, EXTRACT(MINUTE "
            "FROM event_begin_time) AS mi, EXTRACT(SECOND FROM event_begin_time) AS s, EXTRACT(DAYOFWEEK FROM "
            "event_begin_time) AS weekday, EXTRACT(DAYOFYEAR FROM event_begin_time) AS of_year FROM all_storms "
            "ORDER BY event_begin_time, event_id"
        ),
        1800,
        (2010, 2, 2, 22, 41, 0, 3, 33),
    ),
    (
        (
            "SELECT DATE(event_begin_time) AS day, DATE_TRUNC(DATE(event_begin_time), MONTH) AS month, "
            "DATE_TRUNC(DATE(event_begin_time), WEEK) AS week, DATE_TRUNC(DATE(event_begin_time), QUARTER) AS "
            "quarter, DATETIME_TRUNC(event_begin_time, HOUR) AS hour FROM all_storms ORDER BY event_begin_time, "
            "event_id"
        ),
        1800,
        ("2010-02-02", "2010-02-01", "2010-01-31", "2010-01-01", "2010-02-02T22:00:00"),
    ),
    (
        (
            "SELECT DATE_DIFF(DATE(event_end_time), DATE '2009-12-31', DAY) AS days, "
            "DATE_DIFF(DATE(event_end_time), DATE '2009-12-31', WEEK) AS weeks, DATE_DIFF(DATE(event_end_time), "
            "DATE '2009-12-31', MONTH) AS months, DATE_DIFF(DATE '2009-12-31', DATE(event_end_time), YEAR) AS "
            "years FROM all_storms ORDER BY event_begin_time, event_id"
        ),
        1800,
        (33, 5, 2, -1),
    ),
    (
        (
            "SELECT FORMAT_DATE('%Y-%m', DATE(event_begin_time)) AS month, FORMAT_DATETIME('%a %d %b %H:%M:%S', "
            "event_begin_time) AS text, COUNT(*) AS n FROM all_storms GROUP BY month, text ORDER BY month, text"
        ),
        1798,
        ("2010-02", "Mon 08 Feb 21:55:00", 1),
    ),
    (
        (
            "SELECT event_id FROM storms WHERE event_begin_time BETWEEN '2010-03-01' AND '2010-04-01T12:00:00' "
            "AND DATE(event_begin_time) != '2010-03-03' AND event_begin_time < DATETIME '2010-03-20 00:00:00' "
            "ORDER BY event_id"
        ),
        13,
        ("129712",),
    ),
    (
        (
            "SELECT SAFE_DIVIDE(damage_property, injuries_direct) AS none, SAFE_DIVIDE(damage_property, 7) AS "
            "share, SAFE_CAST(cz_name AS INT64) AS no_number, SAFE_CAST(tor_length AS FLOAT64) AS length, "
            "CAST(tor_width AS INT64) AS width FROM storms ORDER BY event_id"
        ),
        180,
        (None, 1428.57142857, None, 0.1, 25),
    ),
    (
        (
            "SELECT ROUND(damage_property / 7, 2) AS a, ROUND(magnitude) AS b, DIV(damage_property, 7) AS c, "
            "MOD(damage_property, 7) AS d, FLOOR(magnitude) AS e, CEIL(magnitude) AS f, ABS(event_longitude) AS "
            "g, SQRT(magnitude) AS h, POW(magnitude, 2) AS i, CAST(damage_property AS STRING) AS k, "
            "damage_property / 2 AS l, damage_property * 2 - 1 AS m FROM all_storms ORDER BY event_begin_time, "
            "event_id"
        ),
        1800,
        (285.71, 1.0, 285, 5, 1.0, 2.0, 97.56, 1.11803398875, 1.5625, "2000", 1000.0, 3999),
    ),
    (
        (
            "WITH hail AS (SELECT cz_name, magnitude FROM storms WHERE event_type = 'hail'), top AS (SELECT "
            "cz_name, MAX(magnitude) AS most FROM hail GROUP BY cz_name) SELECT cz_name, COUNT(*) AS n, "
            "MAX(top.most) AS most FROM hail JOIN top USING (cz_name) WHERE hail.magnitude = top.most GROUP BY "
            "cz_name ORDER BY cz_name"
        ),
        6,
        ("DALLAS", 1, 2.75),
    ),
    (
        (
            "SELECT a.event_id, b.event_id AS other FROM storms AS a LEFT JOIN next_year AS b ON a.cz_name = "
            "b.cz_name AND a.magnitude = b.magnitude AND b.magnitude > 60 ORDER BY 1, 2"
        ),
        180,
        ("103775", None),
    ),
    (
        (
            "SELECT a.m, b.m AS other FROM (SELECT DISTINCT magnitude AS m FROM storms) AS a FULL JOIN (SELECT "
            "DISTINCT magnitude AS m FROM next_year) AS b ON a.m = b.m ORDER BY 1, 2"
        ),
        39,
        (None, None),
    ),
    (
        (
            "SELECT m FROM (SELECT DISTINCT magnitude AS m FROM storms) AS a FULL JOIN (SELECT DISTINCT "
            "magnitude AS m FROM next_year) AS b USING (m) ORDER BY m"
        ),
        39,
        (None,),
    ),
    (
        (
            "SELECT a.s, b.s AS other FROM (SELECT DISTINCT state AS s FROM storms) AS a CROSS JOIN (SELECT "
            "DISTINCT state AS s FROM next_year) AS b ORDER BY 1, 2"
        ),
        16,
        ("Colorado", "Colorado"),
    ),
    (
        (
            "SELECT * FROM (SELECT DISTINCT state, 1 AS one FROM storms) AS a JOIN (SELECT DISTINCT state, 2.5 "
            "AS two FROM next_year) AS b USING (state) ORDER BY state"
        ),
        4,
        ("Colorado", 1, 2.5),
    ),
    (
        (
            "SELECT state AS name, 1 AS kind FROM storms UNION ALL SELECT cz_name, 2.5 FROM next_year ORDER BY "
            "1, 2 LIMIT 40 OFFSET 20"
        ),
        40,
        ("Colorado", 1.0),
    ),
    (
        "SELECT state FROM storms UNION DISTINCT SELECT cz_name FROM next_year ORDER BY state",
        10,
        ("Colorado",),
    ),
    (
        "SELECT magnitude, event_id FROM storms ORDER BY magnitude, event_id",
        180,
        (None, "103775"),
    ),
    (
        "SELECT magnitude, event_id FROM storms ORDER BY magnitude DESC NULLS FIRST, event_id DESC LIMIT 30",
        30,
        (None, "907563"),
    ),
    (
        "SELECT magnitude, event_id FROM storms ORDER BY magnitude NULLS LAST, event_id LIMIT 1 OFFSET 179",
        1,
        (None, "907563"),
    ),
    (
        (
            "SELECT cz_name LIKE '%A%' AS a, REGEXP_CONTAINS(cz_name, r'^[A-D].*S$') AS b, STARTS_WITH(cz_name, "
            "'D') AS c, ENDS_WITH(cz_name, 'O') AS d, COUNT(*) AS n FROM storms GROUP BY a, b, c, d ORDER BY a, "
            "b, c, d"
        ),
        4,
        (False, False, False, False, 60),
    ),
    (
        (
            "SELECT UPPER(SUBSTR(LOWER(cz_name), 2, 3)) AS a, LENGTH(cz_name) AS b, TRIM(cz_name, 'DAS') AS c, "
            "REPLACE(cz_name, 'A', 'aa') AS d, CONCAT(state, ': ', cz_name) AS e, cz_name || '!' AS f, "
            "SUBSTR(cz_name, -2) AS g FROM storms ORDER BY event_id"
        ),
        180,
        ("KLA", 8, "OKLAHOM", "OKLaaHOMaa", "Oklahoma: OKLAHOMA", "OKLAHOMA!", "MA"),
    ),
    (
        (
            "SELECT CASE WHEN magnitude IS NULL THEN 'none' WHEN magnitude < 1 THEN 'small' ELSE 'large' END AS "
            "size, COUNT(*) AS n FROM all_storms GROUP BY size ORDER BY n DESC, size"
        ),
        3,
        ("large", 1178),
    ),
    (
        (
            "SELECT IF(magnitude > 1, 'a', 'b') AS a, IFNULL(magnitude, 0.5) AS b, COALESCE(magnitude, "
            "damage_property) AS c, NULLIF(damage_property, 0) AS d, GREATEST(injuries_direct, damage_property) "
            "AS e, LEAST(1.5, magnitude) AS f, magnitude > 1 AND state = 'Texas' AS g FROM storms ORDER BY "
            "event_id"
        ),
        180,
        ("b", 0.5, 10000.0, 10000, 10000, None, False),
    ),
    (
        (
            "SELECT state, AVG(magnitude) AS mean FROM storms GROUP BY state HAVING mean > 10 AND COUNT(*) > 1 "
            "ORDER BY mean"
        ),
        4,
        ("Texas", 16.0056338028),
    ),
    (
        (
            "SELECT state, COUNT(*) AS n FROM storms WHERE event_id IN (SELECT event_id FROM storms WHERE "
            "magnitude > 1) OR cz_name NOT IN ('DALLAS', 'TRAVIS') GROUP BY state ORDER BY n DESC, state"
        ),
        4,
        ("Texas", 61),
    ),
    (
        "SELECT COUNT(*) AS n FROM storms WHERE magnitude NOT IN (SELECT magnitude FROM next_year)",
        1,
        (0,),
    ),
    (
        (
            "SELECT STDDEV(magnitude) AS a, STDDEV_POP(magnitude) AS b, STDDEV_SAMP(damage_property) AS c, "
            "SUM(DISTINCT magnitude) AS d FROM all_storms"
        ),
        1,
        (27.7424501438, 27.7328755274, 5892.70165038, 1946.88),
    ),
    (
        "SELECT SUM(magnitude) AS a, COUNT(*) AS b, MAX(state) AS c, COUNTIF(TRUE) AS d FROM storms WHERE FALSE",
        1,
        (None, 0, None, 0),
    ),
    (
        (
            "SELECT EXTRACT(MONTH FROM event_begin_time) AS event_begin_time, COUNT(*) AS n FROM storms GROUP BY "
            "event_begin_time ORDER BY event_begin_time"
        ),
        9,
        (2, 17),
    ),
    (
        ("SELECT state AS cz_name, cz_name AS state FROM storms WHERE state = 'Texas' ORDER BY state, cz_name LIMIT 5"),
        5,
        ("Texas", "DALLAS"),
    ),
    (
        "SELECT * EXCEPT (episode_id) FROM storms ORDER BY event_id LIMIT 5",
        5,
        (
            "103775",
            "Oklahoma",
            "40",
            "tornado",
            "C",
            "109",
            "OKLAHOMA",
            "SYN",
            "2010-06-20T22:49:00",
            "CST-6",
            "2010-06-20T22:58:00",
            0,
            0,
            0,
            0,
            10000,
            0,
            "synthetic sample",
            None,
            None,
            "EF0",
            "0.1",
            "25",
            35.61,
            -97.35,
        ),
    ),
    (
        "SELECT * REPLACE (LOWER(state) AS state) FROM storms ORDER BY event_id LIMIT 5 OFFSET 3",
        5,
        (
            "43455",
            "108943",
            "texas",
            "48",
            "hail",
            "C",
            "453",
            "TRAVIS",
            "SYN",
            "2010-08-09T20:24:00",
            "CST-6",
            "2010-08-09T20:32:00",
            0,
            0,
            0,
            0,
            14000,
            0,
            "synthetic sample",
            0.75,
            None,
            None,
            None,
            None,
            30.42,
            -97.77,
        ),
    ),
    (
        (
            "SELECT event_begin_time, magnitude FROM all_storms WHERE LOWER(state) = @state AND magnitude >= "
            "1.25 AND EXTRACT(MONTH FROM event_begin_time) = @N AND DATE(event_begin_time) < @day ORDER BY 1, "
            "2"
        ),
        4,
        ("2010-03-03T17:20:00", 76.0),
    ),
]
UNKNOWN = [
    ("SELECT x FROM UNNEST([1, 2, 3]) AS x", "UNNEST([1, 2, 3]) AS `x`"),
    (
        "SELECT ARRAY_AGG(magnitude IGNORE NULLS ORDER BY magnitude LIMIT 3) AS a FROM storms",
        "ARRAY_AGG(`storms_2010`.`magnitude` IGNORE NULLS ORDER BY `storms_2010`.`magnitude` LIMIT 3)",
    ),
    (
        "SELECT STRING_AGG(DISTINCT cz_name, ', ' ORDER BY cz_name) AS a FROM storms",
        "STRING_AGG(DISTINCT `storms_2010`.`cz_name`, ', ' ORDER BY `storms_2010`.`cz_name`)",
    ),
    ("SELECT STRUCT(state, cz_name) AS s FROM storms", "STRUCT(`storms_2010`.`state`, `storms_2010`.`cz_name`)"),
    (
        "SELECT (SELECT COUNT(*) FROM next_year) AS n",
        "a subquery as an expression, (SELECT COUNT(*) AS `_col_0` FROM `t0` AS `storms_2011`)",
    ),
    (
        "SELECT state FROM storms WHERE EXISTS (SELECT 1 FROM next_year)",
        "EXISTS(SELECT 1 AS `1` FROM `t1` AS `storms_2011`)",
    ),
    (
        "SELECT state, COUNT(*) AS n FROM storms GROUP BY ROLLUP(state, cz_name)",
        "ROLLUP (`storms_2010`.`state`, `storms_2010`.`cz_name`)",
    ),
    (
        ("SELECT * FROM (SELECT state, event_type FROM storms) PIVOT(COUNT(*) FOR event_type IN ('hail', 'tornado'))"),
        "PIVOT(COUNT(*) FOR `_0`.`event_type` IN ('hail', 'tornado')) AS `_1`",
    ),
    ("SELECT APPROX_COUNT_DISTINCT(cz_name) AS n FROM storms", "APPROX_COUNT_DISTINCT(`storms_2010`.`cz_name`)"),
    ("SELECT NTILE(4) OVER (ORDER BY event_id) AS n FROM storms", "NTILE(4) OVER (ORDER BY `storms_2010`.`event_id`)"),
    (
        "SELECT LAST_VALUE(magnitude IGNORE NULLS) OVER (ORDER BY event_id) AS n FROM storms",
        "LAST_VALUE(`storms_2010`.`magnitude` IGNORE NULLS) OVER (ORDER BY `storms_2010`.`event_id`)",
    ),
    ("SELECT event_type FROM storms EXCEPT DISTINCT SELECT 'hail'", "a EXCEPT statement; one SELECT is what runs here"),
    ("SELECT SAFE.SUBSTR(state, 1, 2) AS s FROM storms", "SAFE.SUBSTR(`storms_2010`.`state`, 1, 2)"),
    ("SELECT PARSE_DATE('%Y%m%d', '20240107') AS d", "PARSE_DATE('%Y%m%d', '20240107')"),
    (
        "SELECT DATE_ADD(DATE '2024-01-31', INTERVAL 1 MONTH) AS d",
        "DATE_ADD(CAST('2024-01-31' AS DATE), INTERVAL '1' MONTH)",
    ),
    ("SELECT DATE '2024-01-31' + 1 AS d", "CAST('2024-01-31' AS DATE) + 1, of DATE, INT64"),
    (
        "SELECT CAST(magnitude AS NUMERIC) AS n FROM storms",
        "CAST(`storms_2010`.`magnitude` AS NUMERIC), of type NUMERIC",
    ),
    ("SELECT TIMESTAMP(event_begin_time) AS t FROM storms", "TIMESTAMP(`storms_2010`.`event_begin_time`)"),
    ("SELECT REGEXP_EXTRACT(cz_name, r'^\\w') AS r FROM storms", "REGEXP_EXTRACT(`storms_2010`.`cz_name`, '^\\\\w')"),
    ("SELECT 'a%c' LIKE r'a\\%c' AS l", "LIKE with anything but a literal without a backslash, 'a%c' LIKE 'a\\\\%c'"),
    (
        "SELECT CAST(DATE '2024-01-02' AS STRING FORMAT 'YYYY') AS s",
        "CAST(CAST('2024-01-02' AS DATE) AS STRING FORMAT 'YYYY')",
    ),
    ("SELECT 'a' || 1 AS s", "'a' || 1, of STRING, INT64"),
    (
        "SELECT COUNT(*) AS n FROM `bigquery-public-data.noaa_historic_severe_storms.storms_201*`",
        "the wildcard storms_201*; storms_* with a condition on _TABLE_SUFFIX is known",
    ),
    (
        "SELECT a.state FROM storms AS a JOIN next_year AS b USING (state) GROUP BY state",
        "GROUP BY of a column of USING by another name, `a`.`state`",
    ),
    ("SELECT UPPER(NULL) AS u", "UPPER(NULL), of NULL"),
    ("SELECT CURRENT_DATE() AS d", "CURRENT_DATE"),
    ("SELECT 1 AS one; SELECT 2 AS two", "a script of several statements"),
]

# What each expression of EXPRESSIONS is to theirs where it is wrong, and the source that says so.
ELSEWHERE = {
    "NULLIF(3, NULL)": ("a crash", f"{DOCS}/conditional_expressions#nullif"),
    "ROUND(1.15, 1)": ("1.2", f"{SOURCES}/math.cc"),
    "ROUND(2.675, 2)": ("2.68", f"{SOURCES}/math.cc"),
    "SUBSTR('äpfel', -5, 1)": ("half a letter", f"{DOCS}/string_functions#substr"),
    "REPLACE('abc', '', 'x')": ("xaxbxcx", f"{DOCS}/string_functions#replace"),
    "CAST(' -12\\n' AS INT64)": ("refused", f"{SOURCES}/convert_string.cc"),
    "DATETIME_TRUNC(DATETIME '2024-01-07 10:20:30', WEEK)": ("10:20:30", f"{DOCS}/datetime_functions#datetime_trunc"),
    "DATETIME_TRUNC(DATETIME '2024-05-17 10:20:30', SECOND)": ("10:20:00", f"{DOCS}/datetime_functions#datetime_trunc"),
    "FORMAT_DATE('%F|%b|%B|%a|%A|%j', DATE '2024-01-07')": ("%j is 7", f"{DOCS}/format-elements"),
    "- -2": ("no unary minus", f"{DOCS}/operators#arithmetic_operators"),
    "'a\\nb' LIKE 'a%b'": ("false", f"{DOCS}/operators#like_operator"),
    "'abc' LIKE 'a_c'": ("false", f"{DOCS}/operators#like_operator"),
    "2 IN (1, NULL)": ("false", f"{DOCS}/operators#in_operators"),
    "2 NOT IN (1, NULL)": ("true", f"{DOCS}/operators#in_operators"),
    "2 BETWEEN NULL AND 1": ("NULL", f"{DOCS}/operators#comparison_operators"),
    "NULL IS TRUE": ("NULL", f"{DOCS}/operators#is_operators"),
    "NULL IS NOT FALSE": ("NULL", f"{DOCS}/operators#is_operators"),
    "CAST(LEAST(2.5, 9.5) AS INT64)": ("2", f"{DOCS}/conversion_functions#cast_as_integer"),
    "CAST(DATE '2024-01-02' AS DATETIME)": ("1970-01-01", f"{DOCS}/conversion_functions#cast_as_datetime"),
}
PARAMETERS = [
    bigquery.ScalarQueryParameter("state", "STRING", "texas"),
    bigquery.ScalarQueryParameter("N", "INT64", 3),
    bigquery.ScalarQueryParameter("day", "DATE", date(2010, 6, 1)),
]


@pytest.fixture
def client(google: GoogleSide) -> bigquery.Client:
    return google.clients.bigquery


@pytest.fixture(scope="session")
def answers() -> dict[str, Answer]:
    """What the first side answered to each query."""
    return {}


def answer(client: bigquery.Client, sql: str) -> Answer:
    given = [parameter for parameter in PARAMETERS if f"@{parameter.name}" in sql]
    settings = bigquery.QueryJobConfig(query_parameters=given)
    found = client.query(storms_in(sql), settings, retry=ONCE, job_retry=None).result(retry=ONCE, timeout=30)
    columns = [(field.name, field.field_type) for field in found.schema]
    return columns, [tuple(map(plain, row.values())) for row in found]


def plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else value


def alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Sums of FLOAT64 differ in their last places with the order in which they are added."""
    return all(
        (
            math.isclose(a, b, rel_tol=1e-11)
            if isinstance(a, float) and isinstance(b, float)
            else (a, type(a)) == (b, type(b))
        )
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(("sql", "count", "first"), QUERIES)
def test_a_query_gives_the_same_rows(
    client: bigquery.Client, answers: dict[str, Answer], sql: str, count: int, first: tuple[Any, ...]
) -> None:
    columns, rows = answer(client, sql)
    assert len(rows) == count
    assert alike(rows[0], first), rows[0]
    other_columns, other_rows = answers.setdefault(sql, (columns, rows))
    assert columns == other_columns
    assert [pair for pair in zip(rows, other_rows, strict=True) if not alike(*pair)] == []


@pytest.mark.parametrize(("sql", "what"), UNKNOWN)
def test_what_ours_does_not_know_it_refuses_by_name(
    google: GoogleSide, client: bigquery.Client, sql: str, what: str
) -> None:
    if google.name == "ours":
        with pytest.raises(GoogleAPICallError) as caught:
            client.query(storms_in(sql), bigquery.QueryJobConfig(dry_run=True), retry=ONCE, job_retry=ONCE, timeout=30)
        assert caught.value.errors[0]["message"] == f"not supported in rehearsal: {what}"
    else:
        assert answer(client, sql)[1]


def test_expressions_have_the_same_values(client: bigquery.Client) -> None:
    same = [(sql, value) for sql, value in EXPRESSIONS if sql not in ELSEWHERE]
    listed = ", ".join(f"{sql} AS v{number}" for number, (sql, _) in enumerate(same))
    _, (values,) = answer(client, f"SELECT {listed}")
    found = {sql: (value, type(value)) for (sql, _), value in zip(same, values, strict=True)}
    assert found == {sql: (plain(value), type(plain(value))) for sql, value in same}


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        pytest.param(sql, value, marks=pytest.mark.differs(*ELSEWHERE[sql]))
        for sql, value in EXPRESSIONS
        if sql in ELSEWHERE
    ],
)
def test_an_expression_that_theirs_gets_wrong(client: bigquery.Client, sql: str, value: Any) -> None:
    _, ((found,),) = answer(client, f"SELECT {sql} AS v")
    assert (found, type(found)) == (plain(value), type(plain(value)))


@pytest.mark.differs("an anonymous column is $col1", f"{DOCS}/query-syntax#implicit_aliases")
def test_a_column_without_a_name_is_numbered(client: bigquery.Client) -> None:
    columns, rows = answer(client, "SELECT 'a', 1, CAST(state AS STRING), state, (state) AS s FROM storms LIMIT 1")
    assert [name for name, _ in columns] == ["f0_", "f1_", "f2_", "state", "s"]
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        pytest.param(
            "SELECT 9223372036854775807 + injuries_direct + 1 AS n FROM storms",
            "Overflow in addition of INT64",
            marks=pytest.mark.differs("it wraps around", f"{DOCS}/operators#arithmetic_operators"),
        ),
        pytest.param(
            "SELECT SQRT(injuries_direct - 1) AS n FROM storms",
            "Argument to SQRT cannot be negative: -1",
            marks=pytest.mark.differs("NULL", f"{DOCS}/mathematical_functions#sqrt"),
        ),
        pytest.param(
            "SELECT POW(0, -1) AS n",
            r"Floating point error in function: POW\(0, -1\)",
            marks=pytest.mark.differs("infinity", f"{DOCS}/mathematical_functions#pow"),
        ),
        ("SELECT damage_property / injuries_direct AS n FROM storms", "zero"),
        ("SELECT DIV(damage_property, injuries_direct) AS n FROM storms", "zero"),
        ("SELECT MOD(damage_property, injuries_direct) AS n FROM storms", "zero"),
        ("SELECT REGEXP_CONTAINS(state, '(') AS n FROM storms", "missing"),
        ("SELECT SUBSTR(state, 1, -1) AS n FROM storms", "SUBSTR"),
    ],
)
def test_what_fails_as_it_runs(client: bigquery.Client, sql: str, words: str) -> None:
    with pytest.raises(GoogleAPICallError, match=words):
        answer(client, sql)
