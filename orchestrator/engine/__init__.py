"""The Pulumi engine: one stack up, one stack down. Nothing outside this folder imports ``pulumi.automation``."""

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from pulumi import automation
from pulumi.automation import errors as automation_errors
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent

from orchestrator import deadlines, transient
from orchestrator.critical_path import Resource
from orchestrator.engine.admission import held
from orchestrator.engine.backend import PROJECT, Backend
from orchestrator.engine.command import Command, environment
from orchestrator.engine.events import StackEvent, resource, stack_event
from orchestrator.engine.sdk import SdkStack, SdkWorkspace
from orchestrator.errors import OrchestratorError
from orchestrator.home import Home
from orchestrator.processes import command_line_of, is_alive
from orchestrator.pulumi_cli import Cli

__all__ = ["Backend", "Stack", "StackError", "StackEvent", "StackLockedError", "stack_name", "stack_of", "stacks_in"]

# Slow clouds, few resources: never wait for a free slot (the engine's default is four a core).
_PARALLEL = 32
_ASK_AGAIN_SECONDS = 0.5
_UNREADABLE = "failed to load checkpoint"
_TORN = "unexpected end of JSON input"
# What the engine says of the stack after each resource has said why.
_NO_NEWS = frozenset({"update failed", "preview failed"})
# When a resource fails, the engine ends before the SDK's server has told it so; that server's traceback of the broken
# connection would fill the terminal. What failed comes in the engine's events.
logging.getLogger("grpc._server").setLevel(logging.CRITICAL)


class StackError(OrchestratorError):
    """The engine could not bring a stack up or down."""


class StackLockedError(StackError):
    """Another process works on the stack, or died while it did."""

    _HOLDER = re.compile(r"created by \S*@(?P<host>\S+) \(pid (?P<pid>\d+)\)")

    @property
    def holder(self) -> int | None:
        """The process id of the CLI that holds the lock, alive or not; None if it was on another machine."""
        holder = self._HOLDER.search(self.details or "")
        return int(holder["pid"]) if holder is not None and holder["host"] == socket.gethostname() else None


class Stack:
    """One stack of one run: brought up once, destroyed once. Its folder holds its project file and raw logs."""

    def __init__(self, run_id: str, name: str, *, folder: Path, cli: Cli, backend: Backend, pulumi_home: Path) -> None:
        self.name = name
        self._stack_name = stack_name(run_id, name)
        self._backend = backend
        self._folder = folder
        self._command = Command(cli, environment(os.environ, backend, pulumi_home), folder)
        self._pulumi_home = pulumi_home

    def up(
        self,
        program: Callable[[], None],
        on_event: Callable[[StackEvent], None],
        *,
        after: "Future[None] | None" = None,
    ) -> None:
        """Create the stack's resources. ``on_event`` is called in the engine's thread: it must only queue.

        The engine and the program start at once, and make nothing before ``after`` has a result.

        Raises:
            StackError: with what each resource that failed said.
        """
        failures: list[str] = []
        try:
            made = self._command.is_known and self._backend.begin(self._stack_name)
            stack = self._open(held(program, after) if after else program, select=made)
            stack.up(parallel=_PARALLEL, on_event=self._translate(on_event, failures), color="never")
        except automation_errors.CommandError as error:
            raise self._error(f"The {self.name} stack did not come up", failures) from error

    def interrupt(self) -> None:
        """Stop creating: what is in flight finishes and is recorded. Safe to call at any time, from any thread."""
        self._command.interrupt()

    def destroy(self, on_event: Callable[[StackEvent], None], *, after: threading.Event | None = None) -> None:
        """Destroy what the state holds and remove the stack; what is not there is fine.

        The engine starts at once, and deletes nothing before ``after`` is set; should this process be killed meanwhile,
        the engine goes on. A cloud that is busy is asked again. A killed run's CLI is waited for: it finishes the
        creates that it began.

        Raises:
            StackLockedError: another machine works on the stack.
            StackError: something is left, or may be (a create whose outcome the engine does not know).
        """
        self._unlocked(lambda: self._patiently(lambda: self._destroy(on_event, after)))

    def settle(self, on_event: Callable[[StackEvent], None]) -> None:
        """Remove a stack that could not be destroyed, once nothing of it is left: its state is told so.

        A state that was cut off when the disk was full, or the CLI killed, is forgotten.

        Raises:
            StackError: there is something of it, or its state cannot be read, in a backend that is not a folder.
        """
        try:
            self._unlocked(lambda: self._patiently(lambda: self._settle(on_event)))
        except StackError as error:
            if _UNREADABLE not in (error.details or "") or not self._backend.forget(self._stack_name):
                raise

    def resources(self) -> list[Resource] | None:
        """The stack's resources, as the engine keeps them between ``up`` and ``destroy``.

        None where that takes the CLI, for which nobody should have to wait.
        """
        deployment = self._backend.deployment(self._stack_name)
        return None if deployment is None else [resource(state) for state in deployment.get("resources") or ()]

    def beside(self) -> list[str]:
        """The names of all stacks in the same backend."""
        with self._translated("The stacks in the backend cannot be listed", []):
            listed = self._workspace(_no_program).list_stacks()
        return [stack.name.rpartition("/")[2] for stack in listed]

    def _patiently(self, work: Callable[[], None]) -> None:
        for pause in transient.PAUSES_SECONDS:
            try:
                return work()
            except StackLockedError:
                raise
            except StackError as error:
                said = error.details or ""
                if _UNREADABLE in said or not transient.passes(said):
                    raise
                time.sleep(pause)
        return work()

    def _unlocked(self, work: Callable[[], None]) -> None:
        """Do the work once nobody else is at it: a lock ends with the process that holds it."""
        deadline, cancelled = None, None
        while True:
            try:
                return work()
            except StackLockedError as error:
                holder = error.holder
                if holder is None or holder == cancelled:
                    raise
                deadline = deadline or time.monotonic() + deadlines.LOCK
                late, command_line = time.monotonic() > deadline, command_line_of(holder)
                if not is_alive(holder):
                    self._cancel()
                    cancelled = holder
                elif self._stack_name in command_line and not late:
                    self._command.ask_to_stop(holder)  # Its run is gone: it need not begin anything any more.
                elif self._stack_name in command_line:
                    with suppress(ProcessLookupError):
                        os.kill(holder, signal.SIGKILL)
                elif command_line or late:  # Without one, it is about to end.
                    raise  # The number is another process's by now, or the lock another machine's of the same name.
            except StackError as error:
                if _TORN not in (error.details or "") or not self._backend.drop_torn_locks(self._stack_name):
                    raise
            time.sleep(_ASK_AGAIN_SECONDS)

    def _cancel(self) -> None:
        with self._translated(f"The {self.name} stack was not unlocked", []):
            self._open(_no_program, select=True).cancel()

    def _destroy(self, on_event: Callable[[StackEvent], None], after: threading.Event | None = None) -> None:
        failures: list[str] = []
        with self._translated(f"The {self.name} stack was not destroyed", failures):
            stack = self._open(_no_program, select=True)
            # A destroy "succeeds" with creates pending, and removing the stack would then forget them. (A stack that
            # still has resources the CLI itself does not remove.) Where the state can be read beforehand, one command
            # does it all: each is a process, and the end of a run waits for them.
            stack.removes = self._backend.is_settled(self._stack_name)
            with self._command.held(after) if after else nullcontext():
                stack.destroy(
                    parallel=_PARALLEL,
                    on_event=self._translate(on_event, failures),
                    continue_on_error=True,
                    color="never",
                )
            if not stack.removes:
                pending = (stack.export_stack().deployment or {}).get("pending_operations") or []
                if pending:
                    failures += [f"{operation['resource']['urn']}: {operation['type']}" for operation in pending]
                    raise self._error(f"The {self.name} stack has operations whose outcome is unknown", failures)
                stack.workspace.remove_stack(stack.name)
        self._backend.tidy(self._stack_name)  # Also of a stack that a killed run's CLI has removed meanwhile.

    def _settle(self, on_event: Callable[[StackEvent], None]) -> None:
        failures: list[str] = []
        with self._translated(f"The {self.name} stack was not settled", failures):
            self._open(_no_program, select=True).refresh(
                parallel=_PARALLEL,
                clear_pending_creates=True,
                on_event=self._translate(on_event, failures),
                color="never",
            )
        self._destroy(on_event)

    @contextmanager
    def _translated(self, brief: str, failures: list[str]) -> Iterator[None]:
        """The SDK's errors as ours; a stack that is not there was never made, or is gone already."""
        try:
            yield
        except automation_errors.StackNotFoundError:
            return
        except automation_errors.ConcurrentUpdateError as error:
            raise StackLockedError(
                f"The {self.name} stack is locked",
                details=self._command.last_words(),
                resolution="wait, and try again.",
            ) from error
        except automation_errors.CommandError as error:
            raise self._error(brief, failures) from error

    def _open(self, program: Callable[[], None], *, select: bool = False) -> SdkStack:
        mode = StackInitMode.SELECT if select else StackInitMode.CREATE
        return SdkStack(self._stack_name, self._workspace(program), mode)

    def _workspace(self, program: Callable[[], None]) -> SdkWorkspace:
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self._folder),
            pulumi_home=str(self._pulumi_home),
            pulumi_command=self._command,
            program=program,
            project_settings=automation.ProjectSettings(name=PROJECT, runtime="python"),
        )
        return SdkWorkspace(**vars(options))

    def _translate(self, on_event: Callable[[StackEvent], None], failures: list[str]) -> Callable[[EngineEvent], None]:
        def translate(event: EngineEvent) -> None:
            translated = stack_event(event, self.name)
            if translated is None:
                return
            if translated.kind == "error" and translated.message not in _NO_NEWS:
                failures.append(f"{translated.name}: {translated.message}" if translated.name else translated.message)
            on_event(translated)

        return translate

    def _error(self, brief: str, failures: list[str]) -> StackError:
        return StackError(
            brief,
            details="\n".join(dict.fromkeys([*self._command.untimely, *failures])) or self._command.last_words(),
            resolution="engine.log, beside the report, has the engine's own words.",
        )


def stack_name(run_id: str, name: str) -> str:
    """What the engine calls a run's stack, ``20261123-174205-k3x9qz-data``."""
    return f"{run_id}-{name}"


def stack_of(run_id: str, name: str, *, home: Home, cli: Cli, backend: Backend) -> Stack:
    """A run's stack, with its folder under the home."""
    folder = home.folder(f"runs/{run_id}/{name}")
    return Stack(run_id, name, folder=folder, cli=cli, backend=backend, pulumi_home=home.folder("pulumi-home"))


def stacks_in(backend: Backend, *, cli: Cli, home: Home) -> list[str]:
    """The names of all stacks of ours in a backend, such as ``20261123-174205-k3x9qz-data``."""
    listing = Stack(
        "", "", folder=home.folder("listing"), cli=cli, backend=backend, pulumi_home=home.folder("pulumi-home")
    )
    return listing.beside()


def _no_program() -> None:
    """Destroy works from the state: the program does not run."""
