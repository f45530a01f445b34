"""What the engine and a provider say to each other, as the engine itself logs it (``PULUMI_DEBUG_GRPC``).

Every answer in a log is held against what ``ResourceProvider`` in
https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto requires of it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation import errors as automation_errors
from pulumi.automation.events import EngineEvent
from pulumi.runtime import rpc

from orchestrator.engine import Stack

Program = Callable[[], None]
UNKNOWN = rpc.UNKNOWN
# The marks of secrets, outputs and resource references on the wire: a provider that accepts none never sees them.
_MARKS = (rpc._special_secret_sig, rpc._special_output_value_sig, rpc._special_resource_sig)
# What the engine says of the stack after each resource has said why.
_NO_NEWS = ("preview failed", "update failed")
_KINDS = {"ADD", "ADD_REPLACE", "DELETE", "DELETE_REPLACE", "UPDATE", "UPDATE_REPLACE"}


@dataclass(frozen=True)
class Call:
    """One call of the engine to a provider, and the answer."""

    method: str
    request: dict[str, Any]
    response: dict[str, Any]
    errors: Sequence[str]

    @property
    def of(self) -> str:
        """The name of the resource, in the program."""
        return str(self.request.get("urn", "")).rpartition("::")[2]


@dataclass
class Did:
    """What one command of the engine did: its calls, its steps as (operation, name), and what it said."""

    calls: list[Call]
    steps: list[tuple[str, str]] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    events: str = ""

    def of(self, method: str) -> list[Call]:
        """The calls of one method, in the order of their answers."""
        return [call for call in self.calls if call.method == method]

    def order(self, *methods: str) -> list[tuple[str, str]]:
        """(method, name of the resource) of the calls of some methods, previews left out."""
        return [(call.method, call.of) for call in self.calls if call.method in methods and not _preview(call)]


class Conversation:
    """One stack, whose every command is logged and checked."""

    def __init__(self, stack: Stack, log: Path) -> None:
        self._stack = stack
        self._log = log
        self._read = 0
        self._made = False
        stack._command._environment["PULUMI_DEBUG_GRPC"] = str(log)

    def preview(self, program: Program) -> Did:
        """``pulumi preview``."""
        return self._do(program, lambda stack, on_event: stack.preview(on_event=on_event, color="never"))

    def up(self, program: Program) -> Did:
        """``pulumi up``."""
        return self._do(program, lambda stack, on_event: stack.up(on_event=on_event, color="never"))

    def refresh(self) -> Did:
        """``pulumi refresh``."""
        return self._do(_nothing, lambda stack, on_event: stack.refresh(on_event=on_event, color="never"))

    def destroy(self) -> Did:
        """``pulumi destroy``."""
        return self._do(_nothing, lambda stack, on_event: stack.destroy(on_event=on_event, color="never"))

    def state(self) -> dict[str, dict[str, Any]]:
        """The resources of the state by name, as ``pulumi stack export`` shows them: secrets encrypted."""
        exported = self._stack._command.run(["stack", "export", "--stack", self._stack._stack_name], self._folder, {})
        resources = json.loads(exported.stdout)["deployment"].get("resources", [])
        return {resource["urn"].rpartition("::")[2]: resource for resource in resources}

    @property
    def _folder(self) -> str:
        return str(self._stack._folder)

    def _do(
        self, program: Program, command: Callable[[automation.Stack, Callable[[EngineEvent], None]], object]
    ) -> Did:
        events: list[EngineEvent] = []
        said: list[str] = []
        try:
            stack = self._stack._open(program, select=self._made)
            self._made = True
            command(stack, events.append)
        except automation_errors.CommandError as error:
            said.append(str(error))
        # The SDK tells the engine much at the level of debugging, secrets included; nobody is shown that.
        shown = [event for event in events if not event.diagnostic_event or event.diagnostic_event.severity != "debug"]
        did = Did(list(self._calls()), events=repr(shown))
        for event in shown:
            if event.resource_pre_event is not None:
                step = event.resource_pre_event.metadata
                did.steps.append((str(step.op.value), step.urn.rpartition("::")[2]))
            if event.summary_event is not None:
                did.changes = {str(key): count for key, count in event.summary_event.resource_changes.items()}
            if event.diagnostic_event is not None and not event.diagnostic_event.ephemeral:
                words = {"error": did.errors, "warning": did.warnings}.get(event.diagnostic_event.severity)
                if words is not None and event.diagnostic_event.message.strip() not in _NO_NEWS:
                    words.append(event.diagnostic_event.message.strip())
        if said and not did.errors:
            did.errors = said
        return did

    def _calls(self) -> Iterator[Call]:
        """The answered calls since the last command, each checked."""
        with self._log.open() as log:
            log.seek(self._read)
            lines = log.readlines()
            self._read = log.tell()
        for line in lines:
            entry = json.loads(line)
            service, _, method = entry["method"].rpartition("/")
            answered = entry.get("response") is not None or entry.get("errors")
            if service != "/pulumirpc.ResourceProvider" or not answered:  # A call is logged when it begins, too.
                continue
            call = Call(method, entry["request"], entry.get("response") or {}, entry.get("errors") or [])
            _check(call)
            yield call


def _nothing() -> None:
    """A program of nothing."""


def _preview(call: Call) -> bool:
    return bool(call.request.get("preview"))


def _check(call: Call) -> None:
    """What the protocol's comments require of each answer; the quotes are theirs."""
    answer = call.response
    if call.method in {"CheckConfig", "DiffConfig", "Configure"}:
        # "`args` may include secrets": nobody knows yet what the provider accepts.
        assert call.method != "Configure" or answer == {"supportsPreview": True}
    else:
        assert not any(mark in json.dumps([call.request, answer]) for mark in _MARKS)
    if call.method in {"Diff", "DiffConfig"} and not call.errors:
        detailed = answer.get("detailedDiff", {})
        # "For each top-level key in `diff` there is at least one matching property path", and the reverse.
        assert sorted(answer.get("diffs", [])) == sorted(detailed)
        assert {entry.get("kind", "ADD") for entry in detailed.values()} <= _KINDS
        assert answer["changes"] == ("DIFF_SOME" if detailed else "DIFF_NONE")
        assert set(answer.get("replaces", [])) <= set(detailed)
    if call.method == "Create" and not call.errors:
        # "in which case the provider should not actually create the resource": there is no id then.
        assert bool(answer.get("id")) != _preview(call)
        if not _preview(call):
            assert UNKNOWN not in json.dumps(answer)
        # "Typically this will be a union of the resource's input properties and any additional values".
        kept = {key for key, value in call.request["properties"].items() if not _is_asset(value)}
        assert kept <= set(answer["properties"])
    if call.method == "Read" and answer.get("id"):
        # "Output-derived input properties [...] as they would be returned from a Check call": each is an output, too.
        assert {key for key, value in answer["inputs"].items() if not _is_asset(value)} <= set(answer["properties"])


def _is_asset(value: Any) -> bool:
    return isinstance(value, dict) and value.get(rpc._special_sig_key) in {
        rpc._special_asset_sig,
        rpc._special_archive_sig,
    }
