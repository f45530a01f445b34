"""The blob endpoint: GET and HEAD of a blob with a shared access signature. All else is refused by name.

https://learn.microsoft.com/rest/api/storageservices/get-blob. The path begins with the account, as Azurite's.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from xml.sax.saxutils import escape

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.azure.sas import OVERRIDES, Asked, SasError, check
from orchestrator.rehearsal.azure.storage import Account, Blob, Storage

_VERSION = "2025-11-05"
# Headers that Azure's own client sends and that change nothing here but what is echoed; the range is acted on.
_KNOWN = frozenset({"x-ms-client-request-id", "x-ms-date", "x-ms-range", "x-ms-version"})
_STATUS = {"NotImplemented": HTTPStatus.NOT_IMPLEMENTED}
# The permission's letter: https://learn.microsoft.com/rest/api/storageservices/create-service-sas#specify-permissions
_PERMISSIONS = {"GET": "r", "HEAD": "r", "PUT": "w", "DELETE": "d"}
# https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def application(storage: Storage) -> Flask:
    """The WSGI application of the endpoint."""
    app = Flask(__name__, static_folder=None)
    app.register_error_handler(_StorageError, _StorageError.response)
    app.register_error_handler(HTTPException, _refuse_unknown)

    @app.route("/<account_name>/<container>/<path:name>", methods=list(_PERMISSIONS))
    def blob(account_name: str, container: str, name: str) -> Response:
        if "authorization" in request.headers:
            raise _unsupported("header authorization")
        account = storage.account_named(account_name)
        if account is None:
            # There is no such host: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
            raise _StorageError(HTTPStatus.NOT_FOUND, "ResourceNotFound", "The specified resource does not exist.")
        _check_caller(account, container, name)
        if request.method not in {"GET", "HEAD"}:
            raise _unsupported(f"{request.method} {request.path}")
        _check_headers()
        if container not in account.containers:
            raise _StorageError(HTTPStatus.NOT_FOUND, "ContainerNotFound", "The specified container does not exist.")
        found = account.containers[container].get(name)
        if found is None:
            raise _StorageError(HTTPStatus.NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
        _check_conditions(found)
        return _content(found)

    return app


def _check_caller(account: Account, container: str, name: str) -> None:
    if not request.args:
        # https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-prevent
        if not account.public_allowed:
            raise _StorageError(
                HTTPStatus.CONFLICT,
                "PublicAccessNotPermitted",
                "Public access is not permitted on this storage account.",
            )
        raise _StorageError(HTTPStatus.NOT_FOUND, "ResourceNotFound", "The specified resource does not exist.")
    if not account.shared_keys_allowed:
        raise _StorageError(
            HTTPStatus.FORBIDDEN,
            "KeyBasedAuthenticationNotPermitted",
            "Key based authentication is not permitted on this storage account.",
        )
    permission = _PERMISSIONS[request.method]
    asked = Asked(account.name, container, name, permission, request.scheme, clock.now())
    try:
        check(request.args, account.keys.values(), asked)
    except SasError as error:
        status = _STATUS.get(error.code, HTTPStatus.FORBIDDEN)
        raise _StorageError(status, error.code, error.message, error.detail) from error


def _check_headers() -> None:
    """Refuse headers with which a client asks for something else."""
    for header, _ in request.headers:
        name = header.lower()
        if name.startswith("x-ms-") and name not in _KNOWN:
            raise _unsupported(f"header {name}")


def _check_conditions(blob: Blob) -> None:
    """Of a pair, the tag counts and the time does not.

    https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
    """
    tag, modified = blob.etag.strip('"'), blob.modified.replace(microsecond=0)
    if request.if_none_match.star_tag:
        raise _StorageError(
            HTTPStatus.BAD_REQUEST,
            "UnsatisfiableCondition",
            "The request includes an unsatisfiable condition for this operation.",
        )
    if request.if_match:
        changed = not request.if_match.contains(tag)
    else:
        changed = request.if_unmodified_since is not None and modified > request.if_unmodified_since
    if request.if_none_match:
        same = request.if_none_match.contains(tag)
    else:
        same = request.if_modified_since is not None and modified <= request.if_modified_since
    if changed or same:
        raise _StorageError(
            HTTPStatus.PRECONDITION_FAILED if changed else HTTPStatus.NOT_MODIFIED,
            "ConditionNotMet",
            "The condition specified using HTTP conditional header(s) is not met.",
        )


def _content(blob: Blob) -> Response:
    first, end = _asked_bytes(blob)
    part = first is not None
    content = blob.content.blocks(first or 0, end)
    answer = Response(content, HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
    answer.content_length = end - (first or 0)
    answer.headers["Content-Type"] = blob.content_type
    for name, header in OVERRIDES.items():
        if name in request.args:
            answer.headers[header] = request.args[name]
    if part:
        answer.headers["Content-Range"] = f"bytes {first}-{end - 1}/{blob.content.size}"
    answer.headers["x-ms-blob-content-md5" if part else "Content-MD5"] = blob.md5
    answer.headers["ETag"] = blob.etag
    answer.headers["Last-Modified"] = format_datetime(blob.modified, usegmt=True)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["x-ms-creation-time"] = format_datetime(blob.modified, usegmt=True)
    answer.headers["x-ms-blob-type"] = "BlockBlob"
    answer.headers["x-ms-lease-state"] = "available"
    answer.headers["x-ms-lease-status"] = "unlocked"
    answer.headers["x-ms-server-encrypted"] = "true"
    if request.method == "HEAD":
        # https://learn.microsoft.com/rest/api/storageservices/get-blob-properties#response-headers
        answer.headers["x-ms-access-tier"] = "Hot"
        answer.headers["x-ms-access-tier-inferred"] = "true"
    answer.headers["x-ms-request-id"] = str(uuid.uuid4())
    answer.headers.update(_echoed())
    return answer


def _asked_bytes(blob: Blob) -> tuple[int | None, int]:
    """(first, end) of the range that is asked for; no first for the whole blob, as with a range that is malformed."""
    size = blob.content.size
    asked = _RANGE.fullmatch(request.headers.get("x-ms-range") or request.headers.get("Range", ""))
    if request.method == "HEAD" or asked is None or (asked[2] and int(asked[2]) < int(asked[1])):
        return None, size
    if int(asked[1]) >= size:
        raise _StorageError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The range specified is invalid for the current size of the resource.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size


def _echoed() -> dict[str, str]:
    """The version that answers, which is the client's or else the signature's; and what the client calls its request.

    https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
    """
    version = request.headers.get("x-ms-version") or request.args.get("sv") or _VERSION
    client = request.headers.get("x-ms-client-request-id")
    return {"x-ms-version": version} | ({"x-ms-client-request-id": client} if client else {})


class _StorageError(Exception):
    """https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2."""

    def __init__(
        self, status: int, code: str, message: str, detail: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self._status = status
        self._code = code
        self._message = message
        self._detail = detail
        self._headers = headers or {}

    def response(self) -> Response:
        request_id, now = str(uuid.uuid4()), datetime.now(UTC)
        message = f"{self._message}\nRequestId:{request_id}\nTime:{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06}0Z"
        detail = self._detail and f"<AuthenticationErrorDetail>{escape(self._detail)}</AuthenticationErrorDetail>"
        body = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{self._code}</Code>'
            f"<Message>{escape(message)}</Message>{detail}</Error>"
        )
        headers = {"x-ms-error-code": self._code, "x-ms-request-id": request_id, **self._headers, **_echoed()}
        return Response(body, self._status, headers, content_type="application/xml")


def _unsupported(what: str) -> _StorageError:
    return _StorageError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", f"not supported in rehearsal: {what}")


def _refuse_unknown(error: HTTPException) -> Response:
    return _unsupported(f"{request.method} {request.path} ({error.code} {error.name})").response()
