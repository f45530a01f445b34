"""What the engine tells, in our words: the events of an operation, and the resources in a state."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pulumi.automation.events import EngineEvent, StepEventMetadata

from orchestrator.critical_path import Resource
from orchestrator.errors import without_secrets


@dataclass(frozen=True)
class StackEvent:
    """One thing the engine did. ``time`` is in seconds since 1970; ``type`` and ``name`` are the resource's."""

    time: float
    stack: str
    kind: Literal["creating", "created", "deleting", "deleted", "failed", "error", "warning", "info"]
    type: str
    name: str
    message: str = ""

    def to_json(self) -> str:
        """One line of ``events.jsonl``."""
        return json.dumps(asdict(self))


def stack_event(event: EngineEvent, stack: str) -> StackEvent | None:
    """Our words for the engine's event, or None for one that says nothing about a resource."""
    for metadata, kinds in (
        (event.resource_pre_event, {"create": "creating", "delete": "deleting"}),
        (event.res_outputs_event, {"create": "created", "delete": "deleted"}),
    ):
        if metadata is not None:
            step: StepEventMetadata = metadata.metadata
            kind = kinds.get(step.op)
            if kind is None or step.type.startswith("pulumi:"):
                return None
            return StackEvent(time.time(), stack, kind, step.type, _name(step.urn))  # type: ignore[arg-type]
    if event.res_op_failed_event is not None:
        step = event.res_op_failed_event.metadata
        return StackEvent(time.time(), stack, "failed", step.type, _name(step.urn))
    said = event.diagnostic_event
    if said is not None and not said.ephemeral and said.severity != "debug":
        kind = said.severity if said.severity in {"error", "warning"} else "info"
        return StackEvent(time.time(), stack, kind, "", _name(said.urn or ""), without_secrets(said.message.strip()))  # type: ignore[arg-type]
    return None


def resource(state: Mapping[str, Any]) -> Resource:
    """A resource of the state: https://pkg.go.dev/github.com/pulumi/pulumi/sdk/v3/go/common/apitype#ResourceV3."""
    of_inputs = (urn for urns in (state.get("propertyDependencies") or {}).values() for urn in urns or ())
    # A provider is named by URN and id.
    around = (state.get("parent"), (state.get("provider") or "").rpartition("::")[0], state.get("deletedWith"))
    return Resource(
        urn=state["urn"],
        type=state["type"],
        name=_name(state["urn"]),
        needs=frozenset(filter(None, (*(state.get("dependencies") or ()), *of_inputs, *around))),
        values=frozenset(_texts(state.get("inputs"))),
        goes_with=bool(state.get("deletedWith")),
    )


def _texts(value: object) -> Iterator[str]:
    """All texts in a value of the state; the keys of its mappings are none of its texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _name(urn: str) -> str:
    """The resource's name in the program, ``bucket`` of ``urn:pulumi:...::aws:s3/bucket:Bucket::bucket``."""
    kind, _, name = urn.rpartition("::")
    return "" if kind.endswith("pulumi:pulumi:Stack") else name
