"""A stand-in of Cloud Storage's buckets and objects. Its routes are in ``cloud_storage_rest``.

https://cloud.google.com/storage/docs/json_api/v1.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.rehearsal.content import Content
from orchestrator.rehearsal.gcp import cloud_storage_iam
from orchestrator.rehearsal.gcp.cloud_storage_iam import Binding
from orchestrator.rehearsal.gcp.rest import CloudError, checked_labels, unsupported

# https://cloud.google.com/storage/docs/buckets#naming
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{1,61}[a-z0-9]")
_GOOGLE = re.compile(r"g[o0]{2}g[l1]e")
# https://cloud.google.com/storage/docs/objects#naming
_LONGEST_OBJECT = 1024
_ACME = ".well-known/acme-challenge/"
_LOCATION = re.compile(r"US|EU|ASIA|[A-Z]+-[A-Z]+[0-9]+")
_SOFT_DELETE_DAYS = (7, 90)
_DAY = 86_400


@dataclass(frozen=True)
class StoredObject:
    """An object's content with what Cloud Storage says of it; ``generation`` in microseconds since 1970."""

    name: str
    content: Content
    content_type: str
    generation: int
    created: str

    @property
    def crc32c(self) -> str:
        """Base64 of the big-endian CRC32C."""
        return self.content.crc32c_base64

    @property
    def md5(self) -> str:
        """Base64 of the MD5."""
        return self.content.md5_base64


@dataclass
class Bucket:
    """A bucket: its REST resource, the project it is in, its objects by name, who may read them."""

    project: str
    resource: dict[str, Any]
    objects: dict[str, StoredObject] = field(default_factory=dict)
    policy: list[Binding] = field(default_factory=list)


class CloudStorage:
    """The buckets of one project. Safe to use from several threads."""

    def __init__(self, *, project: str) -> None:
        self.project = project
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.RLock()

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of the buckets, their objects, and what was granted on them."""
        with self._lock:
            found = [(name, list(bucket.objects), list(bucket.policy)) for name, bucket in self._buckets.items()]
        for name, objects, policy in found:
            yield "storage bucket", name
            yield from (("storage object", f"{name}/{one}") for one in objects)
            yield from (("storage permission", f"{name}: {binding.role} {binding.member}") for binding in policy)

    def create_bucket(
        self,
        project: str,
        name: str,
        *,
        location: str,
        labels: Mapping[str, str],
        soft_delete_seconds: int,
        lifecycle_rules: Sequence[Mapping[str, Any]],
        uniform_access: bool,
        public_access_prevention: str,
    ) -> dict[str, Any]:
        """Make a bucket; returns its REST resource. Names are of one space, whatever the project.

        Raises:
            CloudError: 400 for what Cloud Storage would not take, 409 when the name is taken.
        """
        if project != self.project:
            raise CloudError(400, "invalid", f"Unknown project id: {project}")
        _check_name(name)
        location = location.upper()
        if not _LOCATION.fullmatch(location):
            raise CloudError(400, "invalid", f"The specified location constraint is not valid: {location}")
        _check_soft_delete(soft_delete_seconds)
        if public_access_prevention not in {"enforced", "inherited"}:
            raise CloudError(400, "invalid", f"Invalid value for publicAccessPrevention: {public_access_prevention}")
        created = _now()
        resource = {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
            "location": location,
            "locationType": "multi-region" if "-" not in location else "region",
            "storageClass": "STANDARD",
            "labels": checked_labels(labels),
            "timeCreated": created,
            "updated": created,
            "metageneration": "1",
            "etag": "CAE=",
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": uniform_access},
                "publicAccessPrevention": public_access_prevention,
            },
            "softDeletePolicy": {"retentionDurationSeconds": str(soft_delete_seconds)},
            "lifecycle": {"rule": [_checked_rule(rule) for rule in lifecycle_rules]},
        }
        with self._lock:
            if name in self._buckets:
                raise CloudError(
                    409,
                    "conflict",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
            self._buckets[name] = Bucket(project, resource)
        return dict(resource)

    def get_bucket(self, name: str) -> dict[str, Any]:
        """The REST resource; CloudError 404 when there is none."""
        return dict(self._bucket(name).resource)

    def list_buckets(self, project: str, prefix: str) -> list[dict[str, Any]]:
        """The resources of a project's buckets, by name."""
        if project != self.project:
            raise CloudError(400, "invalid", f"Unknown project id: {project}")
        with self._lock:
            return [dict(bucket.resource) for name, bucket in sorted(self._buckets.items()) if name.startswith(prefix)]

    def delete_bucket(self, name: str, *, force: bool) -> None:
        """CloudError 404 when there is none, 409 when it has objects; ``force`` deletes them first, as Pulumi does."""
        with self._lock:
            bucket = self._bucket(name)
            if bucket.objects and not force:
                raise CloudError(409, "conflict", "The bucket you tried to delete is not empty.")
            del self._buckets[name]

    def policy(self, name: str) -> list[Binding]:
        """Who may do what with the bucket's objects; CloudError 404 when there is no such bucket."""
        with self._lock:
            return list(self._bucket(name).policy)

    def grant(self, name: str, binding: Binding) -> None:
        """Add a binding to the bucket's policy; CloudError when Cloud Storage would not take it."""
        with self._lock:
            bucket = self._bucket(name)
            access = bucket.resource["iamConfiguration"]
            cloud_storage_iam.check(
                binding,
                bucket=name,
                uniform_access=access["uniformBucketLevelAccess"]["enabled"],
                public_access_prevention=access["publicAccessPrevention"],
            )
            if binding not in bucket.policy:
                bucket.policy.append(binding)

    def revoke(self, name: str, binding: Binding) -> None:
        """Take a binding out of the bucket's policy; none is fine. CloudError 404 when there is no such bucket."""
        with self._lock:
            bucket = self._bucket(name)
            bucket.policy = [other for other in bucket.policy if other != binding]

    def allows(self, email: str, permission: str, name: str, object_name: str | None) -> bool:
        """Whether the bucket's policy lets a service account do that to an object, or to the bucket."""
        resource = cloud_storage_iam.object_name(name, object_name)
        with self._lock:
            bucket = self._buckets.get(name)
            return bucket is not None and any(binding.allows(email, permission, resource) for binding in bucket.policy)

    def put_object(self, bucket_name: str, name: str, content: Content | bytes, content_type: str) -> StoredObject:
        """Write an object, as an extract job does; CloudError 400 for its name, 404 when there is no such bucket."""
        _check_object_name(name)
        generation = int(datetime.now(UTC).timestamp() * 1_000_000)
        held = Content([content]) if isinstance(content, bytes) else content
        stored = StoredObject(name, held, content_type, generation, _now())
        with self._lock:
            self._bucket(bucket_name).objects[name] = stored
        return stored

    def list_objects(self, bucket_name: str, prefix: str) -> list[StoredObject]:
        """A bucket's objects, by name."""
        with self._lock:
            objects = self._bucket(bucket_name).objects
            return [objects[name] for name in sorted(objects) if name.startswith(prefix)]

    def get_object(self, bucket_name: str, name: str, generation: str | None = None) -> StoredObject:
        """CloudError 404 when there is no such bucket or object, or it is of another generation than is asked for."""
        with self._lock:
            stored = self._bucket(bucket_name).objects.get(name)
            if stored is None or generation not in {None, str(stored.generation)}:
                which = f"#{generation}" if generation else ""
                raise CloudError(404, "notFound", f"No such object: {bucket_name}/{name}{which}")
            return stored

    def delete_object(self, bucket_name: str, name: str, generation: str | None = None) -> None:
        """CloudError 404 as for ``get_object``."""
        with self._lock:
            self.get_object(bucket_name, name, generation)
            del self._bucket(bucket_name).objects[name]

    def _bucket(self, name: str) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            raise CloudError(404, "notFound", "The specified bucket does not exist.")
        return bucket


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check_name(name: str) -> None:
    octets = re.fullmatch(r"[0-9]+(\.[0-9]+){3}", name)
    if not _NAME.fullmatch(name) or octets or name.startswith("goog") or _GOOGLE.search(name):
        raise CloudError(400, "invalid", f"Invalid bucket name: '{name}'")
    if "." in name:
        raise unsupported(f"a bucket named after a domain, {name}: the owner of the domain must be proved")


def _check_object_name(name: str) -> None:
    length = len(name.encode())
    if length > _LONGEST_OBJECT:
        raise CloudError(
            400,
            "invalid",
            f"The maximum object length is {_LONGEST_OBJECT} characters, but got a name with {length} characters: "
            f"''{name[:_LONGEST_OBJECT]}...''",
        )
    if "\r" in name or "\n" in name:
        raise CloudError(400, "invalid", f"Disallowed unicode characters present in object name '{name}'")
    if name in {"", ".", ".."} or name.startswith(_ACME):
        raise CloudError(400, "invalid", f"Invalid object name: '{name}'")


def _check_soft_delete(seconds: int) -> None:
    shortest, longest = _SOFT_DELETE_DAYS
    if seconds and not shortest * _DAY <= seconds <= longest * _DAY:
        raise CloudError(
            400, "invalid", f"softDeletePolicy.retentionDurationSeconds must be 0, or {shortest} to {longest} days."
        )


def _checked_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    age = rule.get("condition", {}).get("age")
    known = {"action": {"type": "Delete"}, "condition": {"age": age}}
    if rule != known or age is None or age < 0 or age != int(age):
        raise unsupported(f"lifecycle rule {dict(rule)}; deleting by age in days is known")
    return {"action": {"type": "Delete"}, "condition": {"age": int(age)}}
