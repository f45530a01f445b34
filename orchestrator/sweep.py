"""Removing what any run left in the clouds: no journal and no state is needed, the clouds alone are asked.

Only what is named as a run names it is removed, and only once nobody can need it any more. What has but a tag of ours
is told, and left alone: anybody may set a tag, and some tools copy them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestrator import journal, proof, surroundings
from orchestrator.clouds import Leftovers, Remaining
from orchestrator.clouds.by_name import Part, parts
from orchestrator.console import Console
from orchestrator.errors import OrchestratorError, ResourcesRemainError, UsageError
from orchestrator.home import Home
from orchestrator.phases import Phases
from orchestrator.report import visible
from orchestrator.settings import Settings
from stacks.naming import Names

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Wanted:
    """What is to be swept: ``run_id``, whatever its age, or (None) all runs that are ``older_than`` so many seconds.

    ``command`` sweeps it for good. ``yes`` says that this is it; else nothing is removed.
    """

    run_id: str | None
    older_than: int
    command: str
    yes: bool


@dataclass(frozen=True)
class _Found:
    """Something that a run left; ``kept`` is why it is not removed, empty if it is."""

    left: Remaining
    run_id: str | None
    kept: str
    where: Leftovers


def sweep(
    wanted: Wanted, settings: Settings, *, home: Home, console: Console, say: Callable[[str], None], now: datetime
) -> bool:
    """Say what is left, and, if that is wanted, remove it and ask again; whether something is still to be removed.

    ``say`` gets the findings.

    Raises:
        UsageError: the run is at work.
        OrchestratorError: a cloud that the config names did not answer; a ResourcesRemainError if it was to be swept.
        ResourcesRemainError: something is still there.
    """
    if wanted.run_id and journal.is_live(home.run_folder(wanted.run_id)):
        raise UsageError(
            f"Run {wanted.run_id} is at work on this machine, and destroys by itself what it makes",
            resolution="wait for it, or end it, and try again.",
        )
    phases = Phases(console)
    with surroundings.of_a_sweep(settings) as environment, environment.in_force():
        try:
            with phases.phase("ask the clouds"):
                asked = _answering(parts(settings), wanted.run_id, console)
                found = _judged(asked, wanted, home, now)
        except OrchestratorError as error:
            if wanted.yes:
                raise _unknown([error], wanted) from error
            raise
        places = "; ".join(where.place for where in asked)
        if found:
            say(_table(found, now))
        chosen = [one for one in found if not one.kept]
        if not wanted.yes:
            say(_summary(found, places) + (f" To remove: {wanted.command}" if chosen else ""))
            return bool(chosen)
        if chosen:
            with phases.phase("remove what is left") as detail:
                _empty(chosen, wanted, detail)
        say(_summary([one for one in found if one.kept], places))
        return False


def _answering(all_parts: Iterable[Part], run_id: str | None, console: Console) -> dict[Leftovers, list[Remaining]]:
    """What the clouds hold, of those that answer; the config's own must."""
    answers: dict[Leftovers, list[Remaining]] = {}
    for part in all_parts:
        try:
            where = part.open()
            answers[where] = where.find(run_id)
        except OrchestratorError as error:
            if part.configured:
                raise
            why = (error.details or error.brief).splitlines()[0]
            console.note(f"Not asked: {part.cloud}, which the config does not name: {why}")
    return answers


def _judged(answers: dict[Leftovers, list[Remaining]], wanted: Wanted, home: Home, now: datetime) -> list[_Found]:
    judged: dict[Remaining, _Found] = {}  # A bucket is seen from both sides of Google Cloud.
    for where, remaining in answers.items():
        for left in remaining:
            run_id = where.run_of(left)
            judged.setdefault(left, _Found(left, run_id, _kept(run_id, wanted, home, now), where))
    return list(judged.values())


def _kept(run_id: str | None, wanted: Wanted, home: Home, now: datetime) -> str:
    """Why something of a run is not removed."""
    if run_id is None:
        return "stays: no run made it"
    if wanted.run_id is None and _age(run_id, now) < wanted.older_than:
        return f"stays: younger than {_shown(wanted.older_than)}"
    return "stays: its run is at work" if journal.is_live(home.run_folder(run_id)) else ""


def _empty(chosen: list[_Found], wanted: Wanted, detail: Callable[[str], None]) -> None:
    """Remove, and ask again, until nothing of these runs is left: listings by tag lag behind a delete."""
    runs, places = {one.run_id for one in chosen}, list(dict.fromkeys(one.where for one in chosen))

    def ask_again(refused: list[OrchestratorError]) -> dict[Remaining, Leftovers]:
        try:
            return {one: where for where in places for one in where.find(wanted.run_id) if where.run_of(one) in runs}
        except OrchestratorError as error:
            raise _unknown([*refused, error], wanted) from error

    left, failures = proof.clear({one.left: one.where for one in chosen}, ask_again, detail)
    if left:
        again = f"run `{wanted.command}` once more, or remove them in the cloud's console."
        raise proof.still_there(left, failures, resolution=again)


def _unknown(failures: list[OrchestratorError], wanted: Wanted) -> ResourcesRemainError:
    return ResourcesRemainError(
        "It is not known whether resources remain",
        details="\n".join(str(failure) for failure in failures),
        resolution=f"run `{wanted.command}` once more.",
    )


def _summary(found: list[_Found], places: str) -> str:
    kept = [one for one in found if one.kept]
    stays = "" if not kept else ", and stays" if len(kept) == len(found) else f", {len(kept)} of it to stay"
    young = any("younger" in one.kept for one in kept)
    hint = " What a run left that is over, --run RUN removes whatever its age." if young else ""
    return f"{len(found)} left in {places}{stays}.{hint}"


def _table(found: list[_Found], now: datetime) -> str:
    """One line each, in columns; what a name could do to a terminal is spelled out."""
    rows = [("cloud", "kind", "id", "run", "age", "")]
    for one in found:
        run, age = (one.run_id, _shown(_age(one.run_id, now))) if one.run_id else ("-", "-")
        cells = (one.left.cloud, one.left.kind, one.left.id, run, age, one.kept)
        rows.append(tuple(visible(cell).replace("\n", "\\n") for cell in cells))  # type: ignore[arg-type]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _age(run_id: str, now: datetime) -> int:
    return int((now - Names(run_id).started).total_seconds())


def _shown(seconds: int) -> str:
    """In the two largest units: ``1 d 3 h``, ``1 h``, ``5 min``."""
    if seconds < 0:
        return "in the future"
    for large, small, names in ((_DAY, _HOUR, ("d", "h")), (_HOUR, _MINUTE, ("h", "min")), (_MINUTE, 1, ("min", "s"))):
        if seconds >= large:
            rest = seconds % large // small
            return f"{seconds // large} {names[0]}" + (f" {rest} {names[1]}" if rest else "")
    return f"{seconds} s"
