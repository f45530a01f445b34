"""What calling the function is like on every cloud: one GET over HTTP, and an answer that is checked."""

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any

import requests

from orchestrator import deadlines
from orchestrator.clouds import Answer
from orchestrator.errors import OrchestratorError
from orchestrator.package import Archive
from stacks.contracts import ArchiveFile

OK = 200
_BUSY = frozenset({429, 503})
_PAUSES_SECONDS = (0.25, 1.0, 2.0)
_PNG = b"\x89PNG\r\n\x1a\n"
_LEFT_OUT = re.compile(r"it was left out of the function's package; (set package\.trim to \"\w+\", then run again)")
"""What function_code/left_out.py says of a library that an analysis of one's own needs."""
_TIMED_OUT = re.compile(r"Task timed out after [\d.]+ seconds")
"""Lambda's words, in the function's log: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html"""
_ANSWER_FORM = '{"counts": {"25": 11, ...}, "chart_png": "<base64>", "rows": 27}'


class FunctionError(OrchestratorError):
    """The function did not answer, or not what it should."""


def get(url: str, headers: Mapping[str, str], *, timeout: float) -> requests.Response:
    """Ask a function for JSON; ``timeout`` is its own, in seconds.

    A service that is busy, or cannot be reached, is asked again a few times: the function only reads. One that says
    when to ask again is left to the caller, and one that takes longer than it may is not asked again.

    Raises:
        FunctionError: no answer at all.
    """
    for pause in _PAUSES_SECONDS:
        try:
            response = _get_once(url, headers, timeout)
        except FunctionError as error:
            if not isinstance(error.__cause__, requests.ConnectionError):
                raise
        else:
            if response.status_code not in _BUSY or "Retry-After" in response.headers:
                return response
        time.sleep(pause)
    return _get_once(url, headers, timeout)


def _get_once(url: str, headers: Mapping[str, str], timeout: float) -> requests.Response:
    try:
        return requests.get(
            url,
            headers={"Accept": "application/json", **headers},
            timeout=(deadlines.CONNECT, timeout + deadlines.FUNCTION_START),
            allow_redirects=False,  # A key or a token is for this address alone.
        )
    except requests.RequestException as error:
        raise FunctionError("The function did not answer", details=str(error)) from error


def checked(status: int, content: bytes, *, said: str = "") -> Answer:
    """The function's answer; ``said`` is its log, where its answer does not say what went wrong.

    Raises:
        FunctionError: it failed, or its answer is not of the form that ``chart.py`` gives.
    """
    if status != OK:
        details = said or content.decode("utf-8", "replace")
        left_out = _LEFT_OUT.search(details)
        if _TIMED_OUT.search(details):
            raise FunctionError(
                "The function was not done within its timeout",
                details=details,
                resolution="raise compute.timeout, or let function_code/ do less, and run again.",
            )
        raise FunctionError(
            f"The function answered {status}",
            details=details or None,
            resolution=f"{left_out[1]}."
            if left_out
            else "the lines above are the function's: mend analysis.query or function_code/, and run again.",
        )
    try:
        answer = json.loads(content)
        counts = {day: _whole(count) for day, count in answer["counts"].items()}
        chart = base64.b64decode(answer["chart_png"], validate=True)
        if not chart.startswith(_PNG):
            raise ValueError("chart_png is no PNG")  # noqa: TRY301
        return Answer(counts, _whole(answer["rows"]), chart)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FunctionError(
            "The function's answer is not what it should be",
            details=f"{type(error).__name__}: {error}. Expected {_ANSWER_FORM}.",
            resolution="see chart.py in function_code/ for the answer's form.",
        ) from error


def archive_file(archive: Archive) -> ArchiveFile:
    """An archive as the stacks take it."""
    return ArchiveFile(archive.path, archive.sha256, archive.zipped_bytes)


def _whole(count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{count!r} is no whole number")
    return count
