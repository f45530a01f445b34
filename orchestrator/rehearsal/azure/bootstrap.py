"""The Python worker of a rehearsed function app: runs inside its process and imports nothing of ours.

Started as ``python -I -S bootstrap.py`` by ``host.py`` in the look-alike of ``/home/site/wwwroot``: only
the standard library, the package's root and its ``.python_packages/lib/site-packages`` are on ``sys.path``. It imports
``function_app`` with the package's own ``azure-functions``, as the real worker does
(https://github.com/Azure/azure-functions-python-worker), and serves HTTP on loopback: the host asks for the index of
the functions, then for one call after the other.
"""

import asyncio
import http.server
import importlib
import inspect
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_INDEX = "x-rehearsal-index"
_FUNCTION = "x-rehearsal-function"
_ROUTE = "x-rehearsal-route"


class Unsupported(Exception):  # noqa: N818 - it is not the function's error
    """The real worker knows it; this one says that it does not."""


class Functions:
    """The functions that the package's ``function_app`` declares; ``problem`` says why there are none to be had."""

    def __init__(self) -> None:
        self.problem = ""
        self._functions: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        try:
            self._functions = {function.get_function_name(): function for function in self._app().get_functions()}
            self._described = [self._describe(name, function) for name, function in self._functions.items()]
        except Unsupported as error:
            self.problem = str(error)
        except Exception:  # noqa: BLE001 - whatever the module does, Azure's host then knows no functions.
            traceback.print_exc()
            self._described = []

    def index(self) -> bytes:
        """JSON for the host: the functions, or the problem."""
        return json.dumps({"problem": self.problem} if self.problem else {"functions": self._described}).encode()

    def call(self, name: str, route: "dict[str, str]", request: "http.server.BaseHTTPRequestHandler") -> Any:
        """What the function returned."""
        from azure import functions  # noqa: PLC0415 - the package's own

        headers = {key.lower(): value for key, value in request.headers.items()}
        for ours in (_FUNCTION, _ROUTE):
            del headers[ours]
        function = self._functions[name]
        asked = functions.HttpRequest(
            method=request.command,
            url=f"https://{headers['host']}{request.path}",
            headers=headers,
            params=dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True)),
            route_params=route,
            body=request.rfile.read(int(headers.get("content-length") or 0)),
        )
        result = function.get_user_function()(**{function.get_trigger().name: asked})
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def _app(self) -> Any:
        """The one FunctionApp of the module, as the real worker looks for it."""
        from azure import functions  # noqa: PLC0415 - the package's own

        module = importlib.import_module("function_app")
        found = [value for value in vars(module).values() if isinstance(value, functions.FunctionApp)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} top level function app instances in function_app.py; one is needed.")
        return found[0]

    def _describe(self, name: str, function: Any) -> "dict[str, Any]":
        trigger = function.get_trigger()
        kinds = sorted({binding.type for binding in function.get_bindings()})
        if kinds != ["http", "httpTrigger"]:
            raise Unsupported(f"function {name} with the bindings {', '.join(kinds)}")
        parameters = list(inspect.signature(function.get_user_function()).parameters)
        if parameters != [trigger.name]:
            raise Unsupported(f"function {name} with the parameters {', '.join(parameters)}")
        methods = [getattr(method, "value", method) for method in trigger.methods or []]
        level = trigger.auth_level or "function"
        return {
            "name": name,
            "route": name if trigger.route is None else trigger.route,
            "methods": [method.upper() for method in methods],
            "level": getattr(level, "value", level).lower(),
        }


def answer_of(result: Any) -> "tuple[int, dict[str, str], bytes]":
    """(status, headers, body) of what a function returned, by the package's own converter."""
    from azure.functions.http import HttpResponseConverter  # noqa: PLC0415 - the package's own

    if result is None:
        return 204, {}, b""
    datum = HttpResponseConverter.encode(result, expected_type=None)
    if datum.type == "string":
        return 200, {"content-type": "text/plain; charset=utf-8"}, datum.value.encode()
    value = datum.value
    if value["cookies"]:
        raise Unsupported("not supported in rehearsal: an answer with cookies")
    headers = {name.lower(): header.value for name, header in value["headers"].items()}
    return int(value["status_code"].value), headers, value["body"].value


def handler(functions: Functions) -> "type[http.server.BaseHTTPRequestHandler]":
    """Answers the host."""

    class Worker(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            if _INDEX in self.headers:
                self.send(200, {"content-type": "application/json"}, functions.index())
                return
            try:
                name, route = self.headers[_FUNCTION], json.loads(self.headers[_ROUTE])
                answer = answer_of(functions.call(name, route, self))
            except Exception:  # noqa: BLE001 - the host's answer is empty; the reason is in the log.
                traceback.print_exc()
                answer = 500, {}, b""
            sys.stdout.flush()
            self.send(*answer)

        def send(self, status: int, headers: "dict[str, str]", body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: the output is the function's."""

    return Worker


def main() -> None:
    """Import the app, then answer for as long as we live."""
    root = Path.cwd()
    sys.path[:0] = [str(root), str(root / ".python_packages" / "lib" / "site-packages")]
    port = int(os.environ.pop("_REHEARSAL_PORT"))
    http.server.HTTPServer(("127.0.0.1", port), handler(Functions())).serve_forever()


if __name__ == "__main__":
    main()
