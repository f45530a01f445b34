"""What is to go wrong in the stand-in clouds: rules, and how often each came true.

The stand-ins know nothing of faults. ``faulty_plugins`` and ``faulty_calls`` stand in front of them, and ask here.
"""

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

Cloud = Literal["aws", "azure", "gcp"]
CLOUDS: Final[tuple[Cloud, ...]] = get_args(Cloud)
ResourceEffect = Literal["fails", "hangs", "answer lost", "half made", "plugin killed"]
CallEffect = Literal[
    "refused", "hangs", "forbidden", "throttled", "unavailable", "truncated", "wrong checksum", "expired"
]
_OPERATIONS = ("create", "delete")


@dataclass(frozen=True, kw_only=True)
class ResourceRule:
    """What happens to a resource that the engine creates or deletes: its ``type`` token and its ``name`` in the stack.

    ``fails``: refused before it has any effect, a delete with what passes (the cloud is busy). ``hangs``: no effect and
    no answer, until the fault is lifted or the engine gives up. ``answer lost``: done; the engine never hears of it.
    ``half made`` (of a create): made, and refused for what was to follow; the engine hears the id. ``plugin killed``:
    done, and the cloud's plugin is gone before it could say so. ``times``: the first so many, or all until lifted.
    """

    type: str
    name: str
    operation: Literal["create", "delete"]
    effect: ResourceEffect
    times: int | None = 1

    def __post_init__(self) -> None:
        _check("operation", self.operation, _OPERATIONS)
        _check("effect", self.effect, get_args(ResourceEffect))
        _check_times(self.times)
        if self.effect == "half made" and self.operation != "create":
            raise ValueError("only a create can be half made")

    def matches(self, operation: "Operation") -> bool:
        """Whether it is about that operation."""
        return (self.type, self.name, self.operation) == operation


@dataclass(frozen=True, kw_only=True)
class CallRule:
    """What happens to a call of the run's own clients.

    ``path`` is a regular expression for the whole path. ``target`` is one for the whole of what says the operation
    where a service has one path for all: the header X-Amz-Target, a form's Action, else the query. None takes all.

    ``refused``: closed without an answer. ``hangs``: no answer until the fault is lifted. ``forbidden``, ``throttled``,
    ``unavailable`` and ``expired`` (the caller's credentials) are refusals in the cloud's own form; so far the call has
    no effect. ``truncated`` (less than it was to be) and ``wrong checksum`` (a byte of the body is another) spoil the
    answer of a call that had its effect. ``times`` as of a ``ResourceRule``; the first ``after`` calls go well.
    """

    cloud: Cloud
    method: str
    path: str
    target: str | None = None
    effect: CallEffect
    times: int | None = 1
    after: int = 0

    def __post_init__(self) -> None:
        _check("cloud", self.cloud, CLOUDS)
        _check("effect", self.effect, get_args(CallEffect))
        _check_times(self.times)
        if self.after < 0:
            raise ValueError(f"after: expected 0 or more; got {self.after}")
        for pattern in (self.path, self.target or ""):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern} is no regular expression: {error}") from error

    def matches(self, call: "Call") -> bool:
        """Whether it is about that call."""
        return (
            (self.cloud, self.method) == (call.cloud, call.method)
            and re.fullmatch(self.path, call.path) is not None
            and (self.target is None or re.fullmatch(self.target, call.target) is not None)
        )


Rule = ResourceRule | CallRule


class Operation(NamedTuple):
    """What the engine asks of a plugin; ``type`` and ``name`` as in a ``ResourceRule``."""

    type: str
    name: str
    operation: str


class Call(NamedTuple):
    """A call of the run's own clients; ``target`` as in a ``CallRule``, empty where the path says it all."""

    cloud: str
    method: str
    path: str
    target: str


_T = TypeVar("_T", ResourceRule, CallRule)


@dataclass(frozen=True)
class Fault:
    """An effect that is due now. ``lifted`` is done when all faults end: until then, what hangs hangs."""

    number: int
    effect: str
    lifted: "Future[None]"


class Faults:
    """The rules in force. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._fired: list[int] = []
        self._passed: list[int] = []
        self._calls: list[Call] = []
        self._lifted: Future[None] = _done()

    def set(self, rules: Sequence[Rule]) -> None:
        """Put these in the place of all others. What fired and what was called until now is forgotten."""
        with self._lock:
            before, self._lifted = self._lifted, Future()
            self._rules, self._fired, self._calls = list(rules), [0] * len(rules), []
            self._passed = [0] * len(rules)
        _finish(before)

    def lift(self) -> None:
        """End all faults. What hangs is let go, without its effect; how often each rule fired stays known."""
        with self._lock:
            lifted = self._lifted
            _finish(lifted)

    def fired(self) -> list[int]:
        """How often each rule fired, in their order."""
        with self._lock:
            return list(self._fired)

    def calls(self) -> list[Call]:
        """The calls since the rules were set, in the order in which they came."""
        with self._lock:
            return list(self._calls)

    def of_operation(self, operation: Operation) -> Fault | None:
        """What is to happen to an operation of the engine's: the first rule for it that is not used up fires."""
        with self._lock:
            return self._first(ResourceRule, operation)

    def of_call(self, call: Call) -> Fault | None:
        """What is to happen to a call; it is kept for ``calls``."""
        with self._lock:
            self._calls.append(call)
            return self._first(CallRule, call)

    def take_back(self, fault: Fault) -> None:
        """The fault could not have its effect (there was no byte to spoil): its rule did not fire."""
        with self._lock:
            if fault.lifted is self._lifted:
                self._fired[fault.number] -= 1

    def _first(self, kind: type[_T], event: Any) -> Fault | None:
        if self._lifted.done():
            return None
        for number, rule in enumerate(self._rules):
            if isinstance(rule, kind) and rule.matches(event) and rule.times != self._fired[number]:
                if isinstance(rule, CallRule) and self._passed[number] < rule.after:
                    self._passed[number] += 1
                    continue
                self._fired[number] += 1
                return Fault(number, rule.effect, self._lifted)
        return None


def to_json(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules as JSON: the fields of each."""
    return [asdict(rule) for rule in rules]


def from_json(content: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """The reverse of ``to_json``; TypeError or ValueError for what is no rule."""
    return [CallRule(**fields) if "cloud" in fields else ResourceRule(**fields) for fields in content]


def _check(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{what}: expected one of {', '.join(known)}; got {value}")


def _check_times(times: int | None) -> None:
    if times is not None and times < 1:
        raise ValueError(f"times: expected 1 or more, or None; got {times}")


def _done() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future


def _finish(lifted: "Future[None]") -> None:
    if not lifted.done():
        lifted.set_result(None)
