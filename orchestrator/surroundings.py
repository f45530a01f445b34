"""Which clouds a run talks to: the only place that asks for the mode."""

from contextlib import AbstractContextManager, nullcontext

from orchestrator import rehearsal
from orchestrator.clouds import LIVE, Environment
from orchestrator.home import Home
from orchestrator.settings import Settings


def of_a_new_run(settings: Settings, home: Home, run_id: str) -> AbstractContextManager[Environment]:
    """The real clouds, or stand-ins that are started now."""
    if settings.mode == "live":
        return nullcontext(LIVE)
    folder = home.folder(f"runs/{run_id}/rehearsal")
    return rehearsal.clouds(folder, settings)


def of_a_killed_run(settings: Settings, home: Home, run_id: str) -> AbstractContextManager[Environment | None]:
    """The real clouds, or the stand-ins that the run left standing; None when these have ended."""
    if settings.mode == "live":
        return nullcontext(LIVE)
    return rehearsal.standing(home.run_folder(run_id) / "rehearsal")
