"""Shared access signatures: our endpoint and Azurite take and refuse the same, whoever signed."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from azure.storage.blob import BlobSasPermissions, ContainerSasPermissions, generate_container_sas

from orchestrator.rehearsal.azure import sas
from orchestrator.rehearsal.azure.cloud import AzureCloud
from tests.contract.azure.blob_stores import ACCOUNT, BLOB, CONTENT, GROUP, ODD, Reader

WRITE = BlobSasPermissions(write=True)
NOT_AUTHENTICATED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
    "including the signature."
)


# ---- signatures that open a blob


@pytest.mark.parametrize("name", [BLOB, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"protocol": "https"}, id="https"),
        pytest.param({"protocol": "https,http"}, id="https and http"),
        pytest.param({"start": datetime.now(UTC) - timedelta(minutes=5)}, id="since five minutes ago"),
        pytest.param({"start": "2026-01-01", "expiry": "2099-01-01"}, id="days"),
        pytest.param(
            {"start": "2026-01-01T00:00Z", "expiry": "2099-01-01T00:00:00.0000000Z"}, id="other forms of time"
        ),
        pytest.param({"permission": "racwd"}, id="more permissions"),
    ],
)
def test_what_azures_library_signs_opens_the_blob(reader: Reader, name: str, given: dict[str, Any]) -> None:
    answer = reader.ask(name, reader.signature(name, **given))
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_either_key_signs(reader: Reader) -> None:
    assert reader.ask(BLOB, reader.signature(BLOB, account_key=reader.keys["key2"])).status_code == 200


def test_a_containers_signature_opens_each_blob_in_it(reader: Reader) -> None:
    signature = generate_container_sas(
        ACCOUNT,
        "data",
        account_key=reader.keys["key1"],
        permission=ContainerSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(minutes=5),
    )
    assert [reader.ask(name, signature).status_code for name in (BLOB, ODD)] == [200, 200]
    assert reader.ask(BLOB, signature, "other").status_code == 403


@pytest.mark.parametrize(
    ("resource", "path"), [("b", f"/{BLOB}"), ("b", f"/{ODD}"), ("c", "")], ids=["blob", "odd", "container"]
)
def test_what_our_resource_manager_signs_opens_the_blob(
    reader: Reader, blob_cloud: AzureCloud, resource: str, path: str
) -> None:
    signature = blob_cloud.storage.list_service_sas(
        GROUP,
        ACCOUNT,
        canonical=f"/blob/{ACCOUNT}/data{path}",
        resource=resource,
        permissions="r",
        protocols="https",
        expires="2099-01-01T00:00:00Z",
    )
    name = path.removeprefix("/") or BLOB
    assert (reader.ask(name, signature).status_code, reader.ask(name, signature, "other").status_code) == (200, 403)


# What is signed changed with 2018-11-09 and 2020-12-06: each is an edge of it.
@pytest.mark.parametrize(
    "version", ["2015-04-05", "2018-03-28", "2018-11-09", "2020-10-02", "2020-12-06", "2025-11-05", "2026-10-06"]
)
def test_we_sign_for_every_version_as_it_is_read(reader: Reader, version: str) -> None:
    fields = {"sv": version, "sr": "b", "st": "2026-01-01T00:00:00Z", "se": "2099-01-01T00:00:00Z", "sp": "r"}
    signature = sas.sign(reader.keys["key1"], f"/blob/{ACCOUNT}/data/{BLOB}", {**fields, "spr": "https"})
    assert reader.ask(BLOB, signature).content == CONTENT


def test_what_the_signature_says_of_the_answers_headers(reader: Reader) -> None:
    signature = reader.signature(
        BLOB,
        cache_control="no-store",
        content_disposition="attachment",
        content_encoding="identity",
        content_language="en",
        content_type="text/plain",
    )
    answer = reader.ask(BLOB, signature)
    assert {name: answer.headers.get(name) for name in sas.OVERRIDES.values()} == {
        "Cache-Control": "no-store",
        "Content-Disposition": "attachment",
        "Content-Encoding": "identity",
        "Content-Language": "en",
        "Content-Type": "text/plain",
    }


# ---- signatures that do not


def soon(**after: float) -> datetime:
    return datetime.now(UTC) + timedelta(**after)


def wrong(reader: Reader, how: str) -> requests.Response:
    """A request whose signature does not open the blob."""
    right = reader.signature(BLOB)
    if how == "for another blob":
        return reader.ask(BLOB, reader.signature(ODD))
    if how == "for another container":
        return reader.ask(BLOB, right, "other")
    changed = {
        "over": reader.signature(BLOB, expiry=soon(seconds=-2)),
        "not yet": reader.signature(BLOB, start=soon(minutes=2)),
        "another key": reader.signature(BLOB, account_key="c29tZSBvdGhlciBrZXk="),
        "more permissions": right.replace("sp=r", "sp=rw"),
        "a later end": re.sub(r"se=[^&]+", "se=2099-01-01T00%3A00%3A00Z", right),
        "another signature": right.replace("sig=", "sig=A"),
        "the container's": right.replace("sr=b", "sr=c"),
        "no signature": re.sub(r"&sig=[^&]+", "", right),
        "no permissions": re.sub(r"&?sp=[^&]+", "", right),
        "no end": re.sub(r"&?se=[^&]+", "", right),
        "no version": re.sub(r"&?sv=[^&]+", "", right),
        "no resource": re.sub(r"&?sr=[^&]+", "", right),
    }
    return reader.ask(BLOB, changed[how])


WRONG = (
    "over", "not yet", "another key", "more permissions", "a later end", "another signature", "the container's",
    "for another blob", "for another container", "no signature", "no permissions", "no end", "no version",
    "no resource",
)  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_a_signature_that_is_wrong_opens_nothing(reader: Reader, how: str) -> None:
    answer = wrong(reader, how)
    assert reader.refused(answer)[0] == 403
    assert CONTENT not in answer.content


@pytest.mark.differs(
    "Azurite says AuthorizationFailure of every signature that it refuses",
    "https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes",
)
def test_a_signature_that_is_wrong_is_refused_in_storages_words(reader: Reader) -> None:
    expected = (403, "AuthenticationFailed", NOT_AUTHENTICATED)
    assert {how: reader.refused(wrong(reader, how)) for how in WRONG} == dict.fromkeys(WRONG, expected)


@pytest.mark.differs(
    "Azurite takes an end that is no time for one that never comes",
    "https://learn.microsoft.com/rest/api/storageservices/formatting-datetime-values",
)
def test_an_end_that_is_no_time(reader: Reader) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB, expiry="tomorrow"))
    assert reader.refused(answer) == (403, "AuthenticationFailed", NOT_AUTHENTICATED)


@pytest.mark.parametrize(
    ("method", "given", "code", "message"),
    [
        ("GET", {"permission": WRITE}, "AuthorizationPermissionMismatch", "permission"),
        ("PUT", {}, "AuthorizationPermissionMismatch", "permission"),
        ("DELETE", {}, "AuthorizationPermissionMismatch", "permission"),
        ("DELETE", {"permission": WRITE}, "AuthorizationPermissionMismatch", "permission"),
        ("GET", {"protocol": "http"}, "AuthorizationProtocolMismatch", "protocol"),
    ],
)
def test_a_signature_that_is_for_something_else(
    *, reader: Reader, method: str, given: dict[str, Any], code: str, message: str
) -> None:
    answer = reader.ask(BLOB, reader.signature(BLOB, **given), method=method, x_ms_blob_type="BlockBlob")
    assert reader.refused(answer) == (
        403,
        code,
        f"This request is not authorized to perform this operation using this {message}.",
    )
    assert reader.ask(BLOB, reader.signature(BLOB)).content == CONTENT


@pytest.mark.differs(
    "Azurite has no setting that forbids public access to an account, and says AuthorizationFailure",
    "https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-prevent",
)
def test_nobody_reads_without_a_signature(reader: Reader) -> None:
    assert reader.refused(reader.ask(BLOB, "")) == (
        409,
        "PublicAccessNotPermitted",
        "Public access is not permitted on this storage account.",
    )
