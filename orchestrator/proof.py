"""The proof that nothing is left: the clouds themselves are asked. A run's own bookkeeping proves nothing."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeVar

from orchestrator import deadlines
from orchestrator.background import spawn
from orchestrator.clouds import ComputeCloud, Remaining
from orchestrator.clouds.gcp import GoogleData
from orchestrator.errors import OrchestratorError, ResourcesRemainError
from orchestrator.journal import recovery_command
from orchestrator.report import visible

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)


class Holder(Protocol):
    """A part of a cloud that named something, and can remove it."""

    def remove(self, left: Remaining) -> None:
        """Remove it with the cloud's own client; what is gone already is fine."""


H = TypeVar("H", bound=Holder)
Holders = Mapping[Remaining, GoogleData | ComputeCloud]
"""What is left, and the side that named it and can remove it. Both sides may be on Google Cloud."""


def clear(
    left: Mapping[Remaining, H],
    ask_again: Callable[[list[OrchestratorError]], Mapping[Remaining, H]],
    detail: Callable[[str], None],
) -> tuple[Mapping[Remaining, H], list[OrchestratorError]]:
    """Remove what is left, and ask again, until nothing is left; (what is left, what was refused).

    Until a minute after the first round of removals, which may itself take minutes.

    Listings lag behind a delete: much of what they name may be gone, and removing it once more is fine. ``ask_again``
    gets what was refused so far, for its own failure.
    """
    deadline, pauses = None, iter(_PAUSES_SECONDS)
    while True:
        refused = []
        for one, holder in left.items():
            detail(f"removing {visible(one.id)}")
            try:
                holder.remove(one)
            except OrchestratorError as error:
                refused.append(error)
        deadline = deadline or time.monotonic() + deadlines.SETTLE
        left = ask_again(refused)
        if not left or time.monotonic() > deadline:
            return left, refused
        time.sleep(next(pauses, _PAUSES_SECONDS[-1]))


def ask(data: GoogleData, compute: ComputeCloud, *, run_id: str, failures: list[OrchestratorError]) -> Holders:
    """What both clouds still hold of the run.

    Raises:
        ResourcesRemainError: a cloud did not answer, so that nobody knows.
    """
    asked = [(cloud, spawn(cloud.remaining)) for cloud in (compute, data)]
    try:
        return {left: cloud for cloud, answer in asked for left in answer.result()}
    except OrchestratorError as error:
        raise ResourcesRemainError(
            "It is not known whether resources remain",
            details="\n".join(str(failure) for failure in (*failures, error)),
            resolution=f"run `{recovery_command(run_id)}`.",
        ) from error


def refuse(remaining: list[Remaining], *, run_id: str, failures: list[OrchestratorError]) -> None:
    """Raise ResourcesRemainError, with every id and the command that removes them, if anything remains."""
    if remaining:
        raise still_there(remaining, failures, resolution=f"run `{recovery_command(run_id)}`.")


def still_there(
    left: Collection[Remaining], failures: list[OrchestratorError], *, resolution: str
) -> ResourcesRemainError:
    """The error that names what is left, after what failed."""
    named = [f"{one.cloud} {one.kind}: {one.id}" for one in left]
    return ResourcesRemainError(
        "1 resource remains" if len(left) == 1 else f"{len(left)} resources remain",
        details="\n".join([*(str(failure) for failure in failures), *named]),
        resolution=resolution,
    )
