"""Google Cloud in a rehearsal: BigQuery, Cloud Storage and Cloud Run, and callers that must prove who they are.

Every route checks the access token (``identity``), its scope, and what its account may do: the rehearsal's
caller owns the project, any other account may only do what a bucket's policy grants it.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from orchestrator.rehearsal.front_door import Around, as_it_is
from orchestrator.rehearsal.gcp import bigquery_rest, cloud_run_rest, cloud_storage_rest, projects_rest
from orchestrator.rehearsal.gcp.bigquery import BigQuery
from orchestrator.rehearsal.gcp.bigquery_jobs import Jobs
from orchestrator.rehearsal.gcp.cloud_run import CloudRun
from orchestrator.rehearsal.gcp.cloud_storage import CloudStorage
from orchestrator.rehearsal.gcp.identity import CLOUD_PLATFORM, Identity, TokenError
from orchestrator.rehearsal.gcp.projects import Project
from orchestrator.rehearsal.gcp.rest import CloudError, unsupported
from orchestrator.rehearsal.gcp.sample import PublicTables
from orchestrator.rehearsal.latency import AT_ONCE, Latency

__all__ = ["CloudError", "GoogleCloud"]

_READ_OBJECTS = "https://www.googleapis.com/auth/devstorage.read_only"
_OBJECT_PERMISSIONS = frozenset({"storage.objects.get", "storage.objects.list"})
_PART_BYTES = 1_000_000_000
_POLL_SECONDS = 0.05
_PERMISSIONS: Mapping[str, str | None] = {
    **bigquery_rest.PERMISSIONS,
    **cloud_storage_rest.PERMISSIONS,
    **cloud_run_rest.PERMISSIONS,
    **projects_rest.PERMISSIONS,
}
"""What each route needs, by Flask's name of it."""


class GoogleCloud:
    """One project of a stand-in Google Cloud, in this process: it answers at ``endpoint`` until it is stopped.

    ``bigquery``, ``storage``, ``run`` and ``access`` (accounts, permissions, services) are its insides, for the Pulumi
    provider and for tests; ``jobs`` those that ran. ``part_bytes`` is the most table data in one file of an extract.
    It believes what ``identity`` signed; ``folder`` is for what its services unpack.
    """

    def __init__(
        self,
        tables: PublicTables,
        *,
        project: str,
        identity: Identity,
        folder: Path,
        part_bytes: int = _PART_BYTES,
        around: Around = as_it_is,
        latency: Latency = AT_ONCE,
    ) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.project = project
        self.identity = identity
        self.access = Project(project)
        self.bigquery = BigQuery(tables, project=project)
        self.storage = CloudStorage(project=project)
        self.jobs = Jobs(self.bigquery, self.storage, part_bytes=part_bytes, latency=latency)
        app = Flask(__name__, static_folder=None)
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=around(WSGIRequestHandler))
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        leads_here = {"STORAGE_EMULATOR_HOST": self.endpoint}
        self.run = CloudRun(
            self.access,
            self.storage,
            identity,
            variables=leads_here,
            folder=folder,
            around=around,
            latency=latency,
        )
        app.before_request(self._check_caller)
        app.register_error_handler(CloudError, CloudError.response)
        app.register_error_handler(HTTPException, _refuse_unknown)
        app.register_blueprint(bigquery_rest.routes(self.bigquery, self.jobs))
        app.register_blueprint(cloud_storage_rest.routes(self.storage))
        app.register_blueprint(cloud_run_rest.routes(self.run, self.access))
        app.register_blueprint(projects_rest.routes(self.access))
        if set(app.view_functions) != set(_PERMISSIONS):
            raise AssertionError(f"routes and permissions: {sorted(set(app.view_functions) ^ set(_PERMISSIONS))}")
        threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that lead here; the metadata server's lead to the caller's identity.

        The endpoints are those of Pulumi's provider, in the form of its defaults: with the version where those have
        it, and a slash at the end (https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference#custom_endpoint).
        """
        return {
            "BIGQUERY_EMULATOR_HOST": self.endpoint,
            "STORAGE_EMULATOR_HOST": self.endpoint,
            "GOOGLE_CLOUD_RUN_CUSTOM_ENDPOINT": f"{self.endpoint}/run/",
            "GOOGLE_CLOUD_RUN_V2_CUSTOM_ENDPOINT": f"{self.endpoint}/v2/",
            "GOOGLE_IAM_CUSTOM_ENDPOINT": f"{self.endpoint}/v1/",
            "GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT": f"{self.endpoint}/v1/",
            "GOOGLE_CLOUD_PROJECT": self.project,
        }

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of all that a caller made and did not unmake."""
        for part in (self.bigquery, self.jobs, self.storage, self.run, self.access):
            yield from part.held()

    def stop(self) -> None:
        """Stop answering, and end every service; everything in this cloud is gone."""
        self.run.stop()
        self._server.shutdown()
        self._server.server_close()

    def _check_caller(self) -> None:
        """CloudError 401 unless the bearer token is one of ours, in time; 403 unless its account may do that."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise CloudError(401, "required", "Login Required.")
        try:
            email, scopes = self.identity.verify_access_token(token)
            self.access.account(email)
        except (CloudError, TokenError) as error:
            raise CloudError(401, "authError", "Invalid Credentials") from error
        g.principal = email
        if request.endpoint is None:
            return  # A route that is not known, which is said next.
        permission = _PERMISSIONS[request.endpoint]
        enough = {CLOUD_PLATFORM, _READ_OBJECTS} if permission in _OBJECT_PERMISSIONS else {CLOUD_PLATFORM}
        if not scopes & enough:
            raise CloudError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
        if permission is not None and not self._may(email, permission):
            raise _denied(email, permission)

    def _may(self, email: str, permission: str) -> bool:
        if self.access.owns(email) or permission not in _OBJECT_PERMISSIONS:
            return bool(self.access.granted(email, [permission]))
        where = request.view_args or {}
        return self.storage.allows(email, permission, where["bucket"], where.get("name"))


def _denied(email: str, permission: str) -> CloudError:
    """403 in the words of the service that the permission is of."""
    service = permission.partition(".")[0]
    if service == "storage":
        what = "object" if permission == "storage.objects.get" else "bucket"
        return CloudError(
            403,
            "forbidden",
            f"{email} does not have {permission} access to the Google Cloud Storage {what}. "
            f"Permission '{permission}' denied on resource (or it may not exist).",
        )
    if service == "bigquery":
        return CloudError(403, "accessDenied", f"Access Denied: User does not have {permission} permission.")
    return CloudError(
        403,
        "PERMISSION_DENIED",
        f"Permission '{permission}' denied on resource '{request.path}' (or it may not exist).",
    )


def _refuse_unknown(error: HTTPException) -> Response:
    """A route, method or body that Flask refuses is one that the stand-in does not know."""
    return unsupported(f"{request.method} {request.path} ({error.code} {error.name})").response()
