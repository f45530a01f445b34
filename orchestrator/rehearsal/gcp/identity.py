"""Who asks, in a rehearsed Google Cloud: tokens that prove an account, and the metadata server that hands them out.

The caller has no key file: as on a virtual machine, in Cloud Shell and in Cloud Run, a metadata server on this machine
says who it is (https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys). It names a *universe* of our
own (https://cloud.google.com/docs/universe-domain): in the default one google-auth would ask
``iamcredentials.googleapis.com`` for the account's regional access boundary, and a rehearsal asks nothing of the
outside. Google's access tokens are opaque to their bearer; ours are JWTs (RFC 7519, RS256), as its ID tokens are.
"""

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.front_door import Answer, Around, Listener, Request, as_it_is

UNIVERSE = "rehearsal.invalid"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_ISSUER = "https://accounts.google.com"
_ACCESS, _ID = "at+jwt", "JWT"
_LIFETIME_SECONDS = 3600
_CLOCK_SKEW_SECONDS = 10
_FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_ROOT = "/computeMetadata/v1/"
_ACCOUNTS = "instance/service-accounts/"


@dataclass(frozen=True)
class ServiceAccount:
    """A service account; ``unique_id`` has 21 digits and is never used again."""

    name: str
    project: str
    unique_id: str
    description: str = ""
    display_name: str = ""

    @property
    def email(self) -> str:
        """What it is called where permissions are given."""
        return f"{self.name}@{self.project}.iam.gserviceaccount.com"


class TokenError(Exception):
    """A token that proves nothing: the text says why."""


class Identity:
    """Google's key for one rehearsal: what it signs, every stand-in of Google's believes."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def access_token(self, account: ServiceAccount, scopes: Collection[str]) -> tuple[str, int]:
        """(token, seconds that it is good for)."""
        return self._signed(_ACCESS, account, {"scope": " ".join(scopes)}), _LIFETIME_SECONDS

    def id_token(self, account: ServiceAccount, audience: str) -> str:
        """https://cloud.google.com/docs/authentication/token-types#id: says who calls, and whom it calls."""
        return self._signed(_ID, account, {"aud": audience, "azp": account.unique_id})

    def verify_access_token(self, token: str) -> tuple[str, frozenset[str]]:
        """(the account's email, the scopes) of an access token; TokenError when it is none of ours, or too old."""
        claims = self._verified(_ACCESS, token)
        return claims["email"], frozenset(claims["scope"].split())

    def verify_id_token(self, token: str, audience: str) -> str:
        """The account's email; TokenError when the token is none of ours, too old, or for somebody else."""
        claims = self._verified(_ID, token)
        if claims["aud"] != audience:
            raise TokenError(f"the token is for {claims['aud']}")
        return str(claims["email"])

    def _signed(self, kind: str, account: ServiceAccount, more: Mapping[str, str]) -> str:
        now = int(clock.seconds())
        claims = {
            "iss": _ISSUER,
            "sub": account.unique_id,
            "email": account.email,
            "email_verified": True,
            "iat": now,
            "exp": now + _LIFETIME_SECONDS,
            **more,
        }
        parts = [_encode(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": kind}, claims)]
        signed = ".".join(parts)
        return f"{signed}.{_encode(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def _verified(self, kind: str, token: str) -> dict[str, Any]:
        signed, _, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature) as error:
            raise TokenError("it is not signed with Google's key") from error
        header, claims = (json.loads(_decode(part)) for part in signed.split("."))
        if header != {"alg": "RS256", "typ": kind}:
            raise TokenError(f"it is a token of another kind: {header['typ']}")
        if not claims["iat"] - _CLOCK_SKEW_SECONDS <= clock.seconds() <= claims["exp"] + _CLOCK_SKEW_SECONDS:
            raise TokenError("it has expired")
        return dict(claims)


class MetadataServer:
    """A metadata server for programs that run as ``account``. Listens on this machine until it is closed."""

    def __init__(self, identity: Identity, account: ServiceAccount, around: Around = as_it_is) -> None:
        self._identity = identity
        self._account = account
        self._listener = Listener(self._answer, around=around)

    @property
    def environment(self) -> dict[str, str]:
        """How Google's libraries find it: https://googleapis.dev/python/google-auth/latest has these variables."""
        return {"GCE_METADATA_HOST": self._listener.address, "GCE_METADATA_IP": self._listener.address}

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _answer(self, request: Request) -> Answer:
        url = urlsplit(request.url)
        if request.headers.get("metadata-flavor") != "Google":
            return _text(HTTPStatus.FORBIDDEN, "Missing Metadata-Flavor:Google header.")
        if request.method != "GET":
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, f"not supported in rehearsal: {request.method} {url.path}")
        if url.path in ("", "/"):
            return _text(HTTPStatus.OK, "computeMetadata/\n")
        try:
            return self._found(url.path.removeprefix(_ROOT), dict(parse_qsl(url.query)))
        except KeyError as unknown:
            return _text(HTTPStatus.NOT_FOUND, f"not supported in rehearsal: {unknown.args[0]} of {url.path}")

    def _found(self, path: str, given: dict[str, str]) -> Answer:
        """What is at the path below the root; KeyError with the name of what is not known."""
        plain = {
            "project/project-id": self._account.project,
            "universe/universe-domain": UNIVERSE,
            f"{_ACCOUNTS}default/email": self._account.email,
        }
        account = path.removeprefix(_ACCOUNTS).removeprefix("default/").removeprefix(f"{self._account.email}/")
        if path in plain:
            answer = _text(HTTPStatus.OK, plain[path])
        elif account == "" and given.pop("recursive", None) == "true":
            about = {"aliases": ["default"], "email": self._account.email, "scopes": [CLOUD_PLATFORM]}
            answer = _json(about)
        elif account == "token":
            scopes = [scope for scope in given.pop("scopes", "").split(",") if scope]
            token, seconds = self._identity.access_token(self._account, scopes or [CLOUD_PLATFORM])
            answer = _json({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})
        elif account == "identity" and given.pop("format", None) == "full" and "audience" in given:
            # Full and standard differ for a virtual machine only: what it is called, its zone.
            answer = _text(HTTPStatus.OK, self._identity.id_token(self._account, given.pop("audience")))
        else:
            raise KeyError("the value")
        for name in given:
            raise KeyError(f"query parameter {name}")
        return answer


def _encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, {**_FLAVOR, "Content-Type": "application/text"}, text.encode())


def _json(content: Mapping[str, Any]) -> Answer:
    return Answer(HTTPStatus.OK, {**_FLAVOR, "Content-Type": "application/json"}, json.dumps(content).encode())
