import re

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

from tests.contract.google.google_sides import GoogleSide
from tests.contract.google.storm_tables import storms_in

ONCE = Retry(predicate=if_exception_type())
NOT_THEIRS = "https://cloud.google.com/bigquery/docs/reference/rest/v2/TableReference"

# Wrong SQL, and how GoogleSQL's analyzer begins to say so.
WRONG = [
    ("SELECT nope FROM storms", "Unrecognized name: nope"),
    ("SELECT event_type, nope + 1 FROM storms", "Unrecognized name: nope"),
    ("SELECT t.nope FROM storms AS t", "Name nope not found inside t"),
    ("SELECT LOWER(magnitude) FROM storms", "No matching signature for function LOWER\n  Argument types: FLOAT64"),
    ("SELECT SUM(state) FROM storms", "No matching signature for aggregate function SUM\n  Argument types: STRING"),
    ("SELECT AVG(state) FROM storms", "No matching signature for aggregate function AVG\n  Argument types: STRING"),
    ("SELECT state + 1 FROM storms", "No matching signature for operator +\n  Argument types: STRING, INT64"),
    ("SELECT 'a' / 2", "No matching signature for operator /\n  Argument types: STRING, INT64"),
    (
        "SELECT state FROM storms WHERE magnitude = '1'",
        "No matching signature for operator = for argument types: FLOAT64, STRING",
    ),
    (
        "SELECT state FROM storms WHERE state = 1",
        "No matching signature for operator = for argument types: STRING, INT64",
    ),
    (
        "SELECT state FROM storms WHERE state > 1",
        "No matching signature for operator > for argument types: STRING, INT64",
    ),
    (
        "SELECT state FROM storms WHERE damage_property IN (1, 'a')",
        "No matching signature for operator IN for argument types INT64 and {INT64, STRING}",
    ),
    (
        "SELECT state FROM storms WHERE state IN (1)",
        "No matching signature for operator IN for argument types STRING and {INT64}",
    ),
    (
        "SELECT state FROM storms WHERE damage_property BETWEEN 1 AND 'a'",
        "No matching signature for operator BETWEEN\n  Argument types: INT64, INT64, STRING",
    ),
    ("SELECT state FROM storms WHERE magnitude", "WHERE clause should return type BOOL, but returns FLOAT64"),
    (
        "SELECT state FROM storms WHERE state AND TRUE",
        "No matching signature for operator AND\n  Argument types: STRING, BOOL",
    ),
    ("SELECT NOT state FROM storms", "No matching signature for operator NOT\n  Argument types: STRING"),
    ("SELECT -state FROM storms", "No matching signature for operator -\n  Argument types: STRING"),
    (
        "SELECT state FROM storms HAVING COUNT(*) > 1",
        "The HAVING clause only allows aggregation if GROUP BY or SELECT list aggregation is present",
    ),
    (
        "SELECT state, COUNT(*) AS n FROM storms",
        "SELECT list expression references column state which is neither grouped nor aggregated",
    ),
    (
        "SELECT state, COUNT(*) AS n FROM storms GROUP BY cz_name",
        "SELECT list expression references column state which is neither grouped nor aggregated",
    ),
    ("SELECT COUNT(*) AS n FROM storms WHERE COUNT(*) > 1", "Aggregate function COUNT(*) not allowed in WHERE clause"),
    (
        "SELECT COUNT(SUM(damage_property)) FROM storms",
        ("Multi-level aggregation requires the enclosing aggregate function to have one or more GROUP BY modifiers."),
    ),
    ("SELECT state FROM storms GROUP BY COUNT(*)", "Aggregate function COUNT(*) not allowed in GROUP BY"),
    (
        "SELECT DISTINCT state FROM storms ORDER BY cz_name",
        "ORDER BY clause expression references column cz_name which is not visible after SELECT DISTINCT",
    ),
    ("SELECT state FROM storms AS a JOIN storms AS b ON a.event_id = b.event_id", "Column name state is ambiguous"),
    ("SELECT a.state FROM storms AS a JOIN storms AS b ON event_id = b.event_id", "Column name event_id is ambiguous"),
    (
        "SELECT a.state FROM storms AS a JOIN storms AS b USING (nope)",
        "Column nope in USING clause not found on left side of join",
    ),
    (
        "SELECT a.state FROM storms AS a JOIN storms AS b",
        "INNER JOIN must have an immediately following ON or USING clause",
    ),
    ("SELECT a.state FROM storms AS a, storms AS a", "Duplicate table alias a in the same FROM clause"),
    ("SELECT ROW_NUMBER() FROM storms", "Analytic function ROW_NUMBER cannot be called without an OVER clause"),
    ("SELECT RANK() OVER () AS r FROM storms", "Window ORDER BY is required for analytic function rank"),
    (
        "SELECT LAG(state) OVER (PARTITION BY state) FROM storms",
        "Window ORDER BY is required for analytic function lag",
    ),
    (
        "SELECT state FROM storms WHERE ROW_NUMBER() OVER (ORDER BY state) = 1",
        "Analytic function not allowed in WHERE clause",
    ),
    ("SELECT state FROM storms QUALIFY state = 'Texas'", "The QUALIFY clause requires analytic function to be present"),
    (
        "SELECT EXTRACT(DAY FROM magnitude) FROM storms",
        "No matching signature for function EXTRACT for argument types: DATE_TIME_PART FROM FLOAT64",
    ),
    (
        "SELECT EXTRACT(HOUR FROM DATE(event_begin_time)) FROM storms",
        "EXTRACT from DATE does not support the HOUR date part",
    ),
    ("SELECT DATE '2024-02-30'", "Invalid DATE literal"),
    ("SELECT DATE 'hello'", "Invalid DATE literal"),
    ("SELECT DATETIME '2024-01-01 25:00:00'", "Invalid DATETIME literal"),
    ("SELECT CAST('a' AS INT64)", 'Could not cast literal "a" to type INT64'),
    ("SELECT CAST('1.5' AS INT64)", 'Could not cast literal "1.5" to type INT64'),
    ("SELECT CAST('a' AS FLOAT64)", 'Could not cast literal "a" to type FLOAT64'),
    ("SELECT IF(1, 2, 3)", "No matching signature for function IF\n  Argument types: INT64, INT64, INT64"),
    ("SELECT IF(TRUE, 1, 'a')", "No matching signature for function IF\n  Argument types: BOOL, INT64, STRING"),
    (
        "SELECT CASE WHEN TRUE THEN 1 ELSE 'a' END",
        (
            "No matching signature for operator CASE; all THEN/ELSE arguments must be coercible to a common type "
            "but found: INT64, STRING; actual argument types (WHEN THEN) ELSE: (BOOL INT64) STRING"
        ),
    ),
    (
        "SELECT CASE WHEN 1 THEN 1 END",
        (
            "No matching signature for operator CASE; all WHEN argument types must be BOOL but found: INT64; "
            "actual argument types (WHEN THEN) ELSE: (INT64 INT64) NULL"
        ),
    ),
    ("SELECT COALESCE(1, 'a')", "No matching signature for function COALESCE\n  Argument types: INT64, STRING"),
    ("SELECT NULLIF(1, 'a')", "No matching signature for function NULLIF\n  Argument types: INT64, STRING"),
    ("SELECT GREATEST(1, 'a')", "No matching signature for function GREATEST\n  Argument types: INT64, STRING"),
    ("SELECT STARTS_WITH(1, 'a')", "No matching signature for function STARTS_WITH\n  Argument types: INT64, STRING"),
    (
        "SELECT COUNTIF(magnitude) FROM storms",
        "No matching signature for aggregate function COUNTIF\n  Argument types: FLOAT64",
    ),
    ("SELECT COUNTIF(1)", "No matching signature for aggregate function COUNTIF\n  Argument types: INT64"),
    ("SELECT MOD(7, 2.5)", "No matching signature for function MOD\n  Argument types: INT64, FLOAT64"),
    ("SELECT DIV(7.5, 2)", "No matching signature for function DIV\n  Argument types: FLOAT64, INT64"),
    ("SELECT ROUND('a')", "No matching signature for function ROUND\n  Argument types: STRING"),
    ("SELECT ABS('a')", "No matching signature for function ABS\n  Argument types: STRING"),
    ("SELECT POW('a', 2)", "No matching signature for function POW\n  Argument types: STRING, INT64"),
    ("SELECT SUBSTR('abc')", "No matching signature for function SUBSTR\n  Argument types: STRING"),
    ("SELECT SUBSTR('abc', 'b')", "No matching signature for function SUBSTR\n  Argument types: STRING, STRING"),
    ("SELECT LENGTH(1)", "No matching signature for function LENGTH\n  Argument types: INT64"),
    ("SELECT state LIKE 1 FROM storms", "No matching signature for operator LIKE for argument types: STRING, INT64"),
    ("SELECT 1 LIKE '1'", "No matching signature for operator LIKE for argument types: INT64, STRING"),
    (
        "SELECT REGEXP_CONTAINS(state, 1) FROM storms",
        "No matching signature for function REGEXP_CONTAINS\n  Argument types: STRING, INT64",
    ),
    ("SELECT 1 UNION ALL SELECT 'a'", "Column 1 in UNION ALL has incompatible types: INT64, STRING"),
    (
        "SELECT 1 UNION ALL SELECT 1, 2",
        "Queries in UNION ALL have mismatched column count; query 1 has 1 column, query 2 has 2 columns",
    ),
    (
        "SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3",
        (
            "Syntax error: Different set operations cannot be used in the same query without using parentheses "
            "for grouping"
        ),
    ),
    (
        "SELECT state FROM storms WHERE damage_property IN (SELECT damage_property, state FROM storms)",
        "Subquery of type IN must have only one output column",
    ),
    (
        "SELECT state FROM storms WHERE damage_property IN (SELECT state FROM storms)",
        "Cannot execute IN subquery with uncomparable types INT64 and STRING",
    ),
    ("SELECT state FROM storms LIMIT -1", "LIMIT expects a non-negative integer literal or parameter"),
    ("SELECT state FROM storms LIMIT 'a'", "LIMIT expects an integer literal or parameter"),
    ("SELECT state FROM storms LIMIT 1.5", "LIMIT expects an integer literal or parameter"),
    ("SELECT state FROM storms ORDER BY 2", "ORDER BY is out of SELECT column number range: 2"),
    (
        "SELECT state FROM storms ORDER BY 0",
        ("ORDER BY column number item is out of range. Column numbers must be greater than or equal to one. Found : 0"),
    ),
    ("SELECT state, COUNT(*) FROM storms GROUP BY 3", "GROUP BY is out of SELECT column number range: 3"),
    ("SELECT * EXCEPT (nope) FROM storms", "Column nope in SELECT * EXCEPT list does not exist"),
    ("SELECT *", "SELECT * must have a FROM clause"),
    ("SELECT FROM storms", "Syntax error: SELECT list must not be empty"),
    ("SELECT state FROM storms AS", "Syntax error: Unexpected end of statement"),
    ("SELECT state FROM storms GROUP BY", "Syntax error: Unexpected end of statement"),
    ("SELECT state FROM storms ORDER BY", "Syntax error: Unexpected end of statement"),
    ("SELECT magnitude::INT64 FROM storms", 'Syntax error: Expected ";" or end of input but got ":"'),
    (
        "SELECT 1 AS a FROM storms WHERE state ILIKE 'texas'",
        'Syntax error: Expected ";" or end of input but got identifier "ILIKE"',
    ),
    ("SELECT _TABLE_SUFFIX FROM storms", "Unrecognized name: _TABLE_SUFFIX"),
    ("SELECT NULL = NULL", "Operands of = cannot be literal NULL"),
    ("SELECT state FROM storms WHERE state = NULL", "Operands of = cannot be literal NULL"),
    ("SELECT 1 + NULL", "Operands of + cannot be literal NULL"),
    ("SELECT NOT NULL", "Operands of NOT cannot be literal NULL"),
    ("SELECT -NULL", "Operands of - cannot be literal NULL"),
    ("SELECT 'a' || NULL", "Operands of || cannot be literal NULL"),
    ("SELECT 'a' LIKE NULL", "Operands of LIKE cannot be literal NULL"),
    ("SELECT NULL < 1", "Operands of < cannot be literal NULL"),
    (
        "SELECT 'a' \"b\"",
        "Concatenation of subsequent string literals is not supported. Did you mean to use the || operator?",
    ),
    ("WITH a AS (SELECT 1 AS x), a AS (SELECT 2 AS x) SELECT x FROM a", "Duplicate alias a for WITH subquery"),
    ("SELECT COUNT(DISTINCT *) FROM storms", "COUNT(*) cannot be used with DISTINCT"),
    ("SELECT SAFE_DIVIDE('a', 1)", "No matching signature for function SAFE_DIVIDE\n  Argument types: STRING, INT64"),
    ("SELECT TRIM(1)", "No matching signature for function TRIM\n  Argument types: INT64"),
    ("SELECT REPLACE('a', 'b')", "No matching signature for function REPLACE\n  Argument types: STRING, STRING"),
    (
        "SELECT UPPER(event_begin_time) FROM storms",
        "No matching signature for function UPPER\n  Argument types: DATETIME",
    ),
    (
        "SELECT event_begin_time = 1 FROM storms",
        "No matching signature for operator = for argument types: DATETIME, INT64",
    ),
    ("SELECT event_begin_time > 'hello' FROM storms", 'Could not cast literal "hello" to type DATETIME'),
    ("SELECT 1 = TRUE", "No matching signature for operator = for argument types: INT64, BOOL"),
    ("SELECT TRUE + 1", "No matching signature for operator +\n  Argument types: BOOL, INT64"),
    ("SELECT 1 IS TRUE", "No matching signature for operator IS TRUE\n  Argument types: INT64"),
    (
        "SELECT state FROM storms WHERE event_begin_time BETWEEN 'a' AND 'b'",
        'Could not cast literal "a" to type DATETIME',
    ),
    ("SELECT SQRT('a')", "No matching signature for function SQRT\n  Argument types: STRING"),
    ("SELECT FLOOR('1')", "No matching signature for function FLOOR\n  Argument types: STRING"),
    (
        "SELECT state, COUNT(*) AS n FROM storms GROUP BY state HAVING magnitude > 1",
        "HAVING clause expression references column magnitude which is neither grouped nor aggregated",
    ),
    (
        "SELECT state FROM storms GROUP BY state ORDER BY magnitude",
        "ORDER BY clause expression references column magnitude which is neither grouped nor aggregated",
    ),
    ("SELECT 1 AS x ORDER BY y", "Query without FROM clause cannot have an ORDER BY clause"),
    (
        "SELECT event_id FROM storms AS a INNER JOIN storms AS b USING (event_id, state) WHERE a.event_id > 1",
        "No matching signature for operator > for argument types: STRING, INT64",
    ),
    (
        "SELECT 1 FROM storms ORDER BY -1",
        (
            "ORDER BY column number item is out of range. Column numbers must be greater than or equal to one. "
            "Found : -1"
        ),
    ),
    ("SELECT state FROM storms GROUP BY 0", "GROUP BY is out of SELECT column number range: 0"),
    ("SELECT 1 WHERE TRUE", "Query without FROM clause cannot have a WHERE clause"),
    ("SELECT 1 GROUP BY 1", "Query without FROM clause cannot have a GROUP BY clause"),
    ("SELECT 1 HAVING TRUE", "Query without FROM clause cannot have a HAVING clause"),
    ("SELECT 1 QUALIFY ROW_NUMBER() OVER () = 1", "Query without FROM clause cannot have a QUALIFY clause"),
    ("SELECT 1 AS x ORDER BY 1", "Query without FROM clause cannot have an ORDER BY clause"),
    ("SELECT NULL != 1", "Operands of != cannot be literal NULL"),
    ("SELECT (NULL) + 1", "Operands of + cannot be literal NULL"),
    ("SELECT NULL / 1", "Operands of / cannot be literal NULL"),
    (
        "SELECT a.state FROM storms AS a LEFT JOIN storms AS b",
        "LEFT JOIN must have an immediately following ON or USING clause",
    ),
    (
        "SELECT a.state FROM storms AS a FULL OUTER JOIN storms AS b",
        "FULL JOIN must have an immediately following ON or USING clause",
    ),
    (
        "SELECT a.state FROM storms AS a JOIN storms AS b ON COUNT(*) > 1",
        "Aggregate function COUNT(*) not allowed in JOIN ON clause",
    ),
    (
        "SELECT a.state FROM storms AS a JOIN storms AS b ON ROW_NUMBER() OVER () > 1",
        "Analytic function not allowed in JOIN ON clause",
    ),
    (
        "SELECT COUNT(*) AS n FROM storms HAVING ROW_NUMBER() OVER () = 1",
        "Analytic function not allowed in HAVING clause",
    ),
    ("SELECT state FROM storms WHERE SUM(damage_property) > 1", "Aggregate function SUM not allowed in WHERE clause"),
    (
        "SELECT state FROM storms WHERE MAX(event_begin_time) > '2010-01-01'",
        "Aggregate function MAX not allowed in WHERE clause",
    ),
    ("SELECT state FROM storms GROUP BY state, SUM(damage_property)", "Aggregate function SUM not allowed in GROUP BY"),
    ("SELECT state FROM storms GROUP BY state, ROW_NUMBER() OVER ()", "Analytic function not allowed in GROUP BY"),
    (
        "SELECT state FROM storms GROUP BY state ORDER BY MAX(COUNT(*))",
        ("Multi-level aggregation requires the enclosing aggregate function to have one or more GROUP BY modifiers."),
    ),
    ("SELECT SUM(ROW_NUMBER() OVER ()) FROM storms", "Analytic functions cannot be arguments to aggregate functions"),
    (
        "SELECT ROW_NUMBER() OVER (ORDER BY ROW_NUMBER() OVER ()) FROM storms",
        "Analytic function not allowed in Window ORDER BY",
    ),
    ("SELECT state FROM storms HAVING state = 'a'", "The HAVING clause requires GROUP BY or aggregation to be present"),
    (
        "SELECT COUNT(*) FROM storms HAVING state = 'a'",
        "HAVING clause expression references column state which is neither grouped nor aggregated",
    ),
    (
        "SELECT COUNT(*) FROM storms ORDER BY state",
        "ORDER BY clause expression references column state which is neither grouped nor aggregated",
    ),
    (
        "SELECT 1 FROM storms GROUP BY state QUALIFY ROW_NUMBER() OVER (ORDER BY cz_name) = 1",
        "Window ORDER BY expression references column cz_name which is neither grouped nor aggregated",
    ),
    (
        "SELECT state, RANK() OVER (ORDER BY magnitude) FROM storms GROUP BY state",
        "Window ORDER BY expression references column magnitude which is neither grouped nor aggregated",
    ),
    ("SELECT ROUND(1.5, 'a')", "No matching signature for function ROUND\n  Argument types: FLOAT64, STRING"),
    ("SELECT ROUND(1.5, 1.5)", "No matching signature for function ROUND\n  Argument types: FLOAT64, FLOAT64"),
    ("SELECT state FROM storms,", "Syntax error: Unexpected end of statement"),
    (
        (
            "SELECT a.state, b.state AS other FROM storms AS a JOIN storms AS b ON a.cz_name = b.cz_name GROUP "
            "BY a.state"
        ),
        "SELECT list expression references b.state which is neither grouped nor aggregated",
    ),
    (
        "SELECT * FROM storms AS a JOIN storms AS b USING (event_id, nope)",
        "Column nope in USING clause not found on left side of join",
    ),
    ("SELECT a.event_id FROM storms AS a JOIN storms AS b ON a.event_id = b.nope", "Name nope not found inside b"),
    (
        "SELECT DISTINCT state, magnitude + 1 AS c FROM storms ORDER BY magnitude",
        "ORDER BY clause expression references column magnitude which is not visible after SELECT DISTINCT",
    ),
    (
        "SELECT state, RANK() OVER (PARTITION BY magnitude ORDER BY state) AS r FROM storms GROUP BY state",
        "Partitioning by expressions of type FLOAT64 is not allowed",
    ),
    (
        "SELECT 1 AS one FROM storms GROUP BY state QUALIFY COUNT(*) > 1",
        "The QUALIFY clause requires analytic function to be present",
    ),
    (
        "SELECT state FROM storms ORDER BY MAX(magnitude)",
        "The ORDER BY clause only allows aggregation if GROUP BY or SELECT list aggregation is present",
    ),
    ("SELECT x.* EXCEPT (nope) FROM storms AS x", "Column nope in SELECT * EXCEPT list does not exist"),
    ("SELECT * EXCEPT (state, STATE) FROM storms LIMIT 1", "Duplicate column STATE in SELECT * EXCEPT list"),
    ("SELECT * REPLACE (1 AS nope) FROM storms LIMIT 1", "Column nope in SELECT * REPLACE list does not exist"),
    (
        "SELECT state FROM storms WHERE damage_property = '5000'",
        "No matching signature for operator = for argument types: INT64, STRING",
    ),
    ("SELECT event_begin_time = '2010-13-01' FROM storms", 'Could not cast literal "2010-13-01" to type DATETIME'),
    ("SELECT DATE(event_begin_time) = '2010-02-30' FROM storms", 'Could not cast literal "2010-02-30" to type DATE'),
]
# Wrong SQL that ours refuses in words of its own.
OTHERWISE = [
    "SELECT LOWER(state, state) FROM storms",
    "SELECT LOWER() FROM storms",
    "SELECT 1 + '1'",
    "SELECT CAST(state AS NOPE) FROM storms",
    "SELECT IFNULL(1, 'a')",
    "SELECT 1 UNION SELECT 2",
    "SELECT state, COUNT(*) FROM storms GROUP BY 2",
    "SELECT * FROM storms GROUP BY state",
    "SELECT",
    "SELEC state FROM storms",
    "SELECT state FROM storms WHERE",
    "SELECT state FROM storms WHERE (state = 'a'",
    "SELECT state FROM storms GROUP",
    "SELECT 'abc",
    "SELECT state FROM storms AS",
    "SELECT state FROM storms,",
    "SELECT 'a' IS NULL IS TRUE",
    "SELECT state = 'x' = TRUE FROM storms",
    "SELECT state FROM storms OFFSET 1",
    "SELECT state FROM storms ORDER BY state GROUP BY state",
    "SELECT MOD(1)",
    "SELECT state FROM nowhere.storms_2010",
]


def refusal(google: GoogleSide, sql: str) -> str:
    """The message to a dry run; theirs looks at the SQL only when it runs.

    Theirs also says which of its steps it was, has other types for FLOAT64, and goes on with all the signatures.
    """
    dry = bigquery.QueryJobConfig(dry_run=google.name == "ours")
    with pytest.raises(GoogleAPICallError) as caught:
        google.clients.bigquery.query(storms_in(sql), dry, retry=ONCE, job_retry=None).result(retry=ONCE, timeout=30)
    message = str(caught.value.errors[0]["message"])
    message = re.sub(r"^(failed to (analyze|parse statements?): |INVALID_ARGUMENT: )+", "", message)
    return re.sub(r"\b(FLOAT|DOUBLE)\b", "FLOAT64", message).replace("[at ", "at [")


@pytest.mark.parametrize(("sql", "words"), WRONG)
def test_wrong_sql_is_refused_in_the_same_words(google: GoogleSide, sql: str, words: str) -> None:
    message = refusal(google, sql)
    assert message.startswith(words)
    if google.name == "ours":
        assert re.fullmatch(r"( at \[\d+:\d+\])?", message.removeprefix(words))


@pytest.mark.parametrize("sql", OTHERWISE)
def test_wrong_sql_is_refused_in_other_words(google: GoogleSide, sql: str) -> None:
    assert "not supported in rehearsal" not in refusal(google, sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        pytest.param(
            "SELECT state FROM storms_2010",
            'Table "storms_2010" must be qualified with a dataset (e.g. dataset.table).',
            marks=pytest.mark.differs("any project's table will do", NOT_THEIRS),
        ),
        pytest.param(
            "SELECT state, state FROM storms",
            "Duplicate column names in the result are not supported when a destination table is present. "
            "Found duplicate(s): state",
            marks=pytest.mark.differs(
                "there is no destination", "https://cloud.google.com/bigquery/docs/writing-results"
            ),
        ),
    ],
)
def test_what_only_ours_refuses(google: GoogleSide, sql: str, message: str) -> None:
    assert refusal(google, sql) == message
