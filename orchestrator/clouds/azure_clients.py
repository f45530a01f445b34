"""The clients of Azure, where its endpoints are, and its errors as ours.

In a cloud that is not the public one, ``ARM_METADATA_HOSTNAME`` names the host that knows the others, as it does for
Pulumi's and Terraform's providers. Importing the libraries costs a second, so it is done at the first call: this module
and ``azure.py`` are the only ones that import azure-*.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter, Retry

from orchestrator import deadlines
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.resource.resources import ResourceManagementClient

# azure-identity tells what it tried on standard error, and then once more in the error that we show.
logging.getLogger("azure").setLevel(logging.CRITICAL)
_METADATA_API = "2022-09-01"
# What azure-core tries again, and after how many seconds.
_RETRIED, _BACKOFF_SECONDS, RETRIES = (408, 429, 500, 502, 503, 504), 0.8, 2


@dataclass(frozen=True)
class Endpoints:
    """A cloud's Resource Manager (a URL), the audience of its tokens (a URL), and who gives tokens (a host)."""

    resource_manager: str
    audience: str
    login: str


PUBLIC = Endpoints("https://management.azure.com", "https://management.azure.com", "login.microsoftonline.com")


def default_subscription(environ: Mapping[str, str]) -> str:
    """The subscription that the environment names, as Azure's tools and Pulumi's provider read it; empty if none."""
    return environ.get("AZURE_SUBSCRIPTION_ID") or environ.get("ARM_SUBSCRIPTION_ID") or ""


class AzureClients:
    """Resource Manager's client for a subscription, and tokens, from the standard chain of credentials."""

    def __init__(self, subscription: str) -> None:
        self._subscription = subscription

    @cached_property
    def arm(self) -> "ResourceManagementClient":
        """Azure Resource Manager. Its ``send_request`` is for what the library has no method for."""
        from azure.mgmt.resource.resources import ResourceManagementClient  # noqa: PLC0415 - slow, see above

        return ResourceManagementClient(
            self._credential,
            self._subscription,
            base_url=self._endpoints.resource_manager,
            credential_scopes=[self._scope],
            **_limits(),
        )

    def get(self, path: str, *, api_version: str) -> Any:
        """GET a path under the subscription; the answer's JSON."""
        return self._send("GET", path, api_version)

    def post(self, path: str, *, api_version: str) -> Any:
        """POST to a path under the subscription, without a body; the answer's JSON."""
        return self._send("POST", path, api_version)

    def token(self) -> str:
        """A bearer token for Resource Manager, which an app's deployment site takes as well."""
        return self._credential.get_token(self._scope).token

    def _send(self, method: str, path: str, api_version: str) -> Any:
        from azure.core.rest import HttpRequest  # noqa: PLC0415 - slow, see above

        url = f"{self._endpoints.resource_manager}/subscriptions/{self._subscription}/{path}"
        answer = self.arm.send_request(HttpRequest(method, url, params={"api-version": api_version}))
        answer.raise_for_status()
        return answer.json()

    @property
    def _scope(self) -> str:
        return f"{self._endpoints.audience.rstrip('/')}/.default"

    @cached_property
    def _credential(self) -> "TokenCredential":
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - slow, see above

        # Whether the authority is one of Microsoft's own can only be asked in the public cloud.
        private = self._endpoints is not PUBLIC
        return DefaultAzureCredential(authority=self._endpoints.login, disable_instance_discovery=private, **_limits())

    @cached_property
    def _endpoints(self) -> Endpoints:
        host = os.environ.get("ARM_METADATA_HOSTNAME")
        if not host:
            return PUBLIC
        retries = Retry(RETRIES, backoff_factor=_BACKOFF_SECONDS, status_forcelist=_RETRIED)
        with requests.Session() as session:
            session.mount("https://", HTTPAdapter(max_retries=retries))
            answer = session.get(
                f"https://{host}/metadata/endpoints",
                params={"api-version": _METADATA_API},
                timeout=(deadlines.CONNECT, deadlines.CALL),
            )
        answer.raise_for_status()
        said = answer.json()
        authentication = said["authentication"]
        return Endpoints(
            said["resourceManager"].rstrip("/"), authentication["audiences"][0], authentication["loginEndpoint"]
        )


def _limits() -> dict[str, Any]:
    """The deadlines of a request and of a request with its retries, as azure-core's pipelines take them."""
    return {
        "connection_timeout": deadlines.CONNECT,
        "read_timeout": deadlines.CALL,
        "timeout": deadlines.CALL_WITH_RETRIES,
    }


@contextmanager
def azure_errors(brief: str) -> Iterator[None]:
    """Whatever Azure's libraries raise, as an OrchestratorError with the cloud's own reason."""
    from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415 - slow, see above

    try:
        yield
    except HttpResponseError as error:
        code = error.error.code if error.error else error.status_code
        said = error.error.message if error.error else error.message
        raise OrchestratorError(brief, details=f"{said} ({code})" if code else str(said)) from error
    except (AzureError, requests.RequestException) as error:
        raise OrchestratorError(brief, details=str(error)) from error
