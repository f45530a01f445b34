"""How a run is stopped: by a signal, or by one of its own threads that failed."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


class Arrivals:
    """What the main thread waits for: signals, and the end of the work.

    Python runs a signal's handler in the main thread, but a main thread that waits for a lock or a queue sleeps on when
    the system hands the signal to another thread. A byte in a pipe always wakes it
    (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd).
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # noqa: FBT003 - a signal's handler must not wait

    def wait(self) -> int | None:
        """The number of the next signal, or None when the work is done."""
        return self._reader.recv(1)[0] or None

    def work_is_done(self) -> None:
        """End the wait; called from the worker's thread."""
        self._writer.send(b"\0")

    def close(self) -> None:
        """Nobody waits any more."""
        self._reader.close()
        self._writer.close()


@contextmanager
def signals() -> Iterator[Arrivals]:
    """Catch the signals that ask a run to stop, as long as the block lasts. For the main thread only."""
    arrivals = Arrivals()
    # The terminal that closes is a wish to stop, too, but for those who said that it is none (nohup).
    hears_hangup = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    numbers = (*_SIGNALS, signal.SIGHUP) if hears_hangup else _SIGNALS
    wakeup = signal.set_wakeup_fd(arrivals._writer.fileno())  # noqa: SLF001 - its own module
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
    try:
        yield arrivals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        arrivals.close()
