"""What sqlglot reads and BigQuery does not, as it is written: before any name is resolved.

In the words of GoogleSQL's analyzer: https://github.com/google/googlesql. The contract tests hold them against it.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokenizer_core import Token, TokenType

from orchestrator.rehearsal.gcp.rest import unsupported
from orchestrator.rehearsal.sql.functions import integer
from orchestrator.rehearsal.sql.types import at, mismatch

_STRINGS = frozenset({TokenType.STRING, TokenType.RAW_STRING})
# None of whose operands may be a NULL that is written out: NULL = NULL, 1 + NULL.
_NEVER_NULL: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "!=", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.Add: "+", exp.Sub: "-",
    exp.Mul: "*", exp.Div: "/", exp.DPipe: "||", exp.Like: "LIKE", exp.Not: "NOT", exp.Neg: "-",
}  # fmt: skip
# Operators of other dialects, and what they are to BigQuery.
_OTHERS = {TokenType.DCOLON: '":"', TokenType.ILIKE: 'identifier "ILIKE"'}
# With none of these does a statement end, though sqlglot lets it.
_GO_ON = frozenset({TokenType.ALIAS, TokenType.COMMA, TokenType.GROUP_BY, TokenType.ORDER_BY})
_NEED_FROM = {
    "where": "a WHERE", "group": "a GROUP BY", "having": "a HAVING", "qualify": "a QUALIFY", "order": "an ORDER BY",
}  # fmt: skip
# The clauses of a SELECT in their order; sqlglot takes them in any.
_ORDER = {
    TokenType.WHERE: 1, TokenType.GROUP_BY: 2, TokenType.HAVING: 3, TokenType.QUALIFY: 4, TokenType.ORDER_BY: 5,
    TokenType.LIMIT: 6, TokenType.OFFSET: 7,
}  # fmt: skip


def check_tokens(sql: str) -> None:
    """Refuse what leaves no trace in sqlglot's tree.

    Raises:
        CloudError: 400 for 'a' 'b', which sqlglot makes one text, for the operators of other dialects, and for a
            statement that ends too early.
    """
    tokens: Sequence[Token] = sqlglot.tokenize(sql, read="bigquery")
    for token in tokens:
        if token.token_type in _OTHERS:
            raise mismatch(f'Syntax error: Expected ";" or end of input but got {_OTHERS[token.token_type]}')
    for first, second in itertools.pairwise(tokens):
        if first.token_type in _STRINGS and second.token_type in _STRINGS:
            raise mismatch(
                "Concatenation of subsequent string literals is not supported. Did you mean to use the || operator?"
            )
    written = [token for token in tokens if token.token_type != TokenType.SEMICOLON]
    if written and written[-1].token_type in _GO_ON:
        raise mismatch("Syntax error: Unexpected end of statement")
    _check_order(tokens)


def _check_order(tokens: Sequence[Token]) -> None:
    last = [0]
    """For each parenthesis that is open, the last clause of its SELECT."""
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            last.append(0)
        elif token.token_type == TokenType.R_PAREN and len(last) > 1:
            last.pop()
        elif token.token_type in {TokenType.SELECT, TokenType.UNION}:
            last[-1] = 0
        elif token.token_type in _ORDER:
            number = _ORDER[token.token_type]
            if number < last[-1] or (token.token_type == TokenType.OFFSET and last[-1] != _ORDER[TokenType.LIMIT]):
                raise mismatch(f"Syntax error: Expected end of input but got keyword {token.text.upper()}")
            last[-1] = number


def check_syntax(tree: exp.Query) -> None:
    """Refuse a query that BigQuery would not even resolve.

    Raises:
        CloudError: 400 with what is wrong.
    """
    for node in tree.walk():
        for kind, check in _CHECKS.items():
            if isinstance(node, kind):
                check(node)


def _check_identifier(node: exp.Identifier) -> None:
    """After a dot, a keyword is a name."""
    dotted = node.arg_key == "this" and isinstance(node.parent, exp.Table | exp.Column) and len(node.parent.parts) > 1
    if not node.quoted and not dotted and node.name.lower() in BigQuery.Generator.RESERVED_KEYWORDS:
        raise mismatch(f"Syntax error: Unexpected keyword {node.name.upper()}{at(node)}")


def _check_operator(node: exp.Expr) -> None:
    operands = [node.args[key] for key in ("this", "expression") if key in node.args]
    if type(node) in _NEVER_NULL and any(isinstance(operand.unnest(), exp.Null) for operand in operands):
        raise mismatch(f"Operands of {_NEVER_NULL[type(node)]} cannot be literal NULL")
    if isinstance(node, exp.Predicate) and any(isinstance(operand, exp.Predicate) for operand in operands):
        raise mismatch(f"Syntax error: a comparison within a comparison must be parenthesized: {node.sql('bigquery')}")


def _check_star(node: exp.Count) -> None:
    if isinstance(node.this, exp.Distinct) and node.this.find(exp.Star):
        raise mismatch("COUNT(*) cannot be used with DISTINCT")


def _check_join(join: exp.Join) -> None:
    given = join.args.get("on") or join.args.get("using") or join.args.get("method")
    if not given and join.kind.upper() != "CROSS":
        raise mismatch(f"{join.side.upper() or 'INNER'} JOIN must have an immediately following ON or USING clause")


def _check_with(clause: exp.With) -> None:
    names = [common.alias.lower() for common in clause.expressions]
    for number, common in enumerate(clause.expressions):
        if names[number] in names[:number]:
            alias = common.args["alias"].this
            raise mismatch(f"Duplicate alias {alias.name} for WITH subquery{at(alias)}")


def _check_query(query: exp.Select | exp.Union) -> None:
    _check_positions(query)
    if isinstance(query, exp.Select):
        _check_from(query)
        _check_distinct(query)


def _check_positions(query: exp.Select | exp.Union) -> None:
    """The numbers in GROUP BY and ORDER BY, which stand for columns of the SELECT list."""
    if any(projection.is_star for projection in query.selects):
        return
    for key, name in (("group", "GROUP BY"), ("order", "ORDER BY")):
        clause = query.args.get(key)
        for one in clause.expressions if clause else ():
            number = integer(one.this if isinstance(one, exp.Ordered) else one)
            if number is None:
                continue
            if number < 1 and key == "order":
                raise mismatch(
                    "ORDER BY column number item is out of range. Column numbers must be greater than or equal to one. "
                    f"Found : {number}"
                )
            if not 1 <= number <= len(query.selects):
                raise mismatch(f"{name} is out of SELECT column number range: {number}")


def _check_from(query: exp.Select) -> None:
    if query.args.get("from_"):
        return
    if any(isinstance(projection, exp.Star) for projection in query.expressions):
        raise mismatch("SELECT * must have a FROM clause")
    for key, name in _NEED_FROM.items():
        if query.args.get(key):
            raise mismatch(f"Query without FROM clause cannot have {name} clause")


def _check_distinct(query: exp.Select) -> None:
    """After SELECT DISTINCT only its columns can be ordered by."""
    if not query.args.get("distinct") or not query.args.get("order"):
        return
    if any(projection.is_star for projection in query.expressions):
        return
    known = {projection.alias_or_name.lower() for projection in query.expressions}
    known |= {one.unalias().name.lower() for one in query.expressions if isinstance(one.unalias(), exp.Column)}
    for column in query.args["order"].find_all(exp.Column):
        if column.name.lower() not in known:
            raise mismatch(
                f"ORDER BY clause expression references column {column.name} which is not visible after SELECT DISTINCT"
                f"{at(column)}"
            )
    if query.args["order"].find(exp.AggFunc):
        raise unsupported("an aggregate in ORDER BY after SELECT DISTINCT")


def _check_count(node: exp.Limit | exp.Offset) -> None:
    if isinstance(node.expression, exp.Literal) and not node.expression.is_int:
        raise mismatch(f"{node.key.upper()} expects an integer literal or parameter")


_CHECKS: Mapping[type[exp.Expr], Callable[[Any], None]] = {
    exp.Identifier: _check_identifier,
    exp.Join: _check_join,
    exp.With: _check_with,
    exp.Select: _check_query,
    exp.Union: _check_query,
    exp.Limit: _check_count,
    exp.Offset: _check_count,
    exp.Binary: _check_operator,
    exp.Unary: _check_operator,
    exp.Count: _check_star,
}
