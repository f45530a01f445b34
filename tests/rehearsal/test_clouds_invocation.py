"""Asking a function: again while its service is busy or cannot be reached, and never when it took too long."""

import threading
from collections.abc import Callable, Iterator

import pytest

from orchestrator import deadlines
from orchestrator.clouds import invocation
from orchestrator.clouds.invocation import FunctionError, get
from orchestrator.rehearsal.faults import CallRule, Faults
from orchestrator.rehearsal.faulty_calls import everybody, faulty
from orchestrator.rehearsal.front_door import Answer, Listener, Request

Answering = Callable[..., tuple[str, list[Request]]]


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invocation, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A function's URL that answers these in turn, and what it was asked; it first resets so many connections."""
    listeners: list[Listener] = []

    def start(*answers: Answer | Callable[[], Answer], resets: int = 0) -> tuple[str, list[Request]]:
        asked: list[Request] = []

        def answer(request: Request) -> Answer:
            asked.append(request)
            given = answers[len(asked) - 1]
            return given if isinstance(given, Answer) else given()

        faults = Faults()
        faults.set([CallRule(cloud="gcp", method="GET", path="/", effect="refused", times=resets)] if resets else [])
        listeners.append(Listener(answer, around=faulty(faults, "gcp", everybody)))
        return listeners[-1].url, asked

    yield start
    for listener in listeners:
        listener.close()


OK, BUSY, THROTTLED = Answer(200, {}, b"hail"), Answer(503, {}, b"busy"), Answer(429, {}, b"slowly")


def test_a_service_that_is_busy_is_asked_again(answering: Answering) -> None:
    url, asked = answering(BUSY, THROTTLED, BUSY, OK)
    assert get(url, {"X-Key": "key"}, timeout=1).content == b"hail"
    assert [request.headers["x-key"] for request in asked] == ["key"] * 4


def test_a_service_that_resets_the_connection_is_asked_again(answering: Answering) -> None:
    url, asked = answering(OK, resets=3)
    assert get(url, {}, timeout=1).content == b"hail"
    assert len(asked) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 500, 502])
def test_another_failure_is_the_answer(answering: Answering, status: int) -> None:
    url, asked = answering(Answer(status, {}, b""))
    assert get(url, {}, timeout=1).status_code == status
    assert len(asked) == 1


def test_one_that_says_when_to_ask_again_is_left_to_the_caller(answering: Answering) -> None:
    url, asked = answering(Answer(503, {"Retry-After": "1"}, b""))
    assert get(url, {}, timeout=1).status_code == 503
    assert len(asked) == 1


def test_a_service_that_stays_busy(answering: Answering) -> None:
    url, asked = answering(*[BUSY] * 4)
    assert get(url, {}, timeout=1).status_code == 503
    assert len(asked) == 4


def test_a_service_that_cannot_be_reached(answering: Answering) -> None:
    url, asked = answering(resets=4)
    with pytest.raises(FunctionError, match=r"^The function did not answer\n"):
        get(url, {}, timeout=1)
    assert asked == []


def test_a_function_that_takes_too_long_is_not_asked_again(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "FUNCTION_START", 0.0)
    told = threading.Event()

    def wait() -> Answer:
        told.wait(60)
        return OK

    url, asked = answering(wait)
    with pytest.raises(FunctionError, match="Read timed out"):
        get(url, {}, timeout=0.05)
    told.set()
    assert len(asked) == 1
