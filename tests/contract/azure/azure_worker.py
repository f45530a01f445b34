"""Microsoft's Python worker for Azure Functions in a process of its own; the host's messages come as JSON, one a line.

``azure_functions_runtime`` is the worker of Python 3.13 and later (https://pypi.org/project/azure-functions-runtime).
Azure loads it into a proxy that is in no registry; what that does is done here as in its source:
https://github.com/Azure/azure-functions-python-worker/blob/dev/workers/proxy_worker/dispatcher.py. The messages are
the published protocol buffers, https://github.com/Azure/azure-functions-language-worker-protobuf, which
``azure-functions-runtime-v1`` brings along among its tests.

Run as ``python -I -S -u azure_worker.py LIBRARIES PACKAGES``: where the worker is, where the app's own libraries are.
"""

import asyncio
import logging
import os
import sys
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any

sys.path[:0] = [sys.argv[2], sys.argv[1]]  # The app's own libraries are before the worker's.
sys.modules["grpc"] = ModuleType("grpc")  # The messages' module wants it, and would use it for a channel only.

import azure_functions_runtime as worker  # type: ignore[import-not-found] # noqa: E402
from google.protobuf import json_format  # noqa: E402

from tests import protos  # type: ignore[attr-defined] # noqa: E402 - not this project's tests

# What a function prints goes to standard error: standard output is for the messages.
_MESSAGES = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
_LEVELS = {10: "Debug", 20: "Information", 30: "Warning", 40: "Error", 50: "Critical"}
_SYSTEM = ("proxy_worker", "azure.functions", "azure_functions_runtime")
_lock = threading.Lock()


@dataclass(frozen=True)
class WorkerRequest:
    """What the proxy hands to the library."""

    name: str
    request: Any
    properties: "dict[str, Any]"


class Log(logging.Handler):
    """Sends what is logged to the host."""

    def emit(self, record: logging.LogRecord) -> None:
        category = "System" if record.name.startswith(_SYSTEM) else "User"
        log = {
            "level": _LEVELS[record.levelno],
            "logCategory": category,
            "category": record.name,
            "message": self.format(record),
        }
        _send({"rpcLog": log})


def _send(message: "dict[str, Any]") -> None:
    filled = json_format.ParseDict(message, protos.StreamingMessage())
    with _lock:
        _MESSAGES.write(json_format.MessageToJson(filled, indent=None) + "\n")
        _MESSAGES.flush()


async def serve() -> None:
    """Answer the host's requests until there are no more."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(Log())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json_format.Parse(line, protos.StreamingMessage())
        name = request.WhichOneof("content")
        if name in ("worker_init_request", "function_environment_reload_request"):
            worker.start_threadpool_executor()
        handle = getattr(worker, name)
        answer = await handle(WorkerRequest(name, request, {"protos": protos, "host": "127.0.0.1"}))
        field = {"functions_metadata_request": "function_metadata_response"}.get(
            name, name.replace("_request", "_response")
        )
        answered = protos.StreamingMessage(**{"request_id": request.request_id, field: answer})
        _send(json_format.MessageToDict(answered))
    worker.stop_threadpool_executor()


if __name__ == "__main__":
    asyncio.run(serve())
