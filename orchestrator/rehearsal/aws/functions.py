"""Runs a packaged function as Lambda would.

The function's real archive and layers are unpacked into look-alikes of ``/var/task`` and ``/opt``; the handler runs in
a fresh process with only Lambda's environment variables, its role's credentials, its memory limit and its timeout, and
stays warm afterwards. The process speaks the Runtime API (``bootstrap.py``).
"""

import importlib.util
import json
import math
import queue
import signal
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_log import FunctionLog, events
from orchestrator.rehearsal.aws.runtime_api import Invocation, Outcome, RuntimeApi
from orchestrator.rehearsal.function_process import MIB, FunctionProcess, remove, unpack

# What Lambda's Python runtimes bring along: boto3 and what it needs, nothing else of ours.
_RUNTIME_LIBRARIES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_LOG_DESCRIPTOR = 3
# With the log's file descriptor: standard output once more, as only then its frames and what is printed stay in order.
_SHELL = ("/bin/sh", "-c", f'exec "$@" {_LOG_DESCRIPTOR}>&1', "sh")


class Instance:
    """One execution environment: an unpacked function and its process. Serves one event at a time."""

    def __init__(self, amazon: Amazon, region: str, name: str, folder: Path, runtime: Path) -> None:
        self._function = amazon.function(region, name)
        self._name = name
        self._folder = folder
        self._busy = threading.Lock()
        self._log = FunctionLog(amazon, region, self._function.role, f"/aws/lambda/{name}")
        self._events: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        task, opt = folder / "var" / "task", folder / "opt"
        unpack(self._function.code_bytes, task)
        for layer in self._function.layers:
            unpack(amazon.layer_code(region, layer["Arn"]), opt)
        self._api = RuntimeApi(str(self._function.function_arn), self._events.get, self._outcomes.put)
        (folder / "tmp").mkdir()
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        # The search path of https://docs.aws.amazon.com/lambda/latest/dg/python-package.html.
        path = [task, opt / "python" / "lib" / python / "site-packages", opt / "python", runtime]
        self._process = FunctionProcess(
            [*_SHELL, sys.executable, "-I", "-S", "-u", str(runtime / _BOOTSTRAP.name)],
            folder=folder,
            cwd=task,
            environment=self._environment(amazon, region, runtime)
            | {
                "_REHEARSAL_PATH": json.dumps([str(folder) for folder in path]),
                "_LAMBDA_TELEMETRY_LOG_FD": str(_LOG_DESCRIPTOR),
            },
            memory_mib=self._function.memory_size,
            on_end=lambda: self._outcomes.put(Outcome(None, ended=True)),
        )

    @property
    def ended(self) -> bool:
        """Whether the process is gone: the next event needs a new instance."""
        return self._process.status is not None

    def invoke(self, event: bytes) -> Outcome:
        """Hand the event to the handler and wait for its answer, at most the function's timeout."""
        with self._busy:
            request, started = str(uuid.uuid4()), time.monotonic()
            timeout = float(self._function.timeout)
            self._log.add(f"START RequestId: {request} Version: $LATEST\n")
            self._events.put(Invocation(request, event, int((time.time() + timeout) * 1000)))
            try:
                outcome = self._outcomes.get(timeout=timeout)
            except queue.Empty:
                self._process.kill()
                outcome = Outcome(None)
                said = f"{_now()} {request} Task timed out after {timeout:.2f} seconds\n"
            else:
                said = (
                    f"RequestId: {request} Error: {self._how_it_ended()}\nRuntime.ExitError\n" if outcome.ended else ""
                )
            for message in events(self._process.new_bytes()):
                self._log.add(message)
            self._log.add(said)
            milliseconds = (time.monotonic() - started) * 1000
            self._log.add(f"END RequestId: {request}\n")
            size = self._function.memory_size
            self._log.add(
                f"REPORT RequestId: {request}\tDuration: {milliseconds:.2f} ms\t"
                f"Billed Duration: {math.ceil(milliseconds)} ms\tMemory Size: {size} MB\t"
                f"Max Memory Used: {min(self._process.peak_bytes // MIB, size)} MB\t\n"
            )
            self._log.flush()
            return outcome

    def end(self) -> None:
        """Kill the process and remove what was unpacked."""
        self._process.kill()
        self._api.close()
        remove(self._folder)

    def _environment(self, amazon: Amazon, region: str, runtime: Path) -> dict[str, str]:
        """Lambda's variables (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html), no others."""
        session = amazon.assume(region, self._function.role)
        task, opt = self._folder / "var" / "task", self._folder / "opt"
        return {
            "PATH": f"/usr/local/bin:/usr/bin/:/bin:{opt / 'bin'}",
            "LD_LIBRARY_PATH": ":".join(map(str, (runtime, runtime / "lib", task, task / "lib", opt / "lib"))),
            "PYTHONPATH": str(runtime),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "TMPDIR": str(self._folder / "tmp"),  # Lambda's /tmp is the function's own; ours must not be shared either.
            "LAMBDA_TASK_ROOT": str(task),
            "LAMBDA_RUNTIME_DIR": str(runtime),
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._function.memory_size),
            "AWS_LAMBDA_LOG_GROUP_NAME": self._log.group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log.stream,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self._function.run_time}",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": session.key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret,
            "AWS_SESSION_TOKEN": session.session_token or "",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_ENDPOINT_URL": amazon.endpoint,
            "_HANDLER": self._function.handler,
        } | dict(self._function.environment_vars)

    def _how_it_ended(self) -> str:
        """In the words of https://github.com/aws/aws-lambda-runtime-interface-emulator, internal/lambda/rapid."""
        status = self._process.status or 0
        if status == 0:
            return "Runtime exited without providing a reason"
        if status > 0:
            return f"Runtime exited with error: exit status {status}"
        return f"Runtime exited with error: signal: {(signal.strsignal(-status) or '').lower()}"


def _now() -> str:
    return f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def runtime_libraries(folder: Path) -> Path:
    """A look-alike of ``/var/runtime``: the bootstrap, the runtime's own libraries, nothing else of this machine's."""
    folder.mkdir(parents=True)
    (folder / _BOOTSTRAP.name).symlink_to(_BOOTSTRAP)
    for name in _RUNTIME_LIBRARIES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise RuntimeError(f"{name} is not installed: install the [rehearsal] extra")
        source = Path(found.origin)
        source = source.parent if source.name == "__init__.py" else source
        (folder / source.name).symlink_to(source)
    return folder
