"""The Google Cloud resource types that our stacks use: from the engine's inputs to the stand-in cloud, and back.

Each class acts on exactly the inputs in ``known``; ``provider.py`` refuses every other one.
"""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi_gcp as gcp

from orchestrator.rehearsal.gcp import CloudError, GoogleCloud
from orchestrator.rehearsal.provider import RefusedError, ResourceType

CONFIGURATION: Mapping[str, Callable[[str], Any]] = {"project": str, "defaultLabels": json.loads}
_NOT_FOUND = 404


def resources(google: GoogleCloud) -> dict[str, ResourceType]:
    """Every resource type that the stand-in knows, by the engine's type token."""
    return {
        "gcp:bigquery/dataset:Dataset": Dataset(google),
        "gcp:storage/bucket:Bucket": Bucket(google),
    }


class _GoogleResource(ResourceType):
    def __init__(self, google: GoogleCloud) -> None:
        self._google = google


class Dataset(_GoogleResource):
    """A BigQuery dataset."""

    arguments = gcp.bigquery.DatasetArgs
    known = frozenset({"datasetId", "location", "deleteContentsOnDestroy", "defaultTableExpirationMs"})
    computed = ("project", "selfLink")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/insert."""
        project, name = configuration["project"], inputs["datasetId"]
        try:
            made = self._google.bigquery.create_dataset(
                project,
                name,
                location=inputs.get("location", "US"),
                labels=configuration.get("defaultLabels", {}),
                default_table_expiration_ms=inputs.get("defaultTableExpirationMs"),
            )
        except CloudError as error:
            raise RefusedError(f"Error creating Dataset: googleapi: Error {error.status}: {error.message}") from error
        return f"projects/{project}/datasets/{name}", {"project": project, "selfLink": made["selfLink"]}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """datasets.get."""
        return _is_there(lambda: self._google.bigquery.get_dataset(state["project"], state["datasetId"]))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """datasets.delete: refused while it has tables, unless the state says ``deleteContentsOnDestroy``."""
        contents = bool(state.get("deleteContentsOnDestroy"))
        try:
            self._google.bigquery.delete_dataset(state["project"], state["datasetId"], delete_contents=contents)
        except CloudError as error:
            _refuse_unless_gone("Dataset", error)


class Bucket(_GoogleResource):
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
        try:
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
        except CloudError as error:
            raise RefusedError(
                f"Error creating bucket {name}: googleapi: Error {error.status}: {error.message}"
            ) from error
        return name, {"project": project, "selfLink": made["selfLink"], "url": f"gs://{name}"}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """buckets.get."""
        return _is_there(lambda: self._google.storage.get_bucket(resource_id))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """buckets.delete: refused while it has objects, unless the state says ``forceDestroy``."""
        try:
            self._google.storage.delete_bucket(resource_id, force=bool(state.get("forceDestroy")))
        except CloudError as error:
            _refuse_unless_gone("bucket", error)


def _is_there(get: Any) -> bool:
    try:
        get()
    except CloudError as error:
        if error.status == _NOT_FOUND:
            return False
        raise RefusedError(str(error)) from error
    return True


def _refuse_unless_gone(what: str, error: CloudError) -> None:
    if error.status != _NOT_FOUND:
        raise RefusedError(f"Error deleting {what}: googleapi: Error {error.status}: {error.message}") from error
