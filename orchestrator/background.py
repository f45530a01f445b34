"""Work in threads, with plain futures for its outcome."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

from orchestrator.errors import OrchestratorError
from orchestrator.stop import Stop

T = TypeVar("T")


def unless_stopped(stop: Stop, work: Callable[[], T]) -> T:
    """The work's result, or an error at once when the run is stopped; the work is then left to its own end.

    Raises:
        InterruptedRunError: it was a signal that stopped the run.
    """
    stop.check()
    result = spawn(work)
    stop.on_request(lambda: fail(result, OrchestratorError("The run is stopping")))
    try:
        return result.result()
    except OrchestratorError:
        stop.check()
        raise


def spawn(work: Callable[[], T], result: "Future[T] | None" = None) -> "Future[T]":
    """Run in a thread that does not keep the process alive: the engine is known to hang after errors."""
    outcome: Future[T] = Future() if result is None else result

    def body() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - it is the future's
            fail(outcome, error)
        else:
            with suppress(InvalidStateError):  # A stop was faster.
                outcome.set_result(value)

    threading.Thread(target=body, daemon=True).start()
    return outcome


def fail(future: "Future[T]", error: BaseException) -> None:
    """Fail the future unless it has its outcome already."""
    with suppress(InvalidStateError):
        future.set_exception(error)
