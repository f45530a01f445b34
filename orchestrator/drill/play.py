"""One fault: a run, what is done to it, what clears up after it, and what is left then."""

import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from orchestrator import journal
from orchestrator.drill.child import Child
from orchestrator.drill.matrix import DONE, Fault
from orchestrator.drill.stage import Stage
from orchestrator.drill.verdict import Ended, Facts, judge
from orchestrator.rehearsal.control import ControlError
from orchestrator.rehearsal.faults import ResourceRule

# Until a command is taken for one that never ends; until what is being ended is gone.
_MOST_SECONDS, _GONE_SECONDS = 120.0, 5.0
_DONE = frozenset({DONE})
POLL_SECONDS = 0.02
# What hangs, or fails for good, is to be given up soon; should a healthy one of the same run be, too, no harm is done.
_UP_SOON = {"UP": 9.0, "GRACE": 2.0}
_CALL_SOON = {"CONNECT": 1.0, "CALL": 2.5, "CALL_WITH_RETRIES": 10.5}
_FUNCTION_SOON = {"FUNCTION_START": 2.0}


@dataclass(frozen=True)
class Outcome:
    """How a fault went. ``wrong`` is empty for a clean one, ``folder`` None; ``left`` is how much the clouds hold."""

    fault: Fault
    seconds: float
    wrong: list[str]
    left: int
    codes: dict[str, int | None]
    folder: Path | None


@dataclass
class Scene:
    """One fault on a stage, with a folder and a home of its own."""

    stage: Stage
    fault: Fault
    folder: Path
    home: Path
    facts: Facts = field(default_factory=Facts)
    _commands: dict[Child, tuple[list[Ended], frozenset[int] | None]] = field(default_factory=dict)

    def run(self) -> Child:
        """Start a run, to be disturbed."""
        options = self.stage.settings_for(self.fault.cloud, *self.fault.settings)
        return self._start("run", *options, into=self.facts.runs, expected=self.fault.ends)

    def recover(self, run_id: str, *options: str, expected: frozenset[int] = _DONE) -> Child:
        """Start the recovery of a run."""
        return self._start("recover", run_id, *options, into=self.facts.others, expected=expected)

    def sweep(self, run_id: str) -> Child:
        """Start to sweep away what a run left."""
        options = self.stage.settings_for(self.fault.cloud)
        return self._start("sweep", "--run", run_id, "--yes", *options, into=self.facts.others, expected=_DONE)

    def wait(self, command: Child) -> None:
        """Wait for a command's end, and keep how it ended; one that does not end is killed."""
        by_itself = command.wait(_MOST_SECONDS)
        if not by_itself:
            command.send(signal.SIGKILL)
            command.wait(_GONE_SECONDS)
        into, expected = self._commands[command]
        into.append(Ended(command.name, command.code if by_itself else None, command.said, expected))

    def until(self, command: Child, phase: str) -> bool:
        """Wait for a phase to begin; the fault has not happened when the command ends first."""
        begun = command.until(f"{phase}: started", _MOST_SECONDS)
        self.facts.happened = self.facts.happened and begun
        return begun

    def run_ids(self) -> list[str]:
        """The runs that have a journal."""
        return sorted(path.parent.name for path in (self.home / "runs").glob(f"*/{journal.FILE}"))

    def unfinished(self) -> list[str]:
        """The runs whose journals did not end."""
        return journal.unfinished(self.home / "runs")

    def wait_for_clis(self) -> None:
        """Wait until the CLIs that outlived their run have ended."""
        deadline = time.monotonic() + _MOST_SECONDS
        while self.stage.clis(self.home) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def processes(self) -> list[psutil.Process]:
        """What runs on of it, here or in the clouds."""
        return self.stage.clis(self.home) + self.stage.functions()

    def end_all(self) -> None:
        """Kill what is still there of it."""
        for command in self._commands:
            command.send(signal.SIGKILL)
            command.wait(_GONE_SECONDS)
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _start(self, command: str, *arguments: str, into: list[Ended], expected: frozenset[int] | None) -> Child:
        number = 1 + sum(started.name.startswith(command) for started in self._commands)
        name = command if number == 1 else f"{command} {number}"
        child = self.stage.start(
            name, command, *arguments, folder=self.folder, home=self.home, limits=_limits(self.fault)
        )
        self._commands[child] = into, expected
        return child


Play = Callable[[Scene], None]


def drill(stage: Stage, fault: Fault, play: Play) -> Outcome:
    """Let a fault happen, clear up, and say how it went. What a clean one left on the disk is removed.

    ``play`` starts the run, does to it what is to be done, and waits for its end.
    """
    started = time.monotonic()
    folder = stage.folder / f"{fault.number:03}"
    shutil.rmtree(folder, ignore_errors=True)
    scene = Scene(stage, fault, folder, stage.new_home(folder))
    facts = scene.facts
    try:
        stage.control.set_faults(fault.rules)
        play(scene)
        if fault.rules:
            facts.happened = facts.happened and all(stage.control.fired())
        facts.left_by_run = stage.control.census()
        stage.control.lift()
        for run_id in scene.unfinished():
            scene.wait(scene.recover(run_id))
        facts.left, facts.unfinished = stage.control.census(), scene.unfinished()
        facts.processes = _still_there(scene)
    except ControlError as error:
        facts.notes.append(f"the stand-in clouds are gone: {error}")
    finally:
        scene.end_all()
    wrong = judge(facts)
    if not wrong:
        shutil.rmtree(folder)
    return Outcome(
        fault,
        time.monotonic() - started,
        wrong,
        len(facts.left),
        {ended.name: ended.code for ended in (*facts.runs, *facts.others)},
        folder if wrong else None,
    )


def _limits(fault: Fault) -> dict[str, float]:
    """The deadlines that the fault waits for."""
    for rule in fault.rules:
        if isinstance(rule, ResourceRule):
            return _UP_SOON if rule.effect == "hangs" else {}
        if rule.effect == "hangs" or rule.times is None:
            return _CALL_SOON | (_FUNCTION_SOON if fault.where == "function" else {})
    return {}


def _still_there(scene: Scene) -> list[str]:
    """What runs of the run's processes, once those that are just ending had their time."""
    deadline = time.monotonic() + _GONE_SECONDS
    while processes := scene.processes():
        if time.monotonic() > deadline:
            return [_described(process) for process in processes]
        time.sleep(POLL_SECONDS)
    return []


def _described(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    return str(process.pid)
