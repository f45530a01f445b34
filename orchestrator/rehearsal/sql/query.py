"""BigQuery SQL to DuckDB SQL, for one query; what is not known to mean the same is refused.

sqlglot parses, resolves names and infers types; ``checks`` and ``functions`` let pass only what is known,
with operands that BigQuery would take; ``computing`` makes DuckDB compute it alike; ``outputs`` gives the result
BigQuery's names and types. The result also says which columns of which tables are read, because BigQuery charges by
them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify

from orchestrator.rehearsal.gcp.rest import CloudError, unsupported
from orchestrator.rehearsal.gcp.sample import SUFFIX
from orchestrator.rehearsal.sql.checks import check_expressions
from orchestrator.rehearsal.sql.clauses import check_clauses
from orchestrator.rehearsal.sql.computing import compute_alike
from orchestrator.rehearsal.sql.names import check_names, unresolved
from orchestrator.rehearsal.sql.outputs import cast_outputs, output_names, output_types
from orchestrator.rehearsal.sql.syntax import check_syntax, check_tokens
from orchestrator.rehearsal.sql.types import at

_PSEUDO_COLUMN = "_TABLE_SUFFIX"


@dataclass(frozen=True)
class Source:
    """What a name in FROM stands for.

    ``relation`` is DuckDB SQL; ``columns`` maps names to BigQuery types; ``absent`` are columns that the real table
    has and the rehearsal's source has not; ``suffixes`` are a wildcard's tables (None: one table).
    """

    name: str
    relation: str
    columns: Mapping[str, str]
    absent: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Read:
    """The columns of a source that a query reads. ``pruning`` is DuckDB SQL over ``_table_suffix``, or None."""

    source: Source
    columns: tuple[str, ...]
    pruning: str | None


@dataclass(frozen=True)
class Statement:
    """A query for DuckDB, its ``$name`` arguments, its result's ``columns`` (name -> BigQuery type), what it reads."""

    sql: str
    arguments: Mapping[str, Any]
    columns: Mapping[str, str]
    reads: tuple[Read, ...]


Find = Callable[[str | None, str, str], Source]
"""(project or None, dataset, table) -> what it is; raises BigQuery's "Not found"."""


def translate(sql: str, parameters: Mapping[str, tuple[str, Any]], find: Find) -> Statement:
    """Translate a query whose ``parameters`` are name -> (BigQuery type, Python value).

    Raises:
        CloudError: 400 ``invalidQuery`` or 404 ``notFound`` in BigQuery's words; 501 for what the rehearsal cannot do.
    """
    tree = _parse(sql)
    check_syntax(tree)
    _bind_parameters(tree, parameters)
    sources = _bind_tables(tree, find)
    names = output_names(tree)
    schema = {alias: _schema(source) for alias, source in sources.items()}
    tree = _resolve(tree, schema, sources)
    columns = output_types(tree, names)
    compute_alike(tree)
    cast_outputs(tree, columns)
    reads = _reads(tree, sources)
    arguments = {name: parameters[name][1] for name in {node.name for node in tree.find_all(exp.Placeholder)}}
    for table in list(tree.find_all(exp.Table)):
        if table.name in sources:
            relation = exp.select("*").from_(sources[table.name].relation, dialect="duckdb")
            table.replace(relation.subquery(table.alias))
    for node in tree.walk():
        node.comments = None
    return Statement(tree.sql("duckdb"), arguments, columns, reads)


def invalid(message: str) -> CloudError:
    """BigQuery's answer to a query that cannot run."""
    return CloudError(400, "invalidQuery", message)


def _parse(sql: str) -> exp.Select | exp.Union:
    try:
        check_tokens(sql)
        statements = [statement for statement in sqlglot.parse(sql, read="bigquery") if statement is not None]
        # A comment after the last semicolon is a statement of its own to sqlglot.
        statements = [statement for statement in statements if not isinstance(statement, exp.Semicolon)]
    except ParseError as error:
        place = error.errors[0]
        column = place["col"] - len(place["highlight"]) + 1
        # Some descriptions speak of sqlglot's classes.
        why = "" if "<class" in place["description"] else f" ({place['description']})"
        raise invalid(f'Syntax error: Unexpected "{place["highlight"]}" at [{place["line"]}:{column}]{why}') from error
    except TokenError as error:
        raise invalid(f"Syntax error: Unclosed string literal or comment ({error})") from error
    except RecursionError as error:
        raise unsupported("a query that nests this deeply") from error
    if not statements:
        raise invalid("Syntax error: Unexpected end of statement")
    if len(statements) > 1:
        raise unsupported("a script of several statements")
    if not isinstance(statements[0], exp.Select | exp.Union):
        raise unsupported(f"a {statements[0].key.upper()} statement; one SELECT is what runs here")
    if any(not select.expressions for select in statements[0].find_all(exp.Select)):
        raise invalid("Syntax error: SELECT list must not be empty")
    for node in statements[0].find_all(exp.Placeholder, exp.Join):
        if isinstance(node, exp.Placeholder) or node.args.get("method"):
            raise unsupported(node.sql("bigquery"))
    return statements[0]


def _bind_parameters(tree: exp.Query, parameters: Mapping[str, tuple[str, Any]]) -> None:
    """``@month`` becomes ``CAST($month AS INT64)``: typed, as BigQuery's parameters are, and never text in the SQL."""
    for node in list(tree.find_all(exp.Parameter)):
        # BigQuery compares the names of parameters without regard to case.
        name = next((name for name in parameters if name.lower() == node.name.lower()), None)
        if name is None:
            raise invalid(f"Query parameter '{node.name}' not found")
        kind = exp.DataType.build(parameters[name][0], dialect="bigquery")
        node.replace(exp.Cast(this=exp.Placeholder(this=name), to=kind))


def _bind_tables(tree: exp.Query, find: Find) -> dict[str, Source]:
    """Give every table a name of ours (t0, t1, ...) and look up what it stands for."""
    common = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    sources: dict[str, Source] = {}
    for table in list(tree.find_all(exp.Table)):
        given = {key for key, value in table.args.items() if value}
        if given - {"this", "db", "catalog", "alias", "joins"} or not isinstance(table.this, exp.Identifier):
            raise unsupported(table.sql("bigquery"))
        if not table.db and table.name.lower() in common:
            continue
        if not table.db:
            raise CloudError(
                400, "invalid", f'Table "{table.name}" must be qualified with a dataset (e.g. dataset.table).'
            )
        name = f"t{len(sources)}"
        sources[name] = find(table.catalog or None, table.db, table.name)
        alias = table.alias or (name if sources[name].suffixes is not None else table.name)
        table.replace(
            exp.Table(
                this=exp.to_identifier(name),
                alias=exp.TableAlias(this=exp.to_identifier(alias)),
                joins=table.args.get("joins"),
            )
        )
    return sources


def _schema(source: Source) -> dict[str, str]:
    suffix = {} if source.suffixes is None else {SUFFIX: "STRING"}
    return {**source.columns, **suffix}


def _resolve(
    tree: exp.Select | exp.Union, schema: Mapping[str, Mapping[str, str]], sources: Mapping[str, Source]
) -> exp.Select | exp.Union:
    written = tree.copy()
    try:
        check_names(tree, schema)
        qualified = qualify(tree, schema=dict(schema), dialect="bigquery")
    except OptimizeError as error:
        given = {name: (frozenset(source.columns), source.absent) for name, source in sources.items()}
        raise unresolved(error, written, given) from error
    for column in qualified.find_all(exp.Column):
        if not column.table:
            _bind_pseudo_column(column, sources)
    typed = annotate_types(qualified, schema=dict(schema), dialect="bigquery")
    check_expressions(typed)
    check_clauses(typed)
    if not isinstance(typed, exp.Select | exp.Union):
        raise unsupported("a query that is not one SELECT")
    return typed


def _bind_pseudo_column(column: exp.Column, sources: Mapping[str, Source]) -> None:
    """``_TABLE_SUFFIX``, which sqlglot leaves alone, belongs to the one wildcard in the same FROM."""
    select = column.find_ancestor(exp.Select)
    if column.name.lower() == SUFFIX and select is not None:
        relations = [select.args["from_"].this, *(join.this for join in select.args.get("joins") or ())]
        wildcards = [
            relation.alias_or_name
            for relation in relations
            if isinstance(relation, exp.Table)
            and relation.name in sources
            and sources[relation.name].suffixes is not None
        ]
        if len(wildcards) == 1:
            column.set("table", exp.to_identifier(wildcards[0], quoted=True))
            return
        if wildcards:
            raise invalid(f"Column name {_PSEUDO_COLUMN} is ambiguous")
        raise invalid(f"Unrecognized name: {_PSEUDO_COLUMN}")
    query = column.find_ancestor(exp.Select, exp.Union)
    # All that is left are aliases of the SELECT list, used in GROUP BY and after it.
    if isinstance(query, exp.Query) and column.name.lower() not in {name.lower() for name in query.named_selects}:
        raise invalid(f"Unrecognized name: {column.name}{at(column)}")


def _reads(tree: exp.Query, sources: Mapping[str, Source]) -> tuple[Read, ...]:
    """The columns that are read: of a subquery only those that the outer query uses."""
    pruned = pushdown_projections(tree.copy())
    reads = []
    for table in pruned.find_all(exp.Table):
        select = table.find_ancestor(exp.Select)
        if table.name not in sources or select is None:
            continue
        source = sources[table.name]
        used = {
            column.name
            for column in select.find_all(exp.Column)
            if column.table == table.alias and column.name != SUFFIX
        }
        reads.append(Read(source, tuple(sorted(used)), _pruning(select, source)))
    return tuple(reads)


def _pruning(select: exp.Select, source: Source) -> str | None:
    """The conditions of WHERE over nothing but ``_TABLE_SUFFIX`` and constants: they spare whole tables.

    https://cloud.google.com/bigquery/docs/querying-wildcard-tables#filter_selected_tables_using_table_suffix
    """
    where = select.args.get("where")
    if source.suffixes is None or where is None:
        return None
    conditions = []
    for condition in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        columns = list(condition.find_all(exp.Column))
        if columns and all(column.name == SUFFIX for column in columns) and not condition.find(exp.Query):
            bare = condition.copy()
            for column in bare.find_all(exp.Column):
                column.set("table", None)
            conditions.append(f"({bare.sql('duckdb')})")
    return " AND ".join(conditions) or None
