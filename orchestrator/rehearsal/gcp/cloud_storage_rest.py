"""The routes of the stand-in Cloud Storage: its JSON API (v1) as far as our client uses it.

https://cloud.google.com/storage/docs/json_api/v1.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, request

from orchestrator.rehearsal.gcp.cloud_storage import CloudStorage, StoredObject
from orchestrator.rehearsal.gcp.rest import CloudError, page, query_parameters, unsupported

PERMISSIONS: Mapping[str, str] = {
    "storage.list_buckets": "storage.buckets.list",
    "storage.get_bucket": "storage.buckets.get",
    "storage.delete_bucket": "storage.buckets.delete",
    "storage.get_policy": "storage.buckets.getIamPolicy",
    "storage.list_objects": "storage.objects.list",
    "storage.get_object": "storage.objects.get",
    "storage.delete_object": "storage.objects.delete",
    "storage.download": "storage.objects.get",
}
"""https://cloud.google.com/storage/docs/access-control/iam-json."""


def routes(storage: CloudStorage) -> Blueprint:
    """The JSON API: buckets and objects to list, get and delete, and the download of an object."""
    api = Blueprint("storage", __name__)
    api.register_error_handler(CloudError, _refuse)

    @api.get("/storage/v1/b")
    def list_buckets() -> Response:
        given = query_parameters("project", "projection", "prefix", "maxResults", "pageToken")
        if "project" not in given:
            raise CloudError(400, "required", "Required parameter: project")
        return _listing("storage#buckets", storage.list_buckets(given["project"], given.get("prefix", "")), given)

    @api.get("/storage/v1/b/<bucket>")
    def get_bucket(bucket: str) -> Response:
        query_parameters("projection")
        return jsonify(storage.get_bucket(bucket))

    @api.delete("/storage/v1/b/<bucket>")
    def delete_bucket(bucket: str) -> Response:
        query_parameters()
        storage.delete_bucket(bucket, force=False)
        return Response(status=204)

    @api.get("/storage/v1/b/<bucket>/iam")
    def get_policy(bucket: str) -> Response:
        given = query_parameters("optionsRequestedPolicyVersion")
        bindings = [binding.resource for binding in storage.policy(bucket)]
        conditional = any("condition" in binding for binding in bindings)
        if conditional and given.get("optionsRequestedPolicyVersion") != "3":
            raise unsupported("a policy with conditions in another version than 3")
        version = 3 if conditional else 1
        return jsonify({"kind": "storage#policy", "version": version, "bindings": bindings, "etag": "CAE="})

    _object_routes(api, storage)
    return api


def _object_routes(api: Blueprint, storage: CloudStorage) -> None:
    @api.get("/storage/v1/b/<bucket>/o")
    def list_objects(bucket: str) -> Response:
        given = query_parameters("projection", "prefix", "maxResults", "pageToken")
        found = storage.list_objects(bucket, given.get("prefix", ""))
        return _listing("storage#objects", [_object_resource(bucket, stored) for stored in found], given)

    @api.get("/storage/v1/b/<bucket>/o/<path:name>")
    def get_object(bucket: str, name: str) -> Response:
        given = query_parameters("projection", "generation")
        return jsonify(_object_resource(bucket, storage.get_object(bucket, name, given.get("generation"))))

    @api.delete("/storage/v1/b/<bucket>/o/<path:name>")
    def delete_object(bucket: str, name: str) -> Response:
        given = query_parameters("generation")
        storage.delete_object(bucket, name, given.get("generation"))
        return Response(status=204)

    @api.get("/download/storage/v1/b/<bucket>/o/<path:name>")
    def download(bucket: str, name: str) -> Response:
        given = query_parameters("alt", "generation")
        if given.get("alt") != "media":
            raise unsupported(f"a download with alt={given.get('alt')}")
        return _media(storage.get_object(bucket, name, given.get("generation")))


def _refuse(error: CloudError) -> Response:
    """Where content was asked for, the refusal is plain text: the message alone."""
    if request.args.get("alt") == "media":
        return Response(error.message, error.status, mimetype="text/html")
    return error.response()


def _listing(kind: str, items: list[dict[str, Any]], given: Mapping[str, str]) -> Response:
    found, token = page(items, given.get("maxResults"), given.get("pageToken"))
    return jsonify({"kind": kind, "items": found} | ({"nextPageToken": token} if token else {}))


def _object_resource(bucket: str, stored: StoredObject) -> dict[str, Any]:
    """https://cloud.google.com/storage/docs/json_api/v1/objects#resource; its links lead to where it was asked for."""
    path = f"storage/v1/b/{bucket}/o/{quote(stored.name, safe='')}"
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{request.host_url}{path}",
        "mediaLink": f"{request.host_url}download/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": bucket,
        "generation": str(stored.generation),
        "metageneration": "1",
        "contentType": stored.content_type,
        "storageClass": "STANDARD",
        "size": str(stored.content.size),
        "md5Hash": stored.md5,
        "crc32c": stored.crc32c,
        "timeCreated": stored.created,
        "updated": stored.created,
    }


def _media(stored: StoredObject) -> Response:
    """The content, or the one range of it that is asked for; the hashes are always of the whole object."""
    size, part = stored.content.size, _asked_part(stored.content.size)
    first, end = part or (0, size)
    if part and first >= size:
        answer = Response("Request range not satisfiable", 416, mimetype="text/html")
        answer.headers["Content-Range"] = f"bytes */{size}"
        return answer
    answer = Response(stored.content.blocks(first, end), 206 if part else 200, mimetype=stored.content_type)
    answer.content_length = end - first
    if part:
        answer.headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    answer.headers["X-Goog-Hash"] = f"crc32c={stored.crc32c},md5={stored.md5}"
    answer.headers["X-Goog-Generation"] = str(stored.generation)
    answer.headers["X-Goog-Metageneration"] = "1"
    answer.headers["X-Goog-Stored-Content-Encoding"] = "identity"
    answer.headers["X-Goog-Stored-Content-Length"] = str(size)
    answer.headers["ETag"] = f"{stored.generation}/1"
    answer.accept_ranges = "bytes"
    return answer


def _asked_part(size: int) -> tuple[int, int] | None:
    """(first, end) of the range that is asked for; None for the whole object.

    RFC 9110, 14.2: a unit that is not known, and a range that makes no sense, are passed over.
    """
    if request.range is None or request.range.units != "bytes":
        return None
    if len(request.range.ranges) != 1:
        raise unsupported(f"a download of several ranges, {request.headers['Range']}")
    first, end = request.range.ranges[0]
    return (max(0, size + first), size) if first < 0 else (first, min(size, end or size))
