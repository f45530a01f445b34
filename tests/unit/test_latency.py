"""How long things take: the table, the factor, and who waits for what rest. No test waits."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any

import pytest

from orchestrator.critical_path import Times
from orchestrator.drill.matrix import RESOURCES
from orchestrator.rehearsal.latency import AT_ONCE, Latency, UnknownTimeError, Wait, table, times
from orchestrator.settings import AwsCompute, AzureCompute, GcpCompute

BUCKET = "aws:s3/bucket:Bucket"


class Moments:
    """A clock that shows these moments, and then stays; what is slept is kept."""

    def __init__(self, *moments: float) -> None:
        self._moments: Iterator[float] = chain(moments, repeat(moments[-1]))
        self.slept: list[float] = []

    def latency(self, factor: float | None) -> Latency:
        return Latency(factor, clock=lambda: next(self._moments), sleep=self.slept.append, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.slept.append(seconds)


def lasting(latency: Latency, kind: Any, token: str) -> str:
    async def work() -> str:
        return "made"

    return asyncio.run(latency.lasting(kind, token, work))


# ---- the table


@pytest.mark.parametrize("cloud", RESOURCES)
def test_every_resource_of_every_stack_has_its_times(cloud: Any) -> None:
    types = {resource.type for resource in RESOURCES[cloud]}
    assert types - set(table()["create"]) == types - set(table()["delete"]) == set()


def test_it_has_no_type_that_no_stack_has() -> None:
    ours = {resource.type for resources in RESOURCES.values() for resource in resources}
    assert set(table()["create"]) == ours


EMPTY = "[resources]\n[functions]\n[calls]\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[resources]\n[calls]\n", "expected the sections resources, functions, calls; got resources, calls"),
        (f"{EMPTY}query = {{seconds = 4}}\n", "query: expected seconds and source; got {'seconds': 4}"),
        (
            f'{EMPTY}query = {{seconds = 4, source = ""}}\n',
            "query: expected seconds and source; got {'seconds': 4, 'source': ''}",
        ),
        (f'{EMPTY}query = {{seconds = -1, source = "s"}}\n', "query: seconds is no number of seconds: -1"),
        (f'{EMPTY}query = {{seconds = nan, source = "s"}}\n', "query: seconds is no number of seconds: nan"),
        (f'{EMPTY}query = {{seconds = true, source = "s"}}\n', "query: seconds is no number of seconds: True"),
        (
            '[resources]\nb = {create = 1, source = "s"}\n[functions]\n[calls]\n',
            "b: expected create, delete and source; got {'create': 1, 'source': 's'}",
        ),
    ],
)
def test_a_table_with_a_mistake(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        table(text)
    assert str(raised.value) == reason


FUNCTIONS: Mapping[str, tuple[Any, float]] = {
    "aws": (AwsCompute(cloud="aws"), 4),
    "azure, consumption": (AzureCompute(cloud="azure"), 2 + 8),
    "azure, flex": (AzureCompute(cloud="azure", plan="flex"), 289 + 2 + 8),
    "gcp": (GcpCompute(cloud="gcp"), 5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_times_of_a_run(name: str) -> None:
    compute, function = FUNCTIONS[name]
    columns = table()
    assert times(1, compute) == Times(columns["create"], columns["delete"], query=4, extract=4, function=function)


def test_a_factor_is_on_all_of_them() -> None:
    tenth = times(0.5, AwsCompute(cloud="aws"))
    assert (tenth.creates[BUCKET], tenth.deletes[BUCKET]) == (1.0, 0.5)
    assert (tenth.query, tenth.extract, tenth.function) == (2.0, 2.0, 2.0)


# ---- who waits


def test_an_answer_comes_when_the_time_is_over() -> None:
    moments = Moments(10.0, 10.5)
    latency = moments.latency(1)
    assert lasting(latency, "create", BUCKET) == "made"
    assert moments.slept == [1.5]
    assert latency.waits() == [Wait(f"create {BUCKET}", 2.0)]


def test_work_that_took_longer_is_not_waited_for() -> None:
    moments = Moments(10.0, 12.5)
    assert lasting(moments.latency(1), "create", BUCKET) == "made"
    assert moments.slept == []


def test_the_factor() -> None:
    moments = Moments(0.0)
    latency = moments.latency(0.25)
    lasting(latency, "create", BUCKET)
    lasting(latency, "invoke", "azure-native:storage:listStorageAccountKeys")
    latency.wait("query", latency.now())
    assert moments.slept == [0.5, 0.5, 1.0]
    assert [wait.seconds for wait in latency.waits()] == [0.5, 0.5, 1.0]


def test_without_a_factor_nothing_waits_and_nothing_is_looked_up() -> None:
    assert AT_ONCE.is_none
    moments = Moments(0.0)
    latency = moments.latency(None)
    assert latency.wait("nothing that there is", latency.now()) is False
    assert latency.wait("nothing that there is", latency.now(), until=threading.Event()) is False
    assert (moments.slept, latency.waits()) == ([], [])


def test_a_failure_comes_at_once() -> None:
    async def fails() -> None:
        raise OSError("no")

    moments = Moments(0.0)
    latency = moments.latency(1)
    with pytest.raises(OSError, match=r"^no$"):
        asyncio.run(latency.lasting("create", BUCKET, fails))
    assert (moments.slept, latency.waits()) == ([], [])


@pytest.mark.parametrize(("kind", "token"), [("create", "aws:sqs/queue:Queue"), ("delete", "q"), ("invoke", BUCKET)])
def test_what_the_table_does_not_know_is_refused_before_it_is_done(kind: Any, token: str) -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(UnknownTimeError) as raised:
        asyncio.run(Moments(0.0).latency(1).lasting(kind, token, never))
    assert str(raised.value) == f"the rehearsal does not know how long this takes: {kind} {token} (latency.toml)"


def test_what_is_set_cuts_a_wait_short() -> None:
    cancelled = threading.Event()
    cancelled.set()
    latency = Moments(0.0).latency(1_000_000)
    assert latency.wait("query", latency.now(), until=cancelled) is True


def test_creates_take_their_time_side_by_side() -> None:
    """Each waits in a coroutine: the second begins while the first waits."""
    order = []

    async def both() -> None:
        going_on = asyncio.Event()

        async def pause(_seconds: float) -> None:
            order.append("waits")
            if len(order) == 2:
                going_on.set()
            await going_on.wait()

        latency = Latency(1, clock=lambda: 0.0, pause=pause)

        async def work() -> None:
            order.append("works")

        await asyncio.gather(*(latency.lasting("create", BUCKET, work) for _ in range(2)))

    asyncio.run(asyncio.wait_for(both(), 30))
    assert order == ["works", "waits", "works", "waits"]
