"""Our check of Signature Version 4, held against signatures that others made.

AWS's own examples, which botocore's source archive carries; AWS's other implementation of signing, awscrt; botocore,
for what its clients send. Each is accepted as it is, and refused with one thing changed.
"""

import importlib
import io
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.clouds.aws import Aws
from orchestrator.rehearsal.aws.sigv4 import AccessKey, SignatureError, Signer, verify
from orchestrator.rehearsal.front_door import Answer, Listener, Request
from orchestrator.settings import AwsCompute
from stacks.contracts import ComputeOutputs
from stacks.naming import Names

# The key and the date of AWS's examples.
KEY = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HOST = "example.amazonaws.com"


@dataclass(frozen=True)
class Signed:
    """A request with its signature; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def signer(self) -> Signer:
        """Who signed it, as far as our check says; SignatureError when it says that nobody did."""
        key = replace(KEY, session_token=self.headers.get("x-amz-security-token"))
        return verify(
            method=self.method,
            url=f"https://{HOST}{self.target}",
            headers=self.headers,
            body=self.body,
            key_of={KEY.key_id: key}.get,
            now=NOW,
        )

    def changed(self) -> Iterator["Signed"]:
        """The same request with one thing changed in each: all that a signature is to protect."""
        path, mark, query = self.target.partition("?")
        yield replace(self, method="DELETE" if self.method != "DELETE" else "GET")
        yield replace(self, target=f"{path}x{mark}{query}")
        yield replace(self, target=f"{path}{mark}{query}&more=1" if mark else f"{path}?more=1")
        if "x-amz-content-sha256" not in self.headers:  # Of S3's, the gate compares it with the body.
            yield replace(self, body=self.body + b" ")
        authorization = self.headers["authorization"]
        for name in re.findall("SignedHeaders=([^,]+)", authorization)[0].split(";"):
            if name != "x-amz-security-token":  # The key would have to know of it.
                yield replace(self, headers={**self.headers, name: f"{self.headers[name]}1"})
                yield replace(self, headers={key: value for key, value in self.headers.items() if key != name})
        for old, new in (("/aws4_request", "x/aws4_request"), ("us-east-1", "us-east-2"), ("20150830", "20150831")):
            yield self._authorized(authorization.replace(old, new, 1))
        last = authorization[-1]
        yield self._authorized(authorization[:-1] + ("1" if last == "0" else "0"))
        yield self._authorized(re.sub("SignedHeaders=([^,]+)", r"SignedHeaders=\1;x-more", authorization))

    def _authorized(self, authorization: str) -> "Signed":
        return replace(self, headers={**self.headers, "authorization": authorization})


def check_changes(signed: Signed) -> None:
    """Nothing that was changed passes."""
    for changed in signed.changed():
        with pytest.raises(SignatureError):
            changed.signer()


# ---- AWS's examples


def example(path: Path) -> Signed:
    """From the text of a signed request: a header that comes twice is one, with a comma, as in RFC 9110, 5.3."""
    head, _, body = path.read_bytes().decode().replace("\r\n", "\n").partition("\n\n")
    first, *lines = re.sub("\n +", " ", head).split("\n")
    method, target = re.fullmatch("([A-Z]+) (.*) HTTP/1.1", first).groups()  # type: ignore[union-attr]
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        known = headers.get(name.lower())
        headers[name.lower()] = value.strip() if known is None else f"{known},{value.strip()}"
    # In one of the signed requests the signature is made up; botocore's own test takes this one, too.
    headers["authorization"] = path.with_suffix(".authz").read_text().strip()
    return Signed(method, target, headers, body.encode())


def test_awss_examples(part: Callable[[str], Path]) -> None:
    (suite,) = part("botocore").glob("botocore-*/tests/unit/auth/aws4_testsuite")
    examples = sorted(suite.rglob("*.sreq"))
    assert len(examples) > 30
    for path in examples:
        signed = example(path)
        key = replace(KEY, session_token=signed.headers.get("x-amz-security-token"))
        assert signed.signer() == Signer(key, "service", "us-east-1"), path.stem
        check_changes(signed)


# ---- Generated requests

_SEGMENT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6) | st.sampled_from(
    ["", ".", "..", "a b", "%2F"]
)
PATHS = st.lists(_SEGMENT, max_size=4).map(lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts))
_WORD = st.text(st.characters(codec="utf-8"), max_size=6)
PAIRS = st.tuples(_WORD.filter(bool) | st.sampled_from(["a", "A", "a-b", "ab"]), _WORD)
QUERIES = st.lists(PAIRS, max_size=4).map(
    lambda pairs: "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
)
# What a client may send as it stands; botocore signs only what is encoded already.
RAW_QUERIES = st.text(string.ascii_letters + string.digits + "&=:,/?@!$'()*+;~-._%C", max_size=20).filter(
    lambda query: not re.search("%(?![0-9A-Fa-f]{2})", query)
)
_VALUE = st.text(string.ascii_letters + string.digits + " \t,;=\"'", max_size=12)
HEADERS = st.dictionaries(st.sampled_from(["accept", "x-one", "X-Two", "content-type"]), _VALUE, max_size=3)
BODIES = st.binary(max_size=20)
TOKENS = st.none() | st.just("session/token+==")
EXAMPLES = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="session")
def crt(part: Callable[[str], Path]) -> Iterator[dict[str, ModuleType]]:
    """AWS's C implementation, by its modules."""
    library = str(part("awscrt") / "lib")
    sys.path.insert(0, library)
    yield {name: importlib.import_module(f"awscrt.{name}") for name in ("auth", "http", "io")}
    sys.path.remove(library)


def crt_signed(
    crt: Mapping[str, ModuleType],
    request: Signed,
    *,
    service: str,
    token: str | None,
    now: datetime = NOW,
    key: AccessKey = KEY,
) -> Signed:
    """A request, signed by awscrt."""
    of_s3 = service == "s3"
    headers = crt["http"].HttpHeaders([(name, value) for name, value in request.headers.items()])
    body = crt["io"].InputStream(io.BytesIO(request.body)) if request.body else None
    made = crt["http"].HttpRequest(request.method, request.target, headers, body)
    auth = crt["auth"]
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(key.key_id, key.secret, token),
        region="us-east-1",
        service=service,
        date=now,
        use_double_uri_encode=not of_s3,
        should_normalize_uri_path=not of_s3,
        signed_body_header_type=(
            auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256 if of_s3 else auth.AwsSignedBodyHeaderType.NONE
        ),
    )
    signed = auth.aws_sign_request(made, config).result(20)
    return replace(request, headers={name.lower(): value for name, value in signed.headers})


@pytest.mark.parametrize("service", ["lambda", "s3"])
@EXAMPLES
@given(path=PATHS, query=QUERIES | RAW_QUERIES, headers=HEADERS, body=BODIES, token=TOKENS)
def test_what_awscrt_signs(
    *,
    crt: Mapping[str, ModuleType],
    service: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    token: str | None,
) -> None:
    target = f"{path}?{query}" if query else path
    signed = crt_signed(crt, Signed("POST", target, {"host": HOST, **headers}, body), service=service, token=token)
    assert signed.signer() == Signer(replace(KEY, session_token=token), service, "us-east-1")
    check_changes(signed)


@pytest.mark.parametrize("service", ["lambda", "s3"])
@EXAMPLES
@given(path=PATHS, query=QUERIES, headers=HEADERS, body=BODIES, token=TOKENS)
def test_what_botocore_signs(
    *, service: str, path: str, query: str, headers: dict[str, str], body: bytes, token: str | None
) -> None:
    target = f"{path}?{query}" if query else path
    request = AWSRequest("POST", f"https://{HOST}{target}", headers, body)
    signing = S3SigV4Auth if service == "s3" else SigV4Auth
    signing(Credentials(KEY.key_id, KEY.secret, token), service, "us-east-1").add_auth(request)
    sent = {"host": HOST} | {name.lower(): str(value) for name, value in request.headers.items()}
    now = datetime.strptime(sent["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    key = replace(KEY, session_token=token)
    url = f"https://{HOST}{target}"
    signer = verify(method="POST", url=url, headers=sent, body=body, key_of={KEY.key_id: key}.get, now=now)
    assert signer == Signer(key, service, "us-east-1")


# ---- Our client


@pytest.mark.parametrize("token", [None, "session/token+=="], ids=["user", "session"])
def test_our_client_signs_as_awscrt_does(
    *, crt: Mapping[str, ModuleType], names: Names, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer(200, {}, b'{"counts": {}, "rows": 0, "chart_png": "iVBORw0KGgo="}')

    listener = Listener(answer)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret)
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    else:
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    client = Aws(AwsCompute(cloud="aws", region="us-east-1"), names, title="Hail", source="NOAA")
    package: Any = None
    client.invoke(ComputeOutputs(function="hop", url=f"{listener.url}/"), package)
    listener.close()
    (request,) = seen
    now = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    plain = Signed("GET", "/", {name: request.headers[name] for name in ("host", "accept")}, b"")
    theirs = crt_signed(crt, plain, service="lambda", token=token, now=now)
    assert request.headers["authorization"] == theirs.headers["authorization"]
    assert request.headers.get("x-amz-security-token") == theirs.headers.get("x-amz-security-token")
