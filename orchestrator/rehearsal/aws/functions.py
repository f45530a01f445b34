"""Runs a packaged function as Lambda would.

The function's real archive and layers are unpacked into look-alikes of ``/var/task`` and ``/opt``; the handler runs in
a fresh process with only Lambda's environment variables, its role's credentials, its memory limit and its timeout, and
stays warm afterwards. The process speaks the Runtime API (``bootstrap.py``).
"""

import http.server
import importlib.util
import json
import queue
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.aws.cloud import ACCOUNT, Amazon
from orchestrator.rehearsal.aws.sigv4 import AccessKey
from orchestrator.rehearsal.front_door import POLL_SECONDS
from orchestrator.rehearsal.function_process import MIB, FunctionProcess, remove, unpack

# What Lambda's Python runtimes bring along: boto3 and what it needs, nothing else of ours.
_RUNTIME_LIBRARIES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
# 6 MB and 100 bytes, as Lambda's own error says (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
_ANSWER_LIMIT = 6 * 1024 * 1024 + 100


@dataclass(frozen=True)
class Outcome:
    """What the handler answered, or None for an error; ``reason`` is for the log when the process wrote none itself."""

    answer: bytes | None
    reason: str | None = None


class Instance:
    """One execution environment: an unpacked function and its process. Serves one event at a time."""

    def __init__(self, amazon: Amazon, region: str, name: str, folder: Path, runtime: Path) -> None:
        self._function = amazon.function(region, name)
        self._name = name
        self._folder = folder
        self._busy = threading.Lock()
        self._log = _FunctionLog(amazon, region, self._function.role, f"/aws/lambda/{name}")
        self._events: queue.SimpleQueue[tuple[str, bytes, int]] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        task, opt = folder / "var" / "task", folder / "opt"
        unpack(self._function.code_bytes, task)
        for layer in self._function.layers:
            unpack(amazon.layer_code(region, layer["Arn"]), opt)
        self._api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _runtime_api(self))
        threading.Thread(target=self._api.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        (folder / "tmp").mkdir()
        self._process = FunctionProcess(
            [sys.executable, "-I", "-S", "-u", str(_BOOTSTRAP)],
            folder=folder,
            cwd=task,
            environment=self._environment(amazon, region, amazon.assume(region, self._function.role))
            | {"_REHEARSAL_PATH": json.dumps([str(task), str(opt / "python"), str(runtime)])},
            memory_mib=self._function.memory_size,
            on_end=self._process_ended,
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
            self._log.add(f"START RequestId: {request} Version: $LATEST")
            self._events.put((request, event, int((time.time() + timeout) * 1000)))
            try:
                outcome = self._outcomes.get(timeout=timeout)
            except queue.Empty:
                self._process.kill()
                outcome = Outcome(None, f"Task timed out after {timeout:.2f} seconds")
            for line in self._process.new_output():
                self._log.add(line)
            if outcome.reason:
                self._log.add(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {request} {outcome.reason}")
            milliseconds = (time.monotonic() - started) * 1000
            self._log.add(f"END RequestId: {request}")
            self._log.add(
                f"REPORT RequestId: {request} Duration: {milliseconds:.2f} ms "
                f"Memory Size: {self._function.memory_size} MB Max Memory Used: {self._process.peak_bytes // MIB} MB"
            )
            self._log.flush()
            return outcome

    def end(self) -> None:
        """Kill the process and remove what was unpacked."""
        self._process.kill()
        self._api.shutdown()
        self._api.server_close()
        remove(self._folder)

    def next_event(self) -> tuple[str, bytes, int]:
        """(request id, event, deadline in ms since 1970): the Runtime API's next invocation; waits for one."""
        return self._events.get()

    def finish(self, outcome: Outcome) -> None:
        """The Runtime API's response or error, or the process's end."""
        if outcome.answer is not None and len(outcome.answer) > _ANSWER_LIMIT:
            size = len(outcome.answer)
            outcome = Outcome(
                None,
                f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({_ANSWER_LIMIT} bytes).",
            )
        self._outcomes.put(outcome)

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return str(self._function.function_arn)

    def _environment(self, amazon: Amazon, region: str, session: AccessKey) -> dict[str, str]:
        """Lambda's variables (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html), no others."""
        return {
            "PATH": "/usr/local/bin:/usr/bin/:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "TMPDIR": str(self._folder / "tmp"),  # Lambda's /tmp is the function's own; ours must not be shared either.
            "LAMBDA_TASK_ROOT": str(self._folder / "var" / "task"),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
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
            "AWS_ENDPOINT_URL": amazon.endpoint,
            "_HANDLER": self._function.handler,
        } | dict(self._function.environment_vars)

    def _process_ended(self) -> None:
        if self._process.out_of_memory:
            reason = f"Runtime.OutOfMemory: more than {self._function.memory_size} MB"
        else:
            reason = f"Runtime exited with status {self._process.status}"
        self.finish(Outcome(None, reason))


class _FunctionLog:
    """The function's output, written to CloudWatch Logs as far as its role allows; lost otherwise, as on AWS."""

    def __init__(self, amazon: Amazon, region: str, role_arn: str, group: str) -> None:
        self.group = group
        self.stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
        self._amazon = amazon
        self._role_arn = role_arn
        self._client = amazon.client("logs", region)
        self._group_arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"
        self._lines: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._made = False

    def add(self, line: str) -> None:
        """Keep a line until ``flush``."""
        with self._lock:
            # An event is never empty: an empty line is its end alone.
            self._lines.append({"timestamp": int(time.time() * 1000), "message": line or "\n"})

    def flush(self) -> None:
        """Write what was kept."""
        with self._lock:
            lines, self._lines = self._lines, []
        if not self._made:
            self._make()
        stream_arn = f"{self._group_arn}:log-stream:{self.stream}"
        if self._made and lines and self._amazon.role_may(self._role_arn, "logs:PutLogEvents", stream_arn):
            self._client.put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=lines)

    def _make(self) -> None:
        """The stream, and the group if there is none: this is how Lambda leaves a log group behind."""
        found = self._client.describe_log_groups(logGroupNamePrefix=self.group)["logGroups"]
        if self.group not in [group["logGroupName"] for group in found]:
            if not self._amazon.role_may(self._role_arn, "logs:CreateLogGroup", self._group_arn):
                return
            self._client.create_log_group(logGroupName=self.group)
        stream_arn = f"{self._group_arn}:log-stream:{self.stream}"
        if self._amazon.role_may(self._role_arn, "logs:CreateLogStream", stream_arn):
            self._client.create_log_stream(logGroupName=self.group, logStreamName=self.stream)
            self._made = True


def _runtime_api(instance: Instance) -> type[http.server.BaseHTTPRequestHandler]:
    """Lambda's Runtime API for one instance (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html)."""
    prefix = "/2018-06-01/runtime/"

    class RuntimeApi(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != f"{prefix}invocation/next":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            request, event, deadline = instance.next_event()
            self.send_response(HTTPStatus.OK)
            self.send_header("Lambda-Runtime-Aws-Request-Id", request)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", instance.arn)
            self.send_header("Content-Length", str(len(event)))
            self.end_headers()
            self.wfile.write(event)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.path.removeprefix(prefix).split("/")
            if kind == ["init", "error"] or (kind[0], kind[2:]) == ("invocation", ["error"]):
                instance.finish(Outcome(None))  # The traceback is in the output already.
            elif (kind[0], kind[2:]) == ("invocation", ["response"]):
                instance.finish(Outcome(body))
            else:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.ACCEPTED)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: standard error is the rehearsal's log."""

    return RuntimeApi


def runtime_libraries(folder: Path) -> Path:
    """A folder with the runtime's own libraries and nothing else of this machine's environment."""
    folder.mkdir(parents=True)
    for name in _RUNTIME_LIBRARIES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise RuntimeError(f"{name} is not installed: install the [rehearsal] extra")
        source = Path(found.origin)
        source = source.parent if source.name == "__init__.py" else source
        (folder / source.name).symlink_to(source)
    return folder
