"""Signatures: what botocore signs is accepted, and nothing that was changed on the way."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from orchestrator.rehearsal.aws.sigv4 import AccessKey, SignatureError, Signer, claimed_service, verify

USER = AccessKey("AKIAREHEARSAL", "user secret")
SESSION = AccessKey("ASIAREHEARSAL", "session secret", "session token", "arn:aws:iam::123456789012:role/hop")
KEYS = {key.key_id: key for key in (USER, SESSION)}
URL = "http://127.0.0.1:4566/2015-03-31/functions?Marker=a%20b&MaxItems=2"
MISMATCH = "The request signature we calculated does not match the signature you provided."
WRONG_SIGNATURE = (
    f"{MISMATCH} Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)
WRONG_SIGNATURE_OF_S3 = f"{MISMATCH} Check your key and signing method."
WRONG_TOKEN = "The security token included in the request is invalid"


def sign(
    url: str = URL,
    *,
    key: AccessKey = USER,
    service: str = "lambda",
    body: bytes = b"{}",
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The headers of a POST as they arrive: lower-case names, and the host that the HTTP client adds."""
    request = AWSRequest("POST", url, {"Accept": "application/json", **more}, body)
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    auth(Credentials(key.key_id, key.secret, key.session_token), service, "eu-central-1").add_auth(request)
    return {"host": url.split("/")[2]} | {name.lower(): str(value) for name, value in request.headers.items()}


def signed_at(headers: dict[str, str]) -> datetime:
    return datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def check(
    headers: dict[str, str],
    *,
    method: str = "POST",
    url: str = URL,
    body: bytes = b"{}",
    late: timedelta = timedelta(),
) -> Signer:
    now = signed_at(sign()) + late
    return verify(method=method, url=url, headers=headers, body=body, key_of=KEYS.get, now=now)


def refusal(headers: dict[str, str], **changed: object) -> str:
    with pytest.raises(SignatureError) as raised:
        check(headers, **changed)  # type: ignore[arg-type]
    return str(raised.value)


@pytest.mark.parametrize("key", [USER, SESSION])
@pytest.mark.parametrize("service", ["lambda", "s3"])
def test_what_botocore_signs(key: AccessKey, service: str) -> None:
    assert check(sign(key=key, service=service)) == Signer(key, service, "eu-central-1")


def test_an_empty_body() -> None:
    assert check(sign(body=b""), body=b"").key == USER


def test_an_unknown_key() -> None:
    assert refusal(sign(key=replace(USER, key_id="AKIAOTHER"))) == WRONG_TOKEN


def test_a_wrong_secret() -> None:
    assert refusal(sign(key=replace(USER, secret="guessed"))) == WRONG_SIGNATURE


@pytest.mark.parametrize(
    "key",
    [
        replace(SESSION, session_token=None),
        replace(SESSION, session_token="another token"),
        replace(USER, session_token="a token for a key that has none"),
    ],
)
def test_a_wrong_session_token(key: AccessKey) -> None:
    assert refusal(sign(key=key)) == WRONG_TOKEN


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "DELETE"},
        {"url": URL.replace("functions", "layers")},
        {"url": URL.replace("MaxItems=2", "MaxItems=3")},
        {"url": URL.partition("?")[0]},
        {"body": b"{ }"},
    ],
)
def test_a_changed_request(changed: dict[str, object]) -> None:
    assert refusal(sign(), **changed) == WRONG_SIGNATURE


@pytest.mark.parametrize("changed", [{"accept": "text/html"}, {"host": "127.0.0.1:4567"}])
def test_a_changed_header(changed: dict[str, str]) -> None:
    assert refusal(sign() | changed) == WRONG_SIGNATURE


def test_a_signed_header_that_was_dropped() -> None:
    headers = sign()
    del headers["accept"]
    assert refusal(headers) == WRONG_SIGNATURE


def test_a_signed_header_without_a_value_that_was_dropped() -> None:
    headers = sign(more={"X-More": ""})
    assert check(headers).key == USER
    del headers["x-more"]
    assert refusal(headers) == WRONG_SIGNATURE


def test_a_query_is_signed_as_it_would_be_encoded() -> None:
    encoded = "http://127.0.0.1:4566/functions?a=b%3Ac&e=%C3%A4~&empty="
    assert check(sign(encoded), url="http://127.0.0.1:4566/functions?e=%c3%a4%7E&&empty&a=b:c").key == USER
    assert refusal(sign("http://127.0.0.1:4566/?a=b:c"), url="http://127.0.0.1:4566/?a=b:c") == WRONG_SIGNATURE


def test_headers_that_were_not_signed_may_change() -> None:
    assert check(sign() | {"user-agent": "curl", "content-length": "2"}).key == USER


@pytest.mark.parametrize("scope", ["eu-central-1/s3", "us-east-1/lambda"])
def test_a_changed_scope(scope: str) -> None:
    headers = sign()
    headers["authorization"] = headers["authorization"].replace("eu-central-1/lambda", scope)
    assert refusal(headers) == (WRONG_SIGNATURE_OF_S3 if scope.endswith("s3") else WRONG_SIGNATURE)


@pytest.mark.parametrize("late", [timedelta(minutes=5), timedelta(minutes=-4)])
def test_a_clock_may_be_five_minutes_off(late: timedelta) -> None:
    now = signed_at(headers := sign()) + late
    assert verify(method="POST", url=URL, headers=headers, body=b"{}", key_of=KEYS.get, now=now).key == USER


@pytest.mark.parametrize("late", [timedelta(minutes=5, seconds=10), timedelta(minutes=-6)])
def test_an_old_or_an_early_date(late: timedelta) -> None:
    headers = sign()
    assert refusal(headers, late=late) == f"Signature expired: {headers['x-amz-date']}"


def test_a_date_moved_on() -> None:
    headers, late = sign(), timedelta(minutes=6)
    headers["x-amz-date"] = f"{signed_at(headers) + late:%Y%m%dT%H%M%SZ}"
    day = headers["x-amz-date"][:8] == headers["authorization"].split("/")[1]  # Not shortly before midnight.
    expected = f"Date in Credential scope does not match the date of the request: {headers['x-amz-date']}"
    assert refusal(headers, late=late) == (WRONG_SIGNATURE if day else expected)


def test_a_date_of_another_day_than_the_scopes() -> None:
    headers = sign()
    scope = headers["authorization"].split("/")[1]
    headers["authorization"] = headers["authorization"].replace(scope, "20200101")
    expected = f"Date in Credential scope does not match the date of the request: {headers['x-amz-date']}"
    assert refusal(headers) == expected


@pytest.mark.parametrize("stamp", [{}, {"x-amz-date": "yesterday"}])
def test_no_date(stamp: dict[str, str]) -> None:
    headers = sign()
    del headers["x-amz-date"]
    assert refusal(headers | stamp) == "X-Amz-Date is missing or malformed"


def test_the_host_is_not_signed() -> None:
    headers = sign()
    headers["authorization"] = headers["authorization"].replace("accept;host;", "accept;")
    assert refusal(headers) == "'Host' must be a signed header"


@pytest.mark.parametrize(
    "authorization", [{}, {"authorization": "Bearer token"}, {"authorization": sign()["authorization"][:-1]}]
)
def test_no_signature(authorization: dict[str, str]) -> None:
    headers = sign()
    del headers["authorization"]
    assert refusal(headers | authorization) == "Missing Authentication Token"


def test_a_body_other_than_its_signed_hash() -> None:
    headers = sign(more={"X-Amz-Content-SHA256": sha256(b"{}").hexdigest()})
    assert check(headers).key == USER
    assert (
        refusal(headers, body=b"{ }") == "The provided 'x-amz-content-sha256' header does not match what was computed"
    )


def test_s3_leaves_the_hash_of_the_body_to_the_caller() -> None:
    headers = sign(service="s3")
    assert headers["x-amz-content-sha256"] == sha256(b"{}").hexdigest()
    assert check(headers, body=b"{ }").service == "s3"
    unsigned = sha256(b"another").hexdigest()
    assert refusal(headers | {"x-amz-content-sha256": unsigned}) == WRONG_SIGNATURE_OF_S3


@pytest.mark.parametrize("path", ["/data//a b", "/data/./c", "/data/x/../c", "/data/100%25 %C3%A4+~", "/"])
def test_s3_signs_the_path_as_it_stands(path: str) -> None:
    url = "http://127.0.0.1:4566" + path.replace(" ", "%20")
    assert check(sign(url, service="s3"), url=url).service == "s3"


def test_only_s3_tells_equivalent_paths_apart() -> None:
    asked, sent = ("http://127.0.0.1:4566/data/x/..//c", "http://127.0.0.1:4566/data/c")
    assert check(sign(asked), url=sent).key == check(sign(sent), url=asked).key == USER
    assert refusal(sign(asked, service="s3"), url=sent) == WRONG_SIGNATURE_OF_S3
    assert refusal(sign(sent, service="s3"), url=asked) == WRONG_SIGNATURE_OF_S3


def test_the_service_that_is_claimed() -> None:
    assert claimed_service(sign(key=replace(USER, secret="guessed"), service="s3")) == "s3"
    assert claimed_service({"authorization": "Bearer token"}) == "unknown"
    assert claimed_service({}) == "unknown"
