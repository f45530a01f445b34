"""The columns of a result, and of the branches of a UNION: their names and their types."""

import itertools
import re
from collections.abc import Mapping, Sequence

from sqlglot import exp

from orchestrator.rehearsal.gcp.rest import unsupported
from orchestrator.rehearsal.gcp.sample import DUCKDB_TYPES
from orchestrator.rehearsal.sql.types import NUMBERS, bigquery_type, mismatch

# A part of what BigQuery allows: https://cloud.google.com/bigquery/docs/schemas#column_names
_FIELD_NAME = re.compile(r"\w[\w -]{0,299}")
_UNION_PARTS = frozenset({"this", "expression", "distinct", "order", "limit", "offset", "with_"})


def output_names(tree: exp.Query) -> list[str] | None:
    """The result's names as they are written; None with a star, whose names the tables give."""
    first = _branches(tree)[0]
    if any(projection.is_star for projection in first.expressions):
        return None
    # Only a column has a name without AS; sqlglot would name 1 and CAST(x AS STRING) too.
    given = [
        projection.output_name if isinstance(projection.unnest(), exp.Alias | exp.Column) else ""
        for projection in first.expressions
    ]
    numbers = itertools.count()
    return [name or f"f{next(numbers)}_" for name in given]


def output_types(tree: exp.Query, names: Sequence[str] | None) -> dict[str, str]:
    """Name -> BigQuery type, once every name is resolved; the types that the branches of a UNION have in common.

    Raises:
        CloudError: 400 for names or types that BigQuery would not take.
    """
    _unify_unions(tree)
    first = _branches(tree)[0]
    names = names or list(first.named_selects)
    duplicates = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    if duplicates:
        raise mismatch(
            "Duplicate column names in the result are not supported when a destination table is present. "
            f"Found duplicate(s): {', '.join(duplicates)}"
        )
    for name in names:
        if not _FIELD_NAME.fullmatch(name):
            raise mismatch(f'Invalid field name "{name}".')
    kinds = _common_types(tree) if isinstance(tree, exp.Union) else [bigquery_type(one) for one in first.selects]
    # A bare NULL is an INT64 in BigQuery.
    return {name: kind.replace("NULL", "INT64") for name, kind in zip(names, kinds, strict=True)}


def cast_outputs(tree: exp.Query, columns: Mapping[str, str]) -> None:
    """Give every column the name and the type that BigQuery would give it, whatever DuckDB makes of the expression."""
    queries = [tree, *_branches(tree)]
    references = [
        column
        for column in tree.find_all(exp.Column)
        if not column.table and any(column.find_ancestor(exp.Select, exp.Union) is query for query in queries)
    ]
    for branch in _branches(tree):
        for name, kind, projection in zip(columns, columns.values(), list(branch.expressions), strict=True):
            for column in references:
                if column.name == projection.alias:  # ORDER BY names its columns by their aliases.
                    column.set("this", exp.to_identifier(name, quoted=True))
            projection.replace(exp.alias_(_cast(projection.unalias(), kind), name, quoted=True))


def _branches(tree: exp.Query) -> list[exp.Select]:
    """The SELECTs whose rows are the rows of a query."""
    if isinstance(tree, exp.Subquery):
        return _branches(tree.this)
    if isinstance(tree, exp.Union):
        return [*_branches(tree.left), *_branches(tree.right)]
    if isinstance(tree, exp.Select):
        return [tree]
    raise unsupported(tree.sql("bigquery"))


def _unify_unions(tree: exp.Query) -> None:
    """Cast the columns of every UNION within ``tree`` to the types that its branches have in common."""
    for union in reversed(list(tree.find_all(exp.Union))):
        given = {key for key, value in union.args.items() if value}
        if given - _UNION_PARTS:
            raise unsupported(union.sql("bigquery"))
        for part in (union.left, union.right):
            if isinstance(part, exp.Union) and part.args.get("distinct") != union.args.get("distinct"):
                raise mismatch(
                    "Syntax error: Different set operations cannot be used in the same query without using parentheses "
                    "for grouping"
                )
        kinds = _common_types(union)
        for branch in _branches(union):
            for kind, projection in zip(kinds, list(branch.expressions), strict=True):
                if kind != bigquery_type(projection):
                    cast = _cast(projection.unalias(), kind)
                    column = exp.alias_(cast, projection.alias_or_name, quoted=True)
                    column.type = cast.type = exp.DataType.build(kind, dialect="bigquery")
                    projection.replace(column)


def _common_types(union: exp.Union) -> list[str]:
    branches = _branches(union)
    name = "UNION DISTINCT" if union.args.get("distinct") else "UNION ALL"
    widths = [len(branch.selects) for branch in branches]
    for number, width in enumerate(widths, start=1):
        if width != widths[0]:
            raise mismatch(
                f"Queries in {name} have mismatched column count; query 1 has {_columns(widths[0])}, "
                f"query {number} has {_columns(width)}"
            )
    common = []
    for position, values in enumerate(zip(*(branch.selects for branch in branches), strict=True), start=1):
        types = [bigquery_type(value) for value in values]
        kinds = set(types) - {"NULL"}
        if len(kinds) > 1 and kinds != NUMBERS:
            raise mismatch(f"Column {position} in {name} has incompatible types: {', '.join(types)}")
        common.append("FLOAT64" if kinds == NUMBERS else next(iter(kinds), "INT64"))
    return common


def _columns(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"


def _cast(value: exp.Expr, kind: str) -> exp.Cast:
    return exp.Cast(this=value.copy(), to=exp.DataType.build(DUCKDB_TYPES[kind], dialect="duckdb"))
