"""What Microsoft publishes of Resource Manager: operations and shapes, read from its own SDKs' code.

The SDKs are generated from https://github.com/Azure/azure-rest-api-specs in two generations: models with an
``_attribute_map`` (Storage, Authorization), and models with annotated ``rest_field``s (Resources, Web).
"""

import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Union
from urllib.parse import parse_qs

_SCALARS: Mapping[type, str] = {str: "str", int: "int", bool: "bool", float: "float", datetime: "iso-8601"}


# ---- operations


@dataclass(frozen=True)
class Operation:
    """A published operation: its SDK's builder, method, path with ``{parameters}``, api-version, and what it takes."""

    builder: str
    method: str
    path: str
    version: str
    query: frozenset[str]
    has_body: bool

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is one of it; the paths of Resource Manager do not regard case."""
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.path))
        return method == self.method and re.fullmatch(pattern, path, re.IGNORECASE) is not None


def operations(*modules: str) -> list[Operation]:
    """All operations of some SDKs' modules, from the text of their request builders."""
    found = []
    for module in modules:
        text = inspect.getsource(importlib.import_module(module))
        for block in re.findall(r"^def (build_.*?)(?=^def |^class |\Z)", text, re.MULTILINE | re.DOTALL):
            path, method = re.search(r'"(/[^"\s]+)"', block), re.search(r'HttpRequest\(method="(\w+)"', block)
            version = re.search(r'"api-version", "([^"]+)"', block)
            if path and method and version:
                query = frozenset(re.findall(r'_params\["([^"]+)"\]', block))
                builder, has_body = block.partition("(")[0], "content_type" in block
                found.append(Operation(builder, method[1], path[1], version[1], query, has_body))
    return found


# ---- requests on their way


@dataclass(frozen=True)
class Exchange:
    """A request and its answer. ``content`` is the answer's JSON, or None when it has none."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    body: bytes
    status: int
    headers: Mapping[str, str]
    content: Any


@dataclass
class Recorder:
    """A WSGI application in front of another one, which keeps what passes."""

    application: Callable[..., Iterable[bytes]]
    exchanges: list[Exchange] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        """Answer one request."""
        said: list[Any] = []

        def keep(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            said.extend((status, headers))
            return start_response(status, headers, *more)

        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = b"".join(self.application(environ, keep))
        status, headers = int(said[0].split()[0]), {name.lower(): value for name, value in said[1]}
        content = json.loads(answer) if answer else None
        query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        self.exchanges.append(
            Exchange(environ["REQUEST_METHOD"], environ["PATH_INFO"], query, body, status, headers, content)
        )
        yield answer


# ---- shapes


def mistakes(model: Any, value: Any, where: str = "") -> list[str]:
    """What of a JSON value is not as the SDK's model says: its fields, the required ones, their types and values."""
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no {model.__name__}"]
    fields = _fields(model)
    found = [f"{where}.{name}: unknown to {model.__name__}" for name in value if name not in fields]
    for name, (kind, required) in fields.items():
        if name in value:
            found += _kind_mistakes(kind, value[name], f"{where}.{name}")
        elif required:
            found.append(f"{where}.{name}: {model.__name__} requires it")
    return found


def state_mistakes(model: Any, state: Mapping[str, Any]) -> list[str]:
    """The same of what azure-native keeps of a resource: it has on top what Resource Manager has in ``properties``."""
    told = {name: value for name, value in state.items() if name != "azureApiVersion"}
    top = _fields(model)
    inside = {name: told.pop(name) for name in state if name in told and name not in top}
    return mistakes(model, {**told, "properties": inside} if inside else told)


def _fields(model: Any) -> dict[str, tuple[Any, bool]]:
    return _mapped(model) if hasattr(model, "_attribute_map") else _annotated(model)


def _mapped(model: Any) -> dict[str, tuple[Any, bool]]:
    """(type, whether it is required) of each field; a dot in a key leads into an object, which is one field here."""
    package = importlib.import_module(model.__module__.rpartition(".")[0])
    fields: dict[str, tuple[Any, bool]] = {}
    nested: dict[str, dict[str, tuple[Any, bool]]] = {}
    for attribute, said in model._attribute_map.items():
        required = bool(model._validation.get(attribute, {}).get("required"))
        outer, dot, inner = said["key"].replace("\\.", "\0").partition(".")
        if dot:
            nested.setdefault(outer, {})[inner] = (_named(said["type"], package), required)
        else:
            fields[outer.replace("\0", ".")] = (_named(said["type"], package), required)
    return fields | {name: (inside, False) for name, inside in nested.items()}


def _named(kind: str, package: types.ModuleType) -> Any:
    """A type from its name in an attribute map, such as ``[str]`` or ``UsageName``."""
    if kind[0] + kind[-1] == "[]":
        return list[_named(kind[1:-1], package)]  # type: ignore[misc]
    if kind[0] + kind[-1] == "{}":
        return dict[str, _named(kind[1:-1], package)]  # type: ignore[misc]
    return next((scalar for scalar, name in _SCALARS.items() if name == kind), None) or getattr(package, kind)


def _annotated(model: Any) -> dict[str, tuple[Any, bool]]:
    """The same of a model with annotations; what may be None is not required."""
    model({})  # The first instance makes the map of its fields.
    models = importlib.import_module(model.__module__.rpartition(".")[0])
    fields = {}
    for name, rest in model._attr_to_rest_field.items():
        owner = next(one for one in model.__mro__ if name in vars(one).get("__annotations__", {}))
        # The SDK imports what it annotates with for type checkers only.
        known = vars(importlib.import_module(owner.__module__)) | {"_models": models}
        said = types.SimpleNamespace(__annotations__={name: owner.__annotations__[name]})
        kind = typing.get_type_hints(said, known)[name]
        fields[rest._rest_name] = (kind, type(None) not in typing.get_args(kind))
    return fields


def _kind_mistakes(kind: Any, value: Any, where: str) -> list[str]:  # noqa: PLR0911 - one for each sort of type
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, dict):  # A flattened object of an attribute map.
        inside = {name: kind[name][0] for name in value if name in kind}
        unknown = [f"{where}.{name}: unknown" for name in value if name not in kind]
        return unknown + [
            said for name, one in inside.items() for said in _kind_mistakes(one, value[name], f"{where}.{name}")
        ]
    if origin in {Union, types.UnionType}:  # Of a type and nothing, or of text and an enumeration.
        kinds = [one for one in arguments if one is not type(None)]
        return _kind_mistakes(kinds[-1], value, where)
    if origin in {list, dict}:
        if not isinstance(value, origin):
            return [f"{where}: {value!r} is no {origin.__name__}"]
        parts = value.items() if origin is dict else enumerate(value)
        return [said for at, one in parts for said in _kind_mistakes(arguments[-1], one, f"{where}[{at}]")]
    if kind is Any:
        return []
    if kind in _SCALARS or issubclass(kind, Enum):
        return [] if _is_one(kind, value) else [f"{where}: {value!r} is no {kind.__name__}"]
    return mistakes(kind, value, where)


def _is_one(kind: type, value: Any) -> bool:
    """Whether a single value is of its type."""
    if kind is datetime:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    if issubclass(kind, Enum):
        return value in {one.value for one in kind}
    return type(value) is kind
