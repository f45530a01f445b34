"""The end of a run, and of a recovery: everything is destroyed, and the clouds are asked whether it is so.

    stacks destroyed -> the clouds asked what is left --> removed with their own clients, asked again, until nothing is
                                                      --> a stack whose destroy failed is told that nothing is left

What a stack's state does not know (the answer to a create was lost, the CLI was killed, the state is gone) only the
clouds know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator import proof
from orchestrator.clouds import ComputeCloud, Remaining
from orchestrator.clouds.gcp import GoogleData
from orchestrator.engine import StackLockedError
from orchestrator.errors import OrchestratorError
from orchestrator.phases import Phases
from orchestrator.teardown import Teardown


@dataclass(frozen=True)
class Outcome:
    """What is left in the clouds, and what failed on the way."""

    remaining: list[Remaining]
    failures: list[OrchestratorError]


def undo(
    teardown: Teardown,
    data: GoogleData,
    compute: ComputeCloud,
    *,
    run_id: str,
    phases: Phases,
    before: Sequence[OrchestratorError] = (),
) -> Outcome:
    """Destroy all that is registered, remove what is left all the same, and ask.

    Raises:
        ResourcesRemainError: a cloud did not say what is left, so that nobody knows; with what failed, and ``before``.
    """
    failures = teardown.walk()
    # Somebody else is at work on it: neither is it touched, nor is anything settled.
    locked = any(isinstance(failure, StackLockedError) for failure in failures)
    refused: list[OrchestratorError] = []
    with phases.phase("ask the clouds") as detail:
        remaining = proof.ask(data, compute, run_id=run_id, failures=[*before, *failures])
        if remaining and not locked:
            remaining, refused = proof.clear(
                remaining,
                lambda refused: proof.ask(data, compute, run_id=run_id, failures=[*before, *failures, *refused]),
                detail,
            )
    if remaining or locked:
        return Outcome(list(remaining), [*failures, *refused])
    return Outcome([], teardown.settle())
