"""The proof that nothing is left: the clouds themselves are asked. A run's own bookkeeping proves nothing."""

import time

from orchestrator.clouds import ComputeCloud, Remaining
from orchestrator.clouds.gcp import GoogleData
from orchestrator.errors import OrchestratorError, ResourcesRemainError
from orchestrator.journal import recovery_command

# Listings by tag lag behind a delete, on AWS for up to a minute.
_SETTLE_SECONDS = 60.0
_ASK_AGAIN_SECONDS = 1.0


def ask(data: GoogleData, compute: ComputeCloud, *, run_id: str, failures: list[OrchestratorError]) -> list[Remaining]:
    """What both clouds still hold of the run; waits for their listings to settle unless a destroy failed anyway.

    Raises:
        ResourcesRemainError: a cloud did not answer, so that nobody knows.
    """
    deadline = time.monotonic() + (0 if failures else _SETTLE_SECONDS)
    try:
        while True:
            remaining = list(dict.fromkeys([*data.remaining(), *compute.remaining()]))  # Both may be on Google Cloud.
            if not remaining or time.monotonic() >= deadline:
                return remaining
            time.sleep(_ASK_AGAIN_SECONDS)
    except OrchestratorError as error:
        raise ResourcesRemainError(
            "It is not known whether resources remain",
            details="\n".join(str(failure) for failure in (*failures, error)),
            resolution=f"run `{recovery_command(run_id)}`.",
        ) from error


def refuse(remaining: list[Remaining], *, run_id: str, failures: list[OrchestratorError]) -> None:
    """Raise ResourcesRemainError, with every id and the command that removes them, if anything remains."""
    if remaining:
        named = [f"{left.cloud} {left.kind}: {left.id}" for left in remaining]
        raise ResourcesRemainError(
            "1 resource remains" if len(remaining) == 1 else f"{len(remaining)} resources remain",
            details="\n".join([*(str(failure) for failure in failures), *named]),
            resolution=f"run `{recovery_command(run_id)}`.",
        )
