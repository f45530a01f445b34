"""The function's package under our stand-in's worker and under Microsoft's own."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clouds.azure import LAYOUT
from orchestrator.package import Layout, Package
from orchestrator.rehearsal.azure.host import Function
from orchestrator.rehearsal.front_door import Answer, Listener
from orchestrator.rehearsal.function_process import unpack
from orchestrator.rehearsal.tls import Tls, certificates
from tests.contract import packaged
from tests.contract.azure.azure_sides import Ours, Question, Side, Theirs
from tests.rehearsal.azure_apps import package

Start = Callable[..., Side]
"""Starts an app with its package and settings."""


@pytest.fixture(scope="session")
def tls(session_folder: Path) -> Tls:
    return certificates(session_folder / "azure-tls")


@pytest.fixture(scope="module")
def new_app(side: str, part: Callable[[str], Path], tls: Tls, session_folder: Path) -> Start:
    """As ``start``; who calls it ends the app."""

    def make(content: bytes, **settings: str) -> Side:
        folder = session_folder / f"azure-{uuid.uuid4().hex}"
        folder.mkdir()
        if side == "ours":
            return Ours(content, folder, tls, settings)
        trust = {"SSL_CERT_FILE": str(tls.authority)}
        return Theirs(content, folder, part("azure-functions-runtime") / "lib", trust | settings)

    return make


@pytest.fixture
def start(new_app: Start) -> Iterator[Start]:
    started: list[Side] = []

    def make(content: bytes, **settings: str) -> Side:
        started.append(new_app(content, **settings))
        return started[-1]

    yield make
    for one in started:
        one.end()


# ---- the real package


@pytest.fixture(scope="session")
def real(pack: Callable[[Layout], Package]) -> bytes:
    return pack(LAYOUT).function.path.read_bytes()


@pytest.fixture(scope="session")
def said(real: bytes, session_folder: Path) -> dict[str, bytes]:
    root = session_folder / "azure-package"
    unpack(real, root)
    return packaged.said(root, LAYOUT.libraries)


@pytest.fixture
def blob(tls: Tls) -> Iterator[tuple[str, list[Answer]]]:
    """Where the extract is, signed, and what is answered there, one after the other."""
    answers = [Answer(200, {"Content-Type": "text/csv"}, packaged.CSV)] * 2
    listener = Listener(lambda _: answers.pop(0), tls.server)
    yield f"{listener.url}/hop/data/extract.csv?sig=SECRET", answers
    listener.close()


def test_the_package_as_its_users_call_it(
    start: Start, real: bytes, said: dict[str, bytes], blob: tuple[str, list[Answer]]
) -> None:
    url, answers = blob
    app = start(real, DATA_URL=url, **packaged.SETTINGS)
    assert app.functions() == [Function("hail", "hail", ("GET",), "function")]
    page = app.ask(Question("hail"))
    assert page == Answer(200, {"content-type": "text/html; charset=utf-8"}, said[packaged.PAGE])
    answer = app.ask(Question("hail", headers={"Accept": packaged.JSON}))
    assert answer == Answer(200, {"content-type": "application/json"}, said[packaged.JSON])
    assert json.loads(answer.body)["counts"] == {"4": 1, "25": 1}
    answers.append(Answer(403, {}, b"<Error/>"))
    refused = app.ask(Question("hail"))
    assert (refused.status, refused.headers) == (500, {"content-type": "text/plain; charset=utf-8"})
    assert refused.body.endswith(b"/hop/data/extract.csv: 403 Forbidden\n")
    assert b"SECRET" not in refused.body


# ---- what a package declares

DECLARED = """
    def answer(req: functions.HttpRequest) -> functions.HttpResponse:
        return functions.HttpResponse("hello")

    def add(name, **options):
        function = functions.FunctionApp.function_name(app, name)
        function(app.route(**options)(lambda req: answer(req)))

    add("plain")
    add("routed", route="Some/Where")
    add("one", methods=["GET"])
    add("two", methods=[functions.HttpMethod.GET, "post"])
    add("open", auth_level=functions.AuthLevel.ANONYMOUS)
    add("closed", auth_level="admin", methods=("PUT",))

    @app.function_name("named")
    @app.route(trigger_arg_name="request")
    def other(request: functions.HttpRequest) -> str:
        return request.method
"""


def test_what_a_package_declares(start: Start) -> None:
    app = start(package(DECLARED))
    assert app.functions() == [
        Function("closed", "closed", ("PUT",), "admin"),
        Function("named", "named", (), "function"),
        Function("one", "one", ("GET",), "function"),
        Function("open", "open", (), "anonymous"),
        Function("plain", "plain", (), "function"),
        Function("routed", "Some/Where", (), "function"),
        Function("two", "two", ("GET", "POST"), "function"),
    ]
    assert app.ask(Question("named", method="PATCH")).body == b"PATCH"


NOTHING = "@app.route(route='hail')\ndef hail(req): pass\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import not_in_the_package\n", "ModuleNotFoundError: No module named 'not_in_the_package'"),
        ("raise ValueError('Ärger')\n", "ValueError: Ärger"),
        ("def hail(:\n", "SyntaxError: invalid syntax"),
        (
            f"{NOTHING}again = functions.FunctionApp()\n",
            "ValueError: More than one FunctionApp or other top level function app instances are defined.",
        ),
        (
            f"{NOTHING}again = app\n",
            "ValueError: More than one FunctionApp or other top level function app instances are defined.",
        ),
        (f"{NOTHING}del app\n", "ValueError: Could not find top level function app instances in function_app.py."),
        (
            "@app.route(route='hail')\ndef hail(req: int): pass\n",
            (
                'RuntimeError: cannot load the hail function: binding type "\'req\'" and dataType "httpTrigger" in the '
                "binding decorator do not match the corresponding function parameter's Python type annotation int"
            ),
        ),
        (
            "@app.route(route='hail')\ndef hail(req: functions.HttpRequest) -> dict: pass\n",
            (
                'RuntimeError: cannot load the hail function: Python return annotation "dict" does not match binding '
                'type "http"'
            ),
        ),
        (
            (
                "import asyncio\nasync def none(): pass\nalready = none()\ntry:\n    asyncio.run(already)\n"
                "finally:\n    already.close()\n"
            ),
            "RuntimeError: asyncio.run() cannot be called from a running event loop",
        ),
        (
            f"{NOTHING}@app.route(route='other')\ndef hail(req): pass\n",
            (
                "ValueError: Function hail does not have a unique function name. Please change @app.function_name() or "
                "the function method name to be unique."
            ),
        ),
    ],
)
def test_a_package_that_cannot_be_loaded_has_no_function_and_says_why(start: Start, code: str, why: str) -> None:
    app = start(package(code))
    assert app.functions() == []
    log = [line.replace("FunctionLoadError: ", "RuntimeError: ") for line in app.log()]
    assert [line for line in log if line.startswith(why)] != []


def test_a_package_without_a_decorated_function_has_none(start: Start) -> None:
    app = start(package("def hail(req: functions.HttpRequest) -> str: return 'hello'\n"))
    assert app.functions() == []
    assert [line for line in app.log() if "Error" in line] == []


# ---- what a function sees

ECHO = """
    import json

    @app.route(route="echo", methods=["GET", "POST"])
    def echo(req: functions.HttpRequest) -> functions.HttpResponse:
        try:
            content = req.get_json()
        except ValueError as error:
            content = str(error)
        seen = {
            "type": f"{type(req).__module__}.{type(req).__name__}",
            "method": req.method,
            "url": req.url.partition("/api/")[2],
            "params": dict(req.params),
            "route": dict(req.route_params),
            "body": req.get_body().decode(),
            "json": content,
            "form": dict(req.form),
            "header": req.headers.get("X-MINE"),
            "names": sorted(name for name in req.headers if name.lower() in ("x-mine", "x-empty")),
        }
        return functions.HttpResponse(json.dumps(seen), mimetype="application/json")
"""
SEEN: dict[str, Any] = {
    "type": "azure.functions.http.HttpRequest",
    "method": "GET",
    "url": "echo",
    "params": {},
    "route": {},
    "body": "",
    "json": "HTTP request does not contain valid JSON data",
    "form": {},
    "header": None,
    "names": [],
}


@pytest.fixture(scope="module")
def echo(new_app: Start) -> Iterator[Side]:
    app = new_app(package(ECHO))
    yield app
    app.end()


@pytest.mark.parametrize(
    ("question", "seen"),
    [
        (Question("echo"), {}),
        (
            Question("echo", query="size=1&Kind=a%20b+c&n=%C3%A4%E2%82%AC"),
            {"params": {"size": "1", "Kind": "a b c", "n": "ä€"}, "url": "echo?size=1&Kind=a%20b+c&n=%C3%A4%E2%82%AC"},
        ),
        (
            Question("echo", query="a=1&a=2&empty=&bare"),
            {"params": {"a": "1,2"}, "url": "echo?a=1&a=2&empty=&bare"},
        ),
        (
            Question("echo", headers={"X-Mine": "Some Text, more", "X-Empty": ""}),
            {"header": "Some Text, more", "names": ["x-empty", "x-mine"]},
        ),
        (
            Question("echo", "POST", body='{"größe": [1]}'.encode(), headers={"Content-Type": "application/json"}),
            {"method": "POST", "body": '{"größe": [1]}', "json": {"größe": [1]}},
        ),
        (
            Question(
                "echo", "POST", body=b"a=1&b=%C3%A4", headers={"Content-Type": "application/x-www-form-urlencoded"}
            ),
            {"method": "POST", "body": "a=1&b=%C3%A4", "form": {"a": "1", "b": "ä"}},
        ),
    ],
)
def test_what_a_function_sees_of_its_request(echo: Side, question: Question, seen: dict[str, Any]) -> None:
    answer = echo.ask(question)
    assert (answer.status, answer.headers) == (200, {"content-type": "application/json"})
    assert json.loads(answer.body) == SEEN | seen


SURROUNDINGS = """
    import colorsys, json, os, sys, threading
    from pathlib import Path
    import helper

    calls = []

    @app.route(route="hail")
    def hail(req: functions.HttpRequest) -> functions.HttpResponse:
        calls.append(1)
        root = Path.cwd()
        within = [Path(path).relative_to(root).as_posix() for path in sys.path if Path(path).is_relative_to(root)]
        seen = {
            "settings": {name: os.environ.get(name) for name in ("CHART_TITLE", "EMPTY", "SECRET")},
            "root": [path.name for path in (root.parent.parent, root.parent, root)],
            "path": within,
            "last": Path(sys.path[-1]) == root,
            "standard library first": not Path(colorsys.__file__).is_relative_to(root),
            "own module": helper.NAME,
            "azure": Path(functions.__file__).relative_to(root).as_posix(),
            "main thread": threading.current_thread() is threading.main_thread(),
            "calls": len(calls),
            "process": os.getpid(),
        }
        return functions.HttpResponse(json.dumps(seen))
"""


def test_a_functions_surroundings(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the one who runs this")
    content = package(SURROUNDINGS, helper="NAME = __name__", colorsys="")
    app = start(content, CHART_TITLE="Hail in März", EMPTY="")
    first, second = (json.loads(app.ask(Question("hail")).body) for _ in range(2))
    assert first | {"process": 0} == {
        "settings": {"CHART_TITLE": "Hail in März", "EMPTY": "", "SECRET": None},
        "root": ["home", "site", "wwwroot"],
        "path": [".python_packages/lib/site-packages", "."],
        "last": True,
        "standard library first": True,
        "own module": "helper",
        "azure": ".python_packages/lib/site-packages/azure/functions/__init__.py",
        "main thread": False,
        "calls": 1,
        "process": 0,
    }
    assert second == first | {"calls": 2}


# ---- what comes of a function's answer

ANSWERS = """
    def add(name, answer):
        app.function_name(name)(app.route(route=name)(answer))

    async def later(req):
        return functions.HttpResponse("later", status_code=202)

    def fails(req):
        raise RuntimeError("the analysis of März failed")

    def stops(req):
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    R = functions.HttpResponse
    add("page", lambda req: R("<p>ä</p>", status_code=201, mimetype="text/html"))
    add("headers", lambda req: R(b"1", headers={"Content-Type": "text/csv", "X-Mine": "a, b", "X-Empty": ""}))
    add("json", lambda req: R("{}", mimetype="application/json", charset="utf-8"))
    add("latin", lambda req: R("ä", charset="latin-1"))
    add("bytes", lambda req: R(bytes(range(256)), mimetype="application/octet-stream"))
    add("empty", lambda req: R())
    add("missing", lambda req: R("no", status_code=404))
    add("moved", lambda req: R(status_code=302, headers={"Location": "/elsewhere"}))
    add("text", lambda req: "text ä")
    add("nothing", lambda req: None)
    add("number", lambda req: 1)
    add("coroutine", lambda req: later(req))
    add("later", later)
    add("fails", fails)
    add("stops", stops)
"""
PLAIN = {"content-type": "text/plain; charset=utf-8"}


@pytest.fixture(scope="module")
def answers(new_app: Start) -> Iterator[Side]:
    app = new_app(package(ANSWERS))
    yield app
    app.end()


def test_what_comes_of_a_functions_answer(answers: Side) -> None:
    names = [function.name for function in answers.functions()]
    assert {name: answers.ask(Question(name)) for name in names} == {
        "page": Answer(201, {"content-type": "text/html; charset=utf-8"}, "<p>ä</p>".encode()),
        "headers": Answer(200, {"content-type": "text/csv", "x-mine": "a, b", "x-empty": ""}, b"1"),
        "json": Answer(200, {"content-type": "application/json"}, b"{}"),
        "latin": Answer(200, {"content-type": "text/plain; charset=latin-1"}, b"\xe4"),
        "bytes": Answer(200, {"content-type": "application/octet-stream"}, bytes(range(256))),
        "empty": Answer(200, PLAIN, b""),
        "missing": Answer(404, PLAIN, b"no"),
        "moved": Answer(302, PLAIN | {"location": "/elsewhere"}, b""),
        "text": Answer(200, PLAIN, "text ä".encode()),
        "later": Answer(202, PLAIN, b"later"),
        **dict.fromkeys(("nothing", "number", "coroutine", "fails", "stops"), Answer(500, {}, b"")),
    }


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "nothing",
            'TypeError: unable to encode outgoing TypedData: unsupported type "http" for Python type "NoneType"',
        ),
        ("number", 'TypeError: unable to encode outgoing TypedData: unsupported type "http" for Python type "int"'),
        ("fails", "RuntimeError: the analysis of März failed"),
        ("stops", "ValueError: signal only works in main thread of the main interpreter"),
    ],
)
def test_why_a_function_failed_is_in_the_log(answers: Side, name: str, why: str) -> None:
    before = Counter(answers.log())
    assert answers.ask(Question(name)) == Answer(500, {}, b"")
    said = Counter(answers.log()) - before
    assert said["Traceback (most recent call last):"] >= 1
    assert said[why] >= 1


LOGS = """
    import logging, sys

    @app.route(route="hail")
    def hail(req: functions.HttpRequest) -> str:
        for level in ("debug", "info", "warning", "error"):
            getattr(logging, level)("%s: März", level)
        logging.getLogger("of.mine").info("named")
        print("printed")
        print("to standard error", file=sys.stderr)
        return "done"
"""


def test_what_a_function_logs_and_prints(start: Start) -> None:
    app = start(package(LOGS))
    assert app.ask(Question("hail")).body == b"done"
    said = {"info: März", "warning: März", "error: März", "named", "printed", "to standard error"}
    assert sorted(app.log()) == sorted(said)
