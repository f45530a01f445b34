"""Cloud Run under Google's Functions Framework: the CSV from Cloud Storage, analysed, as a page or JSON.

The request says where the CSV is: ``?bucket=...&object=...``, with one ``object`` for each part, in order. The stack
sets what ``chart.py`` asks for, and lets the service's account read those objects and no others.
https://cloud.google.com/run/docs/write-functions
"""

import cold_start  # isort: split

import base64
import traceback
from collections.abc import Generator
from http import HTTPStatus

import functions_framework
import google.auth
import google_crc32c
from flask import Request, Response
from google.api_core.exceptions import Forbidden
from google.cloud import storage  # type: ignore[attr-defined]

_TRY_AGAIN_SECONDS = "1"
_REQUEST_BYTES = 8 << 20
"""Each has its own retries."""


@functions_framework.http
def hail(request: Request) -> Response:
    """Answer one request. What went wrong is in the answer: only who may call the service gets it."""
    try:
        bucket, objects = request.args["bucket"], request.args.getlist("object")
        with cold_start.Download(lambda: _fetch(bucket, objects)) as csv:
            with cold_start.importing():
                import chart  # noqa: PLC0415 - a user's own analysis may fail when it is imported: that is told as well

            content_type, body = chart.respond(csv.stream(), accept=request.headers.get("accept", ""))
    except Forbidden as error:
        # A permission given a moment ago takes seconds, at worst minutes, to be known:
        # https://cloud.google.com/iam/docs/access-change-propagation
        soon = {"Retry-After": _TRY_AGAIN_SECONDS}
        return Response(str(error), HTTPStatus.SERVICE_UNAVAILABLE, soon, mimetype="text/plain")
    except Exception:  # noqa: BLE001 - a user's own analysis may raise anything
        return Response(traceback.format_exc(), HTTPStatus.INTERNAL_SERVER_ERROR, mimetype="text/plain")
    return Response(body, content_type=content_type)


def _fetch(bucket: str, names: list[str]) -> Generator[bytes, None, None]:
    """The parts as one CSV: each has the header, only the first one's counts."""
    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
    # With STORAGE_EMULATOR_HOST the client would go without credentials, unless it is given them.
    options = {"universe_domain": credentials.universe_domain}
    client = storage.Client(project, credentials, client_options=options)
    for number, name in enumerate(names):
        lines = _download(client.bucket(bucket), name)
        header = next(lines, b"")
        if number == 0:
            yield header
        yield from lines


def _download(bucket: storage.Bucket, name: str) -> Generator[bytes, None, None]:
    """One object, its header first, as the bucket says it is: the client itself checks only what it gets at once."""
    blob = bucket.blob(name)
    blob.reload()  # From here on it is this generation that is read.
    checksum = 0
    with blob.open("rb", chunk_size=_REQUEST_BYTES) as content:
        block, left = content.readline(), blob.size
        while block:
            checksum = google_crc32c.extend(checksum, block)
            yield block
            left -= len(block)
            block = content.read(min(left, cold_start.BLOCK_BYTES))  # Past the end would be one more request.
    crc32c = base64.b64encode(checksum.to_bytes(4, "big")).decode()
    if crc32c != blob.crc32c:
        raise ValueError(f"{name} has the CRC32C {crc32c} here, {blob.crc32c} in the bucket: ask again")
