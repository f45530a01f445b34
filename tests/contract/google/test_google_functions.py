"""The function's package behind our stand-in of Cloud Run, and under Google's Functions Framework alone."""

import json
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clouds.gcp_compute import LAYOUT
from orchestrator.package import Layout, Package
from orchestrator.rehearsal.front_door import Answer
from orchestrator.rehearsal.function_process import unpack
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.projects import caller_of
from tests.contract import packaged
from tests.contract.google.google_functions import Ours, Question, Side, Start, Started, Theirs, archive
from tests.rehearsal.conftest import GOOGLE, GOOGLE_PROJECT


@pytest.fixture(scope="session")
def real(pack: Callable[[Layout], Package]) -> bytes:
    return pack(LAYOUT).function.path.read_bytes()


@pytest.fixture(scope="session")
def root(real: bytes, session_folder: Path) -> Path:
    """The package, unpacked: the small functions use its libraries."""
    folder = session_folder / "google-package"
    unpack(real, folder)
    return folder


@pytest.fixture(scope="module")
def new_function(side: str, root: Path, session_folder: Path) -> Start:
    """As ``start``; who calls it ends the function."""

    def make(content: bytes, *arguments: str, **settings: str) -> Side:
        folder = session_folder / f"google-{uuid.uuid4().hex}"
        folder.mkdir()
        given = arguments or ("--source=main.py", "--target=hail")
        of_all = {"PYTHONPATH": str(root / LAYOUT.libraries), **settings}
        started = Started(content, given, of_all, caller_of(GOOGLE_PROJECT), GOOGLE)
        return Ours(started, folder) if side == "ours" else Theirs(started, folder)

    return make


@pytest.fixture
def start(new_function: Start) -> Iterator[Start]:
    started: list[Side] = []

    def make(content: bytes, *arguments: str, **settings: str) -> Side:
        started.append(new_function(content, *arguments, **settings))
        return started[-1]

    yield make
    for one in started:
        one.end()


# ---- the real package


@pytest.fixture(scope="session")
def said(root: Path) -> dict[str, bytes]:
    return packaged.said(root, LAYOUT.libraries)


def test_the_package_as_its_users_call_it(
    *,
    start: Start,
    real: bytes,
    said: dict[str, bytes],
    start_google: Callable[..., GoogleCloud],
    make_bucket: Callable[..., Any],
) -> None:
    google = start_google()
    make_bucket(google, "hop-data")
    header, one, other = packaged.CSV.splitlines(keepends=True)
    google.storage.put_object("hop-data", "extract 0.csv", header + one, "text/csv")
    google.storage.put_object("hop-data", "extract 1.csv", header + other, "text/csv")
    storage = google.variables["STORAGE_EMULATOR_HOST"]
    function = start(
        real,
        "--source=gcp_main.py",
        "--target=hail",
        PYTHONPATH=LAYOUT.libraries,
        STORAGE_EMULATOR_HOST=storage,
        **packaged.SETTINGS,
    )
    target = "/?bucket=hop-data&object=extract%200.csv&object=extract+1.csv"
    page, answer = (function.ask(Question(target, headers={"Accept": accept})) for accept in ("*/*", packaged.JSON))
    assert page == Answer(200, {"content-type": "text/html; charset=utf-8"}, said[packaged.PAGE])
    assert answer == Answer(200, {"content-type": "application/json"}, said[packaged.JSON])
    assert json.loads(answer.body)["rows"] == 2
    missing = function.ask(Question("/?bucket=hop-data&object=other.csv"))
    assert (missing.status, missing.headers) == (500, {"content-type": "text/plain; charset=utf-8"})
    assert b"\ngoogle.api_core.exceptions.NotFound: 404 GET " in missing.body
    assert b": No such object: hop-data/other.csv\n" in missing.body
    unasked = function.ask(Question("/?object=other.csv"))
    assert (unasked.status, unasked.headers) == (500, {"content-type": "text/plain; charset=utf-8"})
    assert b"\nwerkzeug.exceptions.BadRequestKeyError: 400 Bad Request: " in unasked.body


# ---- what comes of an answer

PROGRAM = """
    import json, logging, os, sys
    import flask, functions_framework

    calls = []

    @functions_framework.http
    def hail(request):
        calls.append(1)
        return CASES[request.path.strip("/") or "hello"](request)

    def cookies(request):
        answer = flask.Response("", headers={"X-One": "1"})
        answer.headers.add("X-One", "2")
        answer.set_cookie("a", "1, 2", path="/x")
        answer.set_cookie("b", "ä", httponly=True)
        return answer

    def logs(request):
        for level in ("debug", "info", "warning", "error"):
            getattr(logging, level)("%s: März", level)
        print("printed", flush=True)
        print("to standard error", file=sys.stderr, flush=True)
        return "done"

    def seen(request):
        return {
            "method": request.method,
            "path": request.path,
            "args": request.args.to_dict(flat=False),
            "query": request.query_string.decode(),
            "body": request.get_data().decode(),
            "mine": request.headers.get("X-Mine"),
            "form": request.form.to_dict(flat=False),
        }

    CASES = {
        "hello": lambda request: "hello",
        "tuple": lambda request: ("<p>ä</p>", 201, {"Content-Type": "text/html", "X-Mine": "a, b", "X-Empty": ""}),
        "bytes": lambda request: flask.Response(bytes(range(256)), mimetype="application/octet-stream"),
        "json": lambda request: {"größe": [1, None]},
        "stream": lambda request: flask.Response(iter(["one, ", "two"]), mimetype="text/csv"),
        "nothing": lambda request: None,
        "number": lambda request: 1,
        "fails": lambda request: {}["März"],
        "aborts": lambda request: flask.abort(405),
        "teapot": lambda request: ("", 418),
        "empty": lambda request: ("", 204),
        "moved": lambda request: flask.redirect("/elsewhere"),
        "cookies": cookies,
        "logs": logs,
        "seen": seen,
        "calls": lambda request: [len(calls), os.getpid()],
        "exits": lambda request: sys.exit("enough"),
        "variables": lambda request: {name: os.environ.get(name) for name in request.args.getlist("name")},
    }
"""
HTML = {"content-type": "text/html; charset=utf-8"}
CRASHED = HTML | {"x-google-status": "crash"}
NOT_FOUND = b"""<!doctype html>
<html lang=en>
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>Not Found</p>
"""
NOT_ALLOWED = b"""<!doctype html>
<html lang=en>
<title>405 Method Not Allowed</title>
<h1>Method Not Allowed</h1>
<p>The method is not allowed for the requested URL.</p>
"""
CRASH = (
    b"500 Internal Server Error: The server encountered an internal error and was unable to complete your request. "
    b"Either the server is overloaded or there is an error in the application."
)


ENDED = (
    b"<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n"
    b"  <body>\n    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
)


@pytest.fixture(scope="module")
def function(new_function: Start) -> Iterator[Side]:
    made = new_function(archive(textwrap.dedent(PROGRAM)), TITLE="Hail in März")
    yield made
    made.end()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (Question("/"), Answer(200, HTML, b"hello")),
        (
            Question("/tuple"),
            Answer(201, {"content-type": "text/html", "x-mine": "a, b", "x-empty": ""}, "<p>ä</p>".encode()),
        ),
        (Question("/bytes"), Answer(200, {"content-type": "application/octet-stream"}, bytes(range(256)))),
        (Question("/json"), Answer(200, {"content-type": "application/json"}, b'{"gr\\u00f6\\u00dfe":[1,null]}\n')),
        (Question("/stream"), Answer(200, {"content-type": "text/csv; charset=utf-8"}, b"one, two")),
        (Question("/nothing"), Answer(500, CRASHED, CRASH)),
        (Question("/number"), Answer(500, CRASHED, CRASH)),
        (Question("/fails"), Answer(500, CRASHED, CRASH)),
        (Question("/aborts"), Answer(405, HTML, NOT_ALLOWED)),
        (Question("/teapot"), Answer(418, HTML, b"")),
        (Question("/empty"), Answer(204, HTML, b"")),
        (Question("/robots.txt"), Answer(404, HTML, NOT_FOUND)),
        (Question("/favicon.ico"), Answer(404, HTML, NOT_FOUND)),
        (Question("/", "HEAD"), Answer(200, HTML, b"")),
        (
            Question("/cookies"),
            Answer(200, HTML | {"x-one": "1, 2"}, b"", ('a="1\\054 2"; Path=/x', 'b="\\303\\244"; HttpOnly; Path=/')),
        ),
    ],
)
def test_what_comes_of_a_functions_answer(function: Side, question: Question, answer: Answer) -> None:
    assert function.ask(question) == answer


def test_a_function_moves_its_caller(function: Side) -> None:
    answer = function.ask(Question("/moved"))
    assert (answer.status, answer.headers) == (302, HTML | {"location": "/elsewhere"})


SEEN: dict[str, Any] = {"method": "GET", "path": "/seen", "args": {}, "query": "", "body": "", "mine": None, "form": {}}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MANY = "&".join(f"object=extract-{number:012}.csv" for number in range(600))


@pytest.mark.parametrize(
    ("question", "seen"),
    [
        (Question("/seen"), {}),
        (
            Question("/seen?a=1&a=2&empty=&bare&n=%C3%A4+b%20c"),
            {
                "args": {"a": ["1", "2"], "empty": [""], "bare": [""], "n": ["ä b c"]},
                "query": "a=1&a=2&empty=&bare&n=%C3%A4+b%20c",
            },
        ),
        (
            Question(f"/seen?{MANY}"),
            {"query": MANY, "args": {"object": [f"extract-{number:012}.csv" for number in range(600)]}},
        ),
        (Question("/seen", "POST", body="größe".encode()), {"method": "POST", "body": "größe"}),
        (Question("/seen", "PUT", FORM, b"a=1&b=%C3%A4"), {"method": "PUT", "form": {"a": ["1"], "b": ["ä"]}}),
        (Question("/seen", "DELETE", {"X-Mine": "Some Text, more"}), {"method": "DELETE", "mine": "Some Text, more"}),
        (Question("/seen", "PATCH", {"X-Mine": ""}), {"method": "PATCH", "mine": ""}),
        (Question("/seen", "OPTIONS"), {"method": "OPTIONS"}),
        (Question("/seen/"), {"path": "/seen/"}),
    ],
)
def test_what_a_function_sees_of_its_request(function: Side, question: Question, seen: dict[str, Any]) -> None:
    found = json.loads(function.ask(question).body)
    if question.headers == FORM:
        found["body"] = ""  # Flask has read it as a form, or not yet.
    assert found == SEEN | seen


def test_a_functions_variables(function: Side) -> None:
    names = ("TITLE", "FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_SOURCE", "PYTEST_CURRENT_TEST")
    found = json.loads(function.ask(Question("/variables?" + "&".join(f"name={name}" for name in names))).body)
    assert found == dict.fromkeys(names) | {
        "TITLE": "Hail in März",
        "FUNCTION_TARGET": "hail",
        "FUNCTION_SIGNATURE_TYPE": "http",
    }


def test_one_process_answers_all(function: Side) -> None:
    first, second = (json.loads(function.ask(Question("/calls")).body) for _ in range(2))
    assert second == [first[0] + 1, first[1]]


def test_what_a_function_logs_and_prints(function: Side) -> None:
    before = len(function.log())
    assert function.ask(Question("/logs")).body == b"done"
    written = function.log()[before:]
    assert sorted(written) == ["ERROR:root:error: März", "WARNING:root:warning: März", "printed", "to standard error"]


def test_why_a_function_failed_is_in_its_output(function: Side) -> None:
    before = len(function.log())
    function.ask(Question("/fails"))
    written = function.log()[before:]
    assert "Exception on /fails [GET]" in written[0]
    assert (written[1], written[-1]) == ("Traceback (most recent call last):", "KeyError: 'März'")


def test_a_function_that_ends_itself_gives_no_answer(start: Start) -> None:
    function = start(archive(textwrap.dedent(PROGRAM)))
    assert function.ask(Question("/exits")) == Answer(503, {"content-type": "text/plain"}, b"Service Unavailable")
    assert function.ask(Question("/")).status == 200


@pytest.mark.parametrize(("threads", "status", "body"), [("4", 200, b"late"), ("1", 500, ENDED)])
def test_the_frameworks_own_time_limit_is_for_one_thread_only(
    start: Start, threads: str, status: int, body: bytes
) -> None:
    code = "import time\ndef hail(request):\n    time.sleep(3)\n    return 'late'\n"
    answer = start(archive(code), CLOUD_RUN_TIMEOUT_SECONDS="1", THREADS=threads).ask(Question("/"))
    assert (answer.status, answer.body) == (status, body)


# ---- what does not start


@pytest.mark.parametrize(
    ("code", "arguments", "why"),
    [
        ("import not_in_the_package\n", (), "ModuleNotFoundError: No module named 'not_in_the_package'"),
        ("def hail(:\n", (), "SyntaxError: invalid syntax"),
        (
            "def other(request): return ''\n",
            (),
            (
                "functions_framework.exceptions.MissingTargetException: File main.py is expected to contain a function "
                "named 'hail'. Found: 'other' instead"
            ),
        ),
        (
            "hail = 1\n",
            (),
            (
                "functions_framework.exceptions.InvalidTargetTypeException: The function defined in file main.py as "
                "'hail' needs to be of type function. Got: invalid type <class 'int'>"
            ),
        ),
        (
            "def hail(request): return ''\n",
            ("--source=other.py", "--target=hail"),
            (
                "functions_framework.exceptions.MissingSourceException: File other.py that is expected to define "
                "function doesn't exist"
            ),
        ),
        ("", ("--source=main.py",), "Error: Missing option '--target'."),
    ],
)
def test_a_function_that_does_not_start(start: Start, code: str, arguments: tuple[str, ...], why: str) -> None:
    function = start(archive(code), *arguments)
    assert function.ask(Question("/")) == Answer(503, {"content-type": "text/plain"}, b"Service Unavailable")
    assert function.log()[-1] == why
