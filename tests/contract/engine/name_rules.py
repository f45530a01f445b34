"""What the clouds document of the inputs that our stacks give: names, tags, sizes, times; each with its source.

Written from the documents and not from the stand-ins, which are held against it: the stand-ins word their refusals
themselves, and two opinions are worth more than one. Keys are the engine's type and the input's path in it;
``provider.`` leads into the configuration of the resource's provider. Of a list on the way, each item has the rest.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Path = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """What a value must be. The examples are of both kinds, as near to the edge as they can be."""

    source: str
    accepts: Callable[[Any], bool]
    legal: tuple[Any, ...]
    illegal: tuple[Any, ...]


def reference(rule: Rule) -> Rule:
    """The rule of a name by which another resource is found: that one is there, those of the examples are not."""
    return replace(rule, legal=())


def pattern(text: str) -> Callable[[str], bool]:
    """Text that is all of the pattern."""
    compiled = re.compile(text)
    return lambda value: compiled.fullmatch(value) is not None


def whole(least: int, most: int) -> Callable[[int], bool]:
    """A number in the range, both ends included."""
    return lambda value: least <= value <= most


def one_of(*values: Any) -> Callable[[Any], bool]:
    """A value of an enumeration."""
    return lambda value: value in values


def size(least: int, most: int) -> Callable[[str], bool]:
    """Text by its bytes in UTF-8."""
    return lambda value: least <= len(value.encode()) <= most


def values_at(values: Any, path: str) -> Iterator[Any]:
    """All that is at a path."""
    if not path:
        yield values
    elif isinstance(values, list):
        for item in values:
            yield from values_at(item, path)
    elif isinstance(values, Mapping):
        name, _, rest = path.partition(".")
        if name in values:
            yield from values_at(values[name], rest)


def with_value(values: Any, path: str, value: Any) -> Any:
    """The same with another value at a path; of a list, in its first item."""
    if not path:
        return value
    if isinstance(values, list):
        return [with_value(values[0], path, value), *values[1:]]
    name, _, rest = path.partition(".")
    return {**values, name: with_value(values.get(name, {}), rest, value)}
