"""YAML 1.2 as configs need it: mappings of plain values, and the line on which each was written.

Anchors, aliases and tags are refused: they make a config that reads differently from what it says.
"""

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

Key = tuple[str, ...]
"""The way to a value: ``("compute", "region")``."""

_PREFIX = "tag:yaml.org,2002:"
_CONSTRUCTED = {_PREFIX + name for name in ("null", "bool", "int", "float", "timestamp")}


class NotYamlError(Exception):
    """The text is not one YAML mapping: the message says where and why."""


@dataclass
class Document:
    """A config file's content.

    ``tree`` holds nested dicts of ``None``, bool, int, float, str, date and datetime; a list is there as ``[]``, since
    no setting is one. ``lines`` has the line (from 1) of every key, ``mistakes`` what is wrong beyond YAML's
    grammar: the line, and the key if its value was left out because of it.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    mistakes: list[tuple[Key, int, str]] = field(default_factory=list)


def document(text: str) -> Document:
    """Read a whole file.

    Raises:
        NotYamlError: not YAML, or something else than a mapping (nothing at all is an empty mapping).
    """
    yaml = YAML(typ="safe", pure=True)
    root = _compose(yaml, text)
    found = Document()
    if root is None or root.tag == _PREFIX + "null":
        return found
    if not isinstance(root, MappingNode):
        raise NotYamlError(f'line {root.start_mark.line + 1}: expected "key: value" lines')
    found.tree = _mapping(yaml, root, (), found)
    return found


def scalar(text: str) -> Any:
    """Read one value as YAML reads a plain or quoted word: ``3`` is a number, ``"3"`` and ``a: b`` are text.

    Raises:
        NotYamlError: quotes that do not close, or a number or date that is none.
    """
    yaml = YAML(typ="safe", pure=True)
    text = text.strip()
    if not text.startswith(("'", '"')):
        return _constructed(yaml, ScalarNode(_plain_tag(yaml, text), text))
    try:
        node = _compose(yaml, text)
    except NotYamlError:
        node = None
    if not isinstance(node, ScalarNode):
        raise NotYamlError("the quotes do not close, or something follows them")
    return node.value


def _compose(yaml: YAML, text: str) -> Node | None:
    """The node tree of the only document in ``text``."""
    try:
        return yaml.compose(text)  # type: ignore[no-any-return]  # ruamel.yaml does not annotate it.
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise NotYamlError(f"line {mark.line + 1}: {why}" if mark else why) from error
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise NotYamlError(f"line {line}: the character U+{ord(text[error.position]):04X} is not allowed") from error
    except YAMLError as error:
        raise NotYamlError(str(error)) from error
    except RecursionError:
        raise NotYamlError("it nests too deeply") from None
    except ValueError:  # "\\U00110000": ruamel.yaml does not look whether there is such a character.
        raise NotYamlError("a \\U in quotes names no character") from None


def _mapping(yaml: YAML, node: MappingNode, parent: Key, found: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name_node, value_node in node.value:
        line = name_node.start_mark.line + 1
        if name_node.tag != _PREFIX + "str" or not name_node.value.isprintable():
            found.mistakes.append(((), line, "a key must be plain text; put it in quotes"))
            continue
        name = name_node.value
        key = (*parent, name)
        if name in values:
            text = f"{'.'.join(key)} is given twice, first on line {found.lines[key]}"
            found.mistakes.append(((), line, text))
            continue
        found.lines[key] = line
        try:
            values[name] = _value(yaml, value_node, key, found)
        except NotYamlError as error:
            values[name] = None
            found.mistakes.append((key, line, str(error)))
    return values


def _value(yaml: YAML, node: Node, key: Key, found: Document) -> Any:
    if node.anchor:
        raise NotYamlError("anchors and aliases (&name, *name) are not allowed; write the value out")
    if isinstance(node, ScalarNode):
        # A tag that repeats what the word is anyway cannot be told from none, and changes nothing.
        if node.tag != (_PREFIX + "str" if node.style else _plain_tag(yaml, node.value)):
            raise NotYamlError("tags (!name) are not allowed; for text, use quotes")
        return _constructed(yaml, node)
    if node.tag not in {_PREFIX + "map", _PREFIX + "seq"}:
        raise NotYamlError("tags (!name) are not allowed")
    return _mapping(yaml, node, key, found) if isinstance(node, MappingNode) else []


def _plain_tag(yaml: YAML, text: str) -> str:
    """The type that YAML gives to a word without quotes."""
    return str(yaml.resolver.resolve(ScalarNode, text, (True, False)))


def _constructed(yaml: YAML, node: ScalarNode) -> Any:
    if node.tag not in _CONSTRUCTED:
        return node.value
    try:
        return yaml.constructor.construct_object(node)
    except ValueError:
        raise NotYamlError("it looks like a number or a date but is none; for text, use quotes") from None
