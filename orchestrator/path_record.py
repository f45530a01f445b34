"""What a run's critical path is computed of, as it is seen: the stacks' resources, what was handed over, and when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator.critical_path import Handed, Resource, Step, Times, longest, step_name, steps_of_a_run
from orchestrator.engine import StackEvent
from orchestrator.phases import Phases
from orchestrator.report import CriticalPath, PathStep, seconds
from stacks.contracts import ComputeOutputs, DataOutputs, ExtractFile

_OPERATIONS = {"creating": "create", "created": "create", "deleting": "delete", "deleted": "delete"}


class PathRecord:
    """Filled by the run's threads. Until ``times`` is set, nothing is kept: there is no critical path to compute."""

    def __init__(self) -> None:
        self.times: Times | None = None
        self.reads_in_place = False
        self._stacks: dict[str, list[Resource] | None] = {}
        self._handed: dict[str, Handed] = {}
        self._began: dict[str, datetime] = {}
        self._ended: dict[str, datetime] = {}

    def handed(self, step: str, value: DataOutputs | ComputeOutputs | ExtractFile) -> None:
        """What a step, such as ``download``, handed over."""
        texts = frozenset(str(part) for part in vars(value).values() if isinstance(part, str | Path))
        self._handed[step] = Handed(texts, getattr(value, "needs", frozenset()))

    def stack(self, name: str, resources: Callable[[], list[Resource] | None]) -> None:
        """A stack that is up, before it is destroyed."""
        if self.times is not None:
            self._stacks[name] = resources()

    def event(self, event: StackEvent) -> None:
        """When the engine begins and ends something."""
        if self.times is not None and event.kind in _OPERATIONS:
            step = step_name(event.stack, _OPERATIONS[event.kind], event.type, event.name)
            moments = self._began if event.kind in {"creating", "deleting"} else self._ended
            moments[step] = datetime.fromtimestamp(event.time, UTC)

    def critical_path(self, phases: Phases) -> CriticalPath | None:
        """The path of a run that is done; None where it is not known what the clouds take, or what the stacks were."""
        stacks = {name: resources for name, resources in self._stacks.items() if resources is not None}
        if self.times is None or len(stacks) < len(self._stacks):
            return None
        self._add(phases)
        steps = longest(steps_of_a_run(stacks, self._handed, self.times, reads_in_place=self.reads_in_place))
        whole = sum(step.seconds for step in steps)
        return CriticalPath(
            seconds=whole,
            ratio=seconds(list(phases)) / whole,
            steps=[self._seen(step) for step in steps if step.name in self._ended],
        )

    def _add(self, phases: Phases) -> None:
        """The phases are steps, too; a stack's ends when it hands its outputs over, and takes no time by itself."""
        for phase in phases:
            if phase.started is not None:
                self._ended[phase.name] = phase.started + timedelta(seconds=phase.seconds)
                is_stack = phase.name in self._handed and phase.name != "download"
                self._began[phase.name] = self._ended[phase.name] if is_stack else phase.started

    def _seen(self, step: Step) -> PathStep:
        began, ended = self._began.get(step.name), self._ended[step.name]
        took = None if began is None else (ended - began).total_seconds()
        return PathStep(name=step.name, seconds=step.seconds, started=began, took=took)
