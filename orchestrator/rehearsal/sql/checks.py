"""Which BigQuery expressions the rehearsal computes, and with operands of which types.

A list of what is allowed, not of what is forbidden: a function that DuckDB has by the same name may well differ.
https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlglot import exp

from orchestrator.rehearsal.gcp.rest import unsupported
from orchestrator.rehearsal.sql.functions import check_function, integer
from orchestrator.rehearsal.sql.types import (
    ANY,
    BOOL,
    NUMBERS,
    TEXT,
    TIMES,
    bigquery_type,
    mismatch,
    no_signature,
)

# The frame of a query, without a type of its own.
_STRUCTURE = (
    exp.Select, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Table, exp.TableAlias, exp.Where, exp.Group,
    exp.Having, exp.Qualify, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Union, exp.Alias, exp.Identifier,
    exp.Column, exp.Literal, exp.RawString, exp.Placeholder, exp.Paren, exp.Null, exp.Boolean, exp.DataType, exp.Var,
    exp.Star, exp.Distinct, exp.Window, exp.WindowSpec, exp.WeekStart, exp.TsOrDsToDate, exp.TsOrDsToDatetime,
)  # fmt: skip
# Operands that must be of one type (or of two that BigQuery takes for one another).
_ALIKE: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "!=", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Between: "BETWEEN", exp.In: "IN", exp.Coalesce: "COALESCE",
}  # fmt: skip
# Name in an error and what each operand may be.
_TAKES: Mapping[type[exp.Expr], tuple[str, frozenset[str]]] = {
    exp.And: ("operator AND", BOOL),
    exp.Or: ("operator OR", BOOL),
    exp.Not: ("operator NOT", BOOL),
    exp.Add: ("operator +", NUMBERS),
    exp.Sub: ("operator -", NUMBERS),
    exp.Mul: ("operator *", NUMBERS),
    exp.Neg: ("operator -", NUMBERS),
    exp.Abs: ("function ABS", NUMBERS),
    exp.Sum: ("aggregate function SUM", NUMBERS),
    exp.Avg: ("aggregate function AVG", NUMBERS),
    exp.Min: ("aggregate function MIN", ANY),
    exp.Max: ("aggregate function MAX", ANY),
    exp.Count: ("aggregate function COUNT", ANY),
    exp.Lower: ("function LOWER", TEXT),
    exp.Upper: ("function UPPER", TEXT),
    exp.Length: ("function LENGTH", TEXT),
    exp.Like: ("operator LIKE", TEXT),
    exp.Date: ("function DATE", TIMES),
}
_OVER = (
    exp.RowNumber, exp.Rank, exp.Lag, exp.Lead, exp.Sum, exp.Count, exp.CountIf, exp.Avg, exp.Min, exp.Max,
)  # fmt: skip
_DATE_PARTS = frozenset({"YEAR", "QUARTER", "MONTH", "DAY", "DAYOFWEEK", "DAYOFYEAR"})
_TIME_PARTS = frozenset({"HOUR", "MINUTE", "SECOND"})
_CASTS = frozenset({
    ("INT64", "FLOAT64"), ("FLOAT64", "INT64"), ("INT64", "STRING"), ("STRING", "INT64"), ("STRING", "FLOAT64"),
    ("DATETIME", "DATE"), ("DATE", "DATETIME"),
})  # fmt: skip
_CLAUSES = frozenset({
    "expressions", "from_", "joins", "where", "group", "having", "qualify", "order", "limit", "offset", "distinct",
    "with_",
})  # fmt: skip
_JOIN_KINDS = frozenset({"", "INNER", "OUTER", "CROSS"})


# What both engines read alike in a literal.
_ISO_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}:[0-9]{2})?")
_NUMBER = {
    "INT64": re.compile(r"\s*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)\s*"),
    "FLOAT64": re.compile(r"(?i)\s*[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|0x[0-9a-f]+|nan|inf(inity)?)\s*"),
}


def check_expressions(tree: exp.Expr) -> None:
    """Refuse what is not on the list, and operands that BigQuery would not take.

    Raises:
        CloudError: 501 for the first, 400 "No matching signature ..." for the second.
    """
    for node in tree.walk():
        if type(node) in _ALIKE:
            _check_alike(node, _ALIKE[type(node)], _operands(node))
        elif type(node) in _TAKES:
            _check_takes(node)
        elif isinstance(node, exp.Extract):
            _check_extract(node)
        elif isinstance(node, exp.Cast):
            _check_cast(node)
        elif isinstance(node, exp.Is):
            _check_is(node)
        elif not check_function(node) and not isinstance(node, _STRUCTURE):
            raise unsupported(node.sql("bigquery"))
        _check_structure(node)
        _check_clauses(node)


def _check_structure(node: exp.Expr) -> None:
    if isinstance(node, exp.Select):
        for key, value in node.args.items():
            if value and key not in _CLAUSES:
                raise unsupported(f"{key.rstrip('_').upper()} in SELECT")
    frames = exp.Subquery | exp.From | exp.Join | exp.CTE | exp.Union | exp.In
    in_frame = node.parent is None or isinstance(node.parent, frames)
    if isinstance(node, exp.Subquery | exp.Select) and not in_frame:
        raise unsupported(f"a subquery as an expression, {node.sql('bigquery')}")
    if isinstance(node, exp.Join) and node.kind.upper() not in _JOIN_KINDS:
        raise unsupported(node.sql("bigquery"))
    if isinstance(node, exp.Group) and {key for key, value in node.args.items() if value} - {"expressions"}:
        raise unsupported(node.sql("bigquery"))
    if isinstance(node, exp.With) and node.args.get("recursive"):
        raise unsupported("WITH RECURSIVE")


def _check_clauses(node: exp.Expr) -> None:
    clause = isinstance(node, exp.Where | exp.Having | exp.Qualify)
    if clause and bigquery_type(node.this) not in {"BOOL", "NULL"}:
        raise mismatch(f"{node.key.upper()} clause should return type BOOL, but returns {bigquery_type(node.this)}")
    if isinstance(node, exp.Limit | exp.Offset):
        _check_count(node)
    if isinstance(node, exp.Window):
        _check_window(node)
    if isinstance(node, exp.RowNumber | exp.Rank | exp.Lag | exp.Lead) and not isinstance(node.parent, exp.Window):
        raise mismatch(f"Analytic function {node.sql_name()} cannot be called without an OVER clause")


def _check_count(node: exp.Limit | exp.Offset) -> None:
    """LIMIT and OFFSET take a literal or a parameter."""
    count = node.expression
    given = isinstance(count, exp.Cast) and isinstance(count.this, exp.Placeholder)
    if (integer(count) is None and not given) or bigquery_type(count) != "INT64":
        raise unsupported(f"{node.key.upper()} with anything but an integer literal or parameter")
    if (integer(count) or 0) < 0:
        raise mismatch(f"{node.key.upper()} expects a non-negative integer literal or parameter")


def _check_window(window: exp.Window) -> None:
    """A function that is known, with a frame of rows or none; a frame of values is BigQuery's own."""
    text = window.sql("bigquery")
    frame = window.args.get("spec")
    known = {"this", "partition_by", "order", "spec", "over"}
    if not isinstance(window.this, _OVER) or isinstance(window.this.this, exp.Distinct):
        raise unsupported(text)
    if any(value and key not in known for key, value in window.args.items()):
        raise unsupported(text)
    if frame is not None and (frame.args.get("kind") != "ROWS" or frame.args.get("exclude")):
        raise unsupported(text)
    if isinstance(window.this, exp.Rank | exp.Lag | exp.Lead) and not window.args.get("order"):
        raise mismatch(f"Window ORDER BY is required for analytic function {window.this.key}")


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """The values that an operator or function takes."""
    if isinstance(node, exp.Count | exp.Min | exp.Max) and isinstance(node.this, exp.Distinct):
        return list(node.this.expressions)
    values = [node.args.get(key) for key in ("this", "expression", "low", "high")]
    return [value for value in [*values, *(node.args.get("expressions") or ())] if value is not None]


def _check_takes(node: exp.Expr) -> None:
    name, allowed = _TAKES[type(node)]
    operands = _operands(node)
    if isinstance(node, exp.Count) and len(operands) == 1 and isinstance(operands[0], exp.Star):
        return
    if isinstance(node, exp.Like) and (not isinstance(node.expression, exp.Literal) or "\\" in node.expression.name):
        raise unsupported(f"LIKE with anything but a literal without a backslash, {node.sql('bigquery')}")
    if len(operands) != (2 if isinstance(node, exp.Binary) else 1):
        raise unsupported(node.sql("bigquery"))
    types = [bigquery_type(operand) for operand in operands]
    if (isinstance(node, exp.Add | exp.Sub) and set(types) & TIMES) or (allowed == TEXT and types[0] == "NULL"):
        raise unsupported(f"{node.sql('bigquery')}, of {', '.join(types)}")
    if not set(types) <= allowed | {"NULL"}:
        raise no_signature(name, types)


def _check_alike(node: exp.Expr, name: str, operands: Sequence[exp.Expr]) -> None:
    query = node.args.get("query")
    if isinstance(node, exp.In) and query is not None:
        columns = query.unnest().selects
        if len(columns) != 1:
            raise mismatch("Subquery of type IN must have only one output column")
        operands = [node.this, columns[0]]
    elif len(operands) == 1:  # COALESCE(x), or an IFNULL(x), which BigQuery does not take; x IN () of nothing.
        raise unsupported(node.sql("bigquery"))
    types = [bigquery_type(operand) for operand in operands]
    if all(_comparable(operands[0], types[0], *other) for other in zip(operands[1:], types[1:], strict=True)):
        return
    if query is not None:
        raise mismatch(f"Cannot execute IN subquery with uncomparable types {types[0]} and {types[1]}")
    if isinstance(node, exp.In):
        raise mismatch(
            f"No matching signature for operator IN for argument types {types[0]} and {{{', '.join(types[1:])}}}"
        )
    raise no_signature(f"{'function' if isinstance(node, exp.Coalesce) else 'operator'} {name}", types)


def _comparable(left: exp.Expr, left_type: str, right: exp.Expr, right_type: str) -> bool:
    if left_type == right_type or "NULL" in {left_type, right_type}:
        return True
    if {left_type, right_type} in ({"INT64", "FLOAT64"}, {"DATE", "DATETIME"}):
        return True
    if "STRING" not in {left_type, right_type} or not {left_type, right_type} & TIMES:
        return False
    text = left if left_type == "STRING" else right
    if isinstance(text, exp.Cast) and isinstance(text.this, exp.Placeholder):
        raise unsupported(f"parameter @{text.this.name} of type STRING taken for a time")
    if isinstance(text, exp.Literal):
        kind = right_type if left_type == "STRING" else left_type
        if not _is_time(text.name, kind):
            raise mismatch(f'Could not cast literal "{text.name}" to type {kind}')
        return True
    return False


def _is_time(text: str, kind: str) -> bool:
    """Whether a text is a time there is; only the form that both engines read alike is known.

    Raises:
        CloudError: 501 for any other form.
    """
    if any(mark.isdigit() for mark in text) and not _ISO_TIME.fullmatch(text):
        raise unsupported(f'"{text}" as a {kind}')
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_is(node: exp.Is) -> None:
    """IS NULL of anything, IS TRUE and IS FALSE of a BOOL."""
    kind = bigquery_type(node.this)
    if isinstance(node.expression, exp.Boolean) and kind not in {"BOOL", "NULL"}:
        raise no_signature(f"operator IS {str(node.expression.this).upper()}", [kind])


def _check_extract(node: exp.Extract) -> None:
    part, kind = node.name.upper(), bigquery_type(node.expression)
    if kind == "NULL":
        raise unsupported(node.sql("bigquery"))
    if kind not in TIMES:
        raise mismatch(f"No matching signature for function EXTRACT for argument types: DATE_TIME_PART FROM {kind}")
    if part in _TIME_PARTS and kind == "DATE":
        raise mismatch(f"EXTRACT from DATE does not support the {part} date part")
    if part not in _DATE_PARTS | _TIME_PARTS:
        raise unsupported(node.sql("bigquery"))


def _check_cast(node: exp.Cast) -> None:
    """CAST and SAFE_CAST."""
    if node.args.get("format") or node.args.get("default"):
        raise unsupported(node.sql("bigquery"))
    if isinstance(node.this, exp.Placeholder):
        bigquery_type(node)
        return
    change = (bigquery_type(node.this), bigquery_type(node))
    if isinstance(node.this, exp.Literal) and node.this.is_string and not isinstance(node, exp.TryCast):
        _check_literal(node.this.name, change[1])
    if isinstance(node.this, exp.Literal) and change[1] in TIMES and _ISO_TIME.fullmatch(node.this.name):
        return
    if change[0] not in {change[1], "NULL"} and change not in _CASTS:
        raise unsupported(f"{node.sql('bigquery')}, from {change[0]} to {change[1]}")


def _check_literal(text: str, kind: str) -> None:
    """A literal is read when the query is checked. sqlglot does not tell DATE '...' from CAST('...' AS DATE)."""
    if kind in TIMES and not _is_time(text, kind):
        raise mismatch(f"Invalid {kind} literal")
    if kind in _NUMBER and not _NUMBER[kind].fullmatch(text):
        raise mismatch(f'Could not cast literal "{text}" to type {kind}')
