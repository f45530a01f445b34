"""Google Cloud's services that we speak REST to: Cloud Run, IAM, Resource Manager.

Their endpoints come from the environment variables that Pulumi's provider reads.
"""

import os
from functools import cached_property
from typing import Any

from orchestrator import deadlines
from orchestrator.clouds.gcp_clients import GoogleClients

# The forms that the provider's variables have: https://www.pulumi.com/registry/packages/gcp/installation-configuration/
_ENDPOINTS = {
    "run": ("GOOGLE_CLOUD_RUN_V2_CUSTOM_ENDPOINT", "https://run.googleapis.com/v2/"),
    "regions": ("GOOGLE_CLOUD_RUN_CUSTOM_ENDPOINT", "https://run.googleapis.com/"),
    "iam": ("GOOGLE_IAM_CUSTOM_ENDPOINT", "https://iam.googleapis.com/v1/"),
    "projects": ("GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT", "https://cloudresourcemanager.googleapis.com/v1/"),
}
_NOT_FOUND = 404
_BAD = 400


class GoogleRest:
    """Calls with the credentials of ``clients``, tried again as Cloud Storage's client does: none of them adds up."""

    def __init__(self, clients: GoogleClients) -> None:
        self._clients = clients

    def call(self, api: str, method: str, path: str, *, gone_is_fine: bool = False, **arguments: Any) -> dict[str, Any]:
        """The answer's JSON, ``{}`` for what is gone; a GoogleAPICallError with Google's words when it refuses."""
        from google.api_core.exceptions import from_http_status  # noqa: PLC0415 - slow, see gcp_clients

        variable, public = _ENDPOINTS[api]
        url = f"{os.environ.get(variable, public)}{path}"

        def ask() -> dict[str, Any]:
            answer = self._session.request(method, url, timeout=(deadlines.CONNECT, deadlines.CALL), **arguments)
            if answer.status_code == _NOT_FOUND and gone_is_fine:
                return {}
            if answer.status_code >= _BAD:
                try:
                    said = answer.json()["error"]["message"]
                except (ValueError, KeyError, TypeError):
                    said = answer.text
                raise from_http_status(answer.status_code, said)  # type: ignore[no-untyped-call]
            return dict(answer.json())

        answer: dict[str, Any] = self._clients.storage_limits["retry"](ask)()
        return answer

    def pages(self, api: str, path: str, field: str) -> list[dict[str, Any]]:
        """All of a listing; ``field`` has it in each page."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = self.call(api, "GET", path, params={"pageSize": 100} | ({"pageToken": token} if token else {}))
            found += page.get(field, [])
            token = page.get("nextPageToken")
            if not token:
                return found

    def regions(self, project: str) -> list[str]:
        """Where Cloud Run is; version 1 alone says it."""
        return [place["locationId"] for place in self.pages("regions", f"v1/projects/{project}/locations", "locations")]

    @cached_property
    def _session(self) -> Any:
        from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415 - slow, see gcp_clients

        return AuthorizedSession(self._clients.credentials)  # type: ignore[no-untyped-call]
