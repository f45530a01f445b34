"""The Pulumi engine: one stack up, one stack down, and a CLI process that survives us.

The only module that imports ``pulumi.automation``. Its own ``PulumiCommand.run`` pipes the CLI's output and leaves it
in our process group: a Ctrl-C or a kill of Python then breaks the CLI with creates in flight, and resources are lost
(https://github.com/pulumi/pulumi/issues/9103). ``_Command`` gives the CLI files to write to and a session of its own.
"""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pulumi import automation
from pulumi.automation import errors as automation_errors
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent, StepEventMetadata

from orchestrator.errors import OrchestratorError
from orchestrator.home import Home
from orchestrator.processes import is_alive
from orchestrator.pulumi_cli import Cli

PROJECT = "cloud-hopping"
# Slow clouds, few resources: never wait for a free slot (the engine's default is four a core).
_PARALLEL = 32
# No create of ours takes longer than the function's 15 minutes of role propagation.
_DEADLINE_SECONDS = 20 * 60
_GRACE_SECONDS = 10 * 60
_SHOWS_SECRETS = "--show-secrets"  # The SDK asks for outputs, history and the state like this.
# What the engine says of the stack after each resource has said why.
_NO_NEWS = frozenset({"update failed", "preview failed"})
# When a resource fails, the engine ends before the SDK's server has told it so; that server's traceback of the broken
# connection would fill the terminal. What failed comes in the engine's events.
logging.getLogger("grpc._server").setLevel(logging.CRITICAL)


class StackError(OrchestratorError):
    """The engine could not bring a stack up or down."""


class StackLockedError(StackError):
    """Another process works on the stack, or died while it did: then the lock is ``abandoned``."""

    _HOLDER = re.compile(r"created by \S*@(?P<host>\S+) \(pid (?P<pid>\d+)\)")

    @property
    def abandoned(self) -> bool:
        """Whether the CLI that holds the lock was on this machine and is gone; its message names it."""
        holder = self._HOLDER.search(self.details or "")
        return holder is not None and holder["host"] == socket.gethostname() and not is_alive(int(holder["pid"]))


@dataclass(frozen=True)
class StackEvent:
    """One thing the engine did. ``time`` is in seconds since 1970; ``type`` and ``name`` are the resource's."""

    time: float
    stack: str
    kind: Literal["creating", "created", "deleting", "deleted", "failed", "error", "warning", "info"]
    type: str
    name: str
    message: str = ""

    def to_json(self) -> str:
        """One line of ``events.jsonl``."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Backend:
    """Where the state is kept (a Pulumi backend URL) and what its secrets are encrypted with."""

    url: str
    passphrase: str


class Stack:
    """One stack of one run: brought up once, destroyed once. Its folder holds its project file and raw logs."""

    def __init__(self, run_id: str, name: str, *, folder: Path, cli: Cli, backend: Backend, pulumi_home: Path) -> None:
        self.name = name
        self._stack_name = f"{run_id}-{name}"
        self._folder = folder
        self._command = _Command(cli, _environment(os.environ, backend, pulumi_home), folder)
        self._pulumi_home = pulumi_home

    def up(self, program: Callable[[], None], on_event: Callable[[StackEvent], None]) -> None:
        """Create the stack's resources. ``on_event`` is called in the engine's thread: it must only queue.

        Raises:
            StackError: with what each resource that failed said.
        """
        failures: list[str] = []
        try:
            stack = self._open(program)
            stack.up(parallel=_PARALLEL, on_event=self._translate(on_event, failures), color="never")
        except automation_errors.CommandError as error:
            raise self._error(f"The {self.name} stack did not come up", failures) from error

    def interrupt(self) -> None:
        """Stop creating: what is in flight finishes and is recorded. Safe to call at any time, from any thread."""
        self._command.interrupt()

    def destroy(self, on_event: Callable[[StackEvent], None]) -> None:
        """Destroy what the state holds and remove the stack; what is not there is fine.

        Raises:
            StackLockedError: another process works on the stack.
            StackError: something is left, or may be (a create whose outcome the engine does not know).
        """
        try:
            self._destroy(on_event)
        except StackLockedError as error:
            if not error.abandoned:
                raise
            self._open(_no_program, select=True).cancel()
            self._destroy(on_event)

    def _destroy(self, on_event: Callable[[StackEvent], None]) -> None:
        failures: list[str] = []
        try:
            stack = self._open(_no_program, select=True)
            stack.destroy(
                parallel=_PARALLEL,
                on_event=self._translate(on_event, failures),
                continue_on_error=True,
                color="never",
            )
            # A destroy "succeeds" with creates pending, and removing the stack would then forget them.
            pending = (stack.export_stack().deployment or {}).get("pending_operations") or []
            if pending:
                failures += [f"{operation['resource']['urn']}: {operation['type']}" for operation in pending]
                raise self._error(f"The {self.name} stack has operations whose outcome is unknown", failures)
            stack.workspace.remove_stack(stack.name)
        except automation_errors.StackNotFoundError:
            return  # It was never made, or is gone already.
        except automation_errors.ConcurrentUpdateError as error:
            raise StackLockedError(
                f"The {self.name} stack is locked",
                details=self._command.last_words(),
                resolution="wait, and try again.",
            ) from error
        except automation_errors.CommandError as error:
            raise self._error(f"The {self.name} stack was not destroyed", failures) from error

    def _open(self, program: Callable[[], None], *, select: bool = False) -> automation.Stack:
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self._folder),
            pulumi_home=str(self._pulumi_home),
            pulumi_command=self._command,
            program=program,
            project_settings=automation.ProjectSettings(name=PROJECT, runtime="python"),
        )
        workspace = _Workspace(**vars(options))
        return _Stack(self._stack_name, workspace, StackInitMode.SELECT if select else StackInitMode.CREATE)

    def _translate(self, on_event: Callable[[StackEvent], None], failures: list[str]) -> Callable[[EngineEvent], None]:
        def translate(event: EngineEvent) -> None:
            translated = _stack_event(event, self.name)
            if translated is None:
                return
            if translated.kind == "error" and translated.message not in _NO_NEWS:
                failures.append(f"{translated.name}: {translated.message}" if translated.name else translated.message)
            on_event(translated)

        return translate

    def _error(self, brief: str, failures: list[str]) -> StackError:
        return StackError(
            brief,
            details="\n".join(dict.fromkeys(failures)) or self._command.last_words(),
            resolution="engine.log, beside the report, has the engine's own words.",
        )


def stack_of(run_id: str, name: str, *, home: Home, cli: Cli, backend: Backend) -> Stack:
    """A run's stack, with its folder under the home."""
    folder = home.folder(f"runs/{run_id}/{name}")
    return Stack(run_id, name, folder=folder, cli=cli, backend=backend, pulumi_home=home.folder("pulumi-home"))


def _no_program() -> None:
    """Destroy works from the state: the program does not run."""


def _stack_event(event: EngineEvent, stack: str) -> StackEvent | None:
    """Our words for the engine's event, or None for one that says nothing about a resource."""
    for metadata, kinds in (
        (event.resource_pre_event, {"create": "creating", "delete": "deleting"}),
        (event.res_outputs_event, {"create": "created", "delete": "deleted"}),
    ):
        if metadata is not None:
            step: StepEventMetadata = metadata.metadata
            kind = kinds.get(step.op)
            if kind is None or step.type.startswith("pulumi:"):
                return None
            return StackEvent(time.time(), stack, kind, step.type, _name(step.urn))  # type: ignore[arg-type]
    if event.res_op_failed_event is not None:
        step = event.res_op_failed_event.metadata
        return StackEvent(time.time(), stack, "failed", step.type, _name(step.urn))
    said = event.diagnostic_event
    if said is not None and not said.ephemeral and said.severity != "debug":
        kind = said.severity if said.severity in {"error", "warning"} else "info"
        return StackEvent(time.time(), stack, kind, "", _name(said.urn or ""), said.message.strip())  # type: ignore[arg-type]
    return None


def _name(urn: str) -> str:
    """The resource's name in the program, ``bucket`` of ``urn:pulumi:...::aws:s3/bucket:Bucket::bucket``."""
    kind, _, name = urn.rpartition("::")
    return "" if kind.endswith("pulumi:pulumi:Stack") else name


def _environment(caller: Mapping[str, str], backend: Backend, pulumi_home: Path) -> dict[str, str]:
    """What the CLI and its plugins see: the caller's environment, but no ``PULUMI_*`` that would steer us.

    ``PULUMI_DEBUG_PROVIDERS`` is how a rehearsal hands over its stand-in clouds; with it, destroy must not try to
    download the plugins that the state names (https://github.com/pulumi/pulumi/issues/10572).
    """
    kept = {key: value for key, value in caller.items() if not key.startswith("PULUMI_")}
    providers = caller.get("PULUMI_DEBUG_PROVIDERS")
    if providers:
        kept |= {"PULUMI_DEBUG_PROVIDERS": providers, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
    return kept | {
        "PULUMI_HOME": str(pulumi_home),
        "PULUMI_BACKEND_URL": backend.url,
        "PULUMI_CONFIG_PASSPHRASE": backend.passphrase,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_AUTOMATION_API": "true",
        "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
    }


class _Workspace(automation.LocalWorkspace):
    """The SDK's workspace, but that it selects no stack: every command that we give names its own."""

    def select_stack(self, stack_name: str) -> None:
        """Nothing to do: what needs the stack fails when it is not there."""


class _Stack(automation.Stack):
    """The SDK's stack, without what it asks after each operation: nobody reads it, and each question is a CLI process.

    A program hands its outputs over while it runs; what was done comes in the events.
    """

    def outputs(self) -> automation.OutputMap:
        """None."""
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002, FBT001, FBT002 - the SDK's
        """An empty summary; ``up`` and ``destroy`` want one."""
        return automation.UpdateSummary("", datetime.now(UTC), "", {}, {}, "")


class _Command(automation.PulumiCommand):
    """The CLI as a process of its own: output to files, no terminal, a session of its own, at most one SIGINT."""

    def __init__(self, cli: Cli, environment: Mapping[str, str], folder: Path) -> None:
        # Not super().__init__(): it would start the CLI once more, only to learn its version.
        self.command = str(cli.executable)
        self.version = cli.version
        # Plugins that come beside the CLI are found through PATH, as with the stock command.
        self._environment = dict(environment) | {
            "PATH": f"{cli.executable.parent}{os.pathsep}{environment.get('PATH', '')}"
        }
        self._logs = folder / "log"
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._lock = threading.Lock()
        self._interrupted = False
        self._up: subprocess.Popen[bytes] | None = None
        self._asked: subprocess.Popen[bytes] | None = None

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: automation.OnOutput | None = None,  # noqa: ARG002 - the events say it better
        on_error: automation.OnOutput | None = None,  # noqa: ARG002
    ) -> automation.CommandResult:
        """Run one command; the signature is the SDK's. Raises its CommandError when the CLI fails."""
        log = self._logs / f"{len(list(self._logs.glob('*.err'))):02}-{'-'.join(args[:1])}"
        # What shows secrets goes into a file without a name: it is in no log, whatever kills us.
        kept = log.with_suffix(".out")
        opened = tempfile.TemporaryFile() if _SHOWS_SECRETS in args else kept.open("w+b")  # noqa: SIM115 - see below
        with opened as stdout, log.with_suffix(".err").open("wb") as stderr:
            with self._lock:
                if args[0] == "up" and self._interrupted:
                    raise automation_errors.CommandError(automation.CommandResult("", "update canceled", 1))
                process = subprocess.Popen(
                    [self.command, "--non-interactive", *args],
                    cwd=cwd,
                    env=self._environment | dict(additional_env),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
                self._up = process if args[0] == "up" else None
            code = self._wait(process)
            stdout.seek(0)
            said = stdout.read().decode("utf-8", "replace")
        result = automation.CommandResult(
            stdout=said,
            stderr=log.with_suffix(".err").read_text("utf-8", "replace"),
            code=code,
        )
        if code != 0:
            raise automation_errors.create_command_error(result)
        return result

    def interrupt(self) -> None:
        """Stop a running ``up``, and let none start any more."""
        with self._lock:
            self._interrupted = True
            if self._up is not None:
                self._ask_to_stop(self._up)

    def last_words(self) -> str:
        """What the CLI wrote last to standard error, for a failure that no event explains."""
        written = sorted(self._logs.glob("*.err"))
        return written[-1].read_text("utf-8", "replace").strip() if written else ""

    def _ask_to_stop(self, process: "subprocess.Popen[bytes]") -> None:
        """One SIGINT, whoever asks: a second would turn creates in flight into unknown ones. With the lock held."""
        if process is not self._asked:
            self._asked = process
            process.send_signal(signal.SIGINT)  # Does nothing once the process has ended.

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        """The exit code; a CLI past its deadline is asked to stop, and killed only when it does not."""
        try:
            return process.wait(_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            with self._lock:
                self._ask_to_stop(process)
        try:
            return process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
