"""The log of a rehearsed function: what its process writes, as events in CloudWatch Logs."""

import re
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from orchestrator.rehearsal.aws.cloud import ACCOUNT, Amazon

# One frame of the runtime's own log: kind, length and microseconds since 1970, all big-endian; then the text. Its first
# byte begins no character in UTF-8, so that frames and lines can share a file, which keeps them in order.
# https://github.com/aws/aws-lambda-python-runtime-interface-client: FramedTelemetryLogSink in bootstrap.py
_FRAME = re.compile(rb"\xa5\x5a\x00[\x00-\xff](?P<length>[\x00-\xff]{4})[\x00-\xff]{8}")


def events(written: bytes) -> list[str]:
    """The log events in what a process wrote: each frame of its runtime, and each line of the rest."""
    found: list[str] = []
    at = 0
    while frame := _FRAME.search(written, at):
        end = frame.end() + int.from_bytes(frame["length"])
        found += [*_lines(written[at : frame.start()]), _text(written[frame.end() : end])]
        at = end
    return found + _lines(written[at:])


def _lines(written: bytes) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", _text(written))


def _text(written: bytes) -> str:
    return written.decode("utf-8", "replace")


class FunctionLog:
    """The function's output, written to CloudWatch Logs as far as its role allows; lost otherwise, as on AWS."""

    def __init__(self, amazon: Amazon, region: str, role_arn: str, group: str) -> None:
        self.group = group
        self.stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
        self._amazon = amazon
        self._role_arn = role_arn
        self._client = amazon.client("logs", region)
        self._group_arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._made = False

    def add(self, message: str) -> None:
        """Keep an event until ``flush``; an empty one is none."""
        with self._lock:
            if message:
                self._events.append({"timestamp": int(time.time() * 1000), "message": message})

    def flush(self) -> None:
        """Write what was kept."""
        with self._lock:
            kept, self._events = self._events, []
        if not self._made:
            self._make()
        stream_arn = f"{self._group_arn}:log-stream:{self.stream}"
        if self._made and kept and self._amazon.role_may(self._role_arn, "logs:PutLogEvents", stream_arn):
            self._client.put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=kept)

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
