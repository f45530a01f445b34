"""The signatures of BigQuery's functions that the rehearsal computes; ``computing`` says how.

https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from orchestrator.rehearsal.gcp.rest import unsupported
from orchestrator.rehearsal.sql.types import (
    ANY,
    BOOL,
    INTEGERS,
    NUMBERS,
    TEXT,
    TIMES,
    bigquery_type,
    check_common,
    mismatch,
    no_signature,
)


@dataclass(frozen=True)
class _Signature:
    """``name`` as errors have it; ``takes`` gives for each argument, by sqlglot's key, the types it may have."""

    name: str
    takes: Mapping[str, frozenset[str]]


_TWO_NUMBERS = {"this": NUMBERS, "expression": NUMBERS}
_TWO_INTEGERS = {"this": INTEGERS, "expression": INTEGERS}
_TWO_TEXTS = {"this": TEXT, "expression": TEXT}
_SIGNATURES: Mapping[type[exp.Expr], _Signature] = {
    exp.Div: _Signature("operator /", _TWO_NUMBERS),
    exp.SafeDivide: _Signature("function SAFE_DIVIDE", _TWO_NUMBERS),
    exp.IntDiv: _Signature("function DIV", _TWO_INTEGERS),
    exp.Mod: _Signature("function MOD", _TWO_INTEGERS),
    exp.Pow: _Signature("function POW", _TWO_NUMBERS),
    exp.Round: _Signature("function ROUND", {"this": NUMBERS, "decimals": INTEGERS}),
    exp.Floor: _Signature("function FLOOR", {"this": NUMBERS}),
    exp.Ceil: _Signature("function CEIL", {"this": NUMBERS}),
    exp.Sqrt: _Signature("function SQRT", {"this": NUMBERS}),
    exp.CountIf: _Signature("aggregate function COUNTIF", {"this": BOOL}),
    exp.Stddev: _Signature("aggregate function STDDEV", {"this": NUMBERS}),
    exp.StddevSamp: _Signature("aggregate function STDDEV_SAMP", {"this": NUMBERS}),
    exp.StddevPop: _Signature("aggregate function STDDEV_POP", {"this": NUMBERS}),
    exp.DPipe: _Signature("operator ||", _TWO_TEXTS),
    exp.Concat: _Signature("function CONCAT", {"expressions": TEXT}),
    exp.Trim: _Signature("function TRIM", _TWO_TEXTS),
    exp.Substring: _Signature("function SUBSTR", {"this": TEXT, "start": INTEGERS, "length": INTEGERS}),
    exp.StartsWith: _Signature("function STARTS_WITH", _TWO_TEXTS),
    exp.EndsWith: _Signature("function ENDS_WITH", _TWO_TEXTS),
    exp.Replace: _Signature("function REPLACE", {"this": TEXT, "expression": TEXT, "replacement": TEXT}),
    exp.RegexpLike: _Signature("function REGEXP_CONTAINS", _TWO_TEXTS),
    exp.DateTrunc: _Signature("function DATE_TRUNC", {"this": frozenset({"DATE"})}),
    exp.DatetimeTrunc: _Signature("function DATETIME_TRUNC", {"this": frozenset({"DATETIME"})}),
    exp.DateDiff: _Signature("function DATE_DIFF", dict.fromkeys(("this", "expression"), frozenset({"DATE"}))),
    exp.RowNumber: _Signature("function ROW_NUMBER", {}),
    exp.Rank: _Signature("function RANK", {}),
    exp.Lag: _Signature("function LAG", {"this": ANY, "offset": INTEGERS, "default": ANY}),
    exp.Lead: _Signature("function LEAD", {"this": ANY, "offset": INTEGERS, "default": ANY}),
}
# Functions whose values must have a type in common.
_COMMON: Mapping[type[exp.Expr], str] = {
    exp.Greatest: "function GREATEST",
    exp.Least: "function LEAST",
    exp.Nullif: "function NULLIF",
}
# sqlglot's own notes on a node, which change nothing here.
_NOTES = frozenset({"safe", "coalesce", "typed", "ignore_nulls", "position", "unit", "date_part_boundary"})
# What sqlglot lets a call leave out, and BigQuery does not.
_NEEDED: Mapping[type[exp.Expr], str] = {exp.Substring: "start", exp.Replace: "replacement"}
# Of a bare NULL, sqlglot takes these for INT64 as BigQuery does; the others it types wrongly.
_TYPED_BY_REST = exp.IntDiv | exp.Mod | exp.Lag | exp.Lead
# BigQuery turns some other types into what these take.
_COERCING = exp.Concat | exp.DPipe | exp.DateTrunc | exp.DatetimeTrunc | exp.DateDiff
_DATE_UNITS = frozenset({"YEAR", "QUARTER", "MONTH", "WEEK", "DAY"})
_TRUNC_UNITS: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.DateTrunc: _DATE_UNITS,
    exp.DateDiff: _DATE_UNITS,
    exp.DatetimeTrunc: _DATE_UNITS | {"HOUR", "MINUTE", "SECOND"},
}
# With more, BigQuery's own rounding error shows in the last place.
_MOST_DIGITS = 4
# https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements#format_elements_date_time
_FORMAT = re.compile(r"(?:[^%]|%[YmdjHMSbBaAF])*")


def check_function(node: exp.Expr) -> bool:
    """Check a call of a function that is known; False for anything else.

    Raises:
        CloudError: 400 "No matching signature ..."; 501 for arguments that are not known to mean the same in DuckDB.
    """
    if isinstance(node, exp.Case | exp.If):
        _check_choice(node)
    elif isinstance(node, exp.TimeToStr):
        _check_format(node)
    elif type(node) in _COMMON:
        check_common(_COMMON[type(node)], _arguments(node, ("this", "expression", "expressions")))
        if isinstance(node, exp.Nullif) and len({bigquery_type(node.this), bigquery_type(node)} - {"NULL"}) > 1:
            raise unsupported(node.sql("bigquery"))
    elif type(node) in _SIGNATURES:
        _check_signature(node, _SIGNATURES[type(node)])
        _check_details(node)
    else:
        return False
    return True


def unit_of(node: exp.Expr) -> str:
    """The date part of DATE_TRUNC and its kind; a WEEK starts on Sunday, as BigQuery's does."""
    unit = node.args.get("unit")
    if isinstance(unit, exp.WeekStart) and unit.name == "SUNDAY":
        return "WEEK"
    return unit.name.upper() if isinstance(unit, exp.Var | exp.Literal) else node.sql("bigquery")


def integer(node: exp.Expr) -> int | None:
    """The value of an integer literal, with its sign; None for anything else."""
    if isinstance(node, exp.Neg) and (value := integer(node.this)) is not None:
        return -value
    return int(node.name) if isinstance(node, exp.Literal) and node.is_int else None


def _arguments(node: exp.Expr, keys: Sequence[str]) -> list[exp.Expr]:
    if any(value and key not in {*keys, *_NOTES} for key, value in node.args.items()):
        raise unsupported(node.sql("bigquery"))
    given = (node.args.get(key) for key in keys)
    return [one for value in given if value for one in (value if isinstance(value, list) else [value])]


def _check_signature(node: exp.Expr, signature: _Signature) -> None:
    types = [bigquery_type(argument) for argument in _arguments(node, tuple(signature.takes))]
    if type(node) in _NEEDED and node.args.get(_NEEDED[type(node)]) is None:
        raise no_signature(signature.name, types)
    if types[:1] == ["NULL"] and not isinstance(node, _TYPED_BY_REST):
        raise unsupported(f"a NULL without a type in {node.sql('bigquery')}")
    for key, allowed in signature.takes.items():
        value = node.args.get(key)
        values = value if isinstance(value, list) else [value] if value else []
        found = {bigquery_type(one) for one in values}
        if isinstance(node, _COERCING) and found - allowed - {"NULL"}:
            # BigQuery turns some other types into this one here.
            raise unsupported(f"{node.sql('bigquery')}, of {', '.join(types)}")
        if not found <= allowed | {"NULL"}:
            raise no_signature(signature.name, types)


def _check_details(node: exp.Expr) -> None:
    """What types alone do not say."""
    if type(node) in _TRUNC_UNITS and unit_of(node) not in _TRUNC_UNITS[type(node)]:
        raise unsupported(node.sql("bigquery"))
    if isinstance(node, exp.Round) and node.args.get("decimals") is not None:
        digits = integer(node.args["decimals"])
        if digits is None or not 0 <= digits <= _MOST_DIGITS:
            raise unsupported(f"ROUND to anything but 0 to {_MOST_DIGITS} digits, {node.sql('bigquery')}")
    if isinstance(node, exp.Trim) and node.expression is not None:
        _check_trim(node)
    if isinstance(node, exp.Substring):
        _check_substring(node)
    if isinstance(node, exp.Lag | exp.Lead):
        _check_offset(node)


def _check_trim(node: exp.Trim) -> None:
    taken = node.expression
    if not isinstance(taken, exp.Literal) or not taken.name or not taken.name.isascii():
        raise unsupported(f"TRIM of anything but ASCII characters in a literal, {node.sql('bigquery')}")


def _check_substring(node: exp.Substring) -> None:
    start = integer(node.args["start"])
    length: int | None = 0
    if node.args.get("length") is not None:
        length = integer(node.args["length"])
    if start is None or length is None:
        raise unsupported(f"SUBSTR with anything but integer literals, {node.sql('bigquery')}")
    if length < 0:
        raise mismatch("Third argument in SUBSTR() cannot be negative")


def _check_offset(node: exp.Lag | exp.Lead) -> None:
    offset, default = node.args.get("offset"), node.args.get("default")
    number = 0 if offset is None else integer(offset)
    if number is None or number < 0:
        raise unsupported(f"an offset that is not a literal of 0 or more, {node.sql('bigquery')}")
    if default is not None and len({bigquery_type(node.this), bigquery_type(default)} - {"NULL"}) > 1:
        raise unsupported(node.sql("bigquery"))


def _check_choice(node: exp.Case | exp.If) -> None:
    """CASE, with a value to compare or without, and IF."""
    if isinstance(node.parent, exp.Case) and node.arg_key == "ifs":
        return  # A branch of a CASE, checked with it.
    branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
    last = node.args.get("default") if isinstance(node, exp.Case) else node.args.get("false")
    values = [*(branch.args["true"] for branch in branches), *([last] if last else [])]
    conditions = [bigquery_type(branch.this) for branch in branches]
    if isinstance(node, exp.If):
        if not set(conditions) <= {"BOOL", "NULL"} or not _alike(values):
            raise no_signature("function IF", [*conditions, *map(bigquery_type, values)])
    elif node.this is not None:
        check_common("operator CASE", [node.this, *(branch.this for branch in branches)])
    elif not set(conditions) <= {"BOOL", "NULL"}:
        raise mismatch(
            "No matching signature for operator CASE; all WHEN argument types must be BOOL but found: "
            f"{', '.join(conditions)}; {_types_of_case(branches, last)}"
        )
    if isinstance(node, exp.Case) and not _alike(values):
        raise mismatch(
            "No matching signature for operator CASE; all THEN/ELSE arguments must be coercible to a common type "
            f"but found: {', '.join(map(bigquery_type, values))}; {_types_of_case(branches, last)}"
        )
    check_common("function IF" if isinstance(node, exp.If) else "operator CASE", values)


def _alike(values: Sequence[exp.Expr]) -> bool:
    """Whether values have a type in common, as far as ``check_common`` does not refuse to know."""
    kinds = {bigquery_type(value) for value in values} - {"NULL"}
    return len(kinds) <= 1 or kinds == NUMBERS or kinds <= TIMES | TEXT


def _types_of_case(branches: Sequence[exp.Expr], last: exp.Expr | None) -> str:
    pairs = " ".join(f"({bigquery_type(branch.this)} {bigquery_type(branch.args['true'])})" for branch in branches)
    return f"actual argument types (WHEN THEN) ELSE: {pairs} {bigquery_type(last) if last else 'NULL'}"


def _check_format(node: exp.TimeToStr) -> None:
    """FORMAT_DATE and FORMAT_DATETIME, which sqlglot tells apart by a cast of its own."""
    given = {exp.TsOrDsToDate: "DATE", exp.TsOrDsToDatetime: "DATETIME"}.get(type(node.this))
    value, text = node.args["format"], node.sql("bigquery")
    if given is None or node.this.this is None or bigquery_type(node.this.this) != given:
        raise unsupported(f"{text}, of anything but a DATE or DATETIME")
    if not isinstance(value, exp.Literal) or not value.name or not _FORMAT.fullmatch(value.name):
        raise unsupported(f"a format with anything but %Y %m %d %j %H %M %S %b %B %a %A, {text}")
    if given == "DATE" and re.search("%[HMS]", value.name):
        raise unsupported(f"a time of day of a DATE, {text}")
