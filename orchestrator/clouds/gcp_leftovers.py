"""What runs left in a Google Cloud project, and how it is removed. Nothing but the project is asked.

The caller needs, to list: ``bigquery.datasets.get``, ``storage.buckets.list``, and on the compute side
``run.locations.list``, ``run.services.list`` and ``iam.serviceAccounts.list``; to remove: the deletes of each, of a
bucket's objects ``storage.objects.list`` and ``delete``, and ``run.operations.get``.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from orchestrator import deadlines
from orchestrator.clouds import Remaining
from orchestrator.clouds.gcp_clients import GoogleClients, google_errors
from orchestrator.clouds.gcp_rest import GoogleRest
from orchestrator.clouds.patience import patiently
from orchestrator.errors import OrchestratorError
from stacks.naming import MANAGED_BY, names_in

_SERVICE, _ACCOUNT, _BUCKET, _DATASET = "cloud run service", "service account", "storage bucket", "bigquery dataset"
_ORDER = (_SERVICE, _BUCKET, _DATASET, _ACCOUNT)
"""Of removal: a service before what it reads, and before the account that it works as."""
_ASK_AGAIN_SECONDS = 0.25
_BUSY = frozenset({409, 429})
_SERVER_ERROR = 500


class _Leftovers(ABC):
    """What both sides have in common. Their buckets lie in one project: each may remove those of the other."""

    def __init__(self, project: str, clients: GoogleClients) -> None:
        self._project = project
        self._clients = clients

    def find(self, run_id: str | None = None) -> list[Remaining]:
        """What is left of a run, or of any, by label and by name, in the order of its removal."""
        with google_errors("Google Cloud did not say what is left"):
            found = {left for left, labels in self._listed(run_id) if self._is_of(left, labels, run_id)}
        return sorted(found, key=lambda left: (_ORDER.index(left.kind), left.id))

    def run_of(self, left: Remaining) -> str | None:
        """The run that made it; None when it is not named as a run names it, whatever its labels say."""
        name = _name(left)
        names = names_in(name)
        if names is None:
            return None
        forms = {_BUCKET: (f"{names.prefix}-extract", f"{names.prefix}-source"), _DATASET: (names.dataset,)}
        return names.run_id if name in forms.get(left.kind, (names.prefix,)) else None

    def remove(self, left: Remaining) -> None:
        """With all that is in it. Gone already is fine.

        Raises:
            OrchestratorError: Google Cloud refused, or took too long, or no run made it.
        """
        if self.run_of(left) is None:
            raise OrchestratorError(
                f"No run made {left.id}, so it is not removed",
                details="only its label is that of a run.",
                resolution="look at it in the Google Cloud console.",
            )
        with google_errors(f"Google Cloud did not remove {left.id}"):
            patiently(lambda: self._remove(left), passes=_passes)

    def _is_of(self, left: Remaining, labels: Mapping[str, str], run_id: str | None) -> bool:
        name, value = ("run-id", run_id) if run_id else ("managed-by", MANAGED_BY)
        made_by = self.run_of(left)
        return labels.get(name) == value or (made_by is not None and run_id in (None, made_by))

    @abstractmethod
    def _listed(self, run_id: str | None) -> Iterator[tuple[Remaining, Mapping[str, str]]]:
        """What there is, with its labels: of the run, and maybe of others."""

    @abstractmethod
    def _remove(self, left: Remaining) -> None:
        """Remove what has a run's name."""


class GoogleDataLeftovers(_Leftovers):
    """Datasets and buckets."""

    @property
    def place(self) -> str:
        """Where it looks."""
        return f"Google Cloud, BigQuery and Cloud Storage ({self._project})"

    def _listed(self, run_id: str | None) -> Iterator[tuple[Remaining, Mapping[str, str]]]:  # noqa: ARG002
        for dataset in self._clients.bigquery.list_datasets(**self._clients.bigquery_limits):
            yield Remaining("gcp", _DATASET, dataset.full_dataset_id), dataset.labels
        for bucket in self._clients.storage.list_buckets(**self._clients.storage_limits):
            yield Remaining("gcp", _BUCKET, bucket.name), bucket.labels

    def _remove(self, left: Remaining) -> None:
        if left.kind == _DATASET:
            self._clients.bigquery.delete_dataset(
                left.id.replace(":", "."), delete_contents=True, not_found_ok=True, **self._clients.bigquery_limits
            )
        else:
            self._clients.remove_bucket(left.id)


class GoogleComputeLeftovers(_Leftovers):
    """Services of a ``region``, or of all (None), service accounts, and the buckets that services came from."""

    def __init__(self, project: str, clients: GoogleClients, region: str | None = None) -> None:
        super().__init__(project, clients)
        self._rest = GoogleRest(clients)
        self._region = region

    @property
    def place(self) -> str:
        """Where it looks."""
        return f"Google Cloud, Cloud Run and IAM ({self._project})"

    def _listed(self, run_id: str | None) -> Iterator[tuple[Remaining, Mapping[str, str]]]:
        # There is no listing of all regions: "cannot be the - wildcard",
        # https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/list
        for region in [self._region] if self._region else self._rest.regions(self._project):
            for service in self._rest.pages("run", f"projects/{self._project}/locations/{region}/services", "services"):
                yield Remaining("gcp", _SERVICE, service["name"]), service.get("labels", {})
        for account in self._rest.pages("iam", f"projects/{self._project}/serviceAccounts", "accounts"):
            yield Remaining("gcp", _ACCOUNT, account["email"]), {}  # It can have none.
        for bucket in self._clients.storage.list_buckets(prefix=f"hop-{run_id or ''}", **self._clients.storage_limits):
            if bucket.name.endswith("-source"):
                yield Remaining("gcp", _BUCKET, bucket.name), bucket.labels

    def _remove(self, left: Remaining) -> None:
        if left.kind == _BUCKET:
            self._clients.remove_bucket(left.id)
        elif left.kind == _ACCOUNT:
            self._rest.call("iam", "DELETE", f"projects/{self._project}/serviceAccounts/{left.id}", gone_is_fine=True)
        else:
            self._remove_service(left.id)

    def _remove_service(self, name: str) -> None:
        operation = self._rest.call("run", "DELETE", name, gone_is_fine=True)
        deadline = time.monotonic() + deadlines.REMOVE
        while operation and not operation.get("done"):
            if time.monotonic() > deadline:
                raise OrchestratorError(f"Google Cloud did not remove {name} within {deadlines.REMOVE:.0f} s")
            time.sleep(_ASK_AGAIN_SECONDS)
            operation = self._rest.call("run", "GET", operation["name"])
        if "error" in operation:
            raise OrchestratorError(f"Google Cloud did not remove {name}", details=operation["error"]["message"])


def _name(left: Remaining) -> str:
    """Of ``projects/<project>/locations/<region>/services/<name>``, ``<name>@<project>...``, ``<project>:<name>``."""
    match left.kind:
        case "cloud run service":
            return left.id.rpartition("/")[2]
        case "service account":
            return left.id.partition("@")[0]
        case _:
            return left.id.rpartition(":")[2]


def _passes(error: Exception) -> bool:
    """Whether Google Cloud may take it in a moment: it is changing the thing itself, or is busy."""
    from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - slow, see gcp_clients

    return isinstance(error, GoogleAPICallError) and (error.code in _BUSY or (error.code or 0) >= _SERVER_ERROR)
