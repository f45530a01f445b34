"""Which expressions a clause may hold: aggregates, window functions, and columns that are not grouped.

DuckDB refuses most of these too, but in its own words and only when the query runs: BigQuery's dry run fails already.
In the words of GoogleSQL's analyzer, https://github.com/google/googlesql, against which the contract tests hold them.
"""

from collections.abc import Iterator, Sequence

from sqlglot import exp

from orchestrator.rehearsal.gcp.rest import unsupported
from orchestrator.rehearsal.sql.types import at, bigquery_type, mismatch


def check_clauses(tree: exp.Query) -> None:
    """Check every SELECT of a query whose names are resolved and whose types are known.

    Raises:
        CloudError: 400 in BigQuery's words.
    """
    for select in tree.find_all(exp.Select):
        _check_aggregates(select)
        _check_windows(select)
        _check_presence(select)
        keys = _group_keys(select)
        if keys is not None:
            _check_grouped(select, keys)


def _within(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """A clause and all in it, but not what is in a query of its own."""
    if node is not None:
        yield from node.walk(prune=lambda one: isinstance(one, exp.Query))


def _is_aggregate(node: exp.Expr) -> bool:
    in_window = isinstance(node.parent, exp.Window) and node.arg_key == "this"
    return isinstance(node, exp.AggFunc) and not in_window


def _aggregates(node: exp.Expr | None) -> list[exp.Expr]:
    return [one for one in _within(node) if _is_aggregate(one)]


def _has_window(node: exp.Expr | None) -> bool:
    return any(isinstance(one, exp.Window) for one in _within(node))


def _rowwise(select: exp.Select) -> Iterator[tuple[str, exp.Expr]]:
    """The clauses that see single rows, by their name in errors."""
    for name, clause in (("WHERE clause", select.args.get("where")), ("GROUP BY", select.args.get("group"))):
        if clause is not None:
            yield name, clause
    for join in select.args.get("joins") or ():
        if join.args.get("on") is not None:
            yield "JOIN ON clause", join.args["on"]


def _check_aggregates(select: exp.Select) -> None:
    for name, clause in _rowwise(select):
        for aggregate in _aggregates(clause):
            raise mismatch(f"Aggregate function {_name(aggregate)} not allowed in {name}")
    for aggregate in _aggregates_of(select):
        inner = [one for one in _within(aggregate) if one is not aggregate]
        if any(_is_aggregate(one) for one in inner):
            raise mismatch(
                "Multi-level aggregation requires the enclosing aggregate function to have one or more "
                "GROUP BY modifiers."
            )
        if any(isinstance(one, exp.Window) for one in inner):
            raise mismatch("Analytic functions cannot be arguments to aggregate functions")


def _aggregates_of(select: exp.Select) -> list[exp.Expr]:
    clauses = [*select.expressions, *(select.args.get(key) for key in ("having", "qualify", "order"))]
    return [aggregate for clause in clauses for aggregate in _aggregates(clause)]


def _name(aggregate: exp.Expr) -> str:
    if isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Star):
        return "COUNT(*)"
    return aggregate.sql("bigquery").partition("(")[0]


def _check_windows(select: exp.Select) -> None:
    having = select.args.get("having")
    for name, clause in (*_rowwise(select), *([("HAVING clause", having)] if having else ())):
        if _has_window(clause):
            raise mismatch(f"Analytic function not allowed in {name}")
    for window in (one for clause in (*select.expressions, select.args.get("qualify")) for one in _within(clause)):
        if not isinstance(window, exp.Window):
            continue
        if _has_window(window.args.get("order")):
            raise mismatch("Analytic function not allowed in Window ORDER BY")
        for key in window.args.get("partition_by") or ():
            if bigquery_type(key) == "FLOAT64":
                raise mismatch("Partitioning by expressions of type FLOAT64 is not allowed")


def _check_presence(select: exp.Select) -> None:
    """Clauses that make sense only together with others."""
    if not select.args.get("from_"):
        for aggregate in _aggregates_of(select):
            raise mismatch(
                f"Aggregate function {_name(aggregate)} not allowed in SELECT without FROM clause"  # noqa: S608 - words
            )
    grouped = select.args.get("group") or any(_aggregates(one) for one in select.expressions)
    for key, name in (("having", "HAVING"), ("order", "ORDER BY")):
        if _aggregates(select.args.get(key)) and not grouped:
            raise mismatch(
                f"The {name} clause only allows aggregation if GROUP BY or SELECT list aggregation is present"
            )
    if select.args.get("having") and not grouped:
        raise mismatch("The HAVING clause requires GROUP BY or aggregation to be present")
    qualify = select.args.get("qualify")
    if qualify and not any(_has_window(one) for one in (*select.expressions, qualify)):
        raise mismatch("The QUALIFY clause requires analytic function to be present")


def _group_keys(select: exp.Select) -> list[exp.Expr] | None:
    """What the rows are grouped by, aliases resolved; None for a SELECT without groups."""
    group = select.args.get("group")
    if group is None:
        return [] if any(_aggregates(one) for one in select.expressions) else None
    named = {projection.alias.lower(): projection.unalias() for projection in select.expressions}
    keys = []
    for key in group.expressions:
        bare = key.unnest()
        alias = isinstance(bare, exp.Column) and not bare.table
        keys.append(named.get(bare.name.lower(), bare).unnest() if alias else bare)
    return keys


def _check_grouped(select: exp.Select, keys: Sequence[exp.Expr]) -> None:
    """Columns must be keys; an expression that is one counts only as a whole item of SELECT or ORDER BY."""
    order = select.args.get("order")
    clauses: list[tuple[str, exp.Expr]] = [("SELECT list", one.unalias()) for one in select.expressions]
    clauses += [("ORDER BY clause", one.this) for one in (order.expressions if order else ())]
    for clause, item in clauses:
        if item.unnest() not in keys:
            _check_item(clause, item, [key for key in keys if isinstance(key, exp.Column) or _is_using(key)], keys)
    for name, clause in (("having", "HAVING clause"), ("qualify", "QUALIFY clause")):
        if select.args.get(name):
            # An alias of a key, which sqlglot has put in full: it stands where the SELECT list has it.
            listed = {at(column) for one in select.expressions for column in one.find_all(exp.Column)}
            named = [
                one
                for one in _within(select.args[name])
                if one in keys and {at(column) for column in one.find_all(exp.Column)} <= listed
            ]
            known = [key for key in keys if isinstance(key, exp.Column) or _is_using(key)]
            _check_item(clause, select.args[name], [*known, *named], keys)


def _check_item(clause: str, item: exp.Expr, known: Sequence[exp.Expr], keys: Sequence[exp.Expr]) -> None:
    for column in item.walk(prune=lambda one: isinstance(one, exp.Query) or _is_aggregate(one) or one in known):
        if not isinstance(column, exp.Column) or not column.table or column in known:
            continue
        if _is_using(column.parent) or any(_is_using(key) and column.name in _names(key) for key in keys):
            raise unsupported(f"GROUP BY of a column of USING by another name, {column.sql('bigquery')}")
        window = column.find_ancestor(exp.Window, exp.Select)
        ordered = isinstance(window, exp.Window) and isinstance(column.find_ancestor(exp.Order, exp.Window), exp.Order)
        where = "Window ORDER BY" if ordered else clause
        written = "line" in column.parts[0].meta and len(column.parts) > 1
        name = f"{column.table}.{column.name}" if written else f"column {column.name}"
        raise mismatch(f"{where} expression references {name} which is neither grouped nor aggregated{at(column)}")


def _is_using(key: exp.Expr | None) -> bool:
    """A column of USING is COALESCE(a.x, b.x) to sqlglot."""
    return isinstance(key, exp.Coalesce) and len(_names(key)) == 1


def _names(key: exp.Expr) -> set[str]:
    return {column.name for column in key.find_all(exp.Column)}
