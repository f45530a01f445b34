"""Entra's look-alike: who gets a token, and which tokens Resource Manager takes."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.test import TestResponse

from orchestrator.rehearsal.azure.directory import AUDIENCE, Directory
from orchestrator.rehearsal.azure.rest import ArmError

SCOPE = f"{AUDIENCE}.default"


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Directory()


def ask(directory: Directory, tenant: str | None = None, **changed: str) -> TestResponse:
    given = {
        "grant_type": "client_credentials",
        "client_id": directory.client_id,
        "client_secret": directory.client_secret,
        "scope": SCOPE,
        **changed,
    }
    return directory.app.test_client().post(f"/{tenant or directory.tenant}/oauth2/v2.0/token", data=given)


def refusal(directory: Directory, authorization: str | None) -> tuple[int, str, str]:
    with pytest.raises(ArmError) as raised:
        directory.check(authorization)
    return raised.value.status, raised.value.code, raised.value.message


def test_a_token_for_the_client(directory: Directory) -> None:
    answer = ask(directory)
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 3599)
    directory.check(f"Bearer {answer.json['access_token']}")
    claims = jwt.decode(answer.json["access_token"], options={"verify_signature": False})
    assert (claims["aud"], claims["appid"], claims["oid"], claims["tid"]) == (
        AUDIENCE,
        directory.client_id,
        directory.object_id,
        directory.tenant,
    )
    assert claims["exp"] - claims["iat"] == 3599


@pytest.mark.parametrize(
    ("changed", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", "AADSTS7000215"),
        ({"client_id": "somebody"}, 400, "unauthorized_client", "AADSTS700016"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "AADSTS70003"),
        ({"scope": "https://management.azure.com/.default"}, 400, "invalid_resource", "AADSTS500011"),
        ({"scope": AUDIENCE}, 400, "invalid_resource", "AADSTS500011"),
        ({"tenant": "another"}, 400, "invalid_tenant", "AADSTS90002"),
        ({"username": "me"}, 501, "not_implemented", "not supported in rehearsal"),
    ],
)
def test_who_gets_none(directory: Directory, changed: dict[str, str], status: int, error: str, code: str) -> None:
    answer = ask(directory, **changed)
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]) == (status, error)
    assert answer.json["error_description"].startswith(f"{code}: ")


def test_the_configuration_leads_to_the_token(directory: Directory) -> None:
    client = directory.app.test_client()
    path = f"/{directory.tenant}/v2.0/.well-known/openid-configuration"
    answer = client.get(path, base_url="https://127.0.0.1:4443")
    assert answer.json is not None
    assert answer.json["token_endpoint"] == f"https://127.0.0.1:4443/{directory.tenant}/oauth2/v2.0/token"
    assert client.get("/another/v2.0/.well-known/openid-configuration").status_code == 400


def test_a_route_that_is_not_known(directory: Directory) -> None:
    answer = directory.app.test_client().get("/common/discovery/instance")
    assert answer.json == {
        "error": "not_implemented",
        "error_description": "not supported in rehearsal: GET /common/discovery/instance (404 Not Found)",
    }


def test_no_token(directory: Directory) -> None:
    missing = (401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    assert refusal(directory, None) == missing
    assert refusal(directory, "Basic eDp5") == missing


def test_tokens_that_are_not_taken(directory: Directory) -> None:
    invalid = (401, "InvalidAuthenticationToken", "The access token is invalid.")
    assert refusal(directory, "Bearer rubbish") == invalid
    token = directory.token(AUDIENCE)
    head, body, signature = token.split(".")
    assert refusal(directory, f"Bearer {head}.{body}.{signature[:-4]}AAAA") == invalid
    assert refusal(directory, f"Bearer {directory.token(AUDIENCE, lifetime=-1)}")[:2] == (
        401,
        "ExpiredAuthenticationToken",
    )
    assert refusal(directory, f"Bearer {directory.token('https://storage.azure.com/')}")[:2] == (
        401,
        "InvalidAuthenticationTokenAudience",
    )
    forged: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert refusal(directory, f"Bearer {jwt.encode(forged, key, algorithm='RS256')}") == invalid
    unsigned = jwt.encode({**forged, "exp": time.time() + 60}, "", algorithm="none")
    assert refusal(directory, f"Bearer {unsigned}") == invalid
