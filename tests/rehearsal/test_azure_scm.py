"""The deployment site of a flex app: what it takes, and how it tells the outcome."""

import io
import time
import zipfile
from collections.abc import Callable

import pytest
import requests

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.directory import AUDIENCE
from orchestrator.rehearsal.azure.functions import FunctionApp
from tests.rehearsal.azure_apps import ACCOUNT, GROUP, HELLO, Apps, package


@pytest.fixture
def apps(start_azure: Callable[[], AzureCloud]) -> Apps:
    return Apps(start_azure())


@pytest.fixture
def publish(apps: Apps) -> Callable[..., requests.Response]:
    """Hands a package to an app's site."""

    def post(
        app: FunctionApp,
        content: bytes,
        *,
        query: str = "RemoteBuild=False",
        token: str | None = None,
        content_type: str = "application/zip",
    ) -> requests.Response:
        bearer = apps.azure.directory.token(AUDIENCE) if token is None else token
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": content_type}
        url = f"https://{app.scm_host_name}/api/publish?{query}"
        return requests.post(url, headers=headers, data=content, timeout=30)

    return post


@pytest.fixture
def deployment(apps: Apps) -> Callable[..., requests.Response]:
    """What the site says of a deployment."""

    def get(app: FunctionApp, name: str = "latest") -> requests.Response:
        headers = {"Authorization": f"Bearer {apps.azure.directory.token(AUDIENCE)}"}
        return requests.get(f"https://{app.scm_host_name}/api/deployments/{name}", headers=headers, timeout=30)

    return get


def outcome(deployment: Callable[..., requests.Response], app: FunctionApp) -> dict[str, object]:
    """Polls until it is complete; the first answer says that it is not."""
    first = deployment(app)
    assert (first.status_code, first.json()["status"], first.json()["complete"]) == (200, 1, False)
    deadline = time.monotonic() + 30
    while not (answer := deployment(app)).json()["complete"]:
        assert time.monotonic() < deadline
    assert answer.status_code == 200
    said: dict[str, object] = answer.json()
    return said


def test_a_package_is_published(
    apps: Apps, publish: Callable[..., requests.Response], deployment: Callable[..., requests.Response]
) -> None:
    app, content = apps.flex(), package()
    taken = publish(app, content)
    assert taken.status_code == 202
    assert deployment(app, taken.json()).json()["status_text"] == f"Building and Deploying '{taken.json()}'."
    while not (said := deployment(app, taken.json()).json())["complete"]:
        assert said["status"] == 1
    assert (said["id"], said["status"], said["status_text"]) == (taken.json(), 4, "")
    assert apps.ask(app).content == b"hello"
    kept = apps.azure.storage.container(GROUP, ACCOUNT, "packages")["released-package.zip"]
    assert (kept.content.read(), kept.content_type) == (content, "application/zip")


def test_the_next_package_takes_over(
    apps: Apps, publish: Callable[..., requests.Response], deployment: Callable[..., requests.Response]
) -> None:
    app = apps.flex()
    for text in (b"hello", b"goodbye"):
        publish(app, package(HELLO.replace("hello", text.decode())))
        assert outcome(deployment, app)["status"] == 4
        assert apps.ask(app).content == text


def test_one_at_a_time(
    apps: Apps, publish: Callable[..., requests.Response], deployment: Callable[..., requests.Response]
) -> None:
    app = apps.flex()
    publish(app, package())
    second = publish(app, package())
    assert (second.status_code, second.text) == (
        409,
        "There is a deployment currently in progress. Please try again when it completes.",
    )
    assert outcome(deployment, app)["status"] == 4
    assert publish(app, package()).status_code == 202


def _without_host_json() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("folder/host.json", "{}")
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            b"no zip",
            "InvalidPackageContentException: Package content validation failed: the content is no zip package.",
        ),
        (
            _without_host_json(),
            (
                "InvalidPackageContentException: Package content validation failed: Cannot find required host.json "
                "file at root level in the .zip package."
            ),
        ),
    ],
)
def test_a_package_that_is_none_fails_and_the_old_one_stays(
    *,
    apps: Apps,
    publish: Callable[..., requests.Response],
    deployment: Callable[..., requests.Response],
    content: bytes,
    why: str,
) -> None:
    app = apps.flex()
    publish(app, package())
    outcome(deployment, app)
    assert publish(app, content).status_code == 202
    said = outcome(deployment, app)
    assert (said["status"], said["status_text"]) == (3, why)
    assert apps.ask(app).content == b"hello"


def test_no_place_to_keep_the_package(
    apps: Apps, publish: Callable[..., requests.Response], deployment: Callable[..., requests.Response]
) -> None:
    app = apps.flex()
    apps.azure.storage.delete_container(GROUP, ACCOUNT, "packages")
    publish(app, package())
    said = outcome(deployment, app)
    assert (said["status"], said["status_text"]) == (
        3,
        (
            "InaccessibleStorageException: Failed to access storage account for deployment: "
            "BlobUploadFailedException: The "
            "specified container does not exist."
        ),
    )
    assert apps.ask(app).status_code == 404


def test_who_may_not_publish(
    apps: Apps, publish: Callable[..., requests.Response], deployment: Callable[..., requests.Response]
) -> None:
    app = apps.flex()
    for token in ("rubbish", apps.azure.directory.token("https://storage.azure.com/")):
        refused = publish(app, package(), token=token)
        assert (refused.status_code, refused.content) == (401, b"")
    none = deployment(app)
    assert (none.status_code, none.json()) == (404, {"Message": "No deployment 'latest' found."})


def test_what_the_site_does_not_take(apps: Apps, publish: Callable[..., requests.Response]) -> None:
    app = apps.flex()
    assert publish(app, package(), content_type="application/octet-stream").status_code == 415
    remote = publish(app, package(), query="RemoteBuild=True")
    assert (remote.status_code, remote.text) == (
        501,
        "not supported in rehearsal: publishing with {'RemoteBuild': 'True'}; RemoteBuild=False is known",
    )
    mounted = publish(apps.consumption(package()), package())
    assert (mounted.status_code, mounted.text) == (
        501,
        "not supported in rehearsal: POST /api/publish of the deployment site of a Y1 app",
    )
