"""What is wrong with the settings, in a person's words: one line a mistake, all of them in one error."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from orchestrator.errors import UsageError, without_secrets
from orchestrator.settings.yaml_source import Key

_LONGEST_ECHO = 60


@dataclass(frozen=True)
class Expected:
    """What a field takes, as a person would say it: "a whole number of seconds, such as "60 s"".

    It stands in the field's ``Annotated`` type. ``entry`` says the same of one entry, if the field is a mapping;
    ``remark`` may add something about a value that was refused. A ``Literal`` needs no ``Expected``.
    """

    text: str
    entry: str = ""
    remark: Callable[[object], str] = lambda _: ""


@dataclass(frozen=True)
class Source:
    """Where a value was written: ``label`` says it, ``line`` is its line in the config file, or 0."""

    label: str
    line: int = 0


@dataclass(frozen=True)
class Mistake:
    """One thing to correct. ``source`` is None for a key that is missing together with its section."""

    source: Source | None
    key: Key
    text: str

    def __str__(self) -> str:
        """One line of printable characters."""
        parts = [self.source.label] if self.source else []
        if self.key and not (self.source and not self.source.line):  # An override's label names the key already.
            parts.append(".".join(self.key))
        line = ": ".join([*parts, self.text])
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def explain(
    error: ValidationError, model: type[BaseModel], values: Mapping[str, Any], sources: Mapping[Key, Source]
) -> Iterator[Mistake]:
    """Turn what pydantic found in ``values`` (one tree, whatever the sources) into mistakes."""
    fields = dict(_fields(model))
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        location = tuple(str(part) for part in problem["loc"])
        kind = problem["type"]
        if kind.startswith("union_tag_"):  # pydantic reports the section; the mistake is in its tag.
            location = (*location, str(_discriminator(fields[location])))
            kind = "missing" if kind == "union_tag_not_found" else kind
        key = _key(location, fields)
        if kind == "extra_forbidden":
            text = _unknown(location, fields)
        elif kind == "missing":
            text = f"missing; expected {_expected(location, fields)}"
        else:
            value = _look_up(values, key)
            text = f"expected {_expected(location, fields)}; got {shown(value)}{_remark(location, fields, value)}"
        yield Mistake(_source(key, sources), key, text)


def usage_error(path: Path, mistakes: Sequence[Mistake]) -> UsageError:
    """One error with every mistake: the file's first, by line, then those of what overrides it."""
    in_file = all(not mistake.source or mistake.source.line for mistake in mistakes)
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    ordered = sorted(mistakes, key=lambda mistake: (mistake.source.line or float("inf")) if mistake.source else 0)
    which = "it" if len(mistakes) == 1 else "each of them"
    return UsageError(
        f"{path} has {count}" if in_file else f"The settings ({path} and what overrides it) have {count}",
        details="\n".join(map(str, ordered)),
        resolution=f"correct {which}; config/ has an example for each cloud.",
    )


def shown(value: object) -> str:
    """A value as it is echoed in a message: quoted if it is text, never long, without a URL's user and password."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value) if not isinstance(value, int) or abs(value) < 10**_LONGEST_ECHO else "a huge number"
    value = without_secrets(value)  # Before it is cut: the half of one is no longer known as such.
    return json.dumps(value if len(value) <= _LONGEST_ECHO else value[:_LONGEST_ECHO] + "...", ensure_ascii=False)


def _fields(model: type[BaseModel], parent: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every field under pydantic's own location for it, which has the tag in it where a union is tagged."""
    for name, field in model.model_fields.items():
        location = (*parent, name)
        yield location, field
        for member in members(field):
            yield from _fields(member, (*location, *_tags(field, [member])))


def members(field: FieldInfo) -> list[type[BaseModel]]:
    """The section or sections that a field may hold; none if it holds a value."""
    is_union = get_origin(field.annotation) in {Union, UnionType}
    options = get_args(field.annotation) if is_union else (field.annotation,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _discriminator(field: FieldInfo) -> str | None:
    return field.discriminator if isinstance(field.discriminator, str) else None


def _tags(field: FieldInfo, members: Sequence[type[BaseModel]]) -> list[str]:
    tag = _discriminator(field)
    return [get_args(member.model_fields[tag].annotation)[0] for member in members] if tag else []


def _key(location: Key, fields: Mapping[Key, FieldInfo]) -> Key:
    """The key as it is written in a config: pydantic's location without the tags."""
    return tuple(
        part
        for depth, part in enumerate(location)
        if not (depth and (section := fields.get(location[:depth])) and part in _tags(section, members(section)))
    )


def _expected(location: Key, fields: Mapping[Key, FieldInfo]) -> str:
    section = fields.get(location[:-1])
    if section and location[-1] == _discriminator(section):
        return _choices(_tags(section, members(section)))
    if section and location not in fields:  # An entry of a mapping, such as a parameter.
        return _said(section).entry
    field = fields[location]
    if tag := _discriminator(field):
        return f"a section with {tag} ({_choices(_tags(field, members(field)))}) and its keys"
    if members(field):
        return f"a section with {', '.join(_names_in(location, fields))}"
    if get_origin(field.annotation) is Literal:
        return _choices(get_args(field.annotation))
    return _said(field).text


def _said(field: FieldInfo) -> Expected:
    return next(item for item in field.metadata if isinstance(item, Expected))


def _remark(location: Key, fields: Mapping[Key, FieldInfo], value: object) -> str:
    said = [item for item in fields[location].metadata if isinstance(item, Expected)] if location in fields else []
    return said[0].remark(value) if said else ""


def _choices(values: Sequence[str]) -> str:
    *others, last = (f'"{value}"' for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def _unknown(location: Key, fields: Mapping[Key, FieldInfo]) -> str:
    """Where an unknown key belongs, or what it may have meant, or what there is."""
    section, name = location[:-1], location[-1]
    owners = _owners(section, fields)
    if name in owners:
        return f"unknown key for {section[-1]}; it belongs to {' and '.join(owners[name])}"
    places = {_key(other, fields)[:-1] for other in fields if other[-1] == name}
    if places:
        return f"unknown key; {name} belongs {' or '.join(sorted(_place(place) for place in places))}"
    names = _names_in(section, fields)
    word = name.lower().replace("-", "_")
    if close := get_close_matches(word, names, n=1):
        return f'unknown key; did you mean "{close[0]}"?'
    if close := get_close_matches(word, owners, n=1):
        return f'unknown key; did you mean "{close[0]}"? It belongs to {" and ".join(owners[close[0]])}'
    return f"unknown key; known here: {', '.join(names)}"


def _owners(section: Key, fields: Mapping[Key, FieldInfo]) -> dict[str, list[str]]:
    """The keys of all members of the tagged union that ``section`` is one of, such as ``{"plan": ["azure"]}``."""
    union = fields.get(section[:-1])
    if not union or not _discriminator(union):
        return {}
    owners: dict[str, list[str]] = {}
    for member in members(union):
        for name in member.model_fields:
            owners.setdefault(name, []).extend(_tags(union, [member]))
    return owners


def _place(section: Key) -> str:
    return f"under {'.'.join(section)}" if section else "at the top level"


def _names_in(section: Key, fields: Mapping[Key, FieldInfo]) -> list[str]:
    return [other[-1] for other in fields if other[:-1] == section]


def _look_up(values: Mapping[str, Any], key: Key) -> Any:
    found: Any = values
    for part in key:
        found = found[part]
    return found


def _source(key: Key, sources: Mapping[Key, Source]) -> Source | None:
    """Where the key was written; for one that is missing, where its section was written in the file."""
    if key in sources:
        return sources[key]
    ancestors = (sources.get(key[:depth]) for depth in range(len(key) - 1, 0, -1))
    return next((source for source in ancestors if source and source.line), None)
