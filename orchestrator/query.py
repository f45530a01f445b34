"""The analysis' query: one BigQuery SELECT in a file, checked before anything is created.

The check is a first, free one: names of tables and columns are BigQuery's to judge, in its dry run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from orchestrator.errors import UsageError
from orchestrator.text_file import KIB, read_text

Scalar = str | int | float | bool | date
"""A parameter's value; its Python type decides the BigQuery type (STRING, INT64, FLOAT64, BOOL, DATE)."""

# What a query statement begins with: https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax
_STARTS = {TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.L_PAREN}


# What BigQuery takes: https://cloud.google.com/bigquery/quotas#query_jobs
_MOST_BYTES = 1024 * KIB


@dataclass(frozen=True)
class Query:
    """One SELECT in BigQuery's dialect and a value for each of its ``@name`` parameters."""

    sql: str
    parameters: Mapping[str, Scalar]


def read(path: Path, parameters: Mapping[str, Scalar]) -> Query:
    """Read the query in ``path`` and check it together with the values given for its parameters.

    Raises:
        UsageError: no such file, not one query, not BigQuery SQL, or parameters that do not fit: every mistake at once.
    """
    sql = read_text(path, what="query", most=_MOST_BYTES, resolution="correct analysis.query, which names the file.")
    mistakes = list(_mistakes(sql, parameters))
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise UsageError(
            f"{path} has {count}",
            details="\n".join(mistakes),
            resolution="correct the query, or the values under analysis.parameters.",
        )
    return Query(sql, dict(parameters))


def _mistakes(sql: str, parameters: Mapping[str, Scalar]) -> Iterator[str]:
    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except TokenError as error:
        yield f"not BigQuery SQL: {_unclosed(error)}"
        return
    statements = _statements(tokens)
    if not any(statements):
        yield "there is no query in it: it is empty or holds only comments"
        return
    if all(statements):
        yield from _statement_mistakes(sql, statements)
    else:
        yield 'a ";" ends no statement; take it out'
    yield from _parameter_mistakes(tokens, parameters)


def _unclosed(error: TokenError) -> str:
    """What the tokenizer missed: its text is 'Missing <quote> from <line>:<column>', or an index error in a comment."""
    missing, _, place = str(error.__cause__).removeprefix("Missing ").partition(" from ")
    if not place:
        return "a comment or a text is never closed"
    return f"the {missing} opened on line {place.partition(':')[0]} is never closed"


def _statements(tokens: Sequence[Token]) -> list[list[Token]]:
    """The tokens between semicolons; what follows the last one, if anything, is a statement too."""
    statements: list[list[Token]] = [[]]
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            statements.append([])
        else:
            statements[-1].append(token)
    return statements if statements[-1] else statements[:-1]


def _statement_mistakes(sql: str, statements: Sequence[Sequence[Token]]) -> Iterator[str]:
    first = statements[0][0]
    if first.token_type not in _STARTS:
        yield (
            f'line {first.line}: it starts with "{first.text}"; only a query may run (SELECT, WITH or FROM), '
            "nothing that defines, changes or exports data"
        )
    if len(statements) > 1:
        second = statements[1][0]
        yield f'line {second.line}: a second statement starts with "{second.text}"; the run makes one query'
    elif first.token_type in _STARTS:
        yield from _syntax_mistakes(sql)


def _syntax_mistakes(sql: str) -> Iterator[str]:
    try:
        tree = sqlglot.parse(sql, read="bigquery")[0]  # A comment after the last semicolon is a tree of its own.
    except ParseError as error:
        place = error.errors[0]
        piece = place["highlight"].partition("\n")[0]
        column = place["col"] - len(piece) + 1
        # Of sqlglot's reasons only "Expecting )" and the like mean something to a person who writes SQL.
        reason = place["description"] if place["description"].startswith("Expecting ") else "unexpected here"
        yield f'line {place["line"]}, column {column}: not BigQuery SQL at "{piece}": {reason}'
        return
    except RecursionError:
        yield "it nests too deeply to be checked"
        return
    if not isinstance(tree, exp.Query) or tree.find(exp.DML, exp.DDL, exp.Into):
        yield "it writes: only a query may run, nothing that defines, changes or exports data"
    elif any(not select.expressions for select in tree.find_all(exp.Select)):
        yield "not BigQuery SQL: a SELECT names no columns"


def _parameter_mistakes(tokens: Sequence[Token], parameters: Mapping[str, Scalar]) -> Iterator[str]:
    """Compare the ``@name`` parameters that are used with those given, both ways.

    Names are compared exactly, although BigQuery ignores their case: one spelling is easier to follow.
    """
    used: dict[str, int] = {}
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.token_type == TokenType.PLACEHOLDER:
            yield f'line {token.line}: "?" is a positional parameter; name it, such as @month'
        if token.token_type != TokenType.PARAMETER or after is None or after.token_type == TokenType.PARAMETER:
            continue
        if before is None or before.token_type != TokenType.PARAMETER:  # "@@name" is a system variable.
            used.setdefault(after.text, token.line)
    for name, line in used.items():
        if name not in parameters:
            yield f'line {line}: @{name} is used, but analysis.parameters has no "{name}"{_nearest(name, parameters)}'
    for name in parameters:
        if name not in used:
            yield f"analysis.parameters.{name} is given, but the query has no @{name}{_nearest(name, used)}"


def _nearest(name: str, names: Mapping[str, object]) -> str:
    spelled = {other.lower(): other for other in names}
    close = get_close_matches(name.lower(), spelled, n=1)
    return f'; did you mean "{spelled[close[0]]}"?' if close else ""
