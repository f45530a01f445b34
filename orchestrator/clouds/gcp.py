"""Google Cloud's data side: dry run, query, extract, download, what is left, remove it.

The caller needs, in the project: ``roles/bigquery.user`` (``bigquery.jobs.create``, ``bigquery.datasets.create``; who
makes a dataset owns it, and with it its tables) and, for buckets named ``hop-*``, ``storage.buckets.create``, ``get``,
``list``, ``update`` and ``delete`` and ``storage.objects.create``, ``get``, ``list`` and ``delete``
(``roles/storage.admin`` has them). The public dataset needs nothing.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import deadlines
from orchestrator.clouds import Remaining
from orchestrator.clouds.gcp_clients import GoogleClients, google_errors
from orchestrator.clouds.gcp_download import Extract, download
from orchestrator.clouds.gcp_leftovers import GoogleDataLeftovers
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.query import Query, Scalar
from stacks.contracts import EXTRACT_PREFIX, DataInputs, DataOutputs
from stacks.naming import Names

if TYPE_CHECKING:
    from concurrent.futures import Future

    from google.cloud import bigquery

_RESULT_TABLE = "result"
_POLL_SECONDS = 0.25
# "You can export up to 1 GB of logical data size to a single file":
# https://cloud.google.com/bigquery/docs/exporting-data#export_limitations
SINGLE_FILE_BYTES = 1_000_000_000
_OVER_LIMIT = "bytesBilledLimitExceeded"
_NOT_IMPLEMENTED = 501
_SERVER_ERROR = 500
_CREDENTIALS_RESOLUTION = (
    "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS; in CI use workload identity."
)


@dataclass(frozen=True)
class DryRun:
    """What a query would read: ``bytes_processed`` of so many ``tables``; BigQuery names 50 of them at most."""

    bytes_processed: int
    tables: int


@dataclass(frozen=True)
class QueryOutcome:
    """A finished query: its result ``table`` (``project.dataset.table``), how many ``rows``, what it read and costs."""

    table: str
    rows: int
    bytes_processed: int
    bytes_billed: int


class GoogleData:
    """The Google Cloud data side of one run. Its tags go onto its jobs; ``run-id`` finds what is left."""

    def __init__(self, *, project: str, location: str, names: Names) -> None:
        self._project = project
        self._location = location
        self._names = names
        self._clients = GoogleClients(project=project, location=location)
        self._leftovers = GoogleDataLeftovers(project, self._clients)

    def preflight(self) -> None:
        """Credentials are there, and both services know the project.

        Raises:
            UsageError: they are not, in Google's words.
        """
        from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415 - slow, see gcp_clients

        try:
            with google_errors("Google Cloud does not accept the caller"):
                list(self._clients.bigquery.list_datasets(max_results=1, **self._clients.bigquery_limits))
                list(self._clients.storage.list_buckets(max_results=1, **self._clients.storage_limits))
        except OrchestratorError as error:
            if isinstance(error.__cause__, DefaultCredentialsError):
                raise UsageError(
                    "There are no Google Cloud credentials", details=error.details, resolution=_CREDENTIALS_RESOLUTION
                ) from error
            raise UsageError(
                error.brief,
                details=error.details,
                resolution=f"check data.project ({self._project}) and the caller's roles in it, then run again.",
            ) from error

    def dry_run(self, query: Query) -> DryRun:
        """What a query would read; nothing is run or charged.

        Raises:
            UsageError: BigQuery does not accept the query, in its own words.
        """
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - slow, see gcp_clients

        try:
            with google_errors("BigQuery did not estimate the query"):
                job = self._clients.bigquery.query(
                    query.sql, self._query_config(query, dry_run=True), job_retry=None, **self._clients.bigquery_limits
                )
        except OrchestratorError as error:
            cause = error.__cause__
            code = cause.code if isinstance(cause, GoogleAPICallError) else None
            if code is None or (code >= _SERVER_ERROR and code != _NOT_IMPLEMENTED):
                raise
            if code == _NOT_IMPLEMENTED:
                raise UsageError(
                    "The query needs what is not implemented",
                    details=error.details,
                    resolution="write it in another way; what no rehearsal supports, BigQuery itself may know.",
                ) from error
            raise UsageError(
                "BigQuery does not accept the query",
                details=error.details,
                resolution="correct the query, or the values under analysis.parameters.",
            ) from error
        if job.statement_type != "SELECT":  # BigQuery's own reading, after that of query.py.
            raise UsageError(
                f"The query is a {job.statement_type} statement to BigQuery",
                details="Only one SELECT may run, nothing that defines, changes or exports data.",
                resolution="correct the query.",
            )
        return DryRun(int(job.total_bytes_processed), len(job.referenced_tables))

    def program(self, outputs: "Future[DataOutputs]") -> Callable[[], None]:
        """``stacks/data_gcp.py`` with this run's inputs."""
        from stacks import data_gcp  # noqa: PLC0415 - slow: it imports Pulumi and pulumi_gcp

        inputs = DataInputs(names=self._names, project=self._project, location=self._location)
        return lambda: data_gcp.program(inputs, outputs)

    def query(self, query: Query, *, dataset: str, max_bytes_billed: int, cancelled: threading.Event) -> QueryOutcome:
        """Run a query into the table ``result`` of the run's dataset and wait until it is done.

        Raises:
            OrchestratorError: it failed (with BigQuery's reason), would be billed more than ``max_bytes_billed``,
                took longer than ``deadlines.JOB``, or ``cancelled`` was set.
        """
        table = f"{self._project}.{dataset}.{_RESULT_TABLE}"
        config = self._query_config(
            query, destination=table, maximum_bytes_billed=max_bytes_billed, labels=self._names.tags
        )
        with google_errors("The query failed"):
            job = self._done(
                "query",
                lambda job_id: self._clients.bigquery.query(
                    query.sql, config, job_id=job_id, job_retry=None, **self._clients.bigquery_limits
                ),
                cancelled,
            )
            rows = self._clients.bigquery.get_table(table, **self._clients.bigquery_limits).num_rows
        return QueryOutcome(table, int(rows), int(job.total_bytes_processed), int(job.total_bytes_billed))

    def extract(self, table: str, *, bucket: str, cancelled: threading.Event) -> tuple[str, ...]:
        """Write a table to the bucket as CSV, in several files only if it is too large for one; the objects' names.

        Raises:
            OrchestratorError: it failed, with BigQuery's reason, or ``cancelled`` was set.
        """
        from google.cloud import bigquery  # noqa: PLC0415 - slow, see gcp_clients

        with google_errors("The extract failed"):
            size = self._clients.bigquery.get_table(table, **self._clients.bigquery_limits).num_bytes
            parted = size > SINGLE_FILE_BYTES
            name = f"{EXTRACT_PREFIX}{'-*' if parted else ''}.csv"
            config = bigquery.ExtractJobConfig(  # type: ignore[no-untyped-call]
                destination_format="CSV", print_header=True, labels=self._names.tags
            )
            job = self._done(
                "extract",
                lambda job_id: self._clients.bigquery.extract_table(
                    table, f"gs://{bucket}/{name}", job_id=job_id, job_config=config, **self._clients.bigquery_limits
                ),
                cancelled,
            )
        (files,) = job.destination_uri_file_counts
        return tuple(name.replace("*", f"{number:012}") for number in range(files))

    def download(self, bucket: str, *, to: Path, expected_rows: int, cancelled: threading.Event) -> Extract:
        """Fetch the extract's files, in order, as one CSV with one header; see ``gcp_download.py``.

        Raises:
            OrchestratorError: it failed, does not match, or ``cancelled`` was set.
        """
        limits = self._clients.storage_limits
        with google_errors("The download failed"):
            blobs = self._clients.storage.list_blobs(bucket, prefix=EXTRACT_PREFIX, **limits)
            return download(blobs, to=to, expected_rows=expected_rows, cancelled=cancelled, limits=limits)

    def remaining(self) -> list[Remaining]:
        """Datasets and buckets by label and by name, in the order of removal."""
        return self._leftovers.find(self._names.run_id)

    def remove(self, left: Remaining) -> None:
        """If it is named as a run names it."""
        self._leftovers.remove(left)

    # ---- jobs

    def _query_config(self, query: Query, **options: Any) -> "bigquery.QueryJobConfig":
        from google.cloud import bigquery  # noqa: PLC0415 - slow, see gcp_clients

        parameters = [
            bigquery.ScalarQueryParameter(name, _parameter_type(value), value)
            for name, value in query.parameters.items()
        ]
        return bigquery.QueryJobConfig(use_legacy_sql=False, query_parameters=parameters, **options)

    def _done(self, kind: str, start: Callable[[str], Any], cancelled: threading.Event) -> Any:
        """Start a job under an id of its own (ids are unique for ever in a project and location), and wait for it."""
        from google.api_core.exceptions import Conflict  # noqa: PLC0415 - slow, see gcp_clients

        if cancelled.is_set():
            raise OrchestratorError(f"The {kind} was not started: the run is stopping")
        job_id = f"hop-{self._names.run_id}-{kind}-{secrets.token_hex(4)}"
        try:
            job = start(job_id)
        except Conflict:
            # An attempt whose answer was lost did start it: nobody else can have drawn this id.
            job = self._clients.bigquery.get_job(job_id, location=self._location, **self._clients.bigquery_limits)
        self._wait(job, kind, cancelled)
        return job

    def _wait(self, job: Any, kind: str, cancelled: threading.Event) -> None:
        """Until the job is done; it is cancelled when the run stops or its time is up."""
        deadline = time.monotonic() + deadlines.JOB
        pause = 0.02
        while True:
            job.reload(**self._clients.bigquery_limits)
            if job.state == "DONE":
                break
            if cancelled.is_set() or time.monotonic() > deadline:
                job.cancel(**self._clients.bigquery_limits)
                if cancelled.is_set():
                    raise OrchestratorError(f"The {kind} was cancelled: the run is stopping")
                raise OrchestratorError(
                    f"The {kind} was cancelled: it took longer than {deadlines.JOB:.0f} seconds",
                    details=f"job {job.job_id} in {self._location}",
                )
            cancelled.wait(pause)
            pause = min(2 * pause, _POLL_SECONDS)
        if job.error_result:
            reason = job.error_result.get("reason")
            raise OrchestratorError(
                f"The {kind} failed",
                details=f"{job.error_result.get('message')} ({reason})",
                resolution="raise data.max_bytes_billed, or read less." if reason == _OVER_LIMIT else None,
            )


def _parameter_type(value: Scalar) -> str:
    """The BigQuery type for a Python value; bool first, because it is an int."""
    for python, name in ((bool, "BOOL"), (int, "INT64"), (float, "FLOAT64"), (str, "STRING"), (date, "DATE")):
        if isinstance(value, python):
            return name
    raise TypeError(f"a query parameter cannot be a {type(value).__name__}")
