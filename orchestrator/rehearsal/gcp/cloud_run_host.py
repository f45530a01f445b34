"""The front door of a Cloud Run service and the process behind it.

The door is open to whoever shows an ID token for the service's URL and may invoke it:
https://cloud.google.com/run/docs/authenticating/service-to-service. Cloud Logging has no stand-in: what a function that
failed had written goes to the rehearsal's log.
"""

import html
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.rehearsal.front_door import Answer, Around, Listener, Request, as_it_is
from orchestrator.rehearsal.function_process import remove, unpack
from orchestrator.rehearsal.gcp.cloud_run_rules import Revision
from orchestrator.rehearsal.gcp.identity import Identity, MetadataServer, ServiceAccount, TokenError
from orchestrator.rehearsal.http_function import FunctionFailedError, FunctionTimedOutError, HttpFunction
from orchestrator.rehearsal.latency import AT_ONCE, Latency

# "Your container instances must start an HTTP server within 4 minutes."
_START_SECONDS = 240.0
# https://cloud.google.com/run/quotas#cloud_run_limits: HTTP/1, not streamed.
_ANSWER_LIMIT = 32 * 1024 * 1024
_REASONS = {
    HTTPStatus.UNAUTHORIZED: "Your client does not have permission to the requested URL <code>{}</code>.",
    HTTPStatus.FORBIDDEN: "Your client does not have permission to get URL <code>{}</code> from this server.",
}


class ServiceHost:
    """A service's URL and, from the first request on, its one warm instance.

    ``variables`` are Cloud Run's own and those that lead to the stand-ins; ``folder`` is the service's alone.
    """

    def __init__(
        self,
        revision: Revision,
        source: bytes,
        *,
        account: ServiceAccount,
        identity: Identity,
        may_invoke: Callable[[str], bool],
        variables: Mapping[str, str],
        folder: Path,
        around: Around = as_it_is,
        latency: Latency = AT_ONCE,
    ) -> None:
        self._revision = revision
        self._source = source
        self._account = account
        self._identity = identity
        self._may_invoke = may_invoke
        self._variables = variables
        self._folder = folder
        self._latency = latency
        self._instance: _Instance | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._listener = Listener(self._answer, around=around)

    @property
    def is_warm(self) -> bool:
        """Whether an instance runs."""
        with self._lock:
            return self._instance is not None and not self._instance.function.ended

    @property
    def url(self) -> str:
        """Without a slash at its end, as Cloud Run's."""
        return self._listener.url

    def close(self) -> None:
        """Stop listening, end the process and remove what was unpacked for it."""
        self._listener.close()
        with self._lock:
            self._closed = True
            if self._instance:
                self._instance.end()
                self._instance = None

    def _answer(self, request: Request) -> Answer:
        refusal = self._refusal(request)
        if refusal:
            return refusal
        since = self._latency.now()
        function, is_cold = self._function()
        if function is None:
            return _plain(HTTPStatus.NOT_FOUND, "Page not found")
        try:
            answer = function.ask(_as_forwarded(request), self._revision.timeout)
        except FunctionFailedError as failure:
            written = "\n".join(function.output)
            sys.stderr.write(f"{self._variables['K_REVISION']}: {failure}\n{written}\n")
            if isinstance(failure, FunctionTimedOutError):
                return _plain(HTTPStatus.GATEWAY_TIMEOUT, "upstream request timeout")
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        if is_cold:
            self._latency.wait("gcp invocation", since)
        if len(answer.body) > _ANSWER_LIMIT:
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "Response size was too large.")
        return answer

    def _function(self) -> tuple[HttpFunction | None, bool]:
        """The warm instance's process, or a new one's, and whether it is new; None once the service is gone."""
        with self._lock:
            if self._closed:
                return None, False
            if self._instance is not None and self._instance.function.ended:
                self._instance.end()
                self._instance = None
            is_new = self._instance is None
            if self._instance is None:
                self._instance = _Instance(
                    self._revision,
                    self._source,
                    metadata=MetadataServer(self._identity, self._account),
                    variables=self._variables,
                    folder=self._folder / uuid.uuid4().hex,
                )
            return self._instance.function, is_new

    def _refusal(self, request: Request) -> Answer | None:
        """What a caller gets who may not come in: https://cloud.google.com/run/docs/troubleshooting#unauthorized-client."""
        if "x-serverless-authorization" in request.headers:
            return _plain(HTTPStatus.NOT_IMPLEMENTED, "not supported in rehearsal: header X-Serverless-Authorization")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _page(HTTPStatus.FORBIDDEN, request)
        try:
            email = self._identity.verify_id_token(token, self.url)
        except TokenError:
            return _page(HTTPStatus.UNAUTHORIZED, request)
        return None if self._may_invoke(email) else _page(HTTPStatus.FORBIDDEN, request)


class _Instance:
    """An unpacked package, its process, and the metadata server that tells the process who it is."""

    def __init__(
        self,
        revision: Revision,
        source: bytes,
        *,
        metadata: MetadataServer,
        variables: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._metadata = metadata
        self._folder = folder
        workspace, temporary = folder / "workspace", folder / "tmp"
        unpack(source, workspace)
        temporary.mkdir()
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOST": "127.0.0.1",  # Of a container it would be all its addresses.
            "TMPDIR": str(temporary),  # A container's /tmp is its own; ours must not be shared either.
            **variables,
            **metadata.environment,
            **revision.variables,
        }
        self.function = HttpFunction(
            # Without this machine's site-packages: the base image has a Python and nothing of ours.
            [sys.executable, "-S", *revision.command[1:]],
            folder=folder,
            cwd=workspace,
            environment=environment,
            port_variable="PORT",
            memory_mib=revision.memory_mib,
            start_seconds=_START_SECONDS,
        )

    def end(self) -> None:
        """End the process; nothing of it stays."""
        self.function.end()
        self._metadata.close()
        remove(self._folder)


def _as_forwarded(request: Request) -> Request:
    """The container sees whose token it was, and cannot use it: the signature is gone."""
    token = request.headers["authorization"].rpartition(".")[0]
    return replace(request, headers={**request.headers, "authorization": f"{token}.SIGNATURE_REMOVED_BY_GOOGLE"})


def _page(status: HTTPStatus, request: Request) -> Answer:
    reason = _REASONS[status].format(html.escape(urlsplit(request.url).path))
    body = (
        '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n'
        f"<title>{status.value} {status.phrase}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n"
        f"<h1>Error: {status.phrase}</h1>\n<h2>{reason}</h2>\n<h2></h2>\n</body></html>\n"
    )
    headers = {"Content-Type": "text/html; charset=UTF-8"}
    if status == HTTPStatus.UNAUTHORIZED:
        reason = 'error="invalid_token" error_description="The access token could not be verified"'
        headers["WWW-Authenticate"] = f"Bearer {reason}"
    return Answer(status, headers, body.encode())


def _plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, {"Content-Type": "text/plain"}, text.encode())
