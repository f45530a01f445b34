"""The deployment site (SCM) of a flex app: takes a package, and says how its deployment goes.

https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#one-deploy; what it answers is as
the Azure CLI reads it (``enable_zip_deploy_flex`` in its ``appservice`` module).
"""

import io
import json
import threading
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from orchestrator.rehearsal.azure.app_rules import FC1
from orchestrator.rehearsal.azure.host import Site
from orchestrator.rehearsal.azure.rest import ArmError
from orchestrator.rehearsal.front_door import Answer, Request
from orchestrator.rehearsal.latency import AT_ONCE, Latency

# https://github.com/projectkudu/kudu/blob/master/Kudu.Contracts/Deployment/DeployStatus.cs
_BUILDING, _FAILED, _SUCCESS = 1, 3, 4
# A deployment ends when somebody has seen it run, or after this long.
_UNSEEN_SECONDS = 5.0


class DeploymentError(Exception):
    """The package was not deployed; the text is in the deployment's status."""


class _Deployment:
    def __init__(self, package: bytes, publish: Callable[[bytes], None], latency: Latency) -> None:
        self.id = str(uuid.uuid4())
        self._received = datetime.now(UTC)
        self._latency = latency
        self._seen = threading.Event()
        self._status = _BUILDING
        self._status_text = f"Building and Deploying '{self.id}'."
        threading.Thread(target=self._run, args=(package, publish), daemon=True).start()

    @property
    def complete(self) -> bool:
        return self._status != _BUILDING

    def said(self) -> dict[str, object]:
        """What the site says of it; whoever asks has seen it."""
        now = {
            "id": self.id,
            "status": self._status,
            "status_text": self._status_text,
            "message": "OneDeploy",
            "deployer": "OneDeploy",
            "received_time": self._received.isoformat(),
            "complete": self.complete,
        }
        self._seen.set()
        return now

    def _run(self, package: bytes, publish: Callable[[bytes], None]) -> None:
        since = self._latency.now()
        self._seen.wait(_UNSEEN_SECONDS)
        try:
            _check(package)
            publish(package)
            self._latency.wait("azure publish", since)
        except DeploymentError as error:
            self._status_text = str(error)
            self._status = _FAILED
        else:
            self._status_text = ""
            self._status = _SUCCESS


class ScmSite:
    """Answers for one app. ``publish`` takes a package that is well formed, or raises DeploymentError."""

    def __init__(
        self,
        site: Site,
        check_token: Callable[[str | None], None],
        publish: Callable[[bytes], None],
        latency: Latency = AT_ONCE,
    ) -> None:
        self._site = site
        self._check_token = check_token
        self._publish = publish
        self._latency = latency
        self._deployments: dict[str, _Deployment] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """One request."""
        try:
            self._check_token(request.headers.get("authorization"))
        except ArmError as error:
            return Answer(error.status, {}, b"")
        url = urlsplit(request.url)
        asked = f"{request.method} {url.path}"
        if asked == "POST /api/publish" and self._site.sku == FC1:
            return self._take(request, dict(parse_qsl(url.query, keep_blank_values=True)))
        deployment = url.path.removeprefix("/api/deployments/")
        if request.method == "GET" and deployment != url.path and not url.query:
            return self._tell(deployment)
        return _refused(f"{asked} of the deployment site of a {self._site.sku} app")

    def _take(self, request: Request, query: dict[str, str]) -> Answer:
        if query != {"RemoteBuild": "False"}:
            return _refused(f"publishing with {query}; RemoteBuild=False is known")
        if request.headers.get("content-type") != "application/zip":
            return Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {}, b"")
        with self._lock:
            if any(not deployment.complete for deployment in self._deployments.values()):
                text = "There is a deployment currently in progress. Please try again when it completes."
                return Answer(HTTPStatus.CONFLICT, {"Content-Type": "text/plain"}, text.encode())
            made = _Deployment(request.body, self._publish, self._latency)
            self._deployments[made.id] = made
        return _json(HTTPStatus.ACCEPTED, made.id)

    def _tell(self, deployment_id: str) -> Answer:
        with self._lock:
            latest = list(self._deployments)[-1:]
            found = self._deployments.get(latest[0] if deployment_id == "latest" and latest else deployment_id)
        if found is None:
            return _json(HTTPStatus.NOT_FOUND, {"Message": f"No deployment '{deployment_id}' found."})
        return _json(HTTPStatus.OK, found.said())


def _check(package: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as opened:
            names = opened.namelist()
    except zipfile.BadZipFile as error:
        raise DeploymentError(
            "InvalidPackageContentException: Package content validation failed: the content is no zip package."
        ) from error
    if "host.json" not in names:
        raise DeploymentError(
            "InvalidPackageContentException: Package content validation failed: Cannot find required host.json file at "
            "root level in the .zip package."
        )


def _json(status: int, content: object) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


def _refused(what: str) -> Answer:
    text = f"not supported in rehearsal: {what}"
    return Answer(HTTPStatus.NOT_IMPLEMENTED, {"Content-Type": "text/plain"}, text.encode())
