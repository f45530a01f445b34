"""What the stand-ins of Google's services share: Google's errors, and strictness about what they are asked."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from flask import Response, jsonify, request

# https://cloud.google.com/storage/docs/json_api/v1/parameters
_EVERYWHERE = frozenset({"prettyPrint"})
# https://cloud.google.com/bigquery/docs/labels-intro#requirements (international letters are not known here)
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_MOST_LABELS = 64


class CloudError(Exception):
    """A refusal in Google's words: HTTP ``status``, ``reason``, ``message``.

    The reason is BigQuery's or Cloud Storage's (``notFound``, https://cloud.google.com/bigquery/docs/error-messages)
    or the newer services' (``NOT_FOUND``, https://cloud.google.com/apis/design/errors#error_codes).
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def proto(self) -> dict[str, str]:
        """The error as a job carries it in ``status.errorResult``."""
        return {"reason": self.reason, "message": self.message}

    def response(self) -> Response:
        """The error as an answer, https://cloud.google.com/apis/design/errors (the JSON of the REST APIs)."""
        newer = self.reason.isupper()
        details = {"status": self.reason} if newer else {"errors": [{"domain": "global", **self.proto}]}
        answer = jsonify({"error": {"code": self.status, "message": self.message, **details}})
        answer.status_code = self.status
        return answer


def unsupported(what: str) -> CloudError:
    """The real cloud may know it; the stand-in says that it does not."""
    return CloudError(501, "notImplemented", f"not supported in rehearsal: {what}")


def query_parameters(*known: str) -> Mapping[str, str]:
    """The request's query parameters; one that is not ``known`` is refused by name."""
    for name in request.args:
        if name not in known and name not in _EVERYWHERE:
            raise unsupported(f"query parameter {name} of {request.method} {request.path}")
    return request.args


def page(items: list[Any], size: str | None, token: str | None) -> tuple[list[Any], str | None]:
    """A page of ``items`` and the token of the next one: the offset, as text."""
    start = int(token or 0)
    end = start + int(size or len(items) or 1)
    return items[start:end], str(end) if end < len(items) else None


def only_fields(where: str, body: Any, known: Collection[str]) -> dict[str, Any]:
    """``body`` if it is an object with no other fields than ``known``.

    Raises:
        CloudError: 400 when it is no object, 501 naming the field that is not known here.
    """
    if not isinstance(body, dict):
        raise CloudError(400, "invalid", f"{where} must be a JSON object")
    for field in body:
        if field not in known:
            raise unsupported(f"field {field} of {where}")
    return body


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, if Google would take them."""
    if len(labels) > _MOST_LABELS:
        raise CloudError(400, "invalid", f"Too many labels: {len(labels)}, at most {_MOST_LABELS} are allowed.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise CloudError(400, "invalid", f"Label key '{key}' contains invalid characters or length.")
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise CloudError(400, "invalid", f"Label value '{value}' contains invalid characters or length.")
    return dict(labels)
