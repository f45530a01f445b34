"""Azure Functions (Python model v2): the CSV from a blob, analysed, as a page or JSON.

The stack sets DATA_URL, the blob's URL with a signature that lets read it, and what ``chart.py`` asks for.
https://learn.microsoft.com/azure/azure-functions/functions-reference-python
"""

import cold_start  # isort: split

import traceback
import urllib.error
import urllib.request
from http import HTTPStatus

from azure import functions
from environment import setting

app = functions.FunctionApp()


@app.route(route="hail", methods=["GET"], auth_level=functions.AuthLevel.FUNCTION)
def hail(req: functions.HttpRequest) -> functions.HttpResponse:
    """Answer one request. What went wrong is in the answer: only a holder of the key gets it, and there is no log."""
    try:
        csv = cold_start.Download(lambda: _fetch(setting("DATA_URL")))
        with cold_start.importing():
            import chart  # noqa: PLC0415 - a user's own analysis may fail when it is imported: that is told as well

        content_type, body = chart.respond(csv.content(), accept=req.headers.get("accept", ""))
    except Exception:  # noqa: BLE001 - a user's own analysis may raise anything
        text = traceback.format_exc()
        return functions.HttpResponse(text, status_code=HTTPStatus.INTERNAL_SERVER_ERROR, mimetype="text/plain")
    return functions.HttpResponse(body, headers={"Content-Type": content_type})


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the stack's own URL
            content: bytes = answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        # Never the whole URL: its query is the signature.
        raise RuntimeError(f"cannot read {url.partition('?')[0]}: {error.code} {error.reason}") from None
    return content
