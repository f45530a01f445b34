"""A stand-in of Cloud Run's services, which run here. Its routes are in ``cloud_run_rest``.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services.
"""

import io
import secrets
import string
import threading
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.front_door import Around, as_it_is
from orchestrator.rehearsal.gcp import cloud_run_rules
from orchestrator.rehearsal.gcp.cloud_run_host import ServiceHost
from orchestrator.rehearsal.gcp.cloud_storage import CloudStorage
from orchestrator.rehearsal.gcp.identity import Identity
from orchestrator.rehearsal.gcp.projects import Project
from orchestrator.rehearsal.gcp.rest import CloudError, checked_labels
from orchestrator.rehearsal.latency import AT_ONCE, Latency

SERVICE = "run.googleapis.com"
INVOKE = "run.routes.invoke"
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class _Service:
    """A service: its REST resource, and where it runs."""

    resource: dict[str, Any]
    host: ServiceHost


class CloudRun:
    """The services of one project. Safe to use from several threads.

    ``variables`` lead a service to the other stand-ins; ``folder`` is for what services unpack.
    """

    def __init__(
        self,
        project: Project,
        storage: CloudStorage,
        identity: Identity,
        *,
        variables: Mapping[str, str],
        folder: Path,
        around: Around = as_it_is,
        latency: Latency = AT_ONCE,
    ) -> None:
        self._project = project
        self._storage = storage
        self._identity = identity
        self._variables = variables
        self._folder = folder
        self._around = around
        self._latency = latency
        self._services: dict[tuple[str, str], _Service] = {}
        self._operations: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()

    def create_service(self, project: str, region: str, name: str, resource: Mapping[str, Any]) -> dict[str, Any]:
        """Make a service from its REST resource and let it listen; returns the resource with what Cloud Run adds.

        Raises:
            CloudError: 400 for what Cloud Run would not take, 404 when the source is not there, 409 when there is one.
        """
        self._check_place(project, region)
        cloud_run_rules.check_name(name)
        labels = checked_labels(resource.get("labels", {}))
        revision = cloud_run_rules.checked(region, resource)
        source = self._source(revision.bucket, revision.object)
        account = self._project.account(revision.service_account)
        full_name = _name(project, region, name)
        made = f"{name}-00001-{''.join(secrets.choice(_ALPHABET) for _ in range(3))}"
        with self._lock:
            if (region, name) in self._services:
                raise CloudError(409, "ALREADY_EXISTS", f"Resource '{name}' already exists.")
            host = ServiceHost(
                revision,
                source,
                account=account,
                identity=self._identity,
                may_invoke=lambda email: bool(self._project.granted(email, [INVOKE])),
                variables={**self._variables, "K_SERVICE": name, "K_REVISION": made, "K_CONFIGURATION": name},
                folder=self._folder / uuid.uuid4().hex,
                around=self._around,
                latency=self._latency,
            )
            added = _added(full_name, f"{full_name}/revisions/{made}", host.url)
            self._services[region, name] = _Service({**resource, "labels": labels, **added}, host)
            return dict(self._services[region, name].resource)

    def get_service(self, project: str, region: str, name: str) -> dict[str, Any]:
        """The REST resource; CloudError 404 when there is none."""
        self._check_place(project, region)
        return dict(self._service(project, region, name).resource)

    def list_services(self, project: str, region: str) -> list[dict[str, Any]]:
        """The resources of a region's services, by name."""
        self._check_place(project, region)
        with self._lock:
            return [dict(one.resource) for (where, _), one in sorted(self._services.items()) if where == region]

    def delete_service(self, project: str, region: str, name: str) -> dict[str, Any]:
        """End the service, its URL and its process; the operation, which is done when it is asked for.

        Raises:
            CloudError: 404 when there is none.
        """
        self._check_place(project, region)
        with self._lock:
            service = self._service(project, region, name)
            del self._services[region, name]
        service.host.close()
        operation = f"projects/{project}/locations/{region}/operations/{uuid.uuid4()}"
        about = {"@type": "type.googleapis.com/google.cloud.run.v2.Service", **service.resource}
        self._operations[operation] = {"name": operation, "metadata": about, "done": True, "response": about}
        return {"name": operation, "metadata": about}

    def operation(self, name: str) -> dict[str, Any]:
        """A long-running operation by its full name; CloudError 404 when there is none."""
        if name not in self._operations:
            raise CloudError(404, "NOT_FOUND", f"Resource '{name}' of kind 'OPERATION' does not exist.")
        return self._operations[name]

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of the services, and of the processes that run for them."""
        with self._lock:
            services = list(self._services.values())
        for service in services:
            yield "run service", service.resource["name"]
            if service.host.is_warm:
                yield "run process", service.resource["name"]

    def stop(self) -> None:
        """End every service."""
        with self._lock:
            services, self._services = list(self._services.values()), {}
        for service in services:
            service.host.close()

    def _check_place(self, project: str, region: str) -> None:
        self._project.check_id(project)
        self._project.require_service(SERVICE)
        cloud_run_rules.check_region(region)

    def _source(self, bucket: str, name: str) -> bytes:
        try:
            content = self._storage.get_object(bucket, name).content.read()
        except CloudError as error:
            raise CloudError(404, "NOT_FOUND", f"Source gs://{bucket}/{name}: {error.message}") from error
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise CloudError(400, "INVALID_ARGUMENT", f"Source gs://{bucket}/{name} is not a zip archive.")
        return content

    def _service(self, project: str, region: str, name: str) -> _Service:
        with self._lock:
            if (region, name) not in self._services:
                raise CloudError(
                    404, "NOT_FOUND", f"Resource '{_name(project, region, name)}' of kind 'SERVICE' does not exist."
                )
            return self._services[region, name]


def _name(project: str, region: str, name: str) -> str:
    return f"projects/{project}/locations/{region}/services/{name}"


def _added(name: str, revision: str, url: str) -> dict[str, Any]:
    """What Cloud Run adds to a service's resource once it is ready."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "name": name,
        "uid": str(uuid.uuid4()),
        "generation": "1",
        "observedGeneration": "1",
        "createTime": now,
        "updateTime": now,
        "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED", "lastTransitionTime": now},
        "latestCreatedRevision": revision,
        "latestReadyRevision": revision,
        "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
        "uri": url,
        "urls": [url],
        "etag": f'"{uuid.uuid4().hex}"',
    }
