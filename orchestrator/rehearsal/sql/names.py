"""Names that BigQuery does not resolve, in its words."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from orchestrator.rehearsal.gcp.rest import CloudError, unsupported
from orchestrator.rehearsal.sql.types import at, mismatch


def check_names(tree: exp.Query, schema: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse aliases where BigQuery does not know them, and columns in EXCEPT and REPLACE that the star has not.

    sqlglot takes an alias of the SELECT list for its expression in every clause, BigQuery only in GROUP BY, HAVING,
    QUALIFY and ORDER BY: https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#explicit_alias_visibility

    Raises:
        CloudError: 400 in BigQuery's words.
        OptimizeError: as ``qualify`` raises it, for ``unresolved`` to put into words.
    """
    _check_tables(tree, {column.lower() for columns in schema.values() for column in columns})
    bare = tree.copy()
    listed: list[tuple[exp.Select, str, str]] = []
    for select in bare.find_all(exp.Select):
        for key in ("group", "having", "qualify", "order"):
            select.set(key, None)
        stars = [star for projection in select.expressions for star in projection.find_all(exp.Star)]
        for star, key in ((star, key) for star in stars for key in ("except_", "replace") if star.args.get(key)):
            listed += [(select, key.rstrip("_").upper(), one.alias_or_name) for one in star.args.pop(key)]
    qualify(bare, schema=dict(schema), dialect="bigquery", expand_alias_refs=False)
    for number, (select, word, name) in enumerate(listed):
        if name.lower() not in {known.lower() for known in select.named_selects}:
            raise mismatch(f"Column {name} in SELECT * {word} list does not exist")
        if any((select, word, name.lower()) == (*before[:2], before[2].lower()) for before in listed[:number]):
            raise mismatch(f"Duplicate column {name} in SELECT * {word} list")


def _check_tables(tree: exp.Query, columns: AbstractSet[str]) -> None:
    """The table in ``table.column`` must be somewhere in the query; it may also be a column, with fields."""
    given = {relation.alias_or_name.lower() for relation in tree.find_all(exp.Table, exp.Subquery, exp.CTE)} | columns
    for column in tree.find_all(exp.Column):
        first = column.parts[0]
        if len(column.parts) > 1 and first.name.lower() not in given:
            raise mismatch(f"Unrecognized name: {first.name}{at(first)}")


def unresolved(
    error: OptimizeError, tree: exp.Query, sources: Mapping[str, tuple[AbstractSet[str], AbstractSet[str]]]
) -> CloudError:
    """What BigQuery says where sqlglot said ``error``. Of each table: its columns, and those that are left out here."""
    text = str(error)
    for pattern, words in _WORDS.items():
        if named := re.search(pattern, text):
            return mismatch(words.format(named[1]))
    found = re.search(r"[Cc]olumn:? '?(\w+)'?", text)
    if found is None:
        return mismatch(text)
    name = found[1]
    if any(name in absent for _, absent in sources.values()):
        return unsupported(f"column {name}: the rehearsal's tables do not have it")
    inside = [column for column in tree.find_all(exp.Column) if column.name == name and column.table]
    if text.startswith("Unknown column") and inside:
        return mismatch(f"Name {name} not found inside {inside[0].table}{at(inside[0].this)}")
    place = re.search(r"Line: (\d+), Col: (\d+)", text)
    # sqlglot says where the name ends, BigQuery where it starts.
    where = f" at [{place[1]}:{int(place[2]) - len(name) + 1}]" if place else ""
    if sum(name in columns for columns, _ in sources.values()) > 1:
        return mismatch(f"Column name {name} is ambiguous{where}")
    return mismatch(f"Unrecognized name: {name}{where}")


# sqlglot's errors, and what BigQuery says of the same name.
_WORDS = {
    r"Alias already used: (\w+)": "Duplicate table alias {} in the same FROM clause",
    r"Cannot automatically join: (\w+)": "Column {} in USING clause not found on left side of join",
    r"Unknown table: (\w+)": "Unrecognized name: {}",
}
