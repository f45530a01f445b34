"""Which clouds a run talks to: the only place that asks for the mode."""

from contextlib import AbstractContextManager, nullcontext

from orchestrator import rehearsal
from orchestrator.clouds import LIVE, Environment
from orchestrator.errors import UsageError
from orchestrator.home import Home
from orchestrator.rehearsal import shared
from orchestrator.settings import Settings


def of_a_new_run(settings: Settings, home: Home, run_id: str) -> AbstractContextManager[Environment]:
    """The real clouds, stand-ins that are started now, or those that stand already."""
    if settings.mode == "live":
        return nullcontext(LIVE)
    if settings.rehearsal.clouds is not None:
        return shared.attached(settings.rehearsal.clouds, settings)
    folder = home.folder(f"runs/{run_id}/rehearsal")
    return rehearsal.clouds(folder, settings)


def of_a_sweep(settings: Settings) -> AbstractContextManager[Environment]:
    """The real clouds, or stand-ins that stand already: those of a run end with it, and all in them."""
    if settings.mode == "live":
        return nullcontext(LIVE)
    if settings.rehearsal.clouds is None:
        raise UsageError(
            "There is nothing to sweep in a rehearsal",
            details="its stand-in clouds, and all in them, end with the run, or half an hour after it was killed.",
            resolution="name a live config, or clouds that stand: --set rehearsal.clouds=FOLDER.",
        )
    return shared.attached(settings.rehearsal.clouds, settings)


def of_a_killed_run(settings: Settings, home: Home, run_id: str) -> AbstractContextManager[Environment | None]:
    """The real clouds, or the stand-ins that the run left standing; None when these have ended."""
    if settings.mode == "live":
        return nullcontext(LIVE)
    if settings.rehearsal.clouds is not None:
        return shared.attached_if_there(settings.rehearsal.clouds)
    return rehearsal.standing(home.run_folder(run_id) / "rehearsal")
