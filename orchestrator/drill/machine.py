"""What goes wrong with the machine that a run is on: its files, its clock, its credentials, and other commands."""

import shutil
import signal
from collections.abc import Callable
from typing import Final

from orchestrator import journal
from orchestrator.drill import matrix
from orchestrator.drill.play import Play, Scene
from orchestrator.rehearsal.faults import CallRule, Cloud
from orchestrator.settings import DEFAULT_CONFIG

# A journal has a thousand bytes and more, the state of a stack some thousands; what the CLI says is less.
_NOTHING, _NO_STATE = 0, 3000
_HOUR_SECONDS = 3600.0


def _killed(scene: Scene, phase: str = "function") -> list[str]:
    """A run that is killed when a phase begins; the runs that then have a journal."""
    run = scene.run()
    scene.until(run, phase)
    run.send(signal.SIGKILL)
    scene.wait(run)
    scene.facts.happened = scene.facts.happened and bool(scene.run_ids())
    return scene.run_ids()


# ---- files


def _state_lost(scene: Scene) -> None:
    _killed(scene)
    scene.wait_for_clis()
    shutil.rmtree(scene.home / "state")


def _all_lost(scene: Scene) -> None:
    runs = _killed(scene)
    # Nobody will know of them any more, so nobody could wait for what they have begun.
    scene.wait_for_clis()
    for lost in ("state", "runs"):
        shutil.rmtree(scene.home / lost)
    for run_id in runs:
        scene.wait(scene.sweep(run_id))


def _torn(tear: Callable[[bytes], bytes]) -> Play:
    def play(scene: Scene) -> None:
        (run_id,) = _killed(scene, "compute stack")
        path = scene.home / "runs" / run_id / journal.FILE
        path.write_bytes(tear(path.read_bytes()))
        # It does not say any more in which clouds the run was: that is told, and its config then named.
        scene.wait(scene.recover(run_id, expected=frozenset({matrix.REMAIN})))
        options = ["--config", str(DEFAULT_CONFIG), *scene.stage.settings_for(scene.fault.cloud)]
        scene.wait(scene.recover(run_id, *options))

    return play


def _full(phase: str | None, most_bytes: int) -> Play:
    """From a phase on, or from the start, no file may be longer."""

    def play(scene: Scene) -> None:
        run = scene.run()
        if phase is None or scene.until(run, phase):
            run.limit_files(most_bytes)
        scene.wait(run)

    return play


# ---- clocks and credentials


def _expire(phase: str) -> Play:
    """From a phase on, the clouds take the caller's credentials no more, until they are new ones."""

    def play(scene: Scene) -> None:
        run = scene.run()
        if scene.until(run, phase):
            clouds: set[Cloud] = {"gcp", scene.fault.cloud}
            rules = [
                CallRule(cloud=cloud, method=method, path=".*", effect="expired", times=None)
                for cloud in sorted(clouds)
                for method in ("GET", "POST", "DELETE")
            ]
            scene.stage.control.set_faults(rules)
        scene.wait(run)
        scene.facts.happened = scene.facts.happened and any(scene.stage.control.fired())

    return play


def _shift(seconds: float) -> Play:
    def play(scene: Scene) -> None:
        run = scene.run()
        if scene.until(run, "query"):
            scene.stage.control.shift_clock(seconds)
        scene.wait(run)

    return play


# ---- other commands at the same time


def _two_runs(scene: Scene) -> None:
    for run in [scene.run(), scene.run()]:
        scene.wait(run)


def _beside(scene: Scene) -> None:
    """A recovery of a run that is alive is refused, and does it no harm."""
    run = scene.run()
    if scene.until(run, "compute stack"):
        scene.wait(scene.recover(scene.run_ids()[0], expected=frozenset({matrix.REFUSED})))
    scene.wait(run)


def _twice(scene: Scene) -> None:
    """Of two recoveries at once one may be refused."""
    (run_id,) = _killed(scene)
    for recovery in [scene.recover(run_id, expected=frozenset({matrix.DONE, matrix.REFUSED})) for _ in range(2)]:
        scene.wait(recovery)


def _killed_in_between(scene: Scene) -> None:
    (run_id,) = _killed(scene)
    recovery = scene.recover(run_id, expected=frozenset({matrix.KILLED}))
    scene.until(recovery, "destroy compute stack")
    recovery.send(signal.SIGKILL)
    scene.wait(recovery)


PLAYS: Final[dict[tuple[str, str], Play]] = {
    ("state lost", "then recover"): _state_lost,
    ("state lost", "with the journal, then sweep"): _all_lost,
    ("journal torn", "half of it"): _torn(lambda content: content[: len(content) // 2]),
    ("journal torn", "empty"): _torn(lambda _content: b""),
    ("journal torn", "no JSON"): _torn(lambda content: content[::-1]),
    ("disk full", "for the journal, from the start"): _full(None, _NOTHING),
    ("disk full", "for the journal, before the stacks"): _full("dry run", _NOTHING),
    ("disk full", "for the state"): _full("compute stack", _NO_STATE),
    ("credentials expire", "in the query"): _expire("query"),
    ("credentials expire", "before the function is called"): _expire("function"),
    ("credentials expire", "before the end"): _expire("destroy compute stack"),
    ("clock jumps", "an hour on"): _shift(_HOUR_SECONDS),
    ("clock jumps", "an hour back"): _shift(-_HOUR_SECONDS),
    ("two runs at once", "in one home"): _two_runs,
    ("recover", "beside a live run"): _beside,
    ("recover", "twice at once"): _twice,
    ("recover", "killed, and once more"): _killed_in_between,
}
"""By where and effect, as in the matrix."""
