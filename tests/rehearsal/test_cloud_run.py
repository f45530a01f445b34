"""Cloud Run's services: who may call them, and what runs behind their URL."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.cloud_storage_iam import Binding
from orchestrator.rehearsal.gcp.identity import Identity
from orchestrator.rehearsal.gcp.projects import caller_of

MakeService = Callable[..., dict[str, Any]]
Ask = Callable[..., requests.Response]
READER = "hop-reader@rehearsal-project.iam.gserviceaccount.com"
# Answers with what Python makes of the query: `GET /?os.getpid()`.
PROGRAM = """
    import http.server, importlib.util, json, os, sys, time, urllib.parse, urllib.request

    def metadata(path):
        url = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/{path}"
        request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
        return urllib.request.urlopen(request).read().decode()

    def download(name):
        token = json.loads(metadata("instance/service-accounts/default/token"))["access_token"]
        url = f"{os.environ['STORAGE_EMULATOR_HOST']}/download/storage/v1/b/hop-data/o/{name}?alt=media"
        try:
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
            return urllib.request.urlopen(request).read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def child(code):
        pid = os.fork()
        if pid == 0:
            eval(code)
        return pid

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, code = self.path.partition("?")
            answer = eval(urllib.parse.unquote(code))
            self.send_response(200)
            self.send_header("X-Path", path)
            self.end_headers()
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
FORBIDDEN = """<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>403 Forbidden</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Forbidden</h1>
<h2>Your client does not have permission to get URL <code>/a</code> from this server.</h2>
<h2></h2>
</body></html>
"""
UNAUTHORIZED = """<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>401 Unauthorized</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Unauthorized</h1>
<h2>Your client does not have permission to the requested URL <code>/a</code>.</h2>
<h2></h2>
</body></html>
"""


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud]) -> GoogleCloud:
    return start_google()


@pytest.fixture
def ask(google: GoogleCloud) -> Ask:
    """Asks a service as the rehearsal's caller."""

    def get(service: dict[str, Any], code: str, path: str = "/") -> requests.Response:
        token = google.identity.id_token(caller_of(google.project), service["uri"])
        return requests.get(f"{service['uri']}{path}", code, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    return get


def test_a_service_runs_its_program_and_stays_warm(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM)
    assert not service["uri"].endswith("/")
    answer = ask(service, "[1, 'one']", "/a/b")
    assert (answer.json(), answer.headers["X-Path"], answer.headers["Content-Length"]) == ([1, "one"], "/a/b", "10")
    assert ask(service, "os.getpid()").json() == ask(service, "os.getpid()").json() != os.getpid()
    assert ask(service, "self.headers['Host']").json() == service["uri"].removeprefix("http://")


# ---- who may call


def test_the_door_is_closed_to_who_says_nothing(google: GoogleCloud, make_service: MakeService) -> None:
    uri = make_service(google, PROGRAM)["uri"]
    for headers in ({}, {"Authorization": "Basic eA=="}):
        answer = requests.get(f"{uri}/a?secret=1", headers=headers, timeout=10)
        assert (answer.status_code, answer.text) == (403, FORBIDDEN)
        assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"


def test_the_door_is_closed_to_a_token_that_is_not_for_it(google: GoogleCloud, make_service: MakeService) -> None:
    uri, caller = make_service(google, PROGRAM)["uri"], caller_of(google.project)
    for token in (
        "x",
        google.identity.access_token(caller, ["openid"])[0],
        google.identity.id_token(caller, f"{uri}/"),
        google.identity.id_token(caller, make_service(google, PROGRAM, name="other")["uri"]),
        Identity().id_token(caller, uri),
    ):
        answer = requests.get(f"{uri}/a", headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert (answer.status_code, answer.text) == (401, UNAUTHORIZED)
        assert answer.headers["WWW-Authenticate"] == (
            'Bearer error="invalid_token" error_description="The access token could not be verified"'
        )


def test_the_door_is_closed_to_who_may_not_invoke(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM)
    token = google.identity.id_token(google.access.account(READER), service["uri"])
    answer = requests.get(f"{service['uri']}/a", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert (answer.status_code, answer.text) == (403, FORBIDDEN)
    google.access.withheld.add("run.routes.invoke")
    assert ask(service, "1").status_code == 403


def test_a_header_that_the_door_does_not_know(google: GoogleCloud, make_service: MakeService) -> None:
    uri = make_service(google, PROGRAM)["uri"]
    answer = requests.get(uri, headers={"X-Serverless-Authorization": "Bearer x"}, timeout=10)
    assert (answer.status_code, answer.text) == (
        501, "not supported in rehearsal: header X-Serverless-Authorization"
    )  # fmt: skip


def test_the_program_cannot_use_its_callers_token(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    seen = ask(make_service(google, PROGRAM), "self.headers['Authorization']").json()
    assert seen.startswith("Bearer ey")
    assert seen.count(".") == 2
    assert seen.endswith(".SIGNATURE_REMOVED_BY_GOOGLE")


# ---- what the program has


def test_the_program_has_cloud_runs_variables_and_no_others(
    google: GoogleCloud, make_service: MakeService, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "1")
    settings = [{"name": "PYTHONPATH", "value": "libraries"}, {"name": "CHART_TITLE", "value": "Hail"}]
    service = make_service(google, PROGRAM, container={"env": settings})
    seen = ask(service, "dict(os.environ)").json()
    assert seen["K_REVISION"] == service["latestReadyRevision"].rpartition("/")[2]
    assert seen["K_REVISION"].startswith("hop-00001-")
    assert (seen["K_SERVICE"], seen["K_CONFIGURATION"]) == ("hop", "hop")
    assert (seen["CHART_TITLE"], seen["PYTHONPATH"]) == ("Hail", "libraries")
    assert Path(seen["TMPDIR"]).is_dir()
    assert set(seen) - {"LC_CTYPE", "PWD", "SHLVL", "_"} == {
        "PATH", "LANG", "HOST", "PORT", "TMPDIR", "K_SERVICE", "K_REVISION", "K_CONFIGURATION", "STORAGE_EMULATOR_HOST",
        "GCE_METADATA_HOST", "GCE_METADATA_IP", "CHART_TITLE", "PYTHONPATH"
    }  # fmt: skip


def test_the_program_has_nothing_of_this_machines_libraries(
    google: GoogleCloud, make_service: MakeService, ask: Ask
) -> None:
    settings = [{"name": "PYTHONPATH", "value": "libraries"}]
    service = make_service(google, PROGRAM, container={"env": settings})
    paths = ask(service, "sys.path").json()
    workspace = ask(service, "os.getcwd()").json()
    assert paths[:2] == [workspace, f"{workspace}/libraries"]
    assert [path for path in paths[2:] if "site-packages" in path or not path.startswith(sys.base_prefix)] == []
    for library in ("flask", "google", "pulumi", "pytest"):
        assert ask(service, f"importlib.util.find_spec({library!r}) is None").json() is True


def test_the_program_runs_as_the_services_account(
    google: GoogleCloud, make_service: MakeService, make_bucket: Callable[..., dict[str, Any]], ask: Ask
) -> None:
    make_bucket(google, "hop-data")
    google.storage.put_object("hop-data", "extract.csv", b"a\n1\n", "text/csv")
    google.storage.put_object("hop-data", "other.csv", b"a\n2\n", "text/csv")
    service = make_service(google, PROGRAM)
    assert ask(service, "metadata('instance/service-accounts/default/email')").json() == READER
    assert ask(service, "metadata('project/project-id')").json() == "rehearsal-project"
    condition = 'resource.name == "projects/_/buckets/hop-data/objects/extract.csv"'
    google.storage.grant(
        "hop-data", Binding("roles/storage.objectViewer", f"serviceAccount:{READER}", "the extract", condition)
    )
    assert ask(service, "download('extract.csv')").json() == "a\n1\n"
    assert ask(service, "download('other.csv')").json() == (
        f"{READER} does not have storage.objects.get access to the Google Cloud Storage object. "
        "Permission 'storage.objects.get' denied on resource (or it may not exist)."
    )


# ---- when it goes wrong


def test_a_program_that_takes_too_long(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM, template={"timeout": "1s"})
    first = ask(service, "os.getpid()").json()
    answer = ask(service, "time.sleep(30)")
    assert (answer.status_code, answer.text) == (504, "upstream request timeout")
    assert ask(service, "os.getpid()").json() != first


def test_a_program_that_does_not_start(
    google: GoogleCloud, make_service: MakeService, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    service = make_service(google, "import pandas")
    answer = ask(service, "1")
    assert (answer.status_code, answer.text) == (503, "Service Unavailable")
    log = capsys.readouterr().err.splitlines()
    assert log[0] == f"{service['latestReadyRevision'].rpartition('/')[2]}: its process ended with status 1"
    assert log[-1] == "ModuleNotFoundError: No module named 'pandas'"


def test_a_program_that_ends_is_started_again(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM)
    first = ask(service, "os.getpid()").json()
    assert ask(service, "os._exit(3)").status_code == 503
    assert ask(service, "os.getpid()").json() != first


@pytest.mark.parametrize(
    "code", ["len(b'x' * (600 << 20))", "os.waitpid(child(\"time.sleep(len(b'x' * (600 << 20)))\"), 0)"]
)
def test_a_program_and_its_children_have_so_much_memory(
    google: GoogleCloud, make_service: MakeService, ask: Ask, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    limits = {"limits": {"cpu": "1", "memory": "512Mi"}}
    service = make_service(google, PROGRAM, container={"resources": limits})
    assert ask(service, "len(b'x' * (400 << 20))").json() == 400 << 20
    assert ask(service, f"({code}, time.sleep(30))").status_code == 503
    assert "it used more than 512 MiB of memory" in capsys.readouterr().err


def test_an_answer_that_is_too_large(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM)
    assert len(ask(service, "b'x' * (32 << 20)").content) == 32 << 20
    answer = ask(service, "b'x' * ((32 << 20) + 1)")
    assert (answer.status_code, answer.text) == (500, "Response size was too large.")


def test_all_of_a_service_goes_with_it(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM)
    workspace = Path(ask(service, "os.getcwd()").json())
    pids = [ask(service, code).json() for code in ("os.getpid()", "child('time.sleep(600)')")]
    assert all(map(psutil.pid_exists, pids))
    google.run.delete_service(google.project, "us-central1", "hop")
    assert not workspace.exists()
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)
    assert not any(map(_runs, pids))
    with pytest.raises(requests.ConnectionError):
        ask(service, "1")


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_request_under_way_ends_with_its_service(
    google: GoogleCloud, make_service: MakeService, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service, started = make_service(google, PROGRAM), tmp_path / "started"
    os.mkfifo(started)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(ask, service, f"(open({str(started)!r}, 'w').close(), time.sleep(30))")
        started.read_text()  # Waits until the program is there.
        google.run.delete_service(google.project, "us-central1", "hop")
        answer = asked.result(10)
    assert (answer.status_code, answer.text) == (503, "Service Unavailable")
    assert "its process ended with status -9" in capsys.readouterr().err


def test_services_end_with_their_cloud(google: GoogleCloud, make_service: MakeService, ask: Ask) -> None:
    service = make_service(google, PROGRAM)
    pid = ask(service, "os.getpid()").json()
    google.run.stop()
    assert not _runs(pid)
    with pytest.raises(requests.ConnectionError):
        ask(service, "1")
