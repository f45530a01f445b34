"""How the settings' values are written and read: sizes and durations with their unit, text, paths, parameters.

A validator that refuses raises a bare ``ValueError``: what the field expects is said once, by its ``Expected``.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Annotated

from botocore.loaders import Loader
from botocore.regions import EndpointResolver
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator

from orchestrator.query import Scalar

MIB = 1024**2
GIB = 1024**3
TIB = 1024**4

_SIZES = {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": GIB, "TiB": TIB}
_DURATIONS = {"s": 1, "min": 60}


def _whole(value: object, units: Mapping[str, int]) -> int:
    """Read "1769 MiB" or "1.5 min" as a whole number of bytes or seconds."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]+)", value) if isinstance(value, str) else None
    if not match or match[2] not in units:
        raise ValueError
    amount = Fraction(match[1]) * units[match[2]]
    if amount.denominator != 1:
        raise ValueError
    return int(amount)


def _size_text(size: int) -> str:
    unit = next(unit for unit in reversed(_SIZES) if size % _SIZES[unit] == 0)
    return f"{size // _SIZES[unit]} {unit}"


def _path(value: object) -> Path:
    return Path(_text(value))


def _text(value: object) -> str:
    """One line of printable text, with something in it."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _parameter(value: object) -> Scalar:
    """A value that BigQuery has a type for: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types."""
    if isinstance(value, str):
        value.encode()  # Half a surrogate pair is no text: UnicodeEncodeError is a ValueError.
        return value
    if isinstance(value, bool) or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    raise ValueError


def _python_version(value: object) -> object:
    """YAML reads 3.13 without quotes as a number; of the versions there are, none can be mistaken for another."""
    return str(value) if isinstance(value, float) else value


def _lambda_region(value: str) -> str:
    """Look the name up in the endpoints that botocore carries: no network, and no profile of the user's is read."""
    resolver = EndpointResolver(Loader().load_data("endpoints"))
    if value not in resolver.get_available_endpoints("lambda"):
        raise ValueError
    return value


Bytes = Annotated[
    int, BeforeValidator(lambda value: _whole(value, _SIZES)), PlainSerializer(_size_text, return_type=str)
]
Seconds = Annotated[
    int,
    BeforeValidator(lambda value: _whole(value, _DURATIONS)),
    PlainSerializer(lambda seconds: f"{seconds} s", return_type=str),
]
Text = Annotated[str, BeforeValidator(_text)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Parameter = Annotated[Scalar, PlainValidator(_parameter)]
LambdaRegion = Annotated[Text, AfterValidator(_lambda_region)]
PythonVersion = BeforeValidator(_python_version)
