"""How the settings' values are written and read: sizes and durations with their unit, text, paths, parameters.

A validator that refuses raises a bare ``ValueError``: what the field expects is said once, by its ``Expected``.
Where pydantic cannot see how a value is written, the type carries its JSON schema.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, get_args

from botocore.loaders import Loader
from botocore.regions import EndpointResolver
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from orchestrator.query import Scalar

MIB = 1024**2
GIB = 1024**3
TIB = 1024**4

PythonVersion = Literal["3.11", "3.12", "3.13"]

AWS_REGION = "^[a-z]{2}-[a-z]+-[0-9]$"
AZURE_REGION = "^[a-z]+[0-9]*$"
GOOGLE_REGION = "^[a-z]+-[a-z]+[0-9]{1,2}$"
_REGIONS = {"an AWS region": AWS_REGION, "an Azure region": AZURE_REGION, "a Google Cloud region": GOOGLE_REGION}

_SIZES = {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": GIB, "TiB": TIB}
_DURATIONS = {"s": 1, "min": 60}
_SLOWEST = 10


class Section(BaseModel):
    """A section of a config: what it does not know is an error, and nothing is read as another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _written(units: Mapping[str, int]) -> str:
    """The regular expression of an amount: a number, a space if you like, and its unit."""
    return rf"^([0-9]{{1,12}}(?:\.[0-9]{{1,6}})?) ?({'|'.join(units)})$"


def _whole(value: object, units: Mapping[str, int]) -> int:
    """Read "1769 MiB" or "1.5 min" as a whole number of bytes or seconds."""
    match = re.fullmatch(_written(units), value) if isinstance(value, str) else None
    if not match:
        raise ValueError
    amount = Fraction(match[1]) * units[match[2]]
    if amount.denominator != 1:
        raise ValueError
    return int(amount)


def duration(text: str) -> int:
    """Seconds, of a text such as "90 s", "5 min" or "1 h"; a ValueError for another."""
    return _whole(text, _DURATIONS | {"h": 3600})


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


def _latency(value: object) -> str | float:
    """``none``, ``typical``, or a factor on what is typical; nobody waits for more than ``_SLOWEST`` times that."""
    if value in ("none", "typical"):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _SLOWEST:
        return float(value)
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


def unless_of(form: str) -> Callable[[object], str]:
    """What to add about a region that was refused: whose form it has, if it has not the ``form`` of its own cloud."""

    def remark(value: object) -> str:
        text = value if isinstance(value, str) and not re.search(form, value) else ""
        whose = next((whose for whose, other in _REGIONS.items() if re.search(other, text)), "")
        return whose and f", which has the form of {whose}"

    return remark


Bytes = Annotated[
    int,
    BeforeValidator(
        lambda value: _whole(value, _SIZES), json_schema_input_type=Annotated[str, Field(pattern=_written(_SIZES))]
    ),
    PlainSerializer(_size_text, return_type=str),
]
Seconds = Annotated[
    int,
    BeforeValidator(
        lambda value: _whole(value, _DURATIONS),
        json_schema_input_type=Annotated[str, Field(pattern=_written(_DURATIONS))],
    ),
    PlainSerializer(lambda seconds: f"{seconds} s", return_type=str),
]
Text = Annotated[str, Field(min_length=1), BeforeValidator(_text)]
FilePath = Annotated[Path, BeforeValidator(_path, json_schema_input_type=Text)]
# What a later command, in another working directory, must find.
FolderPath = Annotated[Path, BeforeValidator(lambda value: _path(value).absolute(), json_schema_input_type=Text)]
Parameter = Annotated[Scalar, PlainValidator(_parameter), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Latency = Annotated[
    Literal["none", "typical"] | float,
    PlainValidator(_latency),
    WithJsonSchema(
        {"anyOf": [{"enum": ["none", "typical"]}, {"type": "number", "exclusiveMinimum": 0, "maximum": _SLOWEST}]}
    ),
]
LambdaRegion = Annotated[Text, Field(pattern=AWS_REGION), AfterValidator(_lambda_region)]
AzureRegion = Annotated[Text, Field(pattern=AZURE_REGION)]
GoogleRegion = Annotated[Text, Field(pattern=GOOGLE_REGION)]
Python = Annotated[
    PythonVersion,
    BeforeValidator(_python_version),
    WithJsonSchema({"enum": [*get_args(PythonVersion), *map(float, get_args(PythonVersion))]}),
]
