"""Which BigQuery expressions the rehearsal computes, and with operands of which types.

A list of what is allowed, not of what is forbidden: a function that DuckDB has by the same name may well differ.
https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

import re
from collections.abc import Mapping, Sequence

from sqlglot import exp

from orchestrator.rehearsal.google_rest import CloudError, unsupported

_TYPES: Mapping[exp.DType, str] = {
    exp.DType.TEXT: "STRING",
    exp.DType.VARCHAR: "STRING",
    exp.DType.BIGINT: "INT64",
    exp.DType.INT: "INT64",
    exp.DType.DOUBLE: "FLOAT64",
    exp.DType.BOOLEAN: "BOOL",
    exp.DType.DATE: "DATE",
    exp.DType.TIMESTAMP: "DATETIME",
    exp.DType.NULL: "NULL",
}
_NUMBERS = frozenset({"INT64", "FLOAT64"})
_TEXT = frozenset({"STRING"})
_TIMES = frozenset({"DATE", "DATETIME"})
_ANY = frozenset({*_NUMBERS, *_TEXT, *_TIMES, "BOOL"})
_BOOL = frozenset({"BOOL"})

# The frame of a query, without a type of its own.
_STRUCTURE = (
    exp.Select, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Table, exp.TableAlias, exp.Where, exp.Group,
    exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Alias, exp.Identifier, exp.Column, exp.Literal, exp.Placeholder,
    exp.Paren, exp.Null, exp.Boolean, exp.DataType, exp.Var, exp.Star, exp.Distinct, exp.Is,
)  # fmt: skip
# Operands that must be of one type (or of two that BigQuery takes for one another).
_ALIKE: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "!=", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Between: "BETWEEN", exp.In: "IN", exp.Coalesce: "COALESCE",
}  # fmt: skip
# Name in an error and what each operand may be.
_TAKES: Mapping[type[exp.Expr], tuple[str, frozenset[str]]] = {
    exp.And: ("operator AND", _BOOL),
    exp.Or: ("operator OR", _BOOL),
    exp.Not: ("operator NOT", _BOOL),
    exp.Add: ("operator +", _NUMBERS),
    exp.Sub: ("operator -", _NUMBERS),
    exp.Mul: ("operator *", _NUMBERS),
    exp.Neg: ("operator -", _NUMBERS),
    exp.Abs: ("function ABS", _NUMBERS),
    exp.Sum: ("aggregate function SUM", _NUMBERS),
    exp.Avg: ("aggregate function AVG", _NUMBERS),
    exp.Min: ("aggregate function MIN", _ANY),
    exp.Max: ("aggregate function MAX", _ANY),
    exp.Count: ("aggregate function COUNT", _ANY),
    exp.Lower: ("function LOWER", _TEXT),
    exp.Upper: ("function UPPER", _TEXT),
    exp.Length: ("function LENGTH", _TEXT),
    exp.Like: ("operator LIKE", _TEXT),
    exp.Date: ("function DATE", _TIMES),
}
_DATE_PARTS = frozenset({"YEAR", "QUARTER", "MONTH", "DAY"})
_TIME_PARTS = frozenset({"HOUR", "MINUTE", "SECOND"})
_CASTS = frozenset({("INT64", "FLOAT64"), ("INT64", "STRING"), ("DATETIME", "DATE"), ("DATE", "DATETIME")})
_JOIN_KINDS = frozenset({"", "INNER", "OUTER", "CROSS"})


# What both engines read alike in a literal.
_ISO_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}:[0-9]{2})?")


def bigquery_type(expression: exp.Expr) -> str:
    """The BigQuery name of an expression's type."""
    kind = expression.type
    name = _TYPES.get(kind.this) if isinstance(kind, exp.DataType) and not kind.expressions else None
    if name is None:
        raise unsupported(f"{expression.sql('bigquery')}, of type {kind.sql('bigquery') if kind else 'unknown'}")
    return name


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
        elif not isinstance(node, _STRUCTURE):
            raise unsupported(node.sql("bigquery"))
        _check_structure(node)


def _check_structure(node: exp.Expr) -> None:
    if isinstance(node, exp.Select):
        frame = {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "distinct", "with_"}
        for key, value in node.args.items():
            if value and key not in frame:
                raise unsupported(f"{key.rstrip('_').upper()} in SELECT")
    in_frame = node.parent is None or isinstance(node.parent, exp.Subquery | exp.From | exp.Join | exp.CTE)
    if isinstance(node, exp.Subquery | exp.Select) and not in_frame:
        raise unsupported(f"a subquery as an expression, {node.sql('bigquery')}")
    if isinstance(node, exp.Join) and node.kind.upper() not in _JOIN_KINDS:
        raise unsupported(node.sql("bigquery"))
    if isinstance(node, exp.Group) and {key for key, value in node.args.items() if value} - {"expressions"}:
        raise unsupported(node.sql("bigquery"))
    if isinstance(node, exp.With) and node.args.get("recursive"):
        raise unsupported("WITH RECURSIVE")
    if isinstance(node, exp.Where | exp.Having) and bigquery_type(node.this) not in {"BOOL", "NULL"}:
        raise _mismatch(f"{node.key.upper()} clause should return type BOOL, but returns {bigquery_type(node.this)}")


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """The values that an operator or function takes."""
    if isinstance(node, exp.Count | exp.Min | exp.Max) and isinstance(node.this, exp.Distinct):
        return list(node.this.expressions)
    values = [node.args.get(key) for key in ("this", "expression", "low", "high")]
    return [value for value in [*values, *(node.args.get("expressions") or ())] if value is not None]


def _check_takes(node: exp.Expr) -> None:
    name, allowed = _TAKES[type(node)]
    operands = _operands(node)
    if isinstance(node, exp.Count) and isinstance(operands[0], exp.Star):
        return
    if isinstance(node, exp.Like) and (not isinstance(node.expression, exp.Literal) or "\\" in node.expression.name):
        raise unsupported(f"LIKE with anything but a literal without a backslash, {node.sql('bigquery')}")
    if len(operands) > (2 if isinstance(node, exp.Binary) else 1):
        raise unsupported(node.sql("bigquery"))
    types = [bigquery_type(operand) for operand in operands]
    if not set(types) <= allowed | {"NULL"}:
        raise _mismatch(f"No matching signature for {name} for argument types: {', '.join(types)}")


def _check_alike(node: exp.Expr, name: str, operands: Sequence[exp.Expr]) -> None:
    if isinstance(node, exp.In) and not node.expressions:
        raise unsupported(node.sql("bigquery"))
    types = [bigquery_type(operand) for operand in operands]
    for operand, kind in zip(operands[1:], types[1:], strict=True):
        if not _comparable(operands[0], types[0], operand, kind):
            what = "function" if isinstance(node, exp.Coalesce) else "operator"
            raise _mismatch(f"No matching signature for {what} {name} for argument types: {', '.join(types)}")


def _comparable(left: exp.Expr, left_type: str, right: exp.Expr, right_type: str) -> bool:
    if left_type == right_type or "NULL" in {left_type, right_type}:
        return True
    if {left_type, right_type} in ({"INT64", "FLOAT64"}, {"DATE", "DATETIME"}):
        return True
    if "STRING" not in {left_type, right_type} or not {left_type, right_type} & _TIMES:
        return False
    text = left if left_type == "STRING" else right
    if isinstance(text, exp.Cast) and isinstance(text.this, exp.Placeholder):
        raise unsupported(f"parameter @{text.this.name} of type STRING taken for a time")
    return isinstance(text, exp.Literal)


def _check_extract(node: exp.Extract) -> None:
    part, kind = node.name.upper(), bigquery_type(node.expression)
    if kind not in _TIMES:
        raise _mismatch(f"No matching signature for function EXTRACT for argument types: DATE_TIME_PART FROM {kind}")
    if part in _TIME_PARTS and kind == "DATE":
        raise _mismatch(f"EXTRACT from DATE does not support the {part} date part")
    if part not in _DATE_PARTS | _TIME_PARTS:
        raise unsupported(node.sql("bigquery"))


def _check_cast(node: exp.Cast) -> None:
    if isinstance(node.this, exp.Placeholder):
        bigquery_type(node)
        return
    if isinstance(node.this, exp.Literal) and bigquery_type(node) in _TIMES and _ISO_TIME.fullmatch(node.this.name):
        return
    change = (bigquery_type(node.this), bigquery_type(node))
    if change[0] not in {change[1], "NULL"} and change not in _CASTS:
        raise unsupported(f"{node.sql('bigquery')}, from {change[0]} to {change[1]}")


def _mismatch(message: str) -> CloudError:
    return CloudError(400, "invalidQuery", message)
