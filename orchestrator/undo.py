"""The end of a run, and of a recovery: everything is destroyed, and the clouds are asked whether it is so.

    stacks destroyed -> the clouds asked what is left --> removed with their own clients, asked again, until nothing is
                                                      --> a stack whose destroy failed is told that nothing is left

What a stack's state does not know (the answer to a create was lost, the CLI was killed, the state is gone) only the
clouds know.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator import deadlines, proof
from orchestrator.clouds import ComputeCloud, Remaining
from orchestrator.clouds.gcp import GoogleData
from orchestrator.engine import StackLockedError
from orchestrator.errors import OrchestratorError
from orchestrator.phases import Phases
from orchestrator.teardown import Teardown

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Outcome:
    """What is left in the clouds, and what failed on the way."""

    remaining: list[Remaining]
    failures: list[OrchestratorError]


def undo(teardown: Teardown, data: GoogleData, compute: ComputeCloud, *, run_id: str, phases: Phases) -> Outcome:
    """Destroy all that is registered, remove what is left all the same, and ask.

    Raises:
        ResourcesRemainError: a cloud did not say what is left, so that nobody knows.
    """
    failures = teardown.walk()
    # Somebody else is at work on it: neither is it touched, nor is anything settled.
    locked = any(isinstance(failure, StackLockedError) for failure in failures)
    with phases.phase("ask the clouds") as detail:
        remaining = proof.ask(data, compute, run_id=run_id, failures=failures)
        refused: list[OrchestratorError] = []
        deadline, pauses = time.monotonic() + deadlines.SETTLE, iter(_PAUSES_SECONDS)
        while remaining and not locked:
            # Listings lag behind a delete: much of this may be gone, and removing it once more is fine.
            refused = _remove(remaining, detail)
            remaining = proof.ask(data, compute, run_id=run_id, failures=[*failures, *refused])
            if time.monotonic() > deadline:
                break
            if remaining:
                time.sleep(next(pauses, _PAUSES_SECONDS[-1]))
    if remaining or locked:
        return Outcome(list(remaining), [*failures, *refused])
    return Outcome([], teardown.settle())


def _remove(remaining: proof.Holders, detail: Callable[[str], None]) -> list[OrchestratorError]:
    """Remove with the clouds' own clients what they named; what failed."""
    refused = []
    for left, cloud in remaining.items():
        detail(f"removing {left.id}")
        try:
            cloud.remove(left)
        except OrchestratorError as error:
            refused.append(error)
    return refused
