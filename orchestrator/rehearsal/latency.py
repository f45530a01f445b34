"""How long the stand-in clouds take: as long as real ones would, times a factor, or no time at all.

The times are data (``latency.toml``). A stand-in does its work at once, and its answer comes when the time is over: who
gives up meanwhile leaves it done, as with a real cloud.
"""

import asyncio
import threading
import time
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from orchestrator.critical_path import Times
from orchestrator.settings.compute import AzureCompute, ComputeSettings

T = TypeVar("T")
Kind = Literal["create", "delete", "invoke", "call"]
_TABLE = Path(__file__).with_name("latency.toml")
_NUMBERS = {"resources": ("create", "delete"), "functions": ("seconds",), "calls": ("seconds",)}


class UnknownTimeError(Exception):
    """The table has no time for it; the text says for what."""


class Wait(NamedTuple):
    """Something that was to take so many ``seconds``: ``what`` is ``create aws:s3/bucket:Bucket`` or ``call query``."""

    what: str
    seconds: float


def table(text: str | None = None) -> dict[Kind, dict[str, float]]:
    """Seconds by kind and token, of a table's text, or of ours.

    Raises:
        ValueError: an entry is not complete, has more than it should, a time that is none, or no source.
    """
    content = tomllib.loads(_TABLE.read_text("utf-8") if text is None else text)
    if set(content) != set(_NUMBERS):
        raise ValueError(f"expected the sections {', '.join(_NUMBERS)}; got {', '.join(content)}")
    for section, numbers in _NUMBERS.items():
        for name, entry in content[section].items():
            if set(entry) != {*numbers, "source"} or not entry["source"]:
                raise ValueError(f"{name}: expected {', '.join(numbers)} and source; got {entry}")
            for number in numbers:
                if type(entry[number]) not in (int, float) or not entry[number] >= 0:
                    raise ValueError(f"{name}: {number} is no number of seconds: {entry[number]}")
    return {
        "create": {name: entry["create"] for name, entry in content["resources"].items()},
        "delete": {name: entry["delete"] for name, entry in content["resources"].items()},
        "invoke": {name: entry["seconds"] for name, entry in content["functions"].items()},
        "call": {name: entry["seconds"] for name, entry in content["calls"].items()},
    }


def times(factor: float, compute: ComputeSettings) -> Times:
    """The table times ``factor``, for a run's critical path."""
    seconds = table()
    calls = _scaled(seconds["call"], factor)
    return Times(
        creates=_scaled(seconds["create"], factor),
        deletes=_scaled(seconds["delete"], factor),
        query=calls["query"],
        extract=calls["extract"],
        function=sum(calls[name] for name in _calls_of_an_invocation(compute)),
    )


def _scaled(column: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: seconds * factor for name, seconds in column.items()}


def _calls_of_an_invocation(compute: ComputeSettings) -> tuple[str, ...]:
    """What a compute cloud's ``invoke`` waits for, one after the other."""
    if not isinstance(compute, AzureCompute):
        return (f"{compute.cloud} invocation",)
    published = ("azure publish",) if compute.plan == "flex" else ()
    return (*published, "azure keys", "azure invocation")


class Latency:
    """Lets things take their time. Without a ``factor`` they take none. Safe to use from several threads.

    ``clock`` is in seconds; ``sleep`` and ``pause`` let a thread and a coroutine wait for some.
    """

    def __init__(
        self,
        factor: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._seconds = None if factor is None else table()
        self._factor = factor or 0.0
        self._clock = clock
        self._sleep = sleep
        self._pause = pause
        self._waits: list[Wait] = []

    @property
    def is_none(self) -> bool:
        """Whether nothing takes any time."""
        return self._seconds is None

    def waits(self) -> list[Wait]:
        """All that took its time until now, in the order in which it was over."""
        return list(self._waits)

    def now(self) -> float:
        """When something begins, for ``wait``."""
        return self._clock()

    def wait(self, call: str, since: float, until: threading.Event | None = None) -> bool:
        """Wait until a call has taken its time, or ``until`` is set; whether that came first."""
        rest = self._rest("call", call, since)
        if until is not None:
            return until.wait(rest) if rest else False
        if rest:
            self._sleep(rest)
        return False

    async def lasting(self, kind: Kind, token: str, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result, once its time is over; its failure at once.

        Raises:
            UnknownTimeError: it is not known how long that takes; nothing was done.
        """
        self._look_up(kind, token)  # Before anything is done.
        since = self._clock()
        result = await work()
        rest = self._rest(kind, token, since)
        if rest:
            await self._pause(rest)
        return result

    def _rest(self, kind: Kind, token: str, since: float) -> float:
        if self._seconds is None:
            return 0
        seconds = self._look_up(kind, token)
        self._waits.append(Wait(f"{kind} {token}", seconds))
        return max(0.0, since + seconds - self._clock())

    def _look_up(self, kind: Kind, token: str) -> float:
        seconds: Any = (self._seconds or {}).get(kind, {}).get(token)
        if seconds is None:
            raise UnknownTimeError(f"the rehearsal does not know how long this takes: {kind} {token} ({_TABLE.name})")
        return float(seconds) * self._factor


AT_ONCE: Final = Latency()
"""Nothing takes any time."""
