"""The Pulumi CLI as a process that survives us.

The SDK's own ``PulumiCommand.run`` pipes the CLI's output and leaves it in our process group: a Ctrl-C or a kill of
Python then breaks the CLI with creates in flight, and resources are lost
(https://github.com/pulumi/pulumi/issues/9103). Ours has files to write to and a session of its own.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pulumi import automation
from pulumi.automation import errors as automation_errors

from orchestrator import deadlines
from orchestrator.engine.backend import Backend
from orchestrator.engine.gate import gate
from orchestrator.pulumi_cli import Cli

_SHOWS_SECRETS = "--show-secrets"  # The SDK asks for outputs, history and the state like this.


def environment(caller: Mapping[str, str], backend: Backend, pulumi_home: Path) -> dict[str, str]:
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
        # Each command keeps a log of its own in the home, for 500 MB, and looks through all of them when it starts.
        "PULUMI_LOG_ROTATION_MAX_TOTAL_MB": "2",
    }


class Command(automation.PulumiCommand):
    """The CLI as a process of its own: output to files, no terminal, a session of its own, at most one SIGINT."""

    def __init__(self, cli: Cli, environment: Mapping[str, str], folder: Path) -> None:
        # Not super().__init__(): it would start the CLI once more, only to learn its version.
        self.command = str(cli.executable)
        self.version = cli.version
        self.is_known = cli.is_the_sdks
        # Plugins that come beside the CLI are found through PATH, as with the stock command.
        self._environment = dict(environment) | {
            "PATH": f"{cli.executable.parent}{os.pathsep}{environment.get('PATH', '')}"
        }
        self._logs = folder / "log"
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._asked_to_stop = folder / "asked-to-stop"
        self._lock = threading.Lock()
        self._interrupted = False
        self._up: subprocess.Popen[bytes] | None = None
        self._killer: threading.Timer | None = None
        self._held: threading.Event | None = None
        self._client: list[str] = []
        self.untimely: list[str] = []
        """What ended the last command before its own end, for whoever reads the failure."""

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: automation.OnOutput | None = None,  # noqa: ARG002 - the events say it better
        on_error: automation.OnOutput | None = None,  # noqa: ARG002
    ) -> automation.CommandResult:
        """Run one command; the signature is the SDK's. Raises its CommandError when the CLI fails."""
        self.untimely = []
        log = self._logs / f"{len(list(self._logs.glob('*.err'))):02}-{'-'.join(args[:1])}"
        # What shows secrets goes into a file without a name: it is in no log, whatever kills us.
        kept = log.with_suffix(".out")
        opened = tempfile.TemporaryFile() if _SHOWS_SECRETS in args else kept.open("w+b")  # noqa: SIM115 - see below
        with opened as stdout, log.with_suffix(".err").open("wb") as stderr:
            with self._lock:
                if args[0] == "up" and self._interrupted:
                    raise automation_errors.CommandError(automation.CommandResult("", "update canceled", 1))
                process = subprocess.Popen(
                    [self.command, "--non-interactive", *args, *self._client],
                    cwd=cwd,
                    env=self._environment | dict(additional_env),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
                self._up = process if args[0] == "up" else None
            code = self._wait(process, args[0])
            with self._lock:
                if self._killer is not None:
                    self._killer.cancel()
                    self._killer = None
            stdout.seek(0)
            said = stdout.read().decode("utf-8", "replace")
        result = automation.CommandResult(
            stdout=said,
            stderr=log.with_suffix(".err").read_text("utf-8", "replace"),
            code=code,
        )
        if code < 0 and not self.untimely:
            self.untimely.append(f"pulumi {args[0]} was killed ({signal.Signals(-code).name})")
        if code != 0:
            raise automation_errors.create_command_error(result)
        return result

    def interrupt(self) -> None:
        """Stop a running ``up``, and let none start any more."""
        with self._lock:
            self._interrupted = True
            if self._up is not None:
                self._stop(self._up)

    @contextmanager
    def held(self, until: threading.Event) -> Iterator[None]:
        """The destroy in it may start, but deletes nothing before ``until`` is set, or this process has ended.

        That is known of one version of the CLI. With another, the destroy starts when it may delete.
        """
        if until.is_set() or not self.is_known:
            until.wait()
            yield
            return
        with gate(until) as address:
            self._held, self._client = until, [f"--client={address}"]  # The last one counts: not the SDK's.
            try:
                yield
            finally:
                self._held, self._client = None, []

    def last_words(self) -> str:
        """What the CLI wrote last to standard error, for a failure that no event explains."""
        written = sorted(self._logs.glob("*.err"))
        return written[-1].read_text("utf-8", "replace").strip() if written else ""

    def ask_to_stop(self, pid: int) -> None:
        """One SIGINT to a CLI of this stack, whoever asks, now or in a recovery after this process was killed.

        A second would turn creates in flight into unknown ones, so the first is noted before it is sent.
        """
        with suppress(OSError):
            if self._asked_to_stop.read_text() == str(pid):
                return
        with suppress(OSError):  # A full disk.
            self._asked_to_stop.write_text(str(pid))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)

    def _stop(self, process: "subprocess.Popen[bytes]") -> None:
        """Ask it to stop; it is killed when it does not. With the lock held."""
        if self._killer is None and process.poll() is None:
            self.ask_to_stop(process.pid)
            self._killer = threading.Timer(deadlines.GRACE, process.kill)
            self._killer.daemon = True
            self._killer.start()

    def _wait(self, process: "subprocess.Popen[bytes]", command: str) -> int:
        """The exit code; a CLI past its deadline is asked to stop, and killed only when it does not."""
        allowed = {"up": deadlines.UP, "destroy": deadlines.DESTROY, "refresh": deadlines.DESTROY}
        seconds = allowed.get(command, deadlines.COMMAND)
        if self._held is not None:
            self._held.wait()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.untimely.append(f"pulumi {command} was not done within {seconds:.0f} s and was stopped")
            with self._lock:
                self._stop(process)
            return process.wait()
