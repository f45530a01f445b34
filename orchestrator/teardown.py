"""Undo: registered before anything is made, walked to the end whatever happens, and never done twice."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from orchestrator.errors import OrchestratorError


class Teardown:
    """Undo steps by name. They are independent of each other, so they run side by side."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def register(self, name: str, undo: Callable[[], None]) -> None:
        """Promise to undo: call this before the thing can exist. ``undo`` must accept that it never did."""
        self._steps[name] = _Step(undo)

    def undo(self, name: str) -> None:
        """Undo one thing now, because it is no longer needed; its failure is raised here and again by ``walk``."""
        self._steps[name].run()

    def walk(self) -> list[OrchestratorError]:
        """Undo all that is not undone yet, each step to its end; what failed."""
        threads = [threading.Thread(target=step.settle, daemon=True) for step in self._steps.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [step.failure for step in self._steps.values() if step.failure]


class _Step:
    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo = undo
        self._lock = threading.Lock()
        self._outcome: Future[None] = Future()
        self.failure: OrchestratorError | None = None

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

    def settle(self) -> None:
        """Like ``run``, but keep the failure for the end of the walk."""
        try:
            self.run()
        except OrchestratorError as error:
            self.failure = error
        except BaseException as error:  # noqa: BLE001 - one step's bug must not stop the walk, nor pass for success
            self.failure = OrchestratorError("Undo failed", details=f"{type(error).__name__}: {error}")
