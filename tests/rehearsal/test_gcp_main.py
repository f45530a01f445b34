"""Google's handler with the real Functions Framework and Cloud Storage's real client, against the stand-in."""

import importlib
import json
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from functions_framework import create_app

from orchestrator.package import FUNCTION_CODE
from orchestrator.rehearsal.gcp.cloud import GoogleCloud

google_storage: Any = importlib.import_module("google.cloud.storage")
HEADER, ONE, OTHER = b"event_begin_time,magnitude,month\n", b"1993-03-25T16:10:00,1.75,3\n", b"1985-03-04T17:00:00,,3\n"


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud], make_bucket: Callable[..., Any]) -> GoogleCloud:
    google = start_google()
    make_bucket(google, "hop-data")
    return google


@pytest.fixture
def function(google: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:  # noqa: ARG001 - it is asked
    monkeypatch.setenv("CHART_TITLE", "Hail in March")
    monkeypatch.setenv("CHART_SOURCE", "a test")
    app = create_app("hail", str(FUNCTION_CODE / "gcp_main.py"))  # type: ignore[no-untyped-call]
    client: FlaskClient = app.test_client()
    return client


def put(google: GoogleCloud, name: str, content: bytes) -> None:
    google.storage.put_object("hop-data", name, content, "text/csv")


def test_json(google: GoogleCloud, function: FlaskClient) -> None:
    put(google, "extract.csv", HEADER + ONE + OTHER)
    answer = function.get("/?bucket=hop-data&object=extract.csv", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    said = json.loads(answer.data)
    assert (said["counts"], said["rows"]) == ({"4": 1, "25": 1}, 2)
    assert said["chart_png"].startswith("iVBOR")


def test_it_is_fetched_while_the_libraries_are_imported(
    google: GoogleCloud, function: FlaskClient, chart_waits_for: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(google, "extract.csv", HEADER + ONE)

    def fetch(_blob: Any, **_: Any) -> bytes:
        chart_waits_for.set()
        return HEADER + ONE

    monkeypatch.setattr("google.cloud.storage.Blob.download_as_bytes", fetch)
    assert function.get("/?bucket=hop-data&object=extract.csv").status_code == 200


PARTS = "/?bucket=hop-data&object=extract-0.csv&object=extract-1.csv&object=extract-2.csv"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Each request for content: the object, and the first byte."""
    asked: list[tuple[str, int]] = []
    download = google_storage.Blob.download_as_bytes

    def note(blob: Any, *, start: int, **options: Any) -> Any:
        asked.append((blob.name, start))
        return download(blob, start=start, **options)

    monkeypatch.setattr(google_storage.Blob, "download_as_bytes", note)
    return asked


@pytest.mark.parametrize("block", [1, 7, 40, 1 << 20])
def test_the_parts_of_a_large_extract_are_one_csv(
    google: GoogleCloud,
    function: FlaskClient,
    asked: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    block: int,
) -> None:
    monkeypatch.setattr("cold_start.BLOCK_BYTES", block)
    put(google, "extract-0.csv", HEADER + ONE)
    put(google, "extract-1.csv", HEADER)
    put(google, "extract-2.csv", HEADER + OTHER)
    answer = function.get(PARTS, headers={"Accept": "application/json"})
    assert json.loads(answer.data)["counts"] == {"4": 1, "25": 1}
    assert asked == [("extract-0.csv", 0), ("extract-1.csv", 0), ("extract-2.csv", 0)]


def test_a_large_object_is_fetched_in_several_requests(
    google: GoogleCloud, function: FlaskClient, asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["gcp_main"], "_REQUEST_BYTES", 40)
    put(google, "extract.csv", HEADER + ONE * 100)
    answer = function.get("/?bucket=hop-data&object=extract.csv", headers={"Accept": "application/json"})
    assert json.loads(answer.data)["counts"] == {"25": 100}
    size = len(HEADER + ONE * 100)
    assert asked[0] == ("extract.csv", 0)
    assert asked[-1][1] < size


def test_a_page_for_a_browser(google: GoogleCloud, function: FlaskClient) -> None:
    put(google, "extract.csv", HEADER + ONE)
    answer = function.get("/?bucket=hop-data&object=extract.csv")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>Hail in March</title>" in answer.data


def test_a_permission_that_is_not_known_yet(
    google: GoogleCloud, function: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google.access, "withheld", {"storage.objects.get"})
    answer = function.get("/?bucket=hop-data&object=extract.csv")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert b"storage.objects.get" in answer.data


def test_a_permission_that_is_not_known_yet_for_a_later_part(
    google: GoogleCloud, function: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(google, "extract-0.csv", HEADER + ONE)
    download = google_storage.Blob.download_as_bytes

    def withhold(blob: Any, **options: Any) -> Any:
        content = download(blob, **options)
        monkeypatch.setattr(google.access, "withheld", {"storage.objects.get"})
        return content

    monkeypatch.setattr(google_storage.Blob, "download_as_bytes", withhold)
    answer = function.get(PARTS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert b"storage.objects.get" in answer.data


def test_content_that_breaks_off(google: GoogleCloud, function: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    put(google, "extract.csv", HEADER + ONE + OTHER)
    monkeypatch.setattr(google_storage.Blob, "download_as_bytes", lambda _blob, *, start, **_: (HEADER + ONE)[start:])
    answer = function.get("/?bucket=hop-data&object=extract.csv")
    assert answer.status_code == 500
    assert re.search(r"extract\.csv has the CRC32C \S{8} here, \S{8} in the bucket: ask again", answer.data.decode())


def test_content_that_was_spoilt_on_the_way(
    google: GoogleCloud, function: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(google, "extract.csv", HEADER + ONE)
    # As the client returns it when a download broke off and was taken up: it has not looked.
    monkeypatch.setattr("google.cloud.storage.Blob.download_as_bytes", lambda _blob, **_: HEADER + OTHER)
    answer = function.get("/?bucket=hop-data&object=extract.csv")
    assert answer.status_code == 500
    assert re.search(r"extract\.csv has the CRC32C \S{8} here, \S{8} in the bucket: ask again", answer.data.decode())


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("bucket=hop-data&object=other.csv", "No such object: hop-data/other.csv"),
        ("object=extract.csv", "BadRequestKeyError"),
    ],
)
def test_what_went_wrong_is_told(function: FlaskClient, query: str, said: str) -> None:
    answer = function.get(f"/?{query}")
    assert (answer.status_code, answer.mimetype) == (500, "text/plain")
    assert said in answer.data.decode()
