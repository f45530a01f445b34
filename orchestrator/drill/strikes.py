"""What is done to a run from outside, while it runs: signals, and deaths beside it."""

import json
import os
import signal
import time
from contextlib import suppress

import psutil

from orchestrator.drill import matrix
from orchestrator.drill.child import Child
from orchestrator.drill.matrix import Fault
from orchestrator.drill.play import POLL_SECONDS, Scene
from orchestrator.rehearsal.faults import Cloud

_STOPPING = "Stopping: what was made, if anything, is being destroyed. Once more to leave at once and leave it behind."
# Until the engine does something, or a signal is heard.
_SECONDS = 20.0
# On a machine that was busy and is no more, a run is over before its moment. The next is taken to be faster still: each
# of them is this part of the one before it.
_FASTER = (0.95, 0.9, 0.8, 0.6, 0.4)


def undisturbed(scene: Scene) -> None:
    """A run that nothing is done to; only the stand-in clouds may have been told something."""
    scene.wait(scene.run())


def struck(scene: Scene) -> None:
    """A run to which something is done when a phase begins."""
    run, phase = scene.run(), str(scene.fault.moment)
    if scene.until(run, phase):
        _strike(scene, run, phase)
    scene.wait(run)


def killed(scene: Scene) -> None:
    """A run that is killed after a part of the time that it usually takes."""
    usual, cloud = scene.stage.usual, scene.fault.cloud
    for part in _FASTER:
        run, started = scene.run(), time.monotonic()
        if run.wait(float(scene.fault.moment or 0) * usual[cloud]):
            usual[cloud] = part * (time.monotonic() - started)
        run.send(signal.SIGKILL)
        scene.wait(run)
        if run.code == matrix.KILLED:
            return
    scene.facts.happened = False


def _strike(scene: Scene, run: Child, phase: str) -> None:
    match scene.fault.effect:
        case matrix.TWO_SIGINTS:
            run.send(signal.SIGINT)
            # Two signals that come before the first is heard are one.
            if run.until(_STOPPING, _SECONDS):
                run.send(signal.SIGINT)
        case matrix.CLI_KILLED:
            at_work = phase not in matrix.ENGINE_RUNS or _engine_works(scene, run, phase)
            scene.facts.happened = at_work and _kill_cli(run, phase)
        case matrix.PLUGIN_KILLED:
            scene.facts.happened = _engine_works(scene, run, phase)
            scene.stage.control.kill_plugin(_plugin(scene.fault))
        case name:
            run.send(signal.Signals[name])


def _engine_works(scene: Scene, run: Child, phase: str) -> bool:
    """Wait until the engine creates, or destroys, the first resource of the phase's stack; whether it does."""
    kind = "deleting" if phase.startswith("destroy") else "creating"
    stack = "data" if "data" in phase else "compute"
    deadline = time.monotonic() + _SECONDS
    while run.runs() and time.monotonic() < deadline:
        for events in (scene.folder / "results").glob("*/events.jsonl"):
            for line in events.read_text().splitlines():
                with suppress(ValueError):  # The last one may be half written.
                    event = json.loads(line)
                    if (event["stack"], event["kind"]) == (stack, kind):
                        return True
        time.sleep(POLL_SECONDS)
    return False


def _kill_cli(run: Child, phase: str) -> bool:
    """Kill the CLI that works on the phase's stack, or else the next that runs; whether there was one."""
    stack = "-data" if "data" in phase else "-compute" if "compute" in phase else ""
    deadline = time.monotonic() + _SECONDS
    while run.runs() and time.monotonic() < deadline:
        for cli in run.clis():
            with suppress(psutil.Error, ProcessLookupError):
                if any(word.endswith(stack) for word in cli.cmdline()):
                    os.kill(cli.pid, signal.SIGKILL)
                    return True
        time.sleep(POLL_SECONDS)
    return False


def _plugin(fault: Fault) -> Cloud:
    """The data stack is on Google Cloud, whatever the compute stack is on."""
    return "gcp" if "data" in fault.where else fault.cloud
