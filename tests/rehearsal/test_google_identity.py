import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.cloud_storage_iam import Binding
from orchestrator.rehearsal.gcp.identity import Identity, MetadataServer, ServiceAccount, TokenError

READER = ServiceAccount("hop-reader", "rehearsal-project", "123456789012345678901")
EMAIL = "hop-reader@rehearsal-project.iam.gserviceaccount.com"
CALLER = "rehearsal@rehearsal-project.iam.gserviceaccount.com"
PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
MakeBucket = Callable[..., dict[str, Any]]
StartGoogle = Callable[..., GoogleCloud]
Call = Callable[..., tuple[int, Any, Any]]


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity()


@pytest.fixture
def metadata(identity: Identity) -> Iterator[str]:
    server = MetadataServer(identity, READER)
    yield f"http://{server.environment['GCE_METADATA_HOST']}"
    server.close()


def ask(url: str, flavor: str | None = "Google") -> requests.Response:
    headers = {"Metadata-Flavor": flavor} if flavor else {}
    return requests.get(url, headers=headers, timeout=10)


def why(action: Callable[[], Any]) -> str:
    with pytest.raises(TokenError) as caught:
        action()
    return str(caught.value)


# ---- tokens


def test_a_token_says_whose_it_is(identity: Identity) -> None:
    token, seconds = identity.access_token(READER, [PLATFORM, READ_ONLY])
    assert (identity.verify_access_token(token), seconds) == ((EMAIL, frozenset([PLATFORM, READ_ONLY])), 3600)
    assert identity.verify_id_token(identity.id_token(READER, "http://service"), "http://service") == EMAIL


def test_a_token_is_good_for_one_thing(identity: Identity) -> None:
    access, said = identity.access_token(READER, [PLATFORM])[0], identity.id_token(READER, "http://service")
    assert why(lambda: identity.verify_access_token(said)) == "it is a token of another kind: JWT"
    assert why(lambda: identity.verify_id_token(access, "http://service")) == "it is a token of another kind: at+jwt"
    assert why(lambda: identity.verify_id_token(said, "http://service/")) == "the token is for http://service"


def test_a_token_of_somebody_elses(identity: Identity) -> None:
    header, claims, signature = identity.id_token(READER, "http://service").split(".")
    changed = ("f" if claims[9] != "f" else "g").join([claims[:9], claims[10:]])
    for token in ("", "x", "a.b.c", f"{header}.{changed}.{signature}", Identity().id_token(READER, "http://service")):
        assert why(lambda: identity.verify_id_token(token, "http://service")) == "it is not signed with Google's key"  # noqa: B023


def test_a_token_out_of_time(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    token = identity.id_token(READER, "http://service")
    for seconds in (-20, 3620):
        with monkeypatch.context() as patched:
            now = json.loads(_payload(token))["iat"]
            patched.setattr(clock, "seconds", lambda: now + seconds)  # noqa: B023
            assert why(lambda: identity.verify_id_token(token, "http://service")) == "it has expired"


def _payload(token: str) -> str:
    from google.auth.jwt import decode  # noqa: PLC0415

    return json.dumps(decode(token, verify=False))  # type: ignore[no-untyped-call]


# ---- the metadata server


def test_the_metadata_server_tells_a_program_who_it_is(metadata: str, identity: Identity) -> None:
    root = f"{metadata}/computeMetadata/v1"
    account = f"{root}/instance/service-accounts/default"
    assert ask(f"{metadata}/").headers["Metadata-Flavor"] == "Google"
    assert ask(f"{root}/project/project-id").text == "rehearsal-project"
    assert ask(f"{root}/universe/universe-domain").text == "rehearsal.invalid"
    assert ask(f"{account}/email").text == EMAIL
    assert ask(f"{account}/?recursive=true").json() == {"aliases": ["default"], "email": EMAIL, "scopes": [PLATFORM]}
    assert ask(f"{root}/instance/service-accounts/{EMAIL}/?recursive=true").json()["email"] == EMAIL
    token = ask(f"{account}/token").json()
    assert (token["expires_in"], token["token_type"]) == (3600, "Bearer")
    assert identity.verify_access_token(token["access_token"]) == (EMAIL, frozenset([PLATFORM]))
    token = ask(f"{account}/token?scopes={READ_ONLY},{PLATFORM}").json()
    assert identity.verify_access_token(token["access_token"]) == (EMAIL, frozenset([READ_ONLY, PLATFORM]))
    said = ask(f"{account}/identity?audience=http://service&format=full").text
    assert identity.verify_id_token(said, "http://service") == EMAIL


@pytest.mark.parametrize("flavor", [None, "google"])
def test_the_metadata_server_wants_its_header(metadata: str, flavor: str | None) -> None:
    answer = ask(f"{metadata}/computeMetadata/v1/project/project-id", flavor)
    assert (answer.status_code, answer.text) == (403, "Missing Metadata-Flavor:Google header.")
    assert answer.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/computeMetadata/v1/instance/zone", "the value"),
        ("/computeMetadata/v1/instance/service-accounts/default/identity?audience=a", "the value"),
        ("/computeMetadata/v1/instance/service-accounts/default/token?bind=true", "query parameter bind"),
        ("/computeMetadata/v1/instance/service-accounts/other@x.y/token", "the value"),
        ("/other", "the value"),
    ],
)
def test_the_metadata_server_says_what_it_does_not_know(metadata: str, path: str, what: str) -> None:
    answer = ask(f"{metadata}{path}")
    expected = f"not supported in rehearsal: {what} of {path.partition('?')[0]}"
    assert (answer.status_code, answer.text) == (404, expected)


# ---- as Google's libraries see it


def test_googles_library_finds_the_caller(start_google: StartGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth import default  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415
    from google.oauth2.id_token import fetch_id_token  # noqa: PLC0415

    google = start_google()
    asked: set[str] = set()
    for look_up in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "gethostbyname_ex"):
        monkeypatch.setattr(socket, look_up, _watched(getattr(socket, look_up), asked))
    credentials, project = default(scopes=[PLATFORM])
    credentials.refresh(Request())  # type: ignore[no-untyped-call]
    assert (project, credentials.universe_domain) == ("rehearsal-project", "rehearsal.invalid")
    assert google.identity.verify_access_token(str(credentials.token)) == (CALLER, frozenset([PLATFORM]))
    token = fetch_id_token(Request(), "http://service")  # type: ignore[no-untyped-call]
    assert google.identity.verify_id_token(token, "http://service") == CALLER
    claims = json.loads(_payload(token))
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert claims == {
        "iss": "https://accounts.google.com",
        "sub": "100000000000000000001",
        "azp": "100000000000000000001",
        "aud": "http://service",
        "email": CALLER,
        "email_verified": True,
    }
    assert asked == {"127.0.0.1"}


def _watched(look_up: Callable[..., Any], asked: set[str]) -> Callable[..., Any]:
    def watched(host: Any, *rest: Any, **options: Any) -> Any:
        asked.add(str(host))
        return look_up(host, *rest, **options)

    return watched


# ---- what an account may do


@pytest.fixture
def google(start_google: StartGoogle, make_bucket: MakeBucket) -> GoogleCloud:
    google = start_google()
    make_bucket(google, "hop-data")
    for name in ("extract.csv", "extract-1.csv", "other.csv"):
        google.storage.put_object("hop-data", name, b"a\n", "text/csv")
    return google


@pytest.fixture
def as_reader(google: GoogleCloud) -> Callable[..., tuple[int, str]]:
    """Asks as a service account that has no role in the project: status, text."""
    reader = google.access.create_account("hop-reader", description="", display_name="")

    def ask(method: str, path: str, scope: str = PLATFORM) -> tuple[int, str]:
        token = google.identity.access_token(reader, [scope])[0]
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, google.endpoint + path, headers=headers, json={}, timeout=10)
        is_error = answer.headers["Content-Type"] == "application/json" and "error" in answer.json()
        return answer.status_code, answer.json()["error"]["message"] if is_error else answer.text

    return ask


STORAGE_DENIES = (
    f"{EMAIL} does not have {{0}} access to the Google Cloud Storage bucket. "
    "Permission '{0}' denied on resource (or it may not exist)."
)
DENIES = "Permission '{}' denied on resource '{}' (or it may not exist)."
OBJECT = "/download/storage/v1/b/hop-data/o/{}?alt=media"
DENIED = (
    f"{EMAIL} does not have storage.objects.get access to the Google Cloud Storage object. "
    "Permission 'storage.objects.get' denied on resource (or it may not exist)."
)


def test_an_account_reads_what_its_condition_allows(
    google: GoogleCloud, as_reader: Callable[..., tuple[int, str]]
) -> None:
    assert as_reader("GET", OBJECT.format("extract.csv")) == (403, DENIED)
    condition = 'resource.name.startsWith("projects/_/buckets/hop-data/objects/extract")'
    binding = Binding("roles/storage.objectViewer", f"serviceAccount:{EMAIL}", "the extract only", condition)
    google.storage.grant("hop-data", binding)
    assert as_reader("GET", OBJECT.format("extract.csv")) == (200, "a\n")
    assert as_reader("GET", OBJECT.format("extract-1.csv"), READ_ONLY) == (200, "a\n")
    assert as_reader("GET", OBJECT.format("other.csv")) == (403, DENIED)
    assert as_reader("GET", OBJECT.format("none.csv")) == (403, DENIED)
    google.storage.revoke("hop-data", binding)
    assert as_reader("GET", OBJECT.format("extract.csv")) == (403, DENIED)


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/bigquery/v2/projects/P/datasets", "Access Denied: User does not have {} permission."),
        ("GET", "/storage/v1/b/hop-data/o", STORAGE_DENIES),
        ("DELETE", "/storage/v1/b/hop-data", STORAGE_DENIES),
        ("GET", "/v2/projects/P/locations/us-central1/services", DENIES),
        ("GET", "/v1/projects/P/serviceAccounts", DENIES),
    ],
)
@pytest.mark.usefixtures("google")
def test_an_account_may_do_nothing_else(
    as_reader: Callable[..., tuple[int, str]], method: str, path: str, message: str
) -> None:
    needs = {
        "/bigquery/v2/projects/P/datasets": "bigquery.datasets.get",
        "/storage/v1/b/hop-data/o": "storage.objects.list",
        "/storage/v1/b/hop-data": "storage.buckets.delete",
        "/v2/projects/P/locations/us-central1/services": "run.services.list",
        "/v1/projects/P/serviceAccounts": "iam.serviceAccounts.list",
    }
    permission, path = needs[path], path.replace("/P/", "/rehearsal-project/")
    assert as_reader(method, path) == (403, message.format(permission, path))


def test_a_scope_is_not_enough_for_all(as_reader: Callable[..., tuple[int, str]]) -> None:
    scarce = (403, "Request had insufficient authentication scopes.")
    assert as_reader("GET", "/bigquery/v2/projects/rehearsal-project/datasets", READ_ONLY) == scarce
    assert as_reader("GET", OBJECT.format("extract.csv"), "openid") == scarce


def test_an_account_that_is_gone_proves_nothing(google: GoogleCloud, as_reader: Callable[..., tuple[int, str]]) -> None:
    google.access.delete_account(EMAIL)
    assert as_reader("GET", OBJECT.format("extract.csv")) == (401, "Invalid Credentials")


def test_a_caller_who_lacks_a_permission(google: GoogleCloud, call_google: Call) -> None:
    google.access.withheld.add("storage.buckets.list")
    status, answer, _ = call_google("GET", "/storage/v1/b?project=rehearsal-project")
    assert (status, answer["error"]["errors"][0]["reason"]) == (403, "forbidden")
    assert answer["error"]["message"].startswith(f"{CALLER} does not have storage.buckets.list access to the Google ")
    assert call_google("GET", "/storage/v1/b/hop-data")[0] == 200
