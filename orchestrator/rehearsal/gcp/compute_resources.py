"""The resource types of the Google Cloud compute stack. See ``resources.py`` for the others."""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pulumi_gcp as gcp

from orchestrator.rehearsal.content import Content
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.cloud_storage_iam import Binding
from orchestrator.rehearsal.gcp.identity import ServiceAccount
from orchestrator.rehearsal.gcp.resources import GoogleResource, parts_of
from orchestrator.rehearsal.provider import LiveType, RefusedError, ResourceType


def resources(google: GoogleCloud) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "gcp:serviceaccount/account:Account": Account(google),
        "gcp:storage/bucketObject:BucketObject": BucketObject(google),
        "gcp:storage/bucketIAMMember:BucketIAMMember": BucketIAMMember(google),
        "gcp:cloudrunv2/service:Service": Service(google),
    }


class Account(GoogleResource, LiveType):
    """A service account."""

    arguments = gcp.serviceaccount.AccountArgs
    known = frozenset({"accountId", "description", "displayName"})
    computed = ("project", "email", "member", "name", "uniqueId")
    defaults: ClassVar[Mapping[str, Any]] = {"description": "", "displayName": ""}

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/create."""
        project = configuration["project"]
        with self._doing("creating service account", "iam.serviceAccounts.create", f"projects/{project}"):
            self._google.access.check_id(project)
            made = self._google.access.create_account(
                inputs.get("accountId", ""),
                description=inputs.get("description", ""),
                display_name=inputs.get("displayName", ""),
            )
        return f"projects/{project}/serviceAccounts/{made.email}", _outputs(made)

    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """projects.serviceAccounts.get."""
        _, email = parts_of(resource_id, "projects/{project}/serviceAccounts/{email}")
        found = self._found(lambda: self._google.access.account(email))
        return found and {
            "accountId": found.name,
            "description": found.description,
            "displayName": found.display_name,
            **_outputs(found),
        }

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """projects.serviceAccounts.delete."""
        self._dropping(
            "service account",
            "iam.serviceAccounts.delete",
            resource_id,
            lambda: self._google.access.delete_account(state["email"]),
        )


def _outputs(account: ServiceAccount) -> dict[str, Any]:
    return {
        "project": account.project,
        "email": account.email,
        "member": f"serviceAccount:{account.email}",
        "name": f"projects/{account.project}/serviceAccounts/{account.email}",
        "uniqueId": account.unique_id,
    }


class BucketObject(GoogleResource):
    """An object in a bucket."""

    arguments = gcp.storage.BucketObjectArgs
    known = frozenset({"bucket", "name", "source", "contentType"})
    name_input = "name"
    computed = ("crc32c", "generation", "md5hash", "md5hexhash", "mediaLink", "outputName", "selfLink", "storageClass")
    not_stored = ("source",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/storage/docs/json_api/v1/objects/insert."""
        bucket, name = inputs["bucket"], inputs["name"]
        path = getattr(inputs.get("source"), "path", None)
        if path is None:
            raise RefusedError(f"{name}: the rehearsal takes files only")
        kind = inputs.get("contentType", "application/octet-stream")
        with self._doing(f"uploading object {name}", "storage.objects.create", f"projects/_/buckets/{bucket}"):
            made = self._google.storage.put_object(bucket, name, Content.of_file(Path(path)), kind)
        link = f"https://www.googleapis.com/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        return f"{bucket}-{name}", {
            "crc32c": made.crc32c,
            "generation": made.generation,
            "md5hash": made.md5,
            "md5hexhash": base64.b64decode(made.md5).hex(),
            "mediaLink": f"{link}?generation={made.generation}&alt=media",
            "outputName": name,
            "selfLink": link,
            "storageClass": "STANDARD",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """objects.get."""
        return self._is_there(lambda: self._google.storage.get_object(state["bucket"], state["name"]))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """objects.delete."""
        self._dropping(
            f"object {state['name']}",
            "storage.objects.delete",
            f"projects/_/buckets/{state['bucket']}",
            lambda: self._google.storage.delete_object(state["bucket"], state["name"]),
        )


class BucketIAMMember(GoogleResource):
    """One member of a bucket's IAM policy, with one role."""

    arguments = gcp.storage.BucketIAMMemberArgs
    known = frozenset({"bucket", "role", "member", "condition.title", "condition.expression"})
    computed = ("etag",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/storage/docs/json_api/v1/buckets/setIamPolicy."""
        bucket, binding = inputs["bucket"], _binding(inputs)
        doing = f"applying IAM policy for storage bucket b/{bucket}"
        with self._doing(doing, "storage.buckets.setIamPolicy", f"projects/_/buckets/{bucket}"):
            kind, _, email = binding.member.partition(":")
            if kind == "serviceAccount":
                self._google.access.account(email)
            self._google.storage.grant(bucket, binding)
        parts = (f"b/{bucket}", binding.role, binding.member, *([binding.title] if binding.title else []))
        return "/".join(parts), {"etag": "CAE="}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """buckets.getIamPolicy."""
        found: list[Binding] = []
        there = self._is_there(lambda: found.extend(self._google.storage.policy(state["bucket"])))
        return there and _binding(state) in found

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """buckets.setIamPolicy without it; it goes with its bucket, too."""
        self._dropping(
            "IAM policy member",
            "storage.buckets.setIamPolicy",
            f"projects/_/buckets/{state['bucket']}",
            lambda: self._google.storage.revoke(state["bucket"], _binding(state)),
        )


def _binding(inputs: Mapping[str, Any]) -> Binding:
    condition = inputs.get("condition", {})
    return Binding(inputs["role"], inputs["member"], condition.get("title"), condition.get("expression"))


class Service(GoogleResource):
    """A Cloud Run service."""

    arguments = gcp.cloudrunv2.ServiceArgs
    known = frozenset(
        {
            "name", "location", "deletionProtection", "ingress", "launchStage",
            "template.serviceAccount", "template.timeout", "template.maxInstanceRequestConcurrency",
            "template.scaling.minInstanceCount", "template.scaling.maxInstanceCount",
            "template.containers.image", "template.containers.baseImageUri",
            "template.containers.sourceCode.cloudStorageSource.bucket",
            "template.containers.sourceCode.cloudStorageSource.object",
            "template.containers.commands", "template.containers.args",
            "template.containers.envs.name", "template.containers.envs.value",
            "template.containers.resources.cpuIdle",
            "template.containers.resources.limits", "template.containers.resources.startupCpuBoost",
        }
    )  # fmt: skip
    name_input = "name"
    computed = ("project", "uid", "createTime", "latestReadyRevision", "uri", "urls")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/create."""
        project, region, name = configuration["project"], inputs["location"], inputs["name"]
        on = f"projects/{project}/locations/{region}/services/{name}"
        account = inputs["template"].get("serviceAccount", "")
        with self._doing("creating Service", "run.services.create", on):
            self._google.access.require("iam.serviceAccounts.actAs", account)
            resource = _rest(inputs) | {"labels": configuration.get("defaultLabels", {})}
            made = self._google.run.create_service(project, region, name, resource)
        return made["name"], {"project": project} | {key: made[key] for key in self.computed if key != "project"}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """projects.locations.services.get."""
        return self._is_there(lambda: self._google.run.get_service(*_place(state)))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """projects.locations.services.delete; refused unless the state says that it is not protected."""
        if state.get("deletionProtection", True):
            # The words of the Terraform provider, which Pulumi's is made of.
            raise RefusedError(
                "cannot destroy service without setting deletion_protection=false and running `terraform apply`"
            )
        self._dropping(
            "Service", "run.services.delete", resource_id, lambda: self._google.run.delete_service(*_place(state))
        )


def _place(state: Mapping[str, Any]) -> tuple[str, str, str]:
    return state["project"], state["location"], state["name"]


def _rest(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The service's REST resource: Pulumi calls lists by their plural."""
    containers = [
        {_SINGULAR.get(key, key): value for key, value in container.items()}
        for container in inputs["template"].get("containers", [])
    ]
    kept = {key: inputs[key] for key in ("ingress", "launchStage") if key in inputs}
    return {**kept, "template": {**inputs["template"], "containers": containers}}


_SINGULAR = {"commands": "command", "envs": "env"}
