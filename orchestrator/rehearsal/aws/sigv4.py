"""Checks a request's AWS Signature Version 4, as every front door of AWS does.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_to_bytes, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_MISMATCH = "The request signature we calculated does not match the signature you provided."
_ADVICE_OF_S3 = "Check your key and signing method."
_ADVICE = "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
_TOLERANCE = timedelta(minutes=5)


class SignatureError(Exception):
    """The request is not signed by a known key, for its service, in time."""


class NotSignedError(SignatureError):
    """There is no signature."""


class UnknownKeyError(SignatureError):
    """Nobody has a key of that id."""


class WrongTokenError(SignatureError):
    """The session's token is not the key's."""


@dataclass(frozen=True)
class AccessKey:
    """A user's credentials, or those of a role's session: then with ``session_token`` and ``role_arn``."""

    key_id: str
    secret: str
    session_token: str | None = None
    role_arn: str | None = None


@dataclass(frozen=True)
class Signer:
    """Who signed a request, and for which service and region."""

    key: AccessKey
    service: str
    region: str


def claimed_service(headers: Mapping[str, str]) -> str:
    """The service that a request says it is for, whether its signature holds or not."""
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    return match["service"] if match else "unknown"


def verify(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    key_of: Callable[[str], AccessKey | None],
    now: datetime,
) -> Signer:
    """Who signed the request. ``headers`` has lower-case names; ``url`` is whole.

    S3's clients sign a hash of the body that they send along, or say that they did not make one: for S3 it is the
    caller who compares it with the body.

    Raises:
        SignatureError: why not, in AWS's words.
    """
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise NotSignedError("Missing Authentication Token")
    stamp = headers.get("x-amz-date", "")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError("X-Amz-Date is missing or malformed") from error
    if abs(now - signed_at) > _TOLERANCE:
        raise SignatureError(f"Signature expired: {stamp}")
    if not stamp.startswith(match["date"]):
        raise SignatureError(f"Date in Credential scope does not match the date of the request: {stamp}")
    names = match["headers"].split(";")
    if "host" not in names:
        raise SignatureError("'Host' must be a signed header")
    key = key_of(match["key"])
    if key is None:
        raise UnknownKeyError("The security token included in the request is invalid")
    if headers.get("x-amz-security-token") != key.session_token:
        raise WrongTokenError("The security token included in the request is invalid")
    body_hash = headers.get("x-amz-content-sha256")
    if match["service"] != "s3" and body_hash not in (None, hashlib.sha256(body).hexdigest()):
        raise SignatureError("The provided 'x-amz-content-sha256' header does not match what was computed")
    request = AWSRequest(method, _canonical(url), {name: headers[name] for name in names if name in headers}, body)
    request.context["timestamp"] = stamp
    # S3 signs the path as it stands, the others a normalised one.
    signing = S3SigV4Auth if match["service"] == "s3" else SigV4Auth
    auth = signing(Credentials(key.key_id, key.secret), match["service"], match["region"])
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if not set(names) <= set(headers) or not hmac.compare_digest(expected, match["signature"]):
        raise SignatureError(f"{_MISMATCH} {_ADVICE_OF_S3 if match['service'] == 's3' else _ADVICE}")
    return Signer(key, match["service"], match["region"])


def _canonical(url: str) -> str:
    """The URL with its query as it is signed, each name and value encoded anew: botocore takes it as it stands."""
    split = urlsplit(url)
    pairs = [pair.partition("=") for pair in split.query.split("&") if pair]
    query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs)
    return split._replace(query=query).geturl()


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")
