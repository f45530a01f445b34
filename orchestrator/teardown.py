"""Undo: registered before anything is made, walked to the end whatever happens, and never done twice."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from orchestrator.errors import OrchestratorError


class Teardown:
    """Undo steps by name. They are independent of each other, so they run side by side."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def register(self, name: str, undo: Callable[[], None], settle: Callable[[], None]) -> None:
        """Promise to undo: call this before the thing can exist. Both must accept that it never did.

        ``settle`` is for an undo that failed, once the thing is known to be gone all the same: it puts the books right.
        """
        self._steps[name] = _Step(undo, settle)

    def undo(self, name: str) -> None:
        """Undo one thing now, because it is no longer needed; its failure is raised here and again by ``walk``."""
        self._steps[name].run()

    def walk(self) -> list[OrchestratorError]:
        """Undo all that is not undone yet, each step to its end; what failed."""
        return _all_at_once(self._steps.values(), lambda step: step.run())

    def settle(self) -> list[OrchestratorError]:
        """After a walk: settle each step that failed; what failed then."""
        return _all_at_once([step for step in self._steps.values() if step.failed], lambda step: step.settle())


class _Step:
    def __init__(self, undo: Callable[[], None], settle: Callable[[], None]) -> None:
        self.settle = settle
        self._undo = undo
        self._lock = threading.Lock()
        self._outcome: Future[None] = Future()

    @property
    def failed(self) -> bool:
        return self._outcome.done() and self._outcome.exception() is not None

    def run(self) -> None:
        """The first caller undoes; others wait and get the same outcome."""
        with self._lock:
            if not self._outcome.done():
                try:
                    self._undo()
                    self._outcome.set_result(None)
                except BaseException as error:  # noqa: BLE001 - kept, and raised to every caller
                    self._outcome.set_exception(error)
        self._outcome.result()


def _all_at_once(steps: Iterable[_Step], do: Callable[[_Step], None]) -> list[OrchestratorError]:
    failures: dict[_Step, OrchestratorError] = {}

    def keep(step: _Step) -> None:
        try:
            do(step)
        except OrchestratorError as error:
            failures[step] = error
        except BaseException as error:  # noqa: BLE001 - one step's bug must not stop the others, nor pass for success
            failures[step] = OrchestratorError("Undo failed", details=f"{type(error).__name__}: {error}")

    steps = list(steps)
    threads = [threading.Thread(target=keep, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [failures[step] for step in steps if step in failures]
