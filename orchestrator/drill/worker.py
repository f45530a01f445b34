"""A process that lets one fault after another happen, on stand-in clouds of its own."""

import os
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from orchestrator.drill import machine, strikes
from orchestrator.drill.matrix import DONE, Fault
from orchestrator.drill.play import Outcome, Play, drill
from orchestrator.drill.stage import Stage, stage
from orchestrator.errors import OrchestratorError
from orchestrator.home import Home


def work(line: Connection, folder: Path, home: Home, number: int) -> None:
    """Take faults from ``line`` and give their outcomes back, until it closes; ``number`` is the worker's own.

    What keeps it from working at all (the stand-in clouds are not installed) it gives back as the error that it is. It
    ends early when a fault was not clean: the next one wants clouds in which nothing is.
    """
    # A Ctrl-C in the terminal is the drill's business, which then ends us; and what we started ends with us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    os.umask(0o077)
    try:
        with stage(folder, home, number) as ready:
            while True:
                outcome = _drill(ready, line.recv())
                line.send(outcome)
                if outcome.wrong:
                    return
    except OrchestratorError as error:
        line.send(error)
    except (EOFError, BrokenPipeError):
        return


def _drill(ready: Stage, fault: Fault) -> Outcome:
    """The outcome of a fault; before the first of a cloud, a run there that nothing disturbs says what is usual."""
    if fault.cloud not in ready.usual:
        ready.pack(fault.cloud)
        quiet = replace(fault, effect="nothing happens", rules=(), ends=frozenset({DONE}))
        outcome = drill(ready, quiet, strikes.undisturbed)
        if outcome.wrong:
            return replace(outcome, fault=fault, wrong=["without any fault: " + wrong for wrong in outcome.wrong])
        ready.usual[fault.cloud] = outcome.seconds
    return drill(ready, fault, play_of(fault))


def play_of(fault: Fault) -> Play:
    """What is done in it."""
    match fault.kind:
        case "phases":
            return strikes.struck
        case "kills":
            return strikes.killed
        case "machine":
            return machine.PLAYS[fault.where, fault.effect]
        case _:
            return strikes.undisturbed
