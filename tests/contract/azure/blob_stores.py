"""The two blob stores that the suite runs on: ours, and Azurite, which Microsoft keeps.

Both have the account ``hopaccount`` with the same two keys, so that a signature is for both. Azurite is told its
accounts by a variable: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobSasPermissions, BlobServiceClient, ContentSettings, generate_blob_sas

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.rest import ArmError
from tests.contract.parts import free_port, serving

GROUP, ACCOUNT = "hop", "hopaccount"
BLOB, ODD, CONTENT = "extract.csv", "folder/March 25+ü.csv", b"event_begin_time,magnitude\n"
# The newest that Azurite 3.35.0 knows; azure-storage-blob would say one that is newer than it.
API = "2025-11-05"


class Store(Protocol):
    """A blob endpoint, and how a test fills it."""

    url: str
    """With the account, without a slash at the end."""

    def make_container(self, name: str) -> bool:
        """Make a private container; whether the name is one."""

    def put(self, container: str, name: str, content: bytes, content_type: str) -> None:
        """Write a block blob."""


class Ours:
    """The stand-in, filled as the stand-in of azure-native fills it."""

    def __init__(self, azure: AzureCloud) -> None:
        self.url = f"{azure.storage.endpoint}/{ACCOUNT}"
        self._storage = azure.storage

    def make_container(self, name: str) -> bool:
        try:
            self._storage.create_container(GROUP, ACCOUNT, name)
        except ArmError as error:
            if error.status != 400:
                raise
            return False
        return True

    def put(self, container: str, name: str, content: bytes, content_type: str) -> None:
        self._storage.put_blob(GROUP, ACCOUNT, container, name, content=content, content_type=content_type)


class Azurite:
    """Azurite, filled by Microsoft's client with the account's key."""

    def __init__(self, url: str, key: str, authority: Path) -> None:
        self.url = f"{url}/{ACCOUNT}"
        self._client = BlobServiceClient(self.url, credential=key, api_version=API, connection_verify=str(authority))

    def make_container(self, name: str) -> bool:
        try:
            self._client.create_container(name)
        except HttpResponseError as error:
            if error.status_code != 400:
                raise
            return False
        return True

    def put(self, container: str, name: str, content: bytes, content_type: str) -> None:
        self._client.get_blob_client(container, name).upload_blob(
            content, content_settings=ContentSettings(content_type=content_type)
        )

    def close(self) -> None:
        self._client.close()


@contextmanager
def azurite(folder: Path, keys: Mapping[str, str], tls: Path) -> Iterator[Azurite]:
    """Azurite from its ``folder``; ``tls`` is the stand-in's folder of certificates."""
    port, server = free_port(), str(tls / "server.pem")
    command = [
        str(folder / "node_modules/.bin/azurite-blob"),
        "--blobPort",
        str(port),
        "--cert",
        server,
        "--key",
        server,
    ]
    with serving(
        [*command, "--inMemoryPersistence", "--disableTelemetry", "--silent"],
        lambda line: "successfully listens" in line,
        {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{keys['key1']}:{keys['key2']}"},
    ):
        store = Azurite(f"https://127.0.0.1:{port}", keys["key1"], tls / "ca.pem")
        yield store
        store.close()


class Reader:
    """Reads a store as who holds a signature does. ``keys`` are the account's, for signing."""

    def __init__(self, store: Store, keys: Mapping[str, str], authority: Path) -> None:
        self.store = store
        self.keys = keys
        self._authority = authority

    def signature(self, name: str, container: str = "data", **given: Any) -> str:
        """What azure-storage-blob signs: for reading one blob for five minutes, but for what is ``given``."""
        for_one_blob: dict[str, Any] = {
            "account_name": ACCOUNT,
            "account_key": self.keys["key1"],
            "container_name": container,
            "blob_name": name,
            "permission": BlobSasPermissions(read=True),
            "expiry": datetime.now(UTC) + timedelta(minutes=5),
        }
        return generate_blob_sas(**for_one_blob | given)

    def ask(
        self, name: str, signature: str, container: str = "data", *, method: str = "GET", **headers: str
    ) -> requests.Response:
        """One request for a blob; an underscore in a header's name is a hyphen."""
        return requests.request(
            method,
            f"{self.store.url}/{container}/{quote(name)}?{signature}",
            headers={header.replace("_", "-"): value for header, value in headers.items()},
            timeout=30,
            verify=str(self._authority),
        )

    def client(self, name: str, container: str = "data", **settings: Any) -> BlobClient:
        """Microsoft's client, with nothing but the blob's URL and its signature."""
        url = f"{self.store.url}/{container}/{quote(name)}?{self.signature(name, container)}"
        return BlobClient.from_blob_url(url, api_version=API, connection_verify=str(self._authority), **settings)

    def refused(self, answer: requests.Response) -> tuple[int, str, str]:
        """(status, code, message) of a refusal; the message without its two last lines, which are of chance."""
        assert answer.headers["content-type"] == "application/xml"
        error = ET.fromstring(answer.content)  # noqa: S314 - the answer of a server of this test
        assert error.tag == "Error"
        code, message = error.findtext("Code", ""), error.findtext("Message", "")
        assert answer.headers["x-ms-error-code"] == code
        matched = re.fullmatch(r"(.*)\nRequestId:(.*)\nTime:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", message)
        assert matched
        assert answer.headers["x-ms-request-id"] == matched[2]
        return answer.status_code, code, matched[1]


@pytest.fixture(scope="session")
def blob_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureCloud]:
    """A stand-in with the account, which no test changes but by new containers."""
    cloud = AzureCloud(tmp_path_factory.mktemp("blob-cloud"))
    cloud.subscription.create_group(GROUP, "eastus", {})
    cloud.storage.create_account(
        GROUP, ACCOUNT, location="eastus", tags={}, public_allowed=False, shared_keys_allowed=True
    )
    yield cloud
    cloud.stop()


def _filled(store: Store, cloud: AzureCloud) -> Reader:
    for container in ("data", "other"):
        assert store.make_container(container)
        store.put(container, BLOB, CONTENT, "text/csv")
    store.put("data", ODD, CONTENT, "text/csv")
    store.put("data", "empty.csv", b"", "text/csv")
    return Reader(store, cloud.storage.list_keys(GROUP, ACCOUNT), cloud.tls.authority)


@pytest.fixture(scope="session")
def our_reader(blob_cloud: AzureCloud) -> Reader:
    return _filled(Ours(blob_cloud), blob_cloud)


@pytest.fixture(scope="session")
def azurite_reader(part: Callable[[str], Path], blob_cloud: AzureCloud) -> Iterator[Reader]:
    keys = blob_cloud.storage.list_keys(GROUP, ACCOUNT)
    with azurite(part("azurite"), keys, blob_cloud.tls.authority.parent) as store:
        yield _filled(store, blob_cloud)


@pytest.fixture
def reader(side: str, request: pytest.FixtureRequest) -> Reader:
    """Reads the containers ``data`` and ``other`` on either side."""
    chosen: Reader = request.getfixturevalue("our_reader" if side == "ours" else "azurite_reader")
    return chosen
