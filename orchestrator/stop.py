"""How a run is stopped: by a signal, or by one of its own threads that failed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from orchestrator.errors import InterruptedRunError, OrchestratorError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Asked for once, heard everywhere: ``requested`` is for waiting calls, callbacks are for what must be told."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.signal_number: int | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def request(self, signal_number: int | None = None) -> None:
        """Ask the run to stop creating. Only the first call counts."""
        with self._lock:
            if self.requested.is_set():
                return
            self.signal_number = signal_number
            self.requested.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def on_request(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when a stop is requested, at once if it has been."""
        with self._lock:
            self._callbacks.append(callback)
            late = self.requested.is_set()
        if late:
            callback()

    def check(self) -> None:
        """Raise if a stop was requested: called between steps that create something."""
        if not self.requested.is_set():
            return
        if self.signal_number is not None:
            name = signal.Signals(self.signal_number).name
            raise InterruptedRunError(self.signal_number, f"The run was interrupted by {name}")
        raise OrchestratorError("Not done: another part of the run failed")


@contextmanager
def signals() -> "Iterator[SimpleQueue[int | None]]":
    """A queue of the signals that arrive; None can be put on it to end a wait. For the main thread only."""
    arrived: SimpleQueue[int | None] = SimpleQueue()
    # The terminal that closes is a wish to stop, too, but for those who said that it is none (nohup).
    hears_hangup = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    numbers = (*_SIGNALS, signal.SIGHUP) if hears_hangup else _SIGNALS
    before = {number: signal.signal(number, lambda got, _frame: arrived.put(got)) for number in numbers}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
