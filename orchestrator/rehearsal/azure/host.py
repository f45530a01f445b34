"""Runs a packaged function app as the Azure Functions host would.

The package is unpacked read-only into a look-alike of ``/home/site/wwwroot``; a fresh process, the Python worker
(``bootstrap.py``), imports it with only the app's settings and Azure's variables, within its instance's memory.
The host matches routes, and gives the function its time.
"""

import json
import re
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.rehearsal.azure.app_rules import FC1, Y1, Runtime
from orchestrator.rehearsal.front_door import Answer, Request
from orchestrator.rehearsal.function_process import remove, unpack
from orchestrator.rehearsal.http_function import FunctionFailedError, FunctionTimedOutError, HttpFunction

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
# (default, most) in seconds, None is unbounded: https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
_TIMEOUTS: Mapping[str, tuple[int, int | None]] = {Y1: (300, 600), FC1: (1800, None)}
_TIMEOUT_SETTING = "AzureFunctionsJobHost__functionTimeout"
# The load balancer gives up then, whatever the limit, says the same page.
_LOAD_BALANCER_SECONDS = 230
# https://github.com/Azure/azure-functions-host: the worker's process startup timeout.
_START_SECONDS = 60
_HOST_JSON = frozenset({"version", "functionTimeout", "logging", "extensions"})
_ROUTE_PART = re.compile(r"\{(\w+)\}|[^{}]+")


class HostError(Exception):
    """The host does not start: every request is answered with 503. The text is for the app's log."""


@dataclass(frozen=True)
class Site:
    """A function app. ``settings`` are its environment; ``packages`` (account, container) keep a flex app's package."""

    id: str
    name: str
    group: str
    location: str
    plan_id: str
    sku: str
    runtime: Runtime
    settings: Mapping[str, str]
    packages: tuple[str, str] | None
    master_key: str
    function_key: str


@dataclass(frozen=True)
class Function:
    """A function as the package declares it; no ``methods`` means every method."""

    name: str
    route: str
    methods: tuple[str, ...]
    level: str


@dataclass(frozen=True)
class Match:
    """The function that a request is for, and what its route's parameters are."""

    function: Function
    parameters: Mapping[str, str]


class Host:
    """One start of the host with one package. Serves one request at a time."""

    def __init__(self, site: Site, package: bytes, folder: Path, *, host_name: str, authority: Path) -> None:
        self._site = site
        self._folder = folder
        self._said = 0
        root = folder / "home" / "site" / "wwwroot"
        try:
            unpack(package, root)
            self._prefix, self._seconds = _configuration(root / "host.json", site)
        except zipfile.BadZipFile as error:
            remove(folder)
            raise HostError(f"the package is no zip: {error}") from error
        except HostError:
            remove(folder)
            raise
        (folder / "tmp").mkdir()
        self._worker = HttpFunction(
            [sys.executable, "-I", "-S", "-u", str(_BOOTSTRAP)],
            folder=folder,
            cwd=root,
            environment=_environment(site, folder, root, host_name, authority),
            port_variable="_REHEARSAL_PORT",
            memory_mib=site.runtime.memory_mib,
            start_seconds=_START_SECONDS,
        )
        self._functions = self._index(host_name)

    @property
    def ended(self) -> bool:
        """Whether the worker is gone: the next request needs a new start."""
        return self._worker.ended

    def match(self, request: Request) -> Match | None:
        """The function whose route and methods fit."""
        path = unquote(urlsplit(request.url).path).strip("/").split("/")
        for function in self._functions:
            parameters = _matched("/".join(filter(None, (self._prefix, function.route))), path)
            if parameters is not None and request.method in (function.methods or [request.method]):
                return Match(function, parameters)
        return None

    def call(self, match: Match, request: Request) -> Answer:
        """The function's answer; empty with 500 when it fails, with 504 when the load balancer gave up."""
        headers = {
            **{name: value for name, value in request.headers.items() if not name.startswith("x-rehearsal-")},
            "x-rehearsal-function": match.function.name,
            "x-rehearsal-route": json.dumps(match.parameters),
        }
        allowed = min(self._seconds, _LOAD_BALANCER_SECONDS)
        asked = Request(request.method, request.url, headers, request.body, request.caller)
        try:
            return self._worker.ask(asked, allowed)
        except FunctionFailedError as error:
            log(self._site, f"{match.function.name}: {error}")
            gave_up = isinstance(error, FunctionTimedOutError) and self._seconds > _LOAD_BALANCER_SECONDS
            return Answer(HTTPStatus.GATEWAY_TIMEOUT if gave_up else HTTPStatus.INTERNAL_SERVER_ERROR, {}, b"")
        finally:
            self._pass_on()

    def end(self) -> None:
        """End the worker, and remove what was unpacked."""
        self._worker.end()
        remove(self._folder)

    def _index(self, host_name: str) -> list[Function]:
        asked = Request("GET", f"https://{host_name}/", {"x-rehearsal-index": "1"}, b"", "127.0.0.1")
        try:
            said = json.loads(self._worker.ask(asked, _START_SECONDS).body)
        except FunctionFailedError as error:
            self.end()
            raise HostError(f"the worker did not start: {error}") from error
        finally:
            self._pass_on()
        functions = [Function(**found | {"methods": tuple(found["methods"])}) for found in said.get("functions", [])]
        odd = [function.route for function in functions if not _is_known(function.route)]
        problem = said.get("problem") or (f"route {odd[0]}" if odd else "")
        if problem:
            self.end()
            raise HostError(f"not supported in rehearsal: {problem}")
        return functions

    def _pass_on(self) -> None:
        """What the worker wrote."""
        for line in self._worker.output[self._said :]:
            log(self._site, line)
        self._said = len(self._worker.output)


def log(site: Site, line: str) -> None:
    """Without Application Insights an app has no log in Azure; here it is the rehearsal's."""
    sys.stderr.write(f"{site.name}: {line}\n")


def _configuration(path: Path, site: Site) -> tuple[str, float]:
    """(route prefix, seconds that a function may take) of a host.json and the app's settings.

    https://learn.microsoft.com/azure/azure-functions/functions-host-json
    """
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HostError(f"host.json cannot be read: {error}") from error
    if not isinstance(said, dict) or said.get("version") != "2.0":
        raise HostError('host.json must be an object with "version": "2.0"')
    http = _known(said, "", _HOST_JSON).get("extensions", {})
    http = _known(http, "extensions.", frozenset({"http"})).get("http", {})
    prefix = _known(http, "extensions.http.", frozenset({"routePrefix"})).get("routePrefix", "api")
    default, most = _TIMEOUTS[site.sku]
    text = site.settings.get(_TIMEOUT_SETTING, said.get("functionTimeout"))
    seconds = float(default) if text is None else _seconds(str(text))
    if most is not None and not 1 <= seconds <= most:
        raise HostError(f"functionTimeout must be from 00:00:01 to 00:{most // 60}:00 on plan {site.sku}, not {text}")
    return prefix.strip("/"), seconds


def _known(section: dict[str, Any], path: str, known: frozenset[str]) -> dict[str, Any]:
    for name in section:
        if name not in known:
            raise HostError(f"not supported in rehearsal: {path}{name} in host.json")
    return section


def _seconds(text: str) -> float:
    if text == "-1":
        return float("inf")
    matched = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d)", text)
    if matched is None:
        raise HostError(f"functionTimeout must be hh:mm:ss or -1, not {text}")
    hours, minutes, seconds = map(int, matched.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _environment(site: Site, folder: Path, root: Path, host_name: str, authority: Path) -> dict[str, str]:
    """Azure's variables and the app's settings, no others.

    https://learn.microsoft.com/azure/app-service/reference-app-settings
    """
    subscription = site.id.split("/")[2]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "SSL_CERT_FILE": str(authority),  # In Azure, the blob endpoint's certificate is one that everybody trusts.
        "AZURE_FUNCTIONS_ENVIRONMENT": "Production",
        "AzureWebJobsScriptRoot": str(root),
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "FUNCTIONS_WORKER_RUNTIME_VERSION": site.runtime.python,
        "REGION_NAME": site.location,
        "WEBSITE_HOSTNAME": host_name,
        "WEBSITE_OWNER_NAME": f"{subscription}+{site.group}-{site.location}webspace-Linux",
        "WEBSITE_RESOURCE_GROUP": site.group,
        "WEBSITE_SITE_NAME": site.name,
        "WEBSITE_SKU": {Y1: "Dynamic", FC1: "FlexConsumption"}[site.sku],
        **site.settings,
    }


def _is_known(route: str) -> bool:
    """Literals and whole-segment parameters; constraints, defaults and catch-alls are ASP.NET's."""
    return all(_ROUTE_PART.fullmatch(part) for part in route.strip("/").split("/")) or not route.strip("/")


def _matched(route: str, path: list[str]) -> dict[str, str] | None:
    """The route's parameters, or None when the path is another; literals do not regard case."""
    parts = route.strip("/").split("/")
    if len(parts) != len(path):
        return None
    parameters = {}
    for part, given in zip(parts, path, strict=True):
        matched = _ROUTE_PART.fullmatch(part)
        if matched and matched[1]:
            parameters[matched[1]] = given
        elif part.lower() != given.lower():
            return None
    return parameters
