"""Function apps: the keys, the routes, the worker's surroundings, its limits, and hosts that do not start."""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import psutil
import pytest

from orchestrator.rehearsal.azure.app_rules import Runtime
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.functions import FunctionApp
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, HELLO, Apps, package

NOT_RUNNING = (503, b"Function host is not running.")


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def apps(azure: AzureCloud) -> Apps:
    return Apps(azure)


LEVELS = """
    def answer(req):
        return functions.HttpResponse("hello")

    for level in ("anonymous", "function", "admin"):
        named = functions.FunctionApp.function_name(app, level)
        named(app.route(route=level, auth_level=functions.AuthLevel[level.upper()])(lambda req: answer(req)))
"""


def test_each_level_of_authorization(apps: Apps) -> None:
    app = apps.consumption(package(LEVELS))
    site = app.site

    def statuses(key: str | None) -> list[int]:
        return [apps.ask(app, f"/api/{level}", key=key).status_code for level in ("anonymous", "function", "admin")]

    assert statuses(site.master_key) == [200, 200, 200]
    assert statuses(site.function_key) == [200, 200, 401]
    assert statuses("wrong") == [200, 401, 401]
    assert statuses(None) == [200, 401, 401]
    assert apps.ask(app, f"/api/function?code={site.function_key}", key=None).status_code == 200
    assert apps.ask(app, "/api/function?code=wrong", key=None).status_code == 401
    assert apps.ask(app, "/api/function", key=None).content == b""


ECHO = """
    import json

    @app.route(route="items/{kind}/{number}", methods=["GET", "POST"])
    def echo(req: functions.HttpRequest) -> functions.HttpResponse:
        seen = {
            "method": req.method,
            "url": req.url,
            "params": dict(req.params),
            "route": dict(req.route_params),
            "body": req.get_body().decode(),
            "x-mine": req.headers.get("X-Mine"),
            "ours": [name for name in req.headers if name.startswith("x-rehearsal")],
        }
        return functions.HttpResponse(json.dumps(seen), mimetype="application/json")
"""


def test_what_the_function_sees(apps: Apps) -> None:
    app = apps.consumption(package(ECHO))
    path = "/API/Items/hail/25%20mm?size=1&size=2&empty="
    headers = {"x-mine": "1", "x-rehearsal-index": "1", "x-rehearsal-function": "other"}
    answer = apps.ask(app, path, method="POST", body=b"stones", **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "method": "POST",
        "url": f"https://{app.host_name}{path}",
        "params": {"size": "1,2"},
        "route": {"kind": "hail", "number": "25 mm"},
        "body": "stones",
        "x-mine": "1",
        "ours": [],
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/other"),
        ("GET", "/api/items/hail"),
        ("GET", "/api/items/hail/1/more"),
        ("GET", "/items/hail/1"),
        ("DELETE", "/api/items/hail/1"),
    ],
)
def test_what_no_function_is_for(apps: Apps, method: str, path: str) -> None:
    answer = apps.ask(apps.consumption(package(ECHO)), path, method=method)
    assert (answer.status_code, answer.content) == (404, b"")


def test_the_route_prefix_of_host_json(apps: Apps) -> None:
    host_json = {"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}
    app = apps.consumption(package(HELLO, host_json))
    assert apps.ask(app, "/hail").content == b"hello"
    assert apps.ask(app, "/api/hail").status_code == 404


ANSWERS = """
    def add(name, answer):
        app.function_name(name)(app.route(route=name)(answer))

    async def later(req):
        return functions.HttpResponse("later", status_code=202)

    def fails(req):
        raise RuntimeError("the analysis failed")

    add("page", lambda req: functions.HttpResponse("<p>", status_code=201, mimetype="text/html"))
    add("headers", lambda req: functions.HttpResponse(b"1", headers={"Content-Type": "text/csv", "X-Mine": "1"}))
    add("text", lambda req: "text")
    add("nothing", lambda req: None)
    add("number", lambda req: 1)
    app.function_name("later")(app.route(route="later")(later))
    app.function_name("fails")(app.route(route="fails")(fails))
"""


def test_http_from_the_functions_answer(apps: Apps, capfd: pytest.CaptureFixture[str]) -> None:
    app = apps.consumption(package(ANSWERS))
    found = {}
    for name in ("page", "headers", "text", "nothing", "later", "number", "fails"):
        answer = apps.ask(app, f"/api/{name}")
        found[name] = (answer.status_code, answer.headers.get("content-type"), answer.content)
    assert found == {
        "page": (201, "text/html; charset=utf-8", b"<p>"),
        "headers": (200, "text/csv", b"1"),
        "text": (200, "text/plain; charset=utf-8", b"text"),
        "nothing": (500, None, b""),
        "later": (202, "text/plain; charset=utf-8", b"later"),
        "number": (500, None, b""),
        "fails": (500, None, b""),
    }
    assert "hop-consumption: RuntimeError: the analysis failed" in capfd.readouterr().err
    assert apps.ask(app, "/api/headers").headers["x-mine"] == "1"


SURROUNDINGS = """
    import json, os, sys
    from importlib.util import find_spec
    from pathlib import Path

    @app.route(route="hail")
    def hail(req: functions.HttpRequest) -> functions.HttpResponse:
        seen = {
            "environment": dict(os.environ),
            "path": [entry for entry in sys.path if "wwwroot" in entry],
            "outside": [name for name in ("pulumi", "flask", "orchestrator") if find_spec(name)],
            "cwd": os.getcwd(),
            "modes": [oct(path.stat().st_mode & 0o777) for path in (Path("."), Path("host.json"))],
        }
        return functions.HttpResponse(json.dumps(seen))
"""


def test_the_workers_surroundings(apps: Apps) -> None:
    app = apps.consumption(package(SURROUNDINGS), CHART_TITLE="Hail")
    seen = apps.ask(app).json()
    root, home = seen["cwd"], seen["environment"]["HOME"]
    assert root == f"{home}/site/wwwroot"
    assert seen["path"] == [f"{root}/.python_packages/lib/site-packages", root]
    assert (seen["outside"], seen["modes"]) == ([], ["0o555", "0o444"])
    subscription = apps.azure.subscription.id
    assert {name: value for name, value in seen["environment"].items() if name not in ("HOME", "LC_CTYPE")} == {
        **app.site.settings,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": home.removesuffix("home") + "tmp",
        "SSL_CERT_FILE": str(apps.azure.tls.authority),
        "AZURE_FUNCTIONS_ENVIRONMENT": "Production",
        "AzureWebJobsScriptRoot": root,
        "FUNCTIONS_WORKER_RUNTIME_VERSION": "3.12",
        "REGION_NAME": "eastus",
        "WEBSITE_HOSTNAME": app.host_name,
        "WEBSITE_OWNER_NAME": f"{subscription}+hop-eastuswebspace-Linux",
        "WEBSITE_RESOURCE_GROUP": "hop",
        "WEBSITE_SITE_NAME": "hop-consumption",
        "WEBSITE_SKU": "Dynamic",
    }
    assert seen["environment"]["CHART_TITLE"] == "Hail"


def test_it_reads_a_blob_over_https(apps: Apps) -> None:
    code = """
        import os, urllib.request

        @app.route(route="hail")
        def hail(req: functions.HttpRequest) -> functions.HttpResponse:
            with urllib.request.urlopen(os.environ["DATA_URL"]) as answer:
                return functions.HttpResponse(answer.read())
    """
    app = apps.consumption(package(code), DATA_URL=apps.blob("extract.csv", b"1,2,3"))
    assert apps.ask(app).content == b"1,2,3"


PID = """
    import os, time

    @app.route(route="hail")
    def hail(req: functions.HttpRequest) -> functions.HttpResponse:
        if "slow" in req.params:
            time.sleep(3600)
        if "large" in req.params:
            bytearray(400_000_000)
        if "exit" in req.params:
            os._exit(7)
        return functions.HttpResponse(str(os.getpid()))
"""


def test_one_process_while_it_is_warm_and_a_new_one_after_a_failure(
    apps: Apps, capfd: pytest.CaptureFixture[str]
) -> None:
    app = apps.consumption(package(PID), AzureFunctionsJobHost__functionTimeout="00:00:02")
    app.site = replace(app.site, runtime=Runtime("3.12", 200))
    processes = [apps.ask(app).content]
    assert apps.ask(app).content == processes[0]
    for what, why in (
        ("slow", "it timed out after 2 s"),
        ("large", "it used more than 200 MiB of memory"),
        ("exit", "its process ended with status 7"),
    ):
        answer = apps.ask(app, f"/api/hail?{what}=1")
        assert (answer.status_code, answer.content) == (500, b"")
        assert f"hop-consumption: hail: {why}\n" in capfd.readouterr().err
        processes.append(apps.ask(app).content)
    assert len(set(processes)) == 4
    # What was unpacked for the failed ones is gone.
    assert len(list(app._folder.iterdir())) == 1


def test_it_ends_with_the_app(apps: Apps) -> None:
    app = apps.consumption(package(PID))
    process, port = int(apps.ask(app).content), int(app.host_name.rpartition(":")[2])
    apps.azure.web.delete_app(GROUP, "hop-consumption")
    assert not psutil.pid_exists(process)
    assert list(app._folder.iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def why_not(apps: Apps, app: FunctionApp, capfd: pytest.CaptureFixture[str]) -> str:
    """What the log says of a host that does not start."""
    answer = apps.ask(app)
    assert (answer.status_code, answer.content) == NOT_RUNNING
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (lambda apps: apps.signed("package.zip", expires=timedelta(seconds=-1)), "HTTP Error 403: "),
        (lambda apps: apps.signed("package.zip").replace("sig=", "sig=AA"), "HTTP Error 403: "),
        (lambda apps: apps.signed("package.zip").partition("?")[0], "HTTP Error 409: "),
        (lambda apps: apps.signed("other.zip"), "HTTP Error 404: "),
    ],
)
def test_a_package_that_the_signature_does_not_open(
    apps: Apps, capfd: pytest.CaptureFixture[str], url: Callable[[Apps], str], why: str
) -> None:
    apps.blob("package.zip", package())
    app = apps.consumption(url=url(apps))
    assert why_not(apps, app, capfd).startswith(f"hop-consumption: the package cannot be fetched: {why}")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no zip", "the package is no zip: File is not a zip file"),
        (package(HELLO, None), "host.json cannot be read: "),
        (package(HELLO, {"version": "1.0"}), 'host.json must be an object with "version": "2.0"'),
        (
            package(HELLO, {"version": "2.0", "functionTimeout": "00:10:01"}),
            "functionTimeout must be from 00:00:01 to 00:10:00 on plan Y1, not 00:10:01",
        ),
        (
            package(HELLO, {"version": "2.0", "functionTimeout": "-1"}),
            "functionTimeout must be from 00:00:01 to 00:10:00 on plan Y1, not -1",
        ),
        (
            package(HELLO, {"version": "2.0", "functionTimeout": "5 min"}),
            "functionTimeout must be hh:mm:ss or -1, not 5 min",
        ),
        (
            package(HELLO, {"version": "2.0", "extensions": {"queues": {}}}),
            "not supported in rehearsal: extensions.queues in host.json",
        ),
        (
            package('@app.timer_trigger(arg_name="t", schedule="0 * * * * *")\ndef tick(t): pass\n'),
            "not supported in rehearsal: function tick with the bindings timerTrigger",
        ),
        (
            package('@app.route(route="hail")\ndef hail(req, context): pass\n'),
            "not supported in rehearsal: function hail with the parameters req, context",
        ),
        (
            package('@app.route(route="hail")\ndef hail(req: bytes): pass\n'),
            "not supported in rehearsal: function hail whose parameter req is annotated as bytes",
        ),
        (
            package('@app.route(route="hail")\ndef hail(req: list[int]): pass\n'),
            "not supported in rehearsal: function hail with the annotation list[int]",
        ),
        (
            package('@app.route(route="{*all}")\ndef hail(req): pass\n'),
            "not supported in rehearsal: route {*all}",
        ),
        (package("raise SystemExit(3)\n"), "the worker did not start: its process ended with status 3"),
    ],
)
def test_a_package_with_which_the_host_does_not_start(
    apps: Apps, capfd: pytest.CaptureFixture[str], content: bytes, why: str
) -> None:
    said = why_not(apps, apps.consumption(content), capfd)
    assert f"hop-consumption: {why}" in said


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import not_in_the_package\n", "ModuleNotFoundError: No module named 'not_in_the_package'"),
        (
            f"{HELLO}    another = functions.FunctionApp()\n",
            "ValueError: More than one FunctionApp or other top level function app instances are defined.",
        ),
    ],
)
def test_a_module_that_does_not_import_has_no_functions(
    apps: Apps, capfd: pytest.CaptureFixture[str], code: str, why: str
) -> None:
    answer = apps.ask(apps.consumption(package(code)))
    assert (answer.status_code, answer.content) == (404, b"")
    assert f"hop-consumption: {why}" in capfd.readouterr().err


def test_a_host_that_could_not_start_may_start_later(apps: Apps, capfd: pytest.CaptureFixture[str]) -> None:
    app = apps.consumption(url=apps.signed("package.zip"))
    assert "HTTP Error 404" in why_not(apps, app, capfd)
    apps.blob("package.zip", package())
    assert apps.ask(app).content == b"hello"


@pytest.mark.parametrize("path", ["/", "/admin/host/status", "/runtime/webhooks"])
def test_the_hosts_own_pages_are_refused_by_name(apps: Apps, path: str) -> None:
    answer = apps.ask(apps.consumption(package()), path)
    assert (answer.status_code, answer.text) == (
        501,
        f"not supported in rehearsal: GET {path} of a function app's host",
    )


def test_the_load_balancer_gives_up_before_a_long_timeout(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.rehearsal.azure.host._LOAD_BALANCER_SECONDS", 1)
    app = apps.consumption(package(PID))
    apps.ask(app)
    started = time.monotonic()
    answer = apps.ask(app, "/api/hail?slow=1")
    assert (answer.status_code, answer.content) == (504, b"")
    assert time.monotonic() - started < 10


def test_only_this_rehearsals_authority_vouches_for_it(apps: Apps) -> None:
    without = ssl.create_default_context()
    app = apps.consumption(package())
    host, _, port = app.host_name.partition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        without.wrap_socket(plain, server_hostname=host)
    key = apps.azure.tls.authority.with_name("server.pem")
    assert key.stat().st_mode & 0o777 == 0o600


def test_an_app_without_settings_has_no_host_until_it_gets_them(apps: Apps, capfd: pytest.CaptureFixture[str]) -> None:
    app = apps.without_settings()
    answer = apps.ask(app)
    assert (answer.status_code, answer.content) == NOT_RUNNING
    assert capfd.readouterr().err == "hop-consumption: there is no AzureWebJobsStorage\n"
    apps.azure.web.configure_app(GROUP, app.site.name, apps.settings(package()))
    assert apps.ask(app).text == "hello"


def test_other_settings_start_the_host_anew_with_the_package_that_they_name(apps: Apps) -> None:
    app = apps.consumption(package())
    assert apps.ask(app).text == "hello"
    apps.azure.web.configure_app(GROUP, app.site.name, apps.settings(package(HELLO.replace("hello", "once more"))))
    assert not app.is_warm
    assert apps.ask(app).text == "once more"


def test_a_flex_app_has_no_function_before_it_is_published(apps: Apps) -> None:
    app = apps.flex()
    assert (apps.ask(app).status_code, apps.ask(app).content) == (404, b"")
    app.start()
    assert app.site.packages == (ACCOUNT, "packages")
