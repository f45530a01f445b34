"""Azure Functions (Python model v2): the CSV from a blob, analysed, as a page or JSON.

The stack sets DATA_URL, the blob's URL with a signature that lets read it, and what ``chart.py`` asks for.
https://learn.microsoft.com/azure/azure-functions/functions-reference-python
"""

import cold_start  # isort: split

import base64
import hashlib
import traceback
import urllib.error
import urllib.request
from collections.abc import Generator
from http import HTTPStatus

from azure import functions
from environment import setting

app = functions.FunctionApp()


@app.route(route="hail", methods=["GET"], auth_level=functions.AuthLevel.FUNCTION)
def hail(req: functions.HttpRequest) -> functions.HttpResponse:
    """Answer one request. What went wrong is in the answer: only a holder of the key gets it, and there is no log."""
    try:
        with cold_start.Download(lambda: _fetch(setting("DATA_URL"))) as csv:
            with cold_start.importing():
                import chart  # noqa: PLC0415 - a user's own analysis may fail when it is imported: that is told as well

            content_type, body = chart.respond(csv.stream(), accept=req.headers.get("accept", ""))
    except Exception:  # noqa: BLE001 - a user's own analysis may raise anything
        text = traceback.format_exc()
        return functions.HttpResponse(text, status_code=HTTPStatus.INTERNAL_SERVER_ERROR, mimetype="text/plain")
    return functions.HttpResponse(body, headers={"Content-Type": content_type})


def _fetch(url: str) -> Generator[bytes, None, None]:
    """The blob, as its headers say it is; of one that was written in blocks, Azure may know no hash.

    https://learn.microsoft.com/rest/api/storageservices/get-blob#response-headers
    """
    name = url.partition("?")[0]  # Never the whole URL: its query is the signature.
    size, md5 = 0, hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the stack's own URL
            while block := answer.read(cold_start.BLOCK_BYTES):
                size += len(block)
                md5.update(block)
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise RuntimeError(f"cannot read {name}: {error.code} {error.reason}") from None
    whole, hashed = int(answer.headers["Content-Length"]), base64.b64encode(md5.digest()).decode()
    if size != whole:  # http.client tells this only to who reads all at once.
        raise RuntimeError(f"{name} has {size} bytes here, {whole} in the storage account: ask again")
    if hashed != answer.headers.get("Content-MD5", hashed):
        raise RuntimeError(
            f"{name} has the MD5 {hashed} here, {answer.headers['Content-MD5']} in the storage account: ask again"
        )
