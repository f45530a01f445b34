"""The proof that nothing is left: the clouds themselves are asked. A run's own bookkeeping proves nothing."""

from orchestrator.clouds import ComputeCloud, Remaining
from orchestrator.clouds.gcp import GoogleData
from orchestrator.errors import OrchestratorError, ResourcesRemainError
from orchestrator.journal import recovery_command

Holders = dict[Remaining, GoogleData | ComputeCloud]
"""What is left, and the side that named it and can remove it. Both sides may be on Google Cloud."""


def ask(data: GoogleData, compute: ComputeCloud, *, run_id: str, failures: list[OrchestratorError]) -> Holders:
    """What both clouds still hold of the run.

    Raises:
        ResourcesRemainError: a cloud did not answer, so that nobody knows.
    """
    try:
        return {left: cloud for cloud in (compute, data) for left in cloud.remaining()}
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
