"""The three places where settings are written, as one tree that still knows what came from where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.settings.mistakes import Mistake, Source
from orchestrator.settings.yaml_source import Key, NotYamlError, document, scalar

_PREFIX = "ORCHESTRATOR_"
_NOT_A_SETTING = {"ORCHESTRATOR_HOME"}

# In a config, these are relative to it, so that it works from any working directory.
_RELATIVE_TO_CONFIG: tuple[tuple[str, str], ...] = (("analysis", "query"), ("rehearsal", "tables"))


@dataclass
class Layers:
    """File, environment and ``--set``, merged: the later wins.

    ``tree`` is not checked yet; ``sources`` has the place of every key in it; ``mistakes`` are those of the notation.
    """

    tree: dict[str, Any]
    sources: dict[Key, Source]
    mistakes: list[Mistake]

    def override(self, source: Source, key: Key, text: str) -> None:
        """Put the value that ``text`` spells in the place of ``key``."""
        if not all(part and part.isprintable() for part in key):
            self.mistakes.append(Mistake(source, (), "not a key; keys are like compute.region"))
            return
        try:
            value = scalar(text)
        except NotYamlError as error:
            self.mistakes.append(Mistake(source, key, str(error)))
            return
        section = self.tree
        for depth, part in enumerate(key[:-1], start=1):
            if not isinstance(section.get(part), dict):
                section[part] = {}
                self.sources[key[:depth]] = source
            section = section[part]
        section[key[-1]] = value
        self.sources[key] = source

    def origins(self, path: Path) -> dict[Key, str]:
        """Where each value was written, for a reader who has not got the config at ``path`` open."""
        return {key: f"{path}:{source.line}" if source.line else source.label for key, source in self.sources.items()}


def merge(path: Path, text: str, *, environ: Mapping[str, str], overrides: Sequence[str]) -> Layers:
    """Merge the config ``text`` of ``path`` with what overrides it.

    Raises:
        UsageError: the text is empty, not YAML, or not a mapping.
    """
    layers = _file(path, text)
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in _NOT_A_SETTING:
            layers.override(Source(name), tuple(name.removeprefix(_PREFIX).lower().split("__")), environ[name])
    for override in overrides:
        name, equals, value = override.partition("=")
        source = Source(f"--set {name}")
        if equals:
            layers.override(source, tuple(name.split(".")), value)
        else:
            layers.mistakes.append(Mistake(source, (), "expected key=value, such as compute.region=us-east-1"))
    return layers


def _file(path: Path, text: str) -> Layers:
    try:
        found = document(text)
    except NotYamlError as error:
        raise UsageError(
            f"{path} is not a YAML config",
            details=str(error),
            resolution="correct it; config/ has an example for each cloud.",
        ) from None
    if not found.tree and not found.mistakes:
        raise UsageError(
            f"{path} is empty",
            details="It holds no settings, or only comments.",
            resolution="start from a copy of config/rehearsal.yaml, which is complete.",
        )
    for section_name, name in _RELATIVE_TO_CONFIG:
        section = found.tree.get(section_name)
        if isinstance(section, dict) and isinstance(value := section.get(name), str) and value.strip():
            section[name] = str(path.parent / value)
    return Layers(
        found.tree,
        {key: _line(line) for key, line in found.lines.items()},
        [Mistake(_line(line), key, what) for key, line, what in found.mistakes],
    )


def _line(line: int) -> Source:
    return Source(f"line {line}", line)
