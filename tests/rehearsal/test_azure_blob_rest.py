"""The blob endpoint, over HTTPS."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest
import requests

from orchestrator.rehearsal.azure import sas
from orchestrator.rehearsal.azure.cloud import AzureCloud
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, Apps

CONTENT = b"event_begin_time,magnitude\n"


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


@pytest.fixture
def apps(azure: AzureCloud) -> Apps:
    return Apps(azure)


def get(url: str, method: str = "GET", **headers: str) -> requests.Response:
    return requests.request(method, url, headers=headers, timeout=30)


def error(answer: requests.Response) -> tuple[int, str]:
    """(status, code), the same in header and body."""
    code = answer.headers["x-ms-error-code"]
    assert answer.headers["content-type"] == "application/xml"
    assert f"<Code>{code}</Code>" in answer.content.decode("utf-8-sig")
    return answer.status_code, code


def test_a_blob(apps: Apps) -> None:
    url = apps.blob("extract.csv", CONTENT)
    answer = get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-md5"] == b64encode(hashlib.md5(CONTENT).digest()).decode()  # noqa: S324 - Azure's
    assert (answer.headers["content-type"], answer.headers["x-ms-blob-type"]) == ("application/zip", "BlockBlob")
    head = get(url, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(CONTENT))


def test_refusals_in_storages_words(apps: Apps) -> None:
    url = apps.blob("extract.csv", CONTENT)
    expired = get(apps.signed("extract.csv", expires=timedelta(seconds=-1)))
    assert error(expired) == (403, "AuthenticationFailed")
    assert "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [" in expired.text
    assert (
        "<Message>Server failed to authenticate the request. Make sure the value of Authorization header is formed "
        "correctly including the signature.\nRequestId:"
    ) in expired.text
    changed = get(url.replace("extract.csv?", "package.zip?"))
    assert error(changed) == (403, "AuthenticationFailed")
    assert "<AuthenticationErrorDetail>Signature did not match. String to sign used was r\n" in changed.text
    assert error(get(url.replace("sp=r", "sp=rw"))) == (403, "AuthenticationFailed")
    assert error(get(apps.signed("other.csv"))) == (404, "BlobNotFound")


def test_a_container_or_an_account_that_is_gone(apps: Apps) -> None:
    url = apps.blob("extract.csv", CONTENT)
    apps.azure.storage.delete_container(GROUP, ACCOUNT, "data")
    assert error(get(url)) == (404, "ContainerNotFound")
    apps.azure.subscription.delete_group(GROUP)
    assert error(get(url)) == (404, "ResourceNotFound")


def test_nothing_is_public(apps: Apps, azure: AzureCloud) -> None:
    url = apps.blob("extract.csv", CONTENT).partition("?")[0]
    assert error(get(url)) == (409, "PublicAccessNotPermitted")
    azure.storage.create_account(
        GROUP, "public", location="eastus", tags={}, public_allowed=True, shared_keys_allowed=True
    )
    azure.storage.create_container(GROUP, "public", "data")
    azure.storage.put_blob(GROUP, "public", "data", "extract.csv", content=CONTENT, content_type="text/csv")
    assert error(get(f"{azure.storage.endpoint}/public/data/extract.csv")) == (404, "ResourceNotFound")


def test_no_shared_keys_no_signatures(apps: Apps, azure: AzureCloud) -> None:
    url = apps.blob("extract.csv", CONTENT)
    account = azure.storage.account_named(ACCOUNT)
    assert account is not None
    account.shared_keys_allowed = False
    assert error(get(url)) == (403, "KeyBasedAuthenticationNotPermitted")


@pytest.mark.parametrize(
    ("method", "change", "headers", "named"),
    [
        ("POST", "", {}, "POST /hopaccount/data/extract.csv (405 Method Not Allowed)"),
        ("GET", "", {"Authorization": "SharedKey hopaccount:x"}, "header authorization"),
        ("GET", "", {"x-ms-range-get-content-md5": "true"}, "header x-ms-range-get-content-md5"),
        ("GET", "&comp=metadata", {}, "query parameter comp"),
    ],
)
def test_all_else_is_refused_by_name(
    *, apps: Apps, method: str, change: str, headers: dict[str, str], named: str
) -> None:
    answer = get(apps.blob("extract.csv", CONTENT) + change, method, **headers)
    assert error(answer) == (501, "NotImplemented")
    assert f"<Message>not supported in rehearsal: {named}\nRequestId:" in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_who_may_write_does_it_elsewhere(apps: Apps, azure: AzureCloud, method: str) -> None:
    url = apps.blob("extract.csv", CONTENT).partition("?")[0]
    fields = {"sv": "2015-04-05", "sr": "b", "se": "2099-01-01T00:00:00Z", "sp": "rwd"}
    key = azure.storage.list_keys(GROUP, ACCOUNT)["key1"]
    answer = get(f"{url}?{sas.sign(key, f'/blob/{ACCOUNT}/data/extract.csv', fields)}", method)
    assert error(answer) == (501, "NotImplemented")
    assert f"not supported in rehearsal: {method} /hopaccount/data/extract.csv\n" in answer.text
