"""Finishing what a run could not: destroys what its journal says may exist, and asks the clouds what is left.

What a stack's state does not know (the CLI was killed, or the state is lost) is removed with the clouds' own clients.
"""

import os
import time
from contextlib import ExitStack
from functools import partial

from orchestrator import proof, pulumi_cli, surroundings
from orchestrator.clouds import ComputeCloud
from orchestrator.clouds.by_name import compute_cloud, data_cloud
from orchestrator.clouds.gcp import GoogleData
from orchestrator.console import Console
from orchestrator.engine import Backend, Stack, StackLockedError, stack_of
from orchestrator.errors import OrchestratorError
from orchestrator.home import Home
from orchestrator.journal import Journal
from orchestrator.phases import Phases
from orchestrator.settings import Settings
from orchestrator.stop import Stop
from orchestrator.teardown import Teardown
from stacks.naming import Names

_ENGINE_ENDS_SECONDS = 120.0
_ASK_AGAIN_SECONDS = 0.5


def recover(run_id: str, *, home: Home, console: Console) -> None:
    """Destroy the rest of a run whose process is gone. Safe to repeat.

    Raises:
        UsageError: there is no such run, or it may still be running.
        ResourcesRemainError: a cloud still holds something of it, or does not say.
    """
    journal = Journal.read(home.run_folder(run_id))
    if journal.entry.ended:
        return
    journal.refuse_if_running()
    settings, phases = Settings.model_validate(journal.entry.settings), Phases(console)
    with ExitStack() as entered:
        environment = entered.enter_context(surroundings.of_a_killed_run(settings, home, run_id))
        if environment is None:
            console.note("The stand-in clouds of this rehearsal have ended, and all that was in them is gone.")
            journal.end()
            home.tidy(run_id)
            return
        environment.leave_standing = True  # Until the clouds have said that nothing is left in them.
        entered.enter_context(environment.in_force())
        with phases.phase("Pulumi CLI") as detail:
            cli = pulumi_cli.find(home, detail, Stop())
        backend = Backend(journal.entry.backend_url, home.passphrase(os.environ))
        teardown = Teardown()
        for name, status in journal.entry.stacks.items():
            if status == "may exist":
                stack = stack_of(run_id, name, home=home, cli=cli, backend=backend)
                teardown.register(name, partial(_destroy, stack, journal, phases))
        failures = teardown.walk()
        data = data_cloud(settings, Names(run_id))
        compute = compute_cloud(settings, Names(run_id), source=environment.data_source)
        if not any(isinstance(failure, StackLockedError) for failure in failures):  # Nobody else is at work on it.
            with phases.phase("remove what the stacks left"):
                failures = _remove_rest(data, compute)
        with phases.phase("ask the clouds"):
            remaining = proof.ask(data, compute, run_id=run_id, failures=failures)
        proof.refuse(remaining, run_id=run_id, failures=failures)
        environment.leave_standing = False
        journal.end()
    home.tidy(run_id)
    if failures:
        raise failures[0]


def _remove_rest(data: GoogleData, compute: ComputeCloud) -> list[OrchestratorError]:
    """Remove with the clouds' own clients what a stack's state did not know; what failed."""
    failures = []
    for cloud in (data, compute):
        try:
            rest = cloud.remaining()
        except OrchestratorError as error:
            failures.append(error)
            continue
        for left in rest:
            try:
                cloud.remove(left)
            except OrchestratorError as error:
                failures.append(error)
    return failures


def _destroy(stack: Stack, journal: Journal, phases: Phases) -> None:
    """Destroy, once the killed run's engine is done: it finishes the creates that it had begun."""
    with phases.phase(f"destroy {stack.name} stack"):
        deadline = time.monotonic() + _ENGINE_ENDS_SECONDS
        while True:
            try:
                stack.destroy(lambda _event: None)
            except StackLockedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_ASK_AGAIN_SECONDS)
            else:
                break
        journal.stack(stack.name, "destroyed")
