"""The front door of a function: who may call it, what it makes of the answer, what it says of a failure."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session

from orchestrator.processes import is_alive
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.aws.sigv4 import AccessKey
from stacks.naming import Names

REGION = "us-east-1"
ECHO = """
    import os
    def handler(event, context):
        return event | {"pid": os.getpid()}
"""


@pytest.fixture
def open_url(functions: FunctionHost, make_function: Callable[..., str]) -> Callable[..., str]:
    """Opens the URL of a new function; arguments are ``make_function``'s, whose end closes it."""
    return lambda code, **settings: functions.open_url(REGION, make_function(code, **settings))


@pytest.fixture
def http() -> Iterator[URLLib3Session]:
    session = URLLib3Session()
    yield session
    session.close()


@pytest.fixture
def call(amazon: Amazon, http: URLLib3Session) -> Callable[..., AWSResponse]:
    """One signed request, by the caller of the rehearsal unless ``key`` is given; None sends it unsigned."""

    def send(
        url: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        accept: str | None = None,
        key: AccessKey | None = amazon.caller,
        service: str = "lambda",
        region: str = REGION,
    ) -> AWSResponse:
        request = AWSRequest(method, url, headers={"Accept": accept} if accept else {}, data=body)
        if key is not None:
            SigV4Auth(Credentials(key.key_id, key.secret, key.session_token), service, region).add_auth(request)
        return http.send(request.prepare())

    return send


def test_the_event(open_url: Callable[..., str], call: Callable[..., AWSResponse]) -> None:
    url = open_url(ECHO)
    answer = call(url + "charts/march?day=25&empty=", method="POST", body=b"\x00\xff")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    event = json.loads(answer.content)
    host = url.removeprefix("http://").removesuffix("/")
    context = event["requestContext"]
    assert {
        key: event[key] for key in ("version", "routeKey", "rawPath", "rawQueryString", "queryStringParameters")
    } == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/charts/march",
        "rawQueryString": "day=25&empty=",
        "queryStringParameters": {"day": "25", "empty": ""},
    }
    assert (event["body"], event["isBase64Encoded"], event["headers"]["host"]) == ("AP8=", True, host)
    assert context["accountId"] == "123456789012"
    assert {key: context["http"][key] for key in ("method", "path", "sourceIp")} == {
        "method": "POST",
        "path": "/charts/march",
        "sourceIp": "127.0.0.1",
    }


def test_one_process_while_it_is_warm(open_url: Callable[..., str], call: Callable[..., AWSResponse]) -> None:
    url = open_url(ECHO)
    assert json.loads(call(url).content)["pid"] == json.loads(call(url).content)["pid"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method(open_url: Callable[..., str], call: Callable[..., AWSResponse], method: str) -> None:
    answer = call(open_url(ECHO), method=method)
    assert json.loads(answer.content)["requestContext"]["http"]["method"] == method


def refusal(answer: AWSResponse) -> str:
    """Why the door stays closed."""
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    (reason,) = json.loads(answer.content).values()
    return str(reason)


def test_who_may_not_call(
    open_url: Callable[..., str], call: Callable[..., AWSResponse], amazon: Amazon, names: Names
) -> None:
    url = open_url("raise SystemExit('nobody is to get here')\n")
    known, role = amazon.caller, amazon.function(REGION, names.prefix).role
    refused = "The security token included in the request is invalid"
    assert refusal(call(url, key=None)) == "Missing Authentication Token"
    assert refusal(call(url, key=replace(known, key_id="AKIAUNKNOWN"))) == refused
    assert refusal(call(url, key=replace(known, session_token="made up"))) == refused
    assert refusal(call(url, key=replace(known, secret="wrong"))) == (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )
    assert refusal(call(url, service="s3")) == "Credential should be scoped to us-east-1/lambda"
    assert refusal(call(url, region="eu-west-1")) == "Credential should be scoped to us-east-1/lambda"
    assert refusal(call(url, key=amazon.assume(REGION, role))) == (
        "A function's role may not call functions in the rehearsal"
    )


def test_a_request_changed_on_the_way(open_url: Callable[..., str], amazon: Amazon, http: URLLib3Session) -> None:
    request = AWSRequest("POST", open_url(ECHO), data=b"signed")
    SigV4Auth(Credentials(amazon.caller.key_id, amazon.caller.secret), "lambda", REGION).add_auth(request)
    prepared = request.prepare()
    prepared.body = b"forged"
    assert refusal(http.send(prepared)) == (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )


ANSWERS = """
    ANSWERS = {
        "/page": {"statusCode": 201, "headers": {"content-type": "text/html; charset=utf-8"}, "body": "<p>hail"},
        "/binary": {"statusCode": 200, "body": "iVBO", "isBase64Encoded": True},
        "/json": ["anything"],
        "/empty": {"statusCode": 204},
        "/no-base64": {"statusCode": 200, "body": "!", "isBase64Encoded": True},
        "/body-not-text": {"statusCode": 200, "body": {"a": 1}},
        "/status-not-a-number": {"statusCode": "well"},
    }
    def handler(event, context):
        return ANSWERS[event["rawPath"]]
"""


@pytest.mark.parametrize(
    ("path", "status", "content_type", "content"),
    [
        ("page", 201, "text/html; charset=utf-8", b"<p>hail"),
        ("binary", 200, "application/json", b"\x89PN"),
        ("json", 200, "application/json", b'["anything"]'),
        ("empty", 204, "application/json", b""),
        ("no-base64", 502, None, b"Internal Server Error"),
        ("body-not-text", 502, None, b"Internal Server Error"),
        ("status-not-a-number", 502, None, b"Internal Server Error"),
        ("not-there", 502, None, b"Internal Server Error"),
    ],
)
def test_http_from_the_handlers_answer(
    *,
    open_url: Callable[..., str],
    call: Callable[..., AWSResponse],
    path: str,
    status: int,
    content_type: str | None,
    content: bytes,
) -> None:
    answer = call(open_url(ANSWERS) + path)
    assert (answer.status_code, answer.headers.get("content-type"), answer.content) == (status, content_type, content)


def test_after_a_timeout_the_next_call_has_a_new_process(
    open_url: Callable[..., str], call: Callable[..., AWSResponse], functions: FunctionHost
) -> None:
    url = open_url(
        """
        import os, time
        def handler(event, context):
            if event["rawPath"] == "/slow":
                time.sleep(3600)
            return os.getpid()
        """,
        Timeout=1,
    )
    first = call(url).content
    folders = {path.name for path in functions._folder.iterdir()}
    assert (call(url + "slow").status_code, call(url + "slow").content) == (502, b"Internal Server Error")
    second = call(url)
    assert second.status_code == 200
    assert second.content != first
    # What was unpacked for the killed ones is gone.
    assert len({path.name for path in functions._folder.iterdir()} & folders) == len(folders) - 1
    assert len(list(functions._folder.iterdir())) == len(folders)


def test_who_deletes_a_url_or_a_function_by_the_api_ends_what_runs_for_it(
    make_function: Callable[..., str], call: Callable[..., AWSResponse], functions: FunctionHost, amazon: Amazon
) -> None:
    client = amazon.client("lambda", REGION)
    name = make_function(ECHO)
    made = client.get_function_configuration(FunctionName=name)
    copy = f"{name}-copy"
    about = {key: made[key] for key in ("Runtime", "Handler", "Role")}
    client.create_function(FunctionName=copy, Code={"ZipFile": amazon.function(REGION, name).code_bytes}, **about)
    client.create_function_url_config(FunctionName=copy, AuthType="AWS_IAM")
    url, place = functions.open_url(REGION, copy), f"{REGION}/{copy}"

    def held() -> list[str]:
        return sorted(kind for kind, found in functions.held() if found == place)

    process = json.loads(call(url).content)["pid"]
    assert held() == ["function process", "function url listener"]
    client.delete_function_url_config(FunctionName=copy)
    assert held() == ["function process"]
    with pytest.raises(EndpointConnectionError):
        call(url)
    client.delete_function(FunctionName=copy)
    assert (held(), is_alive(process)) == ([], False)
