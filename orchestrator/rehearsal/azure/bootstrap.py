"""The Python worker of a rehearsed function app: runs inside its process and imports nothing of ours.

Started as ``python -I -S bootstrap.py`` by ``host.py`` in the look-alike of ``/home/site/wwwroot``: only
the package's ``.python_packages/lib/site-packages``, the standard library and the package's root are on ``sys.path``,
in this order. It imports ``function_app`` with the package's own ``azure-functions`` and calls its functions as the
real worker does (https://github.com/Azure/azure-functions-python-worker; tests/contract holds one against the other),
and serves HTTP on loopback: the host asks for the index of the functions, then for one call after the other.
"""

import asyncio
import http.server
import importlib
import inspect
import json
import logging
import os
import sys
import traceback
import typing
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
        self._described: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor()
        try:
            self._loop.run_until_complete(self._load())
        except Unsupported as error:
            self.problem = str(error)
        except Exception:  # noqa: BLE001 - whatever the module does, Azure's host then knows no functions.
            traceback.print_exc()

    def index(self) -> bytes:
        """JSON for the host: the functions, or the problem."""
        return json.dumps({"problem": self.problem} if self.problem else {"functions": self._described}).encode()

    def call(self, name: str, route: "dict[str, str]", request: "http.server.BaseHTTPRequestHandler") -> Any:
        """What the function returned."""
        from azure.functions.http import HttpRequestConverter  # noqa: PLC0415 - the package's own
        from azure.functions.meta import Datum  # noqa: PLC0415 - the package's own

        headers = {key.lower(): value for key, value in request.headers.items()}
        for ours in (_FUNCTION, _ROUTE):
            del headers[ours]
        function = self._functions[name]
        body = request.rfile.read(int(headers.get("content-length") or 0))
        asked = {
            "method": Datum(request.command, "string"),
            "url": Datum(f"https://{headers['host']}{request.path}", "string"),
            "headers": {key: Datum(value, "string") for key, value in headers.items()},
            "query": {key: Datum(value, "string") for key, value in _query(request.path).items()},
            "params": {key: Datum(value, "string") for key, value in route.items()},
            "body": Datum(body, "bytes"),
        }
        argument = HttpRequestConverter.decode(Datum(asked, "http"), trigger_metadata={})
        arguments = {function.get_trigger().name: argument}
        return self._loop.run_until_complete(self._run(function.get_user_function(), arguments))

    async def _load(self) -> None:
        """Import and index, in a running event loop: asyncio.run() in the module fails, as in the real worker."""
        self._functions = {function.get_function_name(): function for function in self._app().get_functions()}
        self._described = [self._describe(name, function) for name, function in self._functions.items()]

    async def _run(self, function: Any, arguments: "dict[str, Any]") -> Any:
        """A function that is not async runs in a thread, not in the main one: it cannot set a signal's handler."""
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        return await self._loop.run_in_executor(self._threads, partial(function, **arguments))

    def _app(self) -> Any:
        """The one app of the module, as the real worker looks for it."""
        from azure import functions  # noqa: PLC0415 - the package's own

        module = importlib.import_module("function_app")
        found = [value for value in vars(module).values() if isinstance(value, functions.FunctionRegister)]
        if not found:
            raise ValueError("Could not find top level function app instances in function_app.py.")
        if len(found) > 1:
            kind = type(found[0]).__name__
            raise ValueError(f"More than one {kind} or other top level function app instances are defined.")
        return found[0]

    def _describe(self, name: str, function: Any) -> "dict[str, Any]":
        trigger = function.get_trigger()
        kinds = sorted({binding.type for binding in function.get_bindings()})
        if kinds != ["http", "httpTrigger"]:
            raise Unsupported(f"function {name} with the bindings {', '.join(kinds)}")
        parameters = list(inspect.signature(function.get_user_function()).parameters)
        if parameters != [trigger.name]:
            raise Unsupported(f"function {name} with the parameters {', '.join(parameters)}")
        _check_annotations(name, trigger.name, typing.get_type_hints(function.get_user_function()))
        methods = [getattr(method, "value", method) for method in trigger.methods or []]
        level = trigger.auth_level or "function"
        return {
            "name": name,
            "route": name if trigger.route is None else trigger.route,
            "methods": [method.upper() for method in methods],
            "level": getattr(level, "value", level).lower(),
        }


def _query(path: str) -> "dict[str, str]":
    """The query as the host passes it on: a name's values in one, parted by commas, and no empty ones.

    https://github.com/Azure/azure-functions-host, GrpcMessageConversionExtensions.ToRpcHttp; the Python worker does not
    say that it can take empty ones ("UseNullableValueDictionaryForHttp").
    """
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(path).query):
        values.setdefault(name, []).append(value)
    return {name: ",".join(several) for name, several in values.items()}


def _check_annotations(name: str, parameter: str, annotations: "dict[str, Any]") -> None:
    """RuntimeError, in the real worker's words, for types that its HTTP bindings do not have."""
    from azure.functions.http import HttpRequestConverter, HttpResponseConverter  # noqa: PLC0415 - the package's own

    given, returned = annotations.get(parameter), annotations.get("return")
    for annotation in (given, returned):
        if annotation is not None and not isinstance(annotation, type):
            raise Unsupported(f"function {name} with the annotation {annotation}")
    if given in (str, bytes):
        raise Unsupported(f"function {name} whose parameter {parameter} is annotated as {given.__name__}")
    if given and not HttpRequestConverter.check_input_type_annotation(given):
        raise RuntimeError(
            f'cannot load the {name} function: binding type "\'{parameter}\'" and dataType "httpTrigger" in the '
            "binding decorator do not match the corresponding function parameter's Python type annotation "
            f"{given.__name__}"
        )
    if returned and not HttpResponseConverter.check_output_type_annotation(returned):
        raise RuntimeError(
            f'cannot load the {name} function: Python return annotation "{returned.__name__}" does not match binding '
            'type "http"'
        )


def answer_of(result: Any) -> "tuple[int, dict[str, str], bytes]":
    """(status, headers, body) of what a function returned, by the package's own converter."""
    from azure.functions.http import HttpResponseConverter  # noqa: PLC0415 - the package's own

    try:
        datum = HttpResponseConverter.encode(result, expected_type=None)
    except NotImplementedError as error:
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "http" for Python type "{type(result).__name__}"'
        ) from error
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

        do_GET = do_HEAD = do_OPTIONS = answer  # noqa: N815 - http.server's names
        do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: the output is the function's."""

    return Worker


def main() -> None:
    """Import the app, then answer for as long as we live."""
    root = Path.cwd()
    # As on the plans Consumption and Flex Consumption, says the worker's DependencyManager: the app's own modules last.
    sys.path.insert(0, str(root / ".python_packages" / "lib" / "site-packages"))
    sys.path.append(str(root))
    # The worker's log has what the app logs from this level on.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    port = int(os.environ.pop("_REHEARSAL_PORT"))
    http.server.HTTPServer(("127.0.0.1", port), handler(Functions())).serve_forever()


if __name__ == "__main__":
    main()
