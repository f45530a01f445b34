"""The blob endpoint: GET and HEAD of a blob with a shared access signature. All else is refused by name.

https://learn.microsoft.com/rest/api/storageservices/get-blob. The path begins with the account, as Azurite's.
"""

import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from xml.sax.saxutils import escape

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from orchestrator.rehearsal.azure.sas import Asked, SasError, check
from orchestrator.rehearsal.azure.storage import Account, Blob, Storage

_VERSION = "2025-05-05"
# Headers with which a client asks for something else than the whole blob, or says otherwise who it is.
_NOT_HERE = ("authorization", "range", "x-ms-range", "if-match", "if-none-match", "if-modified-since")
_STATUS = {"NotImplemented": HTTPStatus.NOT_IMPLEMENTED}


def application(storage: Storage) -> Flask:
    """The WSGI application of the endpoint."""
    app = Flask(__name__, static_folder=None)
    app.register_error_handler(_StorageError, _StorageError.response)
    app.register_error_handler(HTTPException, _refuse_unknown)

    @app.get("/<account_name>/<container>/<path:name>")
    def get_blob(account_name: str, container: str, name: str) -> Response:
        for header in _NOT_HERE:
            if header in request.headers:
                raise _unsupported(f"header {header}")
        account = storage.account_named(account_name)
        if account is None:
            # There is no such host: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
            raise _StorageError(HTTPStatus.NOT_FOUND, "ResourceNotFound", "The specified resource does not exist.")
        _check_caller(account, container, name)
        if container not in account.containers:
            raise _StorageError(HTTPStatus.NOT_FOUND, "ContainerNotFound", "The specified container does not exist.")
        blob = account.containers[container].get(name)
        if blob is None:
            raise _StorageError(HTTPStatus.NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
        return _content(blob)

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
    asked = Asked(account.name, container, name, "r", request.scheme, datetime.now(UTC))
    try:
        check(request.args, account.keys.values(), asked)
    except SasError as error:
        status = _STATUS.get(error.code, HTTPStatus.FORBIDDEN)
        raise _StorageError(status, error.code, error.message, error.detail) from error


def _content(blob: Blob) -> Response:
    answer = Response(blob.content, content_type=blob.content_type)
    answer.headers["Content-MD5"] = blob.md5
    answer.headers["ETag"] = blob.etag
    answer.headers["Last-Modified"] = format_datetime(blob.modified, usegmt=True)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["x-ms-blob-type"] = "BlockBlob"
    answer.headers["x-ms-server-encrypted"] = "true"
    answer.headers["x-ms-request-id"] = str(uuid.uuid4())
    answer.headers["x-ms-version"] = _VERSION
    return answer


class _StorageError(Exception):
    """https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2."""

    def __init__(self, status: int, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self._status = status
        self._code = code
        self._message = message
        self._detail = detail

    def response(self) -> Response:
        request_id, now = str(uuid.uuid4()), datetime.now(UTC)
        message = f"{self._message}\nRequestId:{request_id}\nTime:{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06}0Z"
        detail = self._detail and f"<AuthenticationErrorDetail>{escape(self._detail)}</AuthenticationErrorDetail>"
        body = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{self._code}</Code>'
            f"<Message>{escape(message)}</Message>{detail}</Error>"
        )
        headers = {"x-ms-error-code": self._code, "x-ms-request-id": request_id, "x-ms-version": _VERSION}
        return Response(body, self._status, headers, content_type="application/xml")


def _unsupported(what: str) -> _StorageError:
    return _StorageError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", f"not supported in rehearsal: {what}")


def _refuse_unknown(error: HTTPException) -> Response:
    return _unsupported(f"{request.method} {request.path} ({error.code} {error.name})").response()
