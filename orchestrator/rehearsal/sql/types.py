"""The BigQuery types that the rehearsal knows, and which of them go together.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from orchestrator.rehearsal.gcp.rest import CloudError, unsupported

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
NUMBERS = frozenset({"INT64", "FLOAT64"})
INTEGERS = frozenset({"INT64"})
TEXT = frozenset({"STRING"})
TIMES = frozenset({"DATE", "DATETIME"})
BOOL = frozenset({"BOOL"})
ANY = NUMBERS | TEXT | TIMES | BOOL
# GoogleSQL's analyzer has these on one line with their operands' types.
_COMPARISONS = frozenset(f"operator {one}" for one in ("=", "!=", "<", "<=", ">", ">=", "LIKE"))


def bigquery_type(expression: exp.Expr) -> str:
    """The BigQuery name of an expression's type; "NULL" for a bare NULL, which goes with everything."""
    if isinstance(expression.unalias().unnest(), exp.Null):
        return "NULL"
    kind = expression.type
    name = _TYPES.get(kind.this) if isinstance(kind, exp.DataType) and not kind.expressions else None
    if name is None:
        raise unsupported(f"{expression.sql('bigquery')}, of type {kind.sql('bigquery') if kind else 'unknown'}")
    return name


def check_common(name: str, values: Sequence[exp.Expr]) -> None:
    """Refuse values that have no type in common, such as the results of a CASE.

    Raises:
        CloudError: 400 "No matching signature ..."; 501 where BigQuery would turn one kind of time into another.
    """
    types = [bigquery_type(value) for value in values]
    kinds = set(types) - {"NULL"}
    if len(kinds) <= 1 or kinds == NUMBERS:
        return
    if kinds & TIMES and kinds <= TIMES | TEXT:
        raise unsupported(f"{name} over {' and '.join(sorted(kinds))}")
    raise no_signature(name, types)


def no_signature(name: str, types: Sequence[str]) -> CloudError:
    """BigQuery's answer to operands of the wrong types; it goes on with all the signatures that there are."""
    given = ", ".join(types)
    if name in _COMPARISONS:
        return mismatch(f"No matching signature for {name} for argument types: {given}")
    return mismatch(f"No matching signature for {name}\n  Argument types: {given}")


def mismatch(message: str) -> CloudError:
    """BigQuery's answer to a query whose types do not fit."""
    return CloudError(400, "invalidQuery", message)


def at(node: exp.Expr) -> str:
    """Where a name stands in the query, as BigQuery's errors end; empty when sqlglot has not kept it."""
    for part in node.parts if isinstance(node, exp.Column) else [node]:
        if "line" in part.meta:
            # sqlglot counts to where the name ends, BigQuery to where it starts.
            return f" at [{part.meta['line']}:{part.meta['col'] - (part.meta['end'] - part.meta['start'])}]"
    return ""
