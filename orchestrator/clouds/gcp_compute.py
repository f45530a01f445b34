"""Google Cloud's compute side: preflight, invoke, what is left, remove it.

The caller needs, in the project, ``_NEEDED`` (``roles/run.admin``, ``roles/iam.serviceAccountAdmin``,
``roles/iam.serviceAccountUser`` and ``roles/storage.admin`` have them); the Cloud Run, IAM and Cloud Storage APIs have
to be enabled, and where Cloud Resource Manager's is as well, what is missing is known before anything is made.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from urllib.parse import urlsplit

from orchestrator import cost, deadlines
from orchestrator.clouds import Answer, Remaining
from orchestrator.clouds.gcp_clients import GoogleClients, google_errors
from orchestrator.clouds.gcp_leftovers import GoogleComputeLeftovers
from orchestrator.clouds.gcp_rest import GoogleRest
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
    "storage.buckets.list",
    "storage.buckets.delete",
    "storage.buckets.getIamPolicy",
    "storage.buckets.setIamPolicy",
    "storage.objects.create",
    "storage.objects.list",
    "storage.objects.delete",
)
_CREDENTIALS_RESOLUTION = (
    "use a service account, or log in with the same account in both: `gcloud auth login` and `gcloud auth "
    "application-default login`; in CI with workload identity, set gcloud up as well."
)
_ASK_AGAIN_SECONDS = 0.25


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
        self._rest = GoogleRest(self._clients)
        self._leftovers = GoogleComputeLeftovers(project, self._clients, settings.region)

    # ---- preflight

    def preflight(self) -> None:
        """The APIs answer the caller, the region exists, and the caller may do all and prove who it is."""
        with self._accepting_the_caller():
            regions = self._rest.regions(self._project)
        self._refuse_unknown_region(regions)
        with self._accepting_the_caller():
            self._leftovers.find(self._names.run_id)
            granted = self._granted()
        self._refuse_missing([permission for permission in _NEEDED if permission not in granted])
        with self._accepting_the_caller():
            self._id_token("https://preflight.invalid")

    @contextmanager
    def _accepting_the_caller(self) -> Iterator[None]:
        refusal = "Google Cloud does not accept the caller"
        try:
            with google_errors(refusal):
                yield
        except UsageError:
            raise
        except OrchestratorError as error:
            raise UsageError(
                refusal,
                details=error.details,
                resolution=f"check data.project ({self._project}), that the Cloud Run, IAM and Cloud Storage APIs are "
                "enabled in it, and the caller's roles; then run again.",
            ) from error

    def _granted(self) -> Collection[str]:
        """Which of the needed permissions the caller has; all of them where Resource Manager is not enabled."""
        from google.api_core.exceptions import Forbidden  # noqa: PLC0415 - slow, see gcp_clients

        try:
            path = f"projects/{self._project}:testIamPermissions"
            answer = self._rest.call("projects", "POST", path, json={"permissions": list(_NEEDED)})
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
        service, deadline = urlsplit(function.url), time.monotonic() + deadlines.FUNCTION_READY
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
                request = partial(Request(), timeout=deadlines.CALL)
                return str(fetch_id_token(request, audience))  # type: ignore[no-untyped-call]
            except DefaultCredentialsError:
                return _gclouds_id_token(audience)

    # ---- what is left

    def remaining(self) -> list[Remaining]:
        """Services and buckets by label and name, service accounts, which have no labels, by name."""
        return self._leftovers.find(self._names.run_id)

    def remove(self, left: Remaining) -> None:
        """If it is named as a run names it."""
        self._leftovers.remove(left)


def _gclouds_id_token(audience: str) -> str:
    """What gcloud can make that google-auth cannot: for a federated account, and, without an audience, for a person."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise UsageError(
            "There is no ID token with these Google Cloud credentials, and the function asks for one",
            details="google-auth makes one for a service account only; gcloud, which can for others, is not on PATH.",
            resolution=_CREDENTIALS_RESOLUTION,
        )
    said = ""
    for options in ([f"--audiences={audience}"], []):
        try:
            asked = subprocess.run(
                [gcloud, "auth", "print-identity-token", *options],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=deadlines.CALL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            said = f"it did not answer within {deadlines.CALL:.0f} s"
            continue
        if asked.returncode == 0:
            return asked.stdout.strip()
        said = asked.stderr.strip()
    raise UsageError("gcloud gave no ID token", details=said, resolution=_CREDENTIALS_RESOLUTION)
