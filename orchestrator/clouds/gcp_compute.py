"""Google Cloud's compute side: preflight, invoke, what is left, remove it.

The caller needs, in the project, ``_NEEDED`` (``roles/run.admin``, ``roles/iam.serviceAccountAdmin``,
``roles/iam.serviceAccountUser`` and ``roles/storage.admin`` have them); the Cloud Run, IAM and Cloud Storage APIs have
to be enabled, and where Cloud Resource Manager's is as well, what is missing is known before anything is made. The
client speaks REST: its endpoints come from the environment variables that Pulumi's provider reads.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from orchestrator import cost
from orchestrator.clouds import Answer, Remaining
from orchestrator.clouds.gcp_clients import SCOPE, GoogleClients, google_errors
from orchestrator.clouds.invocation import archive_file, checked, get
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import Layout, Package, Target
from orchestrator.settings import GcpCompute
from stacks.contracts import ComputeOutputs, GcpComputeInputs, LiveData
from stacks.naming import Names

LAYOUT = Layout("Cloud Run", "gcp_main.py", "requirements-gcp.txt", libraries="libraries")
_NEEDED = (
    "run.services.create",
    "run.services.get",
    "run.services.list",
    "run.services.delete",
    "run.routes.invoke",
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.list",
    "iam.serviceAccounts.delete",
    "iam.serviceAccounts.actAs",
    "storage.buckets.create",
    "storage.buckets.get",
    "storage.buckets.delete",
    "storage.buckets.getIamPolicy",
    "storage.buckets.setIamPolicy",
    "storage.objects.create",
    "storage.objects.delete",
)
_CREDENTIALS_RESOLUTION = (
    "use a service account, or log in with the same account in both: `gcloud auth login` and `gcloud auth "
    "application-default login`; in CI with workload identity, set gcloud up as well."
)
# The forms that the provider's variables have: https://www.pulumi.com/registry/packages/gcp/installation-configuration/
_ENDPOINTS = {
    "run": ("GOOGLE_CLOUD_RUN_V2_CUSTOM_ENDPOINT", "https://run.googleapis.com/v2/"),
    "regions": ("GOOGLE_CLOUD_RUN_CUSTOM_ENDPOINT", "https://run.googleapis.com/"),
    "iam": ("GOOGLE_IAM_CUSTOM_ENDPOINT", "https://iam.googleapis.com/v1/"),
    "projects": ("GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT", "https://cloudresourcemanager.googleapis.com/v1/"),
}
_CALL_SECONDS = 30
_DELETE_SECONDS, _PERMISSION_SECONDS, _ASK_AGAIN_SECONDS = 120.0, 180.0, 0.25
_NOT_FOUND = 404
_BAD = 400


class GoogleCompute:
    """The compute side on Google Cloud of one run."""

    reads_in_place = True

    def __init__(self, settings: GcpCompute, names: Names, *, project: str, title: str, source: str) -> None:
        self._settings = settings
        self._names = names
        self._project = project
        self._title = title
        self._source = source
        self._clients = GoogleClients(project=project, location=settings.region)

    # ---- preflight

    def preflight(self) -> None:
        """The APIs answer the caller, the region exists, and the caller may do all and prove who it is."""
        with self._accepting_the_caller():
            regions = self._pages("regions", f"v1/projects/{self._project}/locations", "locations")
        self._refuse_unknown_region([region["locationId"] for region in regions])
        with self._accepting_the_caller():
            self._remaining()
            granted = self._granted()
        self._refuse_missing([permission for permission in _NEEDED if permission not in granted])
        self._id_token("https://preflight.invalid")

    @contextmanager
    def _accepting_the_caller(self) -> Iterator[None]:
        try:
            with google_errors("Google Cloud does not accept the caller"):
                yield
        except OrchestratorError as error:
            raise UsageError(
                error.brief,
                details=error.details,
                resolution=f"check data.project ({self._project}), that the Cloud Run, IAM and Cloud Storage APIs are "
                "enabled in it, and the caller's roles; then run again.",
            ) from error

    def _granted(self) -> Collection[str]:
        """Which of the needed permissions the caller has; all of them where Resource Manager is not enabled."""
        from google.api_core.exceptions import Forbidden  # noqa: PLC0415 - slow, see gcp_clients

        try:
            path = f"projects/{self._project}:testIamPermissions"
            answer = self._call("projects", "POST", path, json={"permissions": list(_NEEDED)})
        except Forbidden:
            return _NEEDED
        return list(answer.get("permissions", []))

    def _refuse_unknown_region(self, regions: list[str]) -> None:
        if self._settings.region not in regions:
            nearest = get_close_matches(self._settings.region, regions, n=1, cutoff=0.8)
            raise UsageError(
                f"Cloud Run has no region {self._settings.region}",
                details=f"It has {', '.join(sorted(regions))}.",
                resolution=f"set compute.region{f' to {nearest[0]}' if nearest else ''}, then run again.",
            )

    def _refuse_missing(self, missing: list[str]) -> None:
        if missing:
            raise UsageError(
                "The caller may not do in Google Cloud what a run needs, destroying included",
                details="missing:\n" + "\n".join(missing),
                resolution="give the caller the roles roles/run.admin, roles/iam.serviceAccountAdmin, "
                f"roles/iam.serviceAccountUser and roles/storage.admin in the project {self._project}.",
            )

    # ---- the run

    def package_target(self) -> Target:
        """Cloud Run's base images are Ubuntu 22.04, with glibc 2.35."""
        return Target(python=self._settings.python, platform="x86_64-manylinux_2_28", layout=LAYOUT)

    def program(self, package: Package, data: LiveData, outputs: Future[ComputeOutputs]) -> Callable[[], None]:
        """``stacks/compute_gcp.py`` with this run's inputs."""
        inputs = GcpComputeInputs(
            names=self._names,
            project=self._project,
            region=self._settings.region,
            python=self._settings.python,
            memory=self._settings.memory_mib,
            timeout=self._settings.timeout,
            title=self._title,
            source=self._source,
            package=archive_file(package.function),
            libraries=LAYOUT.libraries,
            data=data,
        )
        from stacks import compute_gcp  # noqa: PLC0415 - the SDK takes a second to import: not before it is needed

        return lambda: compute_gcp.program(inputs, outputs)

    def most_usd(self) -> float:
        """One request that runs to the timeout."""
        return cost.cloud_run_usd(self._settings.memory_mib, self._settings.timeout)

    def invoke(self, function: ComputeOutputs, package: Package) -> Answer:  # noqa: ARG002 - the stack brought it
        """One GET of the service with an ID token for it; again while its permission to read is not known yet."""
        service, deadline = urlsplit(function.url), time.monotonic() + _PERMISSION_SECONDS
        headers = {"Authorization": f"Bearer {self._id_token(f'{service.scheme}://{service.netloc}')}"}
        while True:
            response = get(function.url, headers, timeout=self._settings.timeout)
            # The function's own 503 says when to try again, Cloud Run's does not.
            if "Retry-After" not in response.headers or time.monotonic() > deadline:
                return checked(response.status_code, response.content)
            time.sleep(_ASK_AGAIN_SECONDS)

    def _id_token(self, audience: str) -> str:
        """A token that says who calls. Where google-auth cannot make one, gcloud's is taken.

        https://cloud.google.com/run/docs/authenticating/developers
        """
        from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415 - slow, see gcp_clients
        from google.auth.transport.requests import Request  # noqa: PLC0415
        from google.oauth2.id_token import fetch_id_token  # noqa: PLC0415

        with google_errors("Google Cloud gave no ID token"):
            try:
                return str(fetch_id_token(Request(), audience))  # type: ignore[no-untyped-call]
            except DefaultCredentialsError:
                return _gclouds_id_token(audience)

    # ---- what is left

    def remaining(self) -> list[Remaining]:
        """Services and the bucket by label and name, service accounts, which have no labels, by name."""
        with google_errors("Google Cloud did not say what is left of the run"):
            return self._remaining()

    def _remaining(self) -> list[Remaining]:
        project, prefix = self._project, self._names.prefix
        services = self._pages("run", f"projects/{project}/locations/{self._settings.region}/services", "services")
        accounts = self._pages("iam", f"projects/{project}/serviceAccounts", "accounts")
        bucket = self._clients.storage.lookup_bucket(f"{prefix}-source", **self._clients.storage_limits)
        return [
            *(
                Remaining("gcp", "cloud run service", service["name"])
                for service in services
                if service.get("labels", {}).get("run-id") == self._names.run_id
            ),
            *(
                Remaining("gcp", "service account", account["email"])
                for account in accounts
                if account["email"].startswith(f"{prefix}@")
            ),
            *([Remaining("gcp", "storage bucket", bucket.name)] if bucket else []),
        ]

    def remove(self, left: Remaining) -> None:
        """A bucket with all that is in it, a service, or a service account."""
        with google_errors(f"Google Cloud did not remove {left.id}"):
            if left.kind == "storage bucket":
                self._clients.remove_bucket(left.id)
            elif left.kind == "service account":
                self._call("iam", "DELETE", f"projects/{self._project}/serviceAccounts/{left.id}", gone_is_fine=True)
            else:
                self._remove_service(left.id)

    def _remove_service(self, name: str) -> None:
        operation = self._call("run", "DELETE", name, gone_is_fine=True)
        deadline = time.monotonic() + _DELETE_SECONDS
        while operation and not operation.get("done"):
            if time.monotonic() > deadline:
                raise OrchestratorError(f"Google Cloud did not remove {name} within {_DELETE_SECONDS:.0f} s")
            time.sleep(_ASK_AGAIN_SECONDS)
            operation = self._call("run", "GET", operation["name"])
        if "error" in operation:
            raise OrchestratorError(f"Google Cloud did not remove {name}", details=operation["error"]["message"])

    # ---- REST

    @cached_property
    def _session(self) -> Any:
        import google.auth  # noqa: PLC0415 - slow, see gcp_clients
        from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415

        return AuthorizedSession(google.auth.default(scopes=[SCOPE])[0])  # type: ignore[no-untyped-call]

    def _call(
        self, api: str, method: str, path: str, *, gone_is_fine: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        """The answer's JSON; a GoogleAPICallError with Google's words when it refuses."""
        from google.api_core.exceptions import from_http_status  # noqa: PLC0415 - slow, see gcp_clients

        variable, public = _ENDPOINTS[api]
        base = os.environ.get(variable, public)
        answer = self._session.request(method, f"{base}{path}", timeout=_CALL_SECONDS, **arguments)
        if answer.status_code == _NOT_FOUND and gone_is_fine:
            return {}
        if answer.status_code >= _BAD:
            try:
                said = answer.json()["error"]["message"]
            except (ValueError, KeyError, TypeError):
                said = answer.text
            raise from_http_status(answer.status_code, said)  # type: ignore[no-untyped-call]
        return dict(answer.json())

    def _pages(self, api: str, path: str, field: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = self._call(api, "GET", path, params={"pageSize": 100} | ({"pageToken": token} if token else {}))
            found += page.get(field, [])
            token = page.get("nextPageToken")
            if not token:
                return found


def _gclouds_id_token(audience: str) -> str:
    """What gcloud can make that google-auth cannot: for a federated account, and, without an audience, for a person."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise UsageError(
            "There is no ID token with these Google Cloud credentials, and the function asks for one",
            details="google-auth makes one for a service account only; gcloud, which can for others, is not on PATH.",
            resolution=_CREDENTIALS_RESOLUTION,
        )
    for options in ([f"--audiences={audience}"], []):
        asked = subprocess.run(
            [gcloud, "auth", "print-identity-token", *options],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_CALL_SECONDS,
            check=False,
        )
        if asked.returncode == 0:
            return asked.stdout.strip()
    raise UsageError("gcloud gave no ID token", details=asked.stderr.strip(), resolution=_CREDENTIALS_RESOLUTION)
