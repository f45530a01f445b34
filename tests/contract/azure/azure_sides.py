"""A function app on our stand-in, and under Microsoft's own Python worker with this test as its host."""

import base64
import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import requests

from orchestrator.rehearsal.azure.app_rules import FC1, Runtime
from orchestrator.rehearsal.azure.functions import FunctionApp
from orchestrator.rehearsal.azure.host import Function, Host, Site
from orchestrator.rehearsal.front_door import Answer
from orchestrator.rehearsal.function_process import remove, unpack
from orchestrator.rehearsal.tls import Tls

_WORKER = Path(__file__).with_name("azure_worker.py")
_HOST = "hop.azurewebsites.net"
_OF_HTTP = frozenset({"connection", "content-length", "date", "server"})


@dataclass(frozen=True)
class Question:
    """A request to the function ``name``, which has that route."""

    name: str
    method: str = "GET"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"/api/{self.name}" + (f"?{self.query}" if self.query else "")


class Side(Protocol):
    """An app that has been started with its package."""

    def functions(self) -> list[Function]:
        """What the package declares, by name."""

    def ask(self, question: Question) -> Answer:
        """What the function answers; header names in lower case, and only the function's own."""

    def log(self) -> list[str]:
        """The lines that the app wrote: its log, its output, and why it failed."""

    def end(self) -> None:
        """End the process."""


class Ours:
    """An app of the stand-in Azure, asked over HTTPS with its key."""

    def __init__(self, package: bytes, folder: Path, tls: Tls, settings: Mapping[str, str]) -> None:
        self._tls = tls
        site = Site(
            id="/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hop/providers/Microsoft.Web/sites/hop",
            name="hop",
            group="hop",
            location="eastus",
            plan_id="",
            sku=FC1,
            runtime=Runtime("3.13", 2048),
            settings=settings,
            packages=None,
            master_key="of the master",
            function_key="of the function",
        )
        self._app = FunctionApp(
            site, folder, tls, check_token=lambda _: None, keep_package=lambda _site, _package: None
        )
        self._app._publish(package)
        self._app.start()

    def functions(self) -> list[Function]:
        return sorted(self._host._functions, key=lambda function: function.name)

    def ask(self, question: Question) -> Answer:
        answer = requests.request(
            question.method,
            f"https://{self._app.host_name}{question.target}",
            headers={"x-functions-key": "of the function", **question.headers},
            data=question.body,
            timeout=60,
            verify=str(self._tls.authority),
            allow_redirects=False,
        )
        headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in _OF_HTTP}
        return Answer(answer.status_code, headers, answer.content)

    def log(self) -> list[str]:
        return self._host._worker.output

    def end(self) -> None:
        self._app.stop()

    @property
    def _host(self) -> Host:
        assert self._app._host is not None
        return self._app._host


class Theirs:
    """Microsoft's worker, taken out of its placeholder as on the plans Consumption and Flex Consumption.

    A request becomes a message, and a message an answer, as in Microsoft's host:
    https://github.com/Azure/azure-functions-host/tree/dev/src/WebJobs.Script.Grpc/MessageExtensions.
    """

    def __init__(self, package: bytes, folder: Path, libraries: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        root = folder / "home" / "site" / "wwwroot"
        unpack(package, root)
        self._written: list[str] = []
        self._output = (folder / "output").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", str(_WORKER), str(libraries),
             str(root / ".python_packages" / "lib" / "site-packages")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            text=True,
            encoding="utf-8",
            env={"LANG": "C.UTF-8"},
        )  # fmt: skip
        reload = {"environmentVariables": {"LANG": "C.UTF-8", **settings}, "functionAppDirectory": str(root)}
        self._result(self._send("functionEnvironmentReload", reload))
        described = self._send("functionsMetadata", {"functionAppDirectory": str(root)}, "functionMetadata")
        self._metadata: list[dict[str, Any]] = described.get("functionMetadataResults", [])
        for one in self._metadata:
            self._result(self._send("functionLoad", {"functionId": one["functionId"], "metadata": one}))

    def functions(self) -> list[Function]:
        found = []
        for one in self._metadata:
            bindings = [json.loads(text) for text in one["rawBindings"]]
            (trigger,) = [binding for binding in bindings if binding["type"] == "httpTrigger"]
            # https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger
            route, methods = trigger.get("route", one["name"]), trigger.get("methods", [])
            found.append(Function(one["name"], route, tuple(methods), trigger["authLevel"].lower()))
        return sorted(found, key=lambda function: function.name)

    def ask(self, question: Question) -> Answer:
        (found,) = [one for one in self._metadata if one["name"] == question.name]
        (name,) = [name for name, binding in found["bindings"].items() if binding["type"] == "httpTrigger"]
        query: dict[str, list[str]] = {}
        for key, value in parse_qsl(question.query):
            query.setdefault(key, []).append(value)
        http = {
            "method": question.method,
            "url": f"https://{_HOST}{question.target}",
            "headers": {"host": _HOST, **{key.lower(): value for key, value in question.headers.items()}},
            "query": {key: ",".join(values) for key, values in query.items()},
        }
        if question.body:
            http["body"] = {"bytes": base64.b64encode(question.body).decode()}
        invocation = {
            "invocationId": str(uuid.uuid4()),
            "functionId": found["functionId"],
            "inputData": [{"name": name, "data": {"http": http}}],
        }
        response = self._send("invocation", invocation)
        if not self._result(response):
            return Answer(500, {}, b"")
        returned = response["returnValue"]
        if "string" in returned:
            return Answer(200, {"content-type": "text/plain; charset=utf-8"}, returned["string"].encode())
        answered = returned["http"]
        headers = {key.lower(): value for key, value in answered.get("headers", {}).items()}
        return Answer(int(answered["statusCode"]), headers, base64.b64decode(answered["body"].get("bytes", "")))

    def log(self) -> list[str]:
        return [*self._written, *(self._folder / "output").read_text("utf-8").splitlines()]

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        self._output.close()
        remove(self._folder)

    def _send(self, what: str, content: Mapping[str, Any], answer: str = "") -> dict[str, Any]:
        """Send ``<what>Request``; the content of its response, after what was logged on the way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"requestId": str(uuid.uuid4()), f"{what}Request": content}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            message = json.loads(line)
            if "rpcLog" not in message:
                response: dict[str, Any] = message[f"{answer or what}Response"]
                return response
            if message["rpcLog"].get("logCategory", "User") == "User":
                self._written.append(message["rpcLog"]["message"])
        raise AssertionError(f"the worker ended with status {self._process.wait()}: {self.log()}")

    def _result(self, response: Mapping[str, Any]) -> bool:
        """Whether it is a success; else the reason goes to the log."""
        result: dict[str, Any] = response["result"]
        if "exception" in result:
            self._written += [*result["exception"]["stackTrace"].splitlines(), result["exception"]["message"]]
        return result.get("status") == "Success"
