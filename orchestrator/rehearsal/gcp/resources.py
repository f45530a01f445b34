"""The resource types of the Google Cloud data stack: from the engine's inputs to the stand-in cloud, and back.

Each class acts on exactly the inputs in ``known``; ``provider.py`` refuses every other one.
"""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pulumi_gcp as gcp

from orchestrator.rehearsal.gcp.cloud import CloudError, GoogleCloud
from orchestrator.rehearsal.provider import LiveType, RefusedError, ResourceType

CONFIGURATION: Mapping[str, Callable[[str], Any]] = {"project": str, "defaultLabels": json.loads}
_NOT_FOUND = 404


def resources(google: GoogleCloud) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "gcp:bigquery/dataset:Dataset": Dataset(google),
        "gcp:storage/bucket:Bucket": Bucket(google),
    }


class GoogleResource(ResourceType):
    """What the types share: the cloud, and its errors in the words of the real provider."""

    def __init__(self, google: GoogleCloud) -> None:
        self._google = google

    @contextmanager
    def _doing(self, what: str, permission: str, on: str) -> Iterator[None]:
        """What the caller needs a permission for; the cloud's refusal names it. ``on`` is the resource's name."""
        try:
            self._google.access.require(permission, on)
            yield
        except CloudError as error:
            raise RefusedError(f"Error {what}: googleapi: Error {error.status}: {error.message}") from error

    def _dropping(self, what: str, permission: str, on: str, drop: Callable[[], object]) -> None:
        """Delete; what is gone already is fine."""
        with self._doing(f"deleting {what}", permission, on):
            try:
                drop()
            except CloudError as error:
                if error.status != _NOT_FOUND:
                    raise

    def _is_there(self, get: Callable[[], object]) -> bool:
        """Whether the cloud finds it."""
        return self._found(lambda: (get(),)) is not None

    def _found(self, get: Callable[[], Any]) -> Any:
        """What the cloud says; None when it does not find it."""
        try:
            return get()
        except CloudError as error:
            if error.status == _NOT_FOUND:
                return None
            raise RefusedError(str(error)) from error


def parts_of(resource_id: str, form: str) -> list[str]:
    """The parts of an id, by the form that it must have, such as ``projects/{project}/datasets/{dataset_id}``."""
    matched = re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", form), resource_id)
    if matched is None:
        raise RefusedError(f"not supported in rehearsal: the id {resource_id}; it must have the form {form}")
    return list(matched.groups())


class Dataset(GoogleResource, LiveType):
    """A BigQuery dataset."""

    arguments = gcp.bigquery.DatasetArgs
    known = frozenset({"datasetId", "location", "deleteContentsOnDestroy", "defaultTableExpirationMs"})
    computed = ("project", "selfLink")
    defaults: ClassVar[Mapping[str, Any]] = {"location": "US"}

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/insert."""
        project, name = configuration["project"], inputs["datasetId"]
        with self._doing("creating Dataset", "bigquery.datasets.create", f"projects/{project}"):
            made = self._google.bigquery.create_dataset(
                project,
                name,
                location=inputs.get("location", "US"),
                labels=configuration.get("defaultLabels", {}),
                default_table_expiration_ms=inputs.get("defaultTableExpirationMs"),
            )
        return f"projects/{project}/datasets/{name}", {"project": project, "selfLink": made["selfLink"]}

    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """datasets.get."""
        project, name = parts_of(resource_id, "projects/{project}/datasets/{dataset_id}")
        found = self._found(lambda: self._google.bigquery.get_dataset(project, name))
        expires = found and found.get("defaultTableExpirationMs")
        return found and {
            "datasetId": name,
            "location": found["location"],
            "defaultTableExpirationMs": expires and int(expires),
            "project": project,
            "selfLink": found["selfLink"],
        }

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """datasets.delete: refused while it has tables, unless the state says ``deleteContentsOnDestroy``."""
        contents = bool(state.get("deleteContentsOnDestroy"))
        self._dropping(
            "Dataset",
            "bigquery.datasets.delete",
            resource_id,
            lambda: self._google.bigquery.delete_dataset(
                state["project"], state["datasetId"], delete_contents=contents
            ),
        )


class Bucket(GoogleResource):
    """A Cloud Storage bucket."""

    arguments = gcp.storage.BucketArgs
    known = frozenset(
        {
            "name", "location", "forceDestroy", "uniformBucketLevelAccess", "publicAccessPrevention",
            "softDeletePolicy.retentionDurationSeconds", "lifecycleRules.action.type", "lifecycleRules.condition.age",
        }
    )  # fmt: skip
    name_input = "name"
    computed = ("project", "selfLink", "url")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/storage/docs/json_api/v1/buckets/insert."""
        project, name = configuration["project"], inputs["name"]
        with self._doing(f"creating bucket {name}", "storage.buckets.create", f"projects/{project}"):
            made = self._google.storage.create_bucket(
                project,
                name,
                location=inputs["location"],
                labels=configuration.get("defaultLabels", {}),
                # A bucket that says nothing keeps what is deleted for seven days, and bills it.
                soft_delete_seconds=inputs.get("softDeletePolicy", {}).get("retentionDurationSeconds", 604_800),
                lifecycle_rules=inputs.get("lifecycleRules", []),
                uniform_access=inputs.get("uniformBucketLevelAccess", False),
                public_access_prevention=inputs.get("publicAccessPrevention", "inherited"),
            )
        return name, {"project": project, "selfLink": made["selfLink"], "url": f"gs://{name}"}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """buckets.get."""
        return self._is_there(lambda: self._google.storage.get_bucket(resource_id))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """buckets.delete: refused while it has objects, unless the state says ``forceDestroy``."""
        force = bool(state.get("forceDestroy"))
        self._dropping(
            "bucket",
            "storage.buckets.delete",
            resource_id,
            lambda: self._google.storage.delete_bucket(resource_id, force=force),
        )
