"""Azure's handler with the real azure-functions: a blob served on loopback, whoever serves it."""

import base64
import hashlib
import json
import threading
from collections.abc import Generator, Iterator

import cold_start
import function_app
import pytest
from azure.functions import HttpRequest, HttpResponse

from orchestrator.rehearsal.front_door import Answer, Listener, Request
from tests.rehearsal.short_answers import shortened

(FUNCTION,) = function_app.app.get_functions()  # It can be asked once only.
CSV = b"event_begin_time,magnitude,month\n1993-03-25T16:10:00,1.75,3\n1985-03-04T17:00:00,,3\n"


@pytest.fixture
def missing() -> int:
    """How many bytes of the blob do not come."""
    return 0


@pytest.fixture
def blob(monkeypatch: pytest.MonkeyPatch, missing: int) -> Iterator[dict[str, Answer]]:
    """What a GET of the blob is answered."""
    answers = {"now": Answer(200, {"Content-Type": "text/csv"}, CSV)}
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return answers["now"]

    listener = Listener(answer, around=lambda door: shortened(door, missing))
    monkeypatch.setenv("DATA_URL", f"{listener.url}/account/data/extract.csv?sig=SECRET")
    monkeypatch.setenv("CHART_TITLE", "Hail in March")
    monkeypatch.setenv("CHART_SOURCE", "a test")
    yield answers
    assert {request.url.partition("?")[2] for request in asked} <= {"sig=SECRET"}
    listener.close()


def ask(accept: str | None) -> HttpResponse:
    headers = {"Accept": accept} if accept else {}
    answer = FUNCTION.get_user_function()(HttpRequest("GET", "https://hop/api/hail", headers=headers, body=b""))
    assert isinstance(answer, HttpResponse)
    return answer


def test_one_function_with_a_key_on_the_route_that_the_stack_calls() -> None:
    binding = json.loads(FUNCTION.get_raw_bindings()[0])
    assert (FUNCTION.get_function_name(), binding["route"]) == ("hail", "hail")
    assert (binding["authLevel"], binding["methods"]) == ("FUNCTION", ["GET"])


def test_json(blob: dict[str, Answer]) -> None:  # noqa: ARG001 - it is served
    answer = ask("application/json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    said = json.loads(answer.get_body())
    assert (said["counts"], said["rows"]) == ({"4": 1, "25": 1}, 2)
    assert said["chart_png"].startswith("iVBOR")


@pytest.mark.usefixtures("blob")
def test_the_blob_is_fetched_while_the_libraries_are_imported(
    chart_waits_for: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_url: str) -> Generator[bytes, None, None]:
        chart_waits_for.set()
        yield CSV

    monkeypatch.setattr(function_app, "_fetch", fetch)
    assert ask("application/json").status_code == 200


def test_a_page_for_a_browser(blob: dict[str, Answer]) -> None:  # noqa: ARG001 - it is served
    answer = ask(None)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>Hail in March</title>" in answer.get_body()


def test_a_blob_that_may_not_be_read_is_told_without_the_signature(blob: dict[str, Answer]) -> None:
    blob["now"] = Answer(403, {}, b"<Error/>")
    answer = ask("application/json")
    assert (answer.status_code, answer.mimetype) == (500, "text/plain")
    text = answer.get_body().decode()
    assert text.rstrip().endswith("/account/data/extract.csv: 403 Forbidden")
    assert "SECRET" not in text


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


@pytest.mark.usefixtures("blob")
@pytest.mark.parametrize("missing", [10])
def test_a_blob_that_breaks_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_start, "BLOCK_BYTES", 16)
    answer = ask("application/json")
    assert answer.status_code == 500
    text = answer.get_body().decode()
    assert text.rstrip().endswith(
        f"/account/data/extract.csv has {len(CSV)} bytes here, {len(CSV) + 10} in the storage account: ask again"
    )
    assert "SECRET" not in text


def test_a_blob_that_was_spoilt_on_the_way_is_told(blob: dict[str, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_start, "BLOCK_BYTES", 16)
    blob["now"] = Answer(200, {"Content-MD5": md5(CSV)}, CSV)
    assert ask("application/json").status_code == 200
    spoilt = CSV.replace(b"25T", b"26T")
    blob["now"] = Answer(200, {"Content-MD5": md5(CSV)}, spoilt)
    text = ask("application/json").get_body().decode()
    assert text.rstrip().endswith(
        f"/account/data/extract.csv has the MD5 {md5(spoilt)} here, {md5(CSV)} in the storage account: ask again"
    )
    assert "SECRET" not in text


def test_a_csv_that_cannot_be_read_is_told(blob: dict[str, Answer]) -> None:
    blob["now"] = Answer(200, {}, b"state\nTexas\n")
    answer = ask("application/json")
    assert answer.status_code == 500
    assert (
        answer.get_body()
        .decode()
        .rstrip()
        .endswith("ValueError: the CSV lacks the columns event_begin_time, magnitude, month; it has state")
    )


def test_a_setting_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA_URL", raising=False)
    assert "the environment variable DATA_URL is not set" in ask(None).get_body().decode()
