"""The clients of Google Cloud's data side, their deadlines, and their errors as ours.

They take their endpoints from ``BIGQUERY_EMULATOR_HOST`` and ``STORAGE_EMULATOR_HOST`` where those are set, and
credentials from the standard chain always. Importing them costs two seconds, so it is done at the first call: this
module and ``gcp.py`` are the only ones that import google-cloud-*.
"""

import errno
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator import deadlines
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from google.cloud import bigquery

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class GoogleClients:
    """BigQuery's and Cloud Storage's clients for a project, made when they are first used."""

    def __init__(self, *, project: str, location: str) -> None:
        self._project = project
        self._location = location

    @cached_property
    def bigquery(self) -> "bigquery.Client":
        """BigQuery, with the location for its jobs."""
        with _without("pandas"):
            from google.cloud import bigquery  # noqa: PLC0415 - slow, see above

        # With a universe domain the client forgets BIGQUERY_EMULATOR_HOST, so that is handed over as well.
        options = {"universe_domain": self.credentials.universe_domain}
        if endpoint := os.environ.get("BIGQUERY_EMULATOR_HOST"):
            options["api_endpoint"] = endpoint
        return bigquery.Client(self._project, self.credentials, location=self._location, client_options=options)

    @cached_property
    def storage(self) -> Any:
        """Cloud Storage (``google.cloud.storage.Client``, which has no type hints)."""
        from google.cloud import storage  # type: ignore[attr-defined]  # noqa: PLC0415 - slow, see above

        # With STORAGE_EMULATOR_HOST the client would go without credentials, unless it is given them.
        options = {"universe_domain": self.credentials.universe_domain}
        return storage.Client(self._project, self.credentials, client_options=options)

    @property
    def bigquery_limits(self) -> dict[str, Any]:
        """The deadline and retries of a call to BigQuery, as arguments."""
        from google.cloud.bigquery import DEFAULT_RETRY  # noqa: PLC0415 - slow, see above

        return {"timeout": deadlines.CALL, "retry": DEFAULT_RETRY.with_timeout(deadlines.CALL_WITH_RETRIES)}

    @property
    def storage_limits(self) -> dict[str, Any]:
        """The deadline and retries of a call to Cloud Storage, as arguments."""
        from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]  # noqa: PLC0415

        return {
            "timeout": (deadlines.CONNECT, deadlines.CALL),
            "retry": DEFAULT_RETRY.with_timeout(deadlines.CALL_WITH_RETRIES),
        }

    def remove_bucket(self, name: str) -> None:
        """Delete a bucket with all that is in it; one that is gone already is fine."""
        from google.api_core.exceptions import NotFound  # noqa: PLC0415 - slow, see above

        bucket = self.storage.bucket(name)
        try:
            blobs = list(bucket.list_blobs(**self.storage_limits))
            bucket.delete_blobs(blobs, on_error=lambda _gone: None, **self.storage_limits)
            bucket.delete(**self.storage_limits)
        except NotFound:
            return

    @cached_property
    def credentials(self) -> Any:
        """Of the standard chain. Their own calls have the deadline of the request that needs them."""
        import google.auth  # noqa: PLC0415 - slow, see above
        from google.auth.compute_engine import _metadata  # noqa: PLC0415

        # It reads GCE_METADATA_HOST once, when it is imported; a recovery goes from one run's clouds to another's.
        importlib.reload(_metadata)
        return google.auth.default(scopes=[SCOPE])[0]


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let what is imported go without an optional package of its own, which is slow to import and not used here."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # As the import system has it: such an import fails.
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def google_errors(brief: str) -> Iterator[None]:
    """Whatever Google's libraries raise, as an OrchestratorError with the cloud's own reason."""
    from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError  # noqa: PLC0415 - slow, see above
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - slow, see above

    try:
        yield
    except GoogleAPICallError as error:
        said = error.errors[0] if error.errors else {}
        details = f"{said.get('message', error.message)} ({said.get('reason', error.code)})"
        raise OrchestratorError(brief, details=details) from error
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        # OSError: the network of `requests`, or a disk that is full.
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        fix = "make room on this disk, and run again." if full else None
        raise OrchestratorError(brief, details=str(error), resolution=fix) from error
