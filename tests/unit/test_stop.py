"""Stopping: asked for once, heard everywhere, and the signals of the main thread."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from orchestrator.errors import InterruptedRunError, OrchestratorError
from orchestrator.stop import Stop, signals


def test_nothing_is_asked_at_first() -> None:
    stop = Stop()
    stop.check()
    assert not stop.requested.is_set()


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "The run was interrupted by SIGINT"),
        (signal.SIGTERM, 143, "The run was interrupted by SIGTERM"),
    ],
)
def test_a_signal(number: int, code: int, message: str) -> None:
    stop = Stop()
    stop.request(number)
    with pytest.raises(InterruptedRunError) as raised:
        stop.check()
    assert (raised.value.exit_code, str(raised.value)) == (code, message)


def test_a_part_that_failed() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(OrchestratorError) as raised:
        stop.check()
    assert (raised.value.exit_code, str(raised.value)) == (1, "Not done: another part of the run failed")


def test_only_the_first_request_counts() -> None:
    stop, told = Stop(), list[str]()
    stop.on_request(lambda: told.append("one"))
    stop.on_request(lambda: told.append("two"))
    assert told == []
    stop.request(signal.SIGTERM)
    stop.request(signal.SIGINT)
    stop.request()
    assert told == ["one", "two"]
    assert stop.signal_number == signal.SIGTERM
    stop.on_request(lambda: told.append("late"))
    assert told == ["one", "two", "late"]


def test_a_callback_may_look_at_the_stop() -> None:
    stop, told = Stop(), list[int | None]()
    stop.on_request(lambda: told.append(stop.signal_number if stop.requested.is_set() else None))
    stop.on_request(lambda: stop.request(signal.SIGINT))
    stop.request(signal.SIGTERM)
    assert told == [signal.SIGTERM]


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
def test_signals_arrive_in_order_and_the_handlers_come_back() -> None:
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = [signal.getsignal(number) for number in numbers]
    with signals() as arrived:
        for number in numbers:
            os.kill(os.getpid(), number)
        assert [arrived.wait() for _ in numbers] == numbers
        threading.Thread(target=arrived.work_is_done).start()
        assert arrived.wait() is None
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.usefixtures("hangup")
def test_under_nohup_a_closed_terminal_is_no_wish_to_stop() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals() as arrived:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert arrived.wait() == signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyError), signals():
        raise KeyError
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_another_thread_gets_wakes_the_main_thread() -> None:
    waiting = threading.Event()

    def be_signalled() -> None:
        waiting.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    other = threading.Thread(target=be_signalled)
    other.start()
    with signals() as arrived:
        waiting.set()
        assert arrived.wait() == signal.SIGINT
    other.join()
