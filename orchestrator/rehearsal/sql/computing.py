"""How DuckDB computes what BigQuery computes, where the same words would give something else.

``compute_alike`` takes a checked and typed query. Each rule names the difference that it makes up for.
"""

from collections.abc import Callable, Mapping

import sqlglot
from sqlglot import exp

from orchestrator.rehearsal.sql.functions import integer, unit_of
from orchestrator.rehearsal.sql.types import bigquery_type

# Unicode's White_Space, which BigQuery's TRIM takes off; DuckDB's takes spaces only.
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_ASCII_BLANKS = "\t\n\v\f\r "
# Letters whose other case is several letters, or another one at the end of a word: DuckDB knows one for one only.
_ODD_LETTERS = "".join(letter for letter in map(chr, range(0x80, 0x10000)) if len(letter.upper()) > 1) + "\u0130\u03a3"


def compute_alike(tree: exp.Expr) -> None:
    """Rewrite ``tree`` in place: first the functions, from the inside out, then the numbers."""
    for node in reversed(list(tree.walk())):
        rule = _RULES.get(type(node))
        if rule is not None and (instead := rule(node)) is not None:
            instead.type = node.type
            node.replace(instead)
    for number in [literal for literal in tree.find_all(exp.Literal) if not literal.is_string]:
        _type_number(number)


def _type_number(literal: exp.Literal) -> None:
    """DuckDB takes 1 for an INT32, which overflows early, and 0.1 for an exact decimal."""
    if literal.find_ancestor(exp.WindowSpec):
        return
    node: exp.Expr = literal
    negative = isinstance(literal.parent, exp.Neg)
    if isinstance(literal.parent, exp.Neg):
        node = literal.parent  # The smallest INT64 has no positive counterpart.
    kind = "BIGINT" if literal.is_int else "DOUBLE"
    text = exp.Literal.string("-" * negative + literal.name)
    node.replace(exp.Cast(this=text, to=exp.DataType.build(kind, dialect="duckdb")))


def _duckdb(template: str, **operands: exp.Expr) -> exp.Expr:
    """DuckDB SQL in which the names of ``operands`` stand for them."""

    def fill(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.name in operands:
            return exp.Paren(this=operands[node.name].copy())
        return node

    return sqlglot.parse_one(template, read="duckdb").transform(fill)


def _quoted(text: str) -> exp.Expr:
    return exp.Literal.string(text)


def _divide(node: exp.Expr) -> exp.Expr:
    """DuckDB gives infinity."""
    return _duckdb(
        "CASE WHEN y = 0 THEN error(format('division by zero: {:g} / {:g}', CAST(x AS DOUBLE), CAST(y AS DOUBLE))) "
        "ELSE CAST(x AS DOUBLE) / CAST(y AS DOUBLE) END",
        x=node.this,
        y=node.expression,
    )


def _safe_divide(node: exp.Expr) -> exp.Expr:
    return _duckdb("CAST(x AS DOUBLE) / NULLIF(CAST(y AS DOUBLE), 0)", x=node.this, y=node.expression)


def _whole_divide(node: exp.Expr) -> exp.Expr:
    """The same to zero in both; the error in BigQuery's words."""
    name, operator = ("DIV", "//") if isinstance(node, exp.IntDiv) else ("MOD", "%")
    return _duckdb(
        f"CASE WHEN y = 0 THEN error(format('division by zero: {name}({{}}, {{}})', x, y)) ELSE x {operator} y END",
        x=node.this,
        y=node.expression,
    )


def _round(node: exp.Expr) -> exp.Expr:
    """To a whole number half away from zero in both. To digits, DuckDB multiplies first, and so rounds 1.15 up.

    BigQuery rounds what the FLOAT64 holds (1.149999...): as printing does, but for true halves, which a FLOAT64 holds
    only as an odd multiple of ``1 / 2 ** (digits + 1)``. Its own way, over long doubles, gives the same up to 1e12:
    https://github.com/google/zetasql/blob/1620550cbcc072cae5b5dfc614beab12fec690ce/zetasql/public/functions/math.cc
    """
    decimals = node.args.get("decimals")
    digits = (integer(decimals) or 0) if decimals else 0
    if not digits:
        return _duckdb("ROUND(CAST(x AS DOUBLE))", x=node.this)
    return _duckdb(
        f"CASE WHEN ABS(CAST(x AS DOUBLE) * {2 ** (digits + 1)} % 2) = 1 "
        f"THEN ROUND(CAST(x AS DOUBLE) * {10**digits}) / {10**digits} "
        f"ELSE CAST(format('{{:.{digits}f}}', CAST(x AS DOUBLE)) AS DOUBLE) END",
        x=node.this,
    )


def _square_root(node: exp.Expr) -> exp.Expr:
    """DuckDB gives NaN."""
    return _duckdb(
        "CASE WHEN x < 0 THEN error(format('Argument to SQRT cannot be negative: {:g}', CAST(x AS DOUBLE))) "
        "ELSE SQRT(CAST(x AS DOUBLE)) END",
        x=node.this,
    )


def _power(node: exp.Expr) -> exp.Expr:
    """DuckDB gives infinity or NaN where BigQuery has an error."""
    return _duckdb(
        "CASE WHEN NOT isfinite(POWER(CAST(x AS DOUBLE), CAST(y AS DOUBLE))) THEN "
        "error(format('Floating point error in function: POW({:g}, {:g})', CAST(x AS DOUBLE), CAST(y AS DOUBLE))) "
        "ELSE POWER(CAST(x AS DOUBLE), CAST(y AS DOUBLE)) END",
        x=node.this,
        y=node.expression,
    )


def _count_if(node: exp.Expr) -> exp.Expr:
    """DuckDB's COUNT_IF of no rows is NULL."""
    return _duckdb("COUNT(CASE WHEN x THEN 1 END)", x=node.this)


def _sum(node: exp.Expr) -> exp.Expr | None:
    """DuckDB sums INT64 to INT128; BigQuery's sum overflows."""
    summed = node.this if isinstance(node, exp.Window) else node
    if not isinstance(summed, exp.Sum) or isinstance(node.parent, exp.Window) or bigquery_type(node) != "INT64":
        return None
    return exp.Cast(this=node.copy(), to=exp.DataType.build("BIGINT", dialect="duckdb"))


def _change_case(node: exp.Expr) -> exp.Expr:
    name = node.key.upper()
    return _duckdb(
        f"CASE WHEN regexp_matches(x, '[{_ODD_LETTERS}]') "
        f"THEN error(format('not supported in rehearsal: {name} of {{}}', x)) ELSE {name}(x) END",
        x=node.this,
    )


def _trim(node: exp.Expr) -> exp.Expr:
    function = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    return exp.func(function, node.this.copy(), node.expression.copy() if node.expression else _quoted(_BLANKS))


def _substring(node: exp.Expr) -> exp.Expr:
    """A start of 0 is 1 in BigQuery, and so is one before the first character."""
    start, length = integer(node.args["start"]) or 0, node.args.get("length")
    at = str(max(start, 1)) if start >= 0 else f"GREATEST(LENGTH(x) - {-start - 1}, 1)"
    return _duckdb(f"SUBSTRING(x, {at}" + (f", {integer(length)})" if length else ")"), x=node.this)


def _cast(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node.this, exp.Placeholder):
        return None
    change = (bigquery_type(node.this), bigquery_type(node))
    if change == ("FLOAT64", "INT64"):  # DuckDB rounds halves to the even number.
        outer = "TRY_CAST" if isinstance(node, exp.TryCast) else "CAST"
        return _duckdb(f"{outer}(ROUND(x) AS BIGINT)", x=node.this)
    if change[0] != "STRING" or change[1] not in _READABLE:
        return None
    # DuckDB also reads 1_000, and 1.5 as an INT64.
    kind, pattern, name = _READABLE[change[1]]
    bare = f"TRIM(x, '{_ASCII_BLANKS}')"
    read = f"TRY_CAST(CASE WHEN regexp_full_match({bare}, '{pattern}') THEN {bare} END AS {kind})"
    # Read by BigQuery, but NaN compares otherwise and hexadecimal needs a rule of its own.
    odd = (
        f"CASE WHEN regexp_full_match({bare}, '(?i)[+-]?(0x[0-9a-f]+|nan|inf|infinity)') "
        "THEN error(format('not supported in rehearsal: a number written {}', x)) END"
    )
    bad = "NULL" if isinstance(node, exp.TryCast) else f"error(format('Bad {name} value: {{}}', x))"
    return _duckdb(f"CASE WHEN x IS NULL THEN NULL ELSE COALESCE({read}, {odd}, {bad}) END", x=node.this)


_READABLE: Mapping[str, tuple[str, str, str]] = {
    "INT64": ("BIGINT", "[+-]?[0-9]+", "int64"),
    "FLOAT64": ("DOUBLE", r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", "double"),
}


def _truncate(node: exp.Expr) -> exp.Expr:
    """DuckDB's week starts on Monday, BigQuery's on Sunday; DuckDB makes a TIMESTAMP of a DATE."""
    kind, unit = ("DATE" if isinstance(node, exp.DateTrunc) else "TIMESTAMP"), unit_of(node)
    return _duckdb(f"CAST({_truncated('x', unit)} AS {kind})", x=node.this)


def _truncated(value: str, unit: str) -> str:
    if unit == "WEEK":
        return f"DATE_TRUNC('week', {value} + INTERVAL '1' DAY) - INTERVAL '1' DAY"
    return f"DATE_TRUNC('{unit.lower()}', {value})"


def _difference(node: exp.Expr) -> exp.Expr:
    """How many starts of a unit lie between, in both; weeks as above."""
    unit = unit_of(node)
    if unit == "WEEK":
        template = f"DATE_DIFF('day', {_truncated('y', unit)}, {_truncated('x', unit)}) // 7"
    else:
        template = f"DATE_DIFF('{unit.lower()}', y, x)"
    return _duckdb(template, x=node.this, y=node.expression)


def _extract(node: exp.Expr) -> exp.Expr | None:
    """Sunday is 1 in BigQuery, 0 in DuckDB."""
    return _duckdb("DAYOFWEEK(x) + 1", x=node.expression) if node.name.upper() == "DAYOFWEEK" else None


def _format(node: exp.Expr) -> exp.Expr:
    """The value without sqlglot's casts, %F written out. DuckDB's %Y has four digits, BigQuery's only those needed.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements#format_elements_date_time
    """
    value, form = node.this.this.copy(), _quoted(node.args["format"].name.replace("%F", "%Y-%m-%d"))
    return _duckdb(
        "CASE WHEN YEAR(x) < 1000 THEN error('not supported in rehearsal: a format of a year before 1000') ELSE y END",
        x=value,
        y=exp.func("strftime", value, form, dialect="duckdb"),
    )


_RULES: Mapping[type[exp.Expr], Callable[[exp.Expr], exp.Expr | None]] = {
    exp.Div: _divide,
    exp.SafeDivide: _safe_divide,
    exp.IntDiv: _whole_divide,
    exp.Mod: _whole_divide,
    exp.Round: _round,
    exp.Sqrt: _square_root,
    exp.Pow: _power,
    exp.CountIf: _count_if,
    exp.Sum: _sum,
    exp.Window: _sum,
    exp.Lower: _change_case,
    exp.Upper: _change_case,
    exp.Trim: _trim,
    exp.Substring: _substring,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.DateTrunc: _truncate,
    exp.DatetimeTrunc: _truncate,
    exp.DateDiff: _difference,
    exp.Extract: _extract,
    exp.TimeToStr: _format,
}
