"""Finishing what a run could not: destroys what its journal says may exist, and asks the clouds what is left."""

import os
from contextlib import ExitStack
from functools import partial

from pydantic import ValidationError

from orchestrator import engine, journal, proof, pulumi_cli, surroundings
from orchestrator.clouds import Environment
from orchestrator.clouds.by_name import compute_cloud, data_cloud
from orchestrator.console import Console
from orchestrator.engine import Backend, Stack, stack_name, stack_of
from orchestrator.errors import ResourcesRemainError
from orchestrator.home import Home
from orchestrator.journal import Entry, Journal, command_line
from orchestrator.phases import Phases
from orchestrator.settings import Settings
from orchestrator.stop import Stop
from orchestrator.teardown import Teardown
from orchestrator.undo import undo
from stacks.naming import Names, names_in


def recover(run_id: str, *, chosen: Settings | None, home: Home, console: Console) -> None:
    """Destroy the rest of a run whose process is gone. Safe to repeat, and to do twice at once.

    ``chosen`` are settings for a run whose journal does not have them: it is damaged, or on another machine, and the
    state is in the backend that they name.

    Raises:
        UsageError: there is no such run, or it may still be running.
        ResourcesRemainError: a cloud still holds something of it, or does not say, or nobody knows which cloud.
    """
    folder = home.run_folder(run_id)
    if chosen and chosen.backend and not (folder / journal.FILE).exists():
        journal.adopt(folder, settings=chosen.model_dump(mode="json"), backend_url=chosen.backend)
    with ExitStack() as entered:
        taken = entered.enter_context(journal.take_over(folder))
        settings = _settings(taken.entry, chosen)
        environment = entered.enter_context(surroundings.of_a_killed_run(settings, home, run_id))
        if environment is None:
            if taken.entry.settings is None and not (settings.rehearsal.clouds or (folder / "rehearsal").exists()):
                raise _no_clouds(run_id)
            console.note("The stand-in clouds of this rehearsal have ended, and all that was in them is gone.")
            for name in taken.entry.begun():
                _backend(taken.entry, settings, home).forget(stack_name(run_id, name))
            taken.end()
        else:
            entered.enter_context(environment.in_force())
            _finish(taken, settings, environment, home=home, console=console)
    home.tidy(run_id)


def unfinished(chosen: Settings | None, *, home: Home, console: Console) -> tuple[list[str], list[str]]:
    """The runs that did not end: of this machine, and, if ``chosen`` names a backend, those with a stack in there.

    First those to be recovered, then those that are, or may be, at work and are left alone.
    """
    found = set(journal.unfinished(home.root / "runs"))
    if chosen and chosen.backend:
        with Phases(console).phase("Pulumi CLI") as detail:
            cli = pulumi_cli.find(home, detail, Stop())
        backend = Backend(chosen.backend, home.passphrase(os.environ))
        stacks = engine.stacks_in(backend, cli=cli, home=home)
        found |= {named.run_id for name in stacks if (named := names_in(name)) and name.startswith(named.run_id)}
    left, at_work = [], []
    for run_id in sorted(found):
        folder = home.run_folder(run_id)
        if journal.is_live(folder):
            console.note(f"Run {run_id} is at work, and left alone.")
        elif journal.is_elsewhere(folder):
            console.note(f"Run {run_id} may be at work on another machine, and is left alone.")
        else:
            left.append(run_id)
            continue
        at_work.append(run_id)
    return left, at_work


def _finish(taken: Journal, settings: Settings, environment: Environment, *, home: Home, console: Console) -> None:
    entry, phases = taken.entry, Phases(console)
    run_id, names = entry.run_id, Names(entry.run_id)
    environment.leave_standing = True  # Until the clouds have said that nothing is left in them.
    teardown = Teardown()
    if entry.begun():
        with phases.phase("Pulumi CLI") as detail:
            cli = pulumi_cli.find(home, detail, Stop())
        backend = _backend(entry, settings, home)
        for name in entry.begun():
            stack = stack_of(run_id, name, home=home, cli=cli, backend=backend)
            teardown.register(name, partial(_destroy, stack, taken, phases), partial(_settle, stack, taken, phases))
    data = data_cloud(settings, names)
    compute = compute_cloud(settings, names, source=environment.data_source)
    outcome = undo(teardown, data, compute, run_id=run_id, phases=phases)
    proof.refuse(outcome.remaining, run_id=run_id, failures=outcome.failures)
    environment.leave_standing = False
    if outcome.failures:
        raise outcome.failures[0]
    taken.end()


def _backend(entry: Entry, settings: Settings, home: Home) -> Backend:
    ours = home.folder("state").as_uri()  # Made anew if it is lost: there are no stacks in it then.
    return Backend(entry.backend_url or settings.backend or ours, home.passphrase(os.environ))


def _settings(entry: Entry, chosen: Settings | None) -> Settings:
    """The journal's, whatever else is chosen: in other clouds there would be nothing of the run."""
    try:
        return Settings.model_validate(entry.settings)
    except ValidationError as error:
        if chosen:
            return chosen
        raise ResourcesRemainError(
            f"The journal of run {entry.run_id} does not say in which clouds it was",
            details="it is damaged, or of another version of this program.",
            resolution=f"name the run's config: `{command_line('recover', entry.run_id, '--config')} FILE`.",
        ) from error


def _no_clouds(run_id: str) -> ResourcesRemainError:
    """A run that had stand-in clouds of its own left their folder."""
    return ResourcesRemainError(
        f"It is not known whether anything of run {run_id} remains",
        details="its journal does not say in which clouds it was, and it had no stand-in clouds of its own.",
        resolution="name the config that it had, or the clouds: --set rehearsal.clouds=FOLDER.",
    )


def _destroy(stack: Stack, taken: Journal, phases: Phases) -> None:
    with phases.phase(f"destroy {stack.name} stack"):
        stack.destroy(lambda _event: None)
        taken.stack(stack.name, "destroyed")


def _settle(stack: Stack, taken: Journal, phases: Phases) -> None:
    with phases.phase(f"settle {stack.name} stack"):
        stack.settle(lambda _event: None)
        taken.stack(stack.name, "destroyed")
