"""S3's objects as they are put and got: moto keeps their records, their content is on disk.

Moto itself has all that it is sent and all that it hands out in memory, several times over.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from werkzeug.wrappers import Response

from orchestrator.rehearsal.content import Content, blocks_of

_RANGE = re.compile(r"bytes (\d+)-(\d+)/\d+")
# With these a PUT is a copy, or its body more than the content: moto knows what to make of it.
_NOT_PLAIN = ("HTTP_X_AMZ_COPY_SOURCE", "HTTP_CONTENT_ENCODING", "HTTP_X_AMZ_TRAILER")


class Upload:
    """The body of a PutObject; ``sha256`` in hexadecimal."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._sha256 = hashlib.sha256()
        body = blocks_of(environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))
        self.content = Content(self._hashed(body))
        self.sha256 = self._sha256.hexdigest()

    def _hashed(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._sha256.update(block)
            yield block


def is_upload(environ: dict[str, Any]) -> bool:
    """Whether the request, if it is for S3, is a PutObject whose body is the content."""
    return _is_of_object(environ, "PUT") and not any(name in environ for name in _NOT_PLAIN)


class Objects:
    """Moto's S3 (WSGI) without the content of its objects."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        self._moto = moto
        self._lock = threading.Lock()  # Nobody is to see a record that has not got its content yet.

    def answer(self, environ: dict[str, Any], upload: Upload | None, start_response: Any) -> Iterable[bytes]:
        """Answer a request that may be answered; ``upload`` is its body, if ``is_upload``."""
        if upload is not None:
            return self._put(environ, upload.content)(environ, start_response)
        got = self._got(environ) if _is_of_object(environ, "GET") else None
        return (got or self._moto)(environ, start_response)

    def _put(self, environ: dict[str, Any], content: Content) -> Response:
        with self._lock:
            answer = self._ask_moto(environ, {"CONTENT_LENGTH": "0", "wsgi.input": BytesIO()})
            if answer.status_code == HTTPStatus.OK:
                record = _record(environ)
                record._value_buffer.close()  # noqa: SLF001 - moto has no other way
                record._value_buffer = content.reopened()  # noqa: SLF001 - for moto's own uses: a copy, a layer's code
                record.contentsize, record._etag = content.size, content.md5.hex()  # noqa: SLF001
                record.content = content
                answer.headers["ETag"] = record.etag
        return answer

    def _got(self, environ: dict[str, Any]) -> Response | None:
        """The answer as moto would give it; None where moto gives it: there is none, or it is not ours."""
        with self._lock:
            answer = self._ask_moto(environ, {"REQUEST_METHOD": "HEAD"})
            found = answer.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
            content = getattr(_record(environ), "content", None) if found else None
        if content is None:
            return None
        part = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        first, end = (int(part[1]), int(part[2]) + 1) if part else (0, content.size)
        answer.response, answer.content_length = content.blocks(first, end), end - first
        return answer

    def _ask_moto(self, environ: dict[str, Any], changes: dict[str, Any]) -> Response:
        return Response.from_app(self._moto, environ | changes, buffered=True)


def _is_of_object(environ: dict[str, Any], method: str) -> bool:
    """Whether it asks for an object itself; x-id only names the operation, every other parameter makes it another."""
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    return environ["REQUEST_METHOD"] == method and bool(_name(environ)[1]) and set(query) <= {"x-id"}


def _name(environ: dict[str, Any]) -> tuple[str, str]:
    """(bucket, key)."""
    bucket, _, key = unquote(urlsplit(environ["REQUEST_URI"]).path).lstrip("/").partition("/")
    return bucket, key


def _record(environ: dict[str, Any]) -> Any:
    """Moto's record of the object."""
    return get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].get_object(*_name(environ))
