"""Stand-in clouds that several runs share: they stand until their own process ends, whatever becomes of a run."""

import fcntl
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.background import spawn
from orchestrator.clouds import Environment
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.journal import command_line
from orchestrator.rehearsal import SCRATCH, announced, end, environment_of, last_words, stand, started, wanted
from orchestrator.rehearsal.control import READY
from orchestrator.settings import Settings
from orchestrator.stop import signals

_LOCK = "lock"
# All that clouds make in their folder.
_THEIRS = frozenset({READY, f"{READY}.new", _LOCK, SCRATCH, "log", "azure", "cloud-run", "functions", "gcloud"})


def keep_standing(folder: Path, settings: Settings, ready: Callable[[str], None]) -> None:
    """Let clouds stand in ``folder`` until a signal ends them; ``ready`` gets a line once they answer.

    Raises:
        UsageError: they cannot stand there.
        OrchestratorError: they ended by themselves.
    """
    if settings.mode == "live":
        raise UsageError(
            "Stand-in clouds are for a rehearsal", details='mode is "live"', resolution="name another config."
        )
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with signals() as arrived, _alone_in(folder), started(folder, settings, stay_seconds=0) as process:
            ready(
                f"Stand-in clouds stand in {folder}: use them with "
                f"--set {shlex.quote(f'rehearsal.clouds={folder}')}; Ctrl-C ends them."
            )
            spawn(process.wait).add_done_callback(lambda _: arrived.work_is_done())
            if arrived.wait() is None:
                raise OrchestratorError("The stand-in clouds ended by themselves", details=last_words(folder / "log"))
            end(process)
    except OSError as error:
        raise UsageError(
            f"Stand-in clouds cannot stand in {folder}", details=error.strerror, resolution="name another folder."
        ) from error


@contextmanager
def attached(folder: Path, settings: Settings) -> Iterator[Environment]:
    """The clouds that stand in the folder, for a run with these settings; they stay.

    Raises:
        UsageError: there are none, or they are not such as the run wants.
    """
    if not stand(folder):
        raise UsageError(
            f"No stand-in clouds stand in {folder}",
            details="rehearsal.clouds names that folder.",
            resolution=f"start them: `{command_line('clouds', str(folder))}`.",
        )
    _refuse_others(folder, settings)
    yield environment_of(folder, settings)


@contextmanager
def attached_if_there(folder: Path) -> Iterator[Environment | None]:
    """The clouds that stand in the folder, or None when they have ended, and all in them with them; they stay."""
    yield environment_of(folder) if stand(folder) else None


def _refuse_others(folder: Path, settings: Settings) -> None:
    """Clouds with another project, subscription, pace or other tables than the settings name are of no use."""
    names = {
        "project": "data.project",
        "tables": "rehearsal.tables",
        "subscription": "compute.subscription",
        "latency": "rehearsal.latency",
    }
    has_none = {"tables": "the synthetic sample", "latency": "none"}
    there, asked = announced(folder)["wanted"], wanted(settings)
    if settings.rehearsal.tables:
        asked["tables"] = str(Path(settings.rehearsal.tables).absolute())
    others = [
        f"{names[name]}: the run has {value}, they have {there[name] or has_none[name]}"
        for name, value in asked.items()
        if value is not None and str(value).lower() != str(there[name] or "").lower()
    ]
    if others:
        raise UsageError(
            f"The stand-in clouds in {folder} are not such as the run wants",
            details="\n".join(others),
            resolution=f"give the run their settings, or start other clouds: `{command_line('clouds', 'FOLDER')}`.",
        )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Take the folder, and remove what clouds that have ended left in it."""
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in _THEIRS)
    if strangers:
        raise UsageError(
            f"The folder {folder} is not empty",
            details=f"it holds {', '.join(strangers[:3])}{' and more' if len(strangers) > 3 else ''}.",  # noqa: PLR2004
            resolution="name an empty folder, or one that is not there yet.",
        )
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = stand(folder)
        except BlockingIOError:
            taken = True
        if taken:
            raise UsageError(
                f"Stand-in clouds stand in {folder} already",
                resolution=f"use them with --set rehearsal.clouds={folder}, or name another folder.",
            )
        for path in folder.iterdir():
            if path.name != _LOCK:
                _remove(path)
        yield


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    for inner in (path, *path.rglob("*")):
        if inner.is_dir() and not inner.is_symlink():
            inner.chmod(0o700)  # What a function was unpacked into is read-only.
    shutil.rmtree(path)
