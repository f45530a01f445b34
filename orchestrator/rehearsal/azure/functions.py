"""A function app as it is reached: its front door with the keys, its package, and the site that takes a package.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger.
"""

import hmac
import ssl
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from orchestrator.rehearsal.azure.app_rules import HOST_STORAGE, Y1
from orchestrator.rehearsal.azure.host import Host, HostError, Match, Site, log
from orchestrator.rehearsal.azure.scm import ScmSite
from orchestrator.rehearsal.front_door import Answer, Around, Listener, Request, as_it_is
from orchestrator.rehearsal.latency import AT_ONCE, Latency
from orchestrator.rehearsal.tls import Tls

_FETCH_SECONDS = 60
_PACKAGE_URL = "WEBSITE_RUN_FROM_PACKAGE"
_NOT_FOUND = Answer(HTTPStatus.NOT_FOUND, {}, b"")
_UNAUTHORIZED = Answer(HTTPStatus.UNAUTHORIZED, {}, b"")
_NOT_RUNNING = Answer(HTTPStatus.SERVICE_UNAVAILABLE, {"Content-Type": "text/plain"}, b"Function host is not running.")


class FunctionApp:
    """An app with a listener of its own, and another one for its deployment site.

    ``check_token`` refuses who may not publish; ``keep_package`` stores what was published.
    """

    def __init__(
        self,
        site: Site,
        folder: Path,
        tls: Tls,
        *,
        check_token: Callable[[str | None], None],
        keep_package: Callable[[Site, bytes], None],
        around: Around = as_it_is,
        latency: Latency = AT_ONCE,
    ) -> None:
        self.site = site
        self._folder = folder
        self._tls = tls
        self._keep_package = keep_package
        self._latency = latency
        self._is_cold = True  # Until a function was called.
        self._lock = threading.Lock()
        self._stopped = False
        self._package: bytes | None = None
        self._host: Host | None = None
        self._door = Listener(self._answer, tls.server, around=around)
        self._scm = Listener(ScmSite(site, check_token, self._publish, latency).answer, tls.server, around=around)
        self.host_name = self._door.address
        self.scm_host_name = self._scm.address

    @property
    def is_warm(self) -> bool:
        """Whether its host runs."""
        with self._lock:
            return self._host is not None and not self._host.ended

    def start(self) -> None:
        """Start the host if it is not running and there is a package; HostError when it does not start."""
        with self._lock:
            self._running()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Take other settings: the host ends, and the next start is one with them."""
        with self._lock:
            self._end_host()
            self._package = None
            self.site = replace(self.site, settings=settings)

    def stop(self) -> None:
        """Close both listeners, and end the process."""
        self._door.close()
        self._scm.close()
        with self._lock:
            self._stopped = True  # A request may still be on its way.
            self._end_host()

    def _answer(self, request: Request) -> Answer:
        path = urlsplit(request.url).path
        if path == "/" or path.lower().startswith(("/admin", "/runtime")):
            text = f"not supported in rehearsal: {request.method} {path} of a function app's host"
            return Answer(HTTPStatus.NOT_IMPLEMENTED, {"Content-Type": "text/plain"}, text.encode())
        since = self._latency.now()
        try:
            with self._lock:
                host = self._running()
        except HostError as error:
            log(self.site, str(error))
            return _NOT_RUNNING
        match = host.match(request) if host else None
        if host is None or match is None:
            return _NOT_FOUND
        if not self._may_call(match, request):
            return _UNAUTHORIZED
        with self._lock:
            is_cold, self._is_cold = self._is_cold, False
        answer = host.call(match, request)
        if is_cold:
            self._latency.wait("azure invocation", since)
        return answer

    def _may_call(self, match: Match, request: Request) -> bool:
        """https://learn.microsoft.com/azure/azure-functions/function-keys-how-to#understand-keys."""
        level, site = match.function.level, self.site
        given = request.headers.get("x-functions-key") or parse_qs(urlsplit(request.url).query).get("code", [""])[0]
        opens = {"anonymous": [], "function": [site.function_key, site.master_key], "admin": [site.master_key]}[level]
        return level == "anonymous" or any(hmac.compare_digest(given.encode(), key.encode()) for key in opens)

    def _running(self) -> Host | None:
        """The host, started if it is not running; None for an app without a package."""
        if self._stopped:
            return None
        if self._host is not None and self._host.ended:
            self._end_host()
        if self.site.sku == Y1 and HOST_STORAGE not in self.site.settings:  # Flex apps have it from the start.
            raise HostError(f"there is no {HOST_STORAGE}")
        if self._package is None and _PACKAGE_URL in self.site.settings:
            self._package = self._fetch(self.site.settings[_PACKAGE_URL])
        if self._host is None and self._package is not None:
            folder = self._folder / uuid.uuid4().hex
            self._is_cold = True
            self._host = Host(self.site, self._package, folder, host_name=self.host_name, authority=self._tls.authority)
        return self._host

    def _fetch(self, url: str) -> bytes:
        """The package that the app mounts when it starts."""
        trusting = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self._tls.authority))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusting)
        try:
            with opener.open(url, timeout=_FETCH_SECONDS) as answer:
                content: bytes = answer.read()
        except urllib.error.URLError as error:
            raise HostError(f"the package cannot be fetched: {error}") from error
        return content

    def _publish(self, package: bytes) -> None:
        self._keep_package(self.site, package)
        with self._lock:
            self._end_host()
            self._package = package

    def _end_host(self) -> None:
        if self._host is not None:
            self._host.end()
            self._host = None
