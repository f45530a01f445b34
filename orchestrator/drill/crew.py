"""The workers of a drill, and who gives them their faults."""

import multiprocessing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from orchestrator.drill.matrix import Fault
from orchestrator.drill.play import Outcome
from orchestrator.drill.worker import work
from orchestrator.errors import OrchestratorError
from orchestrator.home import Home

_END_SECONDS = 60.0


@dataclass
class _Worker:
    process: SpawnProcess
    line: Connection
    fault: Fault

    def end(self) -> None:
        """Let it end its clouds and what it started; it is idle, or is told to leave its fault."""
        self.line.close()
        self.process.join(_END_SECONDS)
        if self.process.is_alive():
            self.process.kill()


def drill(faults: Iterable[Fault], *, workers: int, folder: Path, home: Home, each: Callable[[Outcome], None]) -> None:
    """Let all the faults happen, ``workers`` of them at a time; ``each`` gets the outcomes as they come.

    Whatever ends it, a KeyboardInterrupt for one: all that was started is ended.

    Raises:
        OrchestratorError: a worker cannot work here at all.
    """
    todo, numbers = iter(faults), count()
    busy: dict[Connection, _Worker] = {}

    def hire(fault: Fault) -> None:
        line, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=work, args=(theirs, folder, home, next(numbers)))
        process.start()
        theirs.close()
        line.send(fault)
        busy[line] = _Worker(process, line, fault)

    try:
        for _, fault in zip(range(workers), todo, strict=False):
            hire(fault)
        while busy:
            for line in wait(list(busy)):
                worker = busy[line]  # type: ignore[index]
                outcome = _outcome(worker)
                each(outcome)
                following = next(todo, None)
                if following and not outcome.wrong:
                    worker.fault = following
                    worker.line.send(following)
                    continue
                busy.pop(worker.line).end()
                if following:
                    hire(following)
    finally:
        for worker in busy.values():
            worker.process.terminate()
        for worker in busy.values():
            worker.end()


def _outcome(worker: _Worker) -> Outcome:
    """How its fault went; raises what keeps it from working."""
    try:
        answer: Outcome | OrchestratorError = worker.line.recv()
    except (EOFError, ConnectionError):
        return Outcome(worker.fault, 0.0, ["the drill's worker ended: see what it said"], 0, {}, None)
    if isinstance(answer, OrchestratorError):
        raise answer
    return answer
