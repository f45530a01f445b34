"""Checks what a stack registers against the SDK's own classes, which the real providers' schemas generated."""

import inspect
import typing
from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum
from types import NoneType
from typing import Any

import pulumi
from pulumi import _types as sdk_types

UNKNOWN = object()
"""Stands for a value that is only known after creation, in a preview."""


def mistakes(arguments: type, values: Mapping[str, Any], known: frozenset[str]) -> list[tuple[str, str]]:
    """(path, reason) for all that is wrong with a resource's inputs, in the engine's camel case.

    ``arguments`` is the SDK's ``...Args`` class. ``known`` are the paths that our stand-in acts on, such as
    ``environment.variables``: an input that the real provider takes and we would ignore is a mistake too.
    """
    found: list[tuple[str, str]] = []
    _check_object(arguments, values, "", found, known)
    return sorted(found)


def _check_object(
    arguments: type, values: Mapping[str, Any], path: str, found: list[tuple[str, str]], known: frozenset[str]
) -> None:
    hints = sdk_types.input_type_types(arguments)
    found += [
        (path + name, f"missing: {arguments.__name__} requires it")
        for name in required(arguments)
        if name not in values
    ]
    for name, value in values.items():
        here = path + name
        if name not in hints:
            found.append((here, f"{arguments.__name__} has no such input"))
        else:
            _check_value(hints[name], value, here, found, known)


def _check_value(hint: Any, value: Any, path: str, found: list[tuple[str, str]], known: frozenset[str]) -> None:
    choices = _choices(hint)
    nested = [choice for choice in choices if isinstance(choice, type) and sdk_types.is_input_type(choice)]
    if value is UNKNOWN:
        return
    if nested and isinstance(value, Mapping):
        _check_object(nested[0], value, f"{path}.", found, known)
        return
    for choice in choices:
        if isinstance(value, list) and typing.get_origin(choice) is Sequence:
            for item in value:
                _check_value(typing.get_args(choice)[0], item, path, found, known)
            return
        if isinstance(value, Mapping) and typing.get_origin(choice) is Mapping:
            for item in value.values():
                _check_value(typing.get_args(choice)[1], item, path, found, known)
            return
    if reason := _mismatch(choices, value):
        found.append((path, reason))
    elif path not in known:
        found.append((path, "the rehearsal's stand-in does not know this input"))


def _mismatch(choices: list[Any], value: Any) -> str | None:
    """Why none of the types has the value.

    The SDK takes any text beside an enumeration, for values that are younger than it: our stacks have none.
    """
    values = [member.value for choice in choices if _is_enum(choice) for member in choice]
    if values and isinstance(value, str) and value not in values:
        return f"expected one of {', '.join(map(str, values))}; got {value}"
    if any(_fits(choice, value) for choice in choices):
        return None
    return f"expected {' or '.join(sorted({_describe(choice) for choice in choices}))}, got {type(value).__name__}"


def _choices(hint: Any) -> list[Any]:
    """The plain types behind ``Input[...]``: unions opened, awaitables, outputs and None left out."""
    if typing.get_origin(hint) is typing.Union:
        return [choice for part in typing.get_args(hint) for choice in _choices(part)]
    origin = typing.get_origin(hint) or hint
    if origin in (NoneType, Awaitable, pulumi.Output):
        return []
    return [hint]


def _is_enum(choice: Any) -> bool:
    return isinstance(choice, type) and issubclass(choice, Enum)


def _fits(choice: Any, value: Any) -> bool:
    if _is_enum(choice):
        return value in [member.value for member in choice]
    origin = typing.get_origin(choice) or choice
    if isinstance(value, str):
        return origin is str  # It is a Sequence as well, but not the one that is meant.
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(origin, type) and isinstance(value, origin)


def _describe(choice: Any) -> str:
    origin = typing.get_origin(choice) or choice
    return str(getattr(origin, "__name__", origin))


def required(arguments: type) -> list[str]:
    """The inputs that the class requires, in the engine's camel case."""
    names = sdk_types.input_type_py_to_pulumi_names(arguments)
    parameters = list(inspect.signature(arguments).parameters.values())
    return [names[p.name] for p in parameters if p.default is p.empty and p.name in names]
