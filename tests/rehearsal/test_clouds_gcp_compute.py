"""What a run asks of Google Cloud's compute side besides its stack: may it run there, an ID token, the package."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth import exceptions
from google.oauth2 import id_token

from orchestrator import deadlines
from orchestrator.clouds.gcp_compute import LAYOUT, GoogleCompute
from orchestrator.clouds.invocation import FunctionError
from orchestrator.errors import UsageError
from orchestrator.package import Layout, Package
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.settings import GcpCompute
from stacks.contracts import ComputeOutputs
from stacks.naming import Names
from tests.rehearsal.compute_clouds import Case, ComputeClouds
from tests.rehearsal.test_compute_contract import ROWS, Up

RESOLUTION = (
    "To fix it: use a service account, or log in with the same account in both: `gcloud auth login` and `gcloud auth "
    "application-default login`; in CI with workload identity, set gcloud up as well."
)
CHECK = (
    "To fix it: check data.project ({}), that the Cloud Run, IAM and Cloud Storage APIs are enabled in it, and the "
    "caller's roles; then run again."
)


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud]) -> GoogleCloud:
    return start_google()


@pytest.fixture
def client(google: GoogleCloud, names: Names) -> Callable[..., GoogleCompute]:
    def make(project: str = google.project, **settings: Any) -> GoogleCompute:
        chosen = GcpCompute.model_validate({"cloud": "gcp"} | settings)
        return GoogleCompute(chosen, names, project=project, title="Hail in March", source="a test")

    return make


def refusal(cloud: GoogleCompute) -> str:
    with pytest.raises(UsageError) as raised:
        cloud.preflight()
    return str(raised.value)


def test_another_project(client: Callable[..., GoogleCompute]) -> None:
    assert refusal(client(project="somebody-elses")) == (
        "Google Cloud does not accept the caller\n"
        "  Permission denied on resource project somebody-elses. (403)\n" + CHECK.format("somebody-elses")
    )


@pytest.mark.parametrize("api", ["run.googleapis.com", "iam.googleapis.com"])
def test_an_api_that_is_not_enabled(google: GoogleCloud, client: Callable[..., GoogleCompute], api: str) -> None:
    google.access.disabled = {api}
    said = refusal(client())
    assert said.startswith(
        "Google Cloud does not accept the caller\n"
        f"  {api} has not been used in project rehearsal-project before or it is disabled. Enable it by visiting https://"
    )
    assert said.endswith(CHECK.format("rehearsal-project"))


def test_what_resource_manager_does_not_say_is_not_missing(
    google: GoogleCloud, client: Callable[..., GoogleCompute]
) -> None:
    google.access.disabled = {"cloudresourcemanager.googleapis.com"}
    google.access.withheld = {"run.services.delete"}
    client().preflight()


def test_a_region_that_cloud_run_does_not_have(client: Callable[..., GoogleCompute]) -> None:
    said = refusal(client(region="us-centrall1"))
    assert said.startswith("Cloud Run has no region us-centrall1\n  It has africa-south1, ")
    assert said.endswith("\nTo fix it: set compute.region to us-central1, then run again.")


def test_a_caller_who_may_not_delete(google: GoogleCloud, client: Callable[..., GoogleCompute]) -> None:
    google.access.withheld = {"run.services.delete", "iam.serviceAccounts.delete"}
    assert refusal(client()) == (
        "The caller may not do in Google Cloud what a run needs, destroying included\n"
        "  missing:\n"
        "  run.services.delete\n"
        "  iam.serviceAccounts.delete\n"
        "To fix it: give the caller the roles roles/run.admin, roles/iam.serviceAccountAdmin, "
        "roles/iam.serviceAccountUser and roles/storage.admin in the project rehearsal-project."
    )


def test_a_metadata_server_that_gives_no_token(
    client: Callable[..., GoogleCompute], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise exceptions.TransportError("the metadata server answered 403")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(id_token, "fetch_id_token", refuse)
    assert refusal(client()) == (
        "Google Cloud does not accept the caller\n  the metadata server answered 403\n"
        + CHECK.format("rehearsal-project")
    )


# ---- a person's login, which google-auth cannot make an ID token of


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str | None], None]:
    """Somebody who has logged in; the text is that of the gcloud on PATH."""

    def log_in(gcloud: str | None) -> None:
        def none(*_: object) -> None:
            raise exceptions.DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

        monkeypatch.setattr(id_token, "fetch_id_token", none)
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
        if gcloud is not None:
            (folder / "gcloud").write_text(f"#!/bin/sh\n{gcloud}\n")
            (folder / "gcloud").chmod(0o700)

    return log_in


def test_gclouds_own_token_is_taken(client: Callable[..., GoogleCompute], person: Callable[[str], None]) -> None:
    person('echo "token for $*"')
    assert client()._id_token("https://hop") == "token for auth print-identity-token --audiences=https://hop"
    client().preflight()


def test_a_persons_token_has_no_audience(client: Callable[..., GoogleCompute], person: Callable[[str], None]) -> None:
    person('test $# = 2 && echo token || { echo "Invalid account type for --audiences" >&2; exit 1; }')
    assert client()._id_token("https://hop") == "token"


def test_no_gcloud(client: Callable[..., GoogleCompute], person: Callable[[None], None]) -> None:
    person(None)
    assert refusal(client()) == (
        "There is no ID token with these Google Cloud credentials, and the function asks for one\n"
        "  google-auth makes one for a service account only; gcloud, which can for others, is not on PATH.\n"
        + RESOLUTION
    )


def test_a_gcloud_that_nobody_has_logged_in_with(
    client: Callable[..., GoogleCompute], person: Callable[[str], None]
) -> None:
    person("echo 'You do not currently have an active account selected.' >&2; exit 1")
    assert refusal(client()) == (
        "gcloud gave no ID token\n  You do not currently have an active account selected.\n" + RESOLUTION
    )


def test_the_package_is_one_zip_with_the_libraries_in_a_folder(pack: Callable[[Layout], Package]) -> None:
    packed = pack(LAYOUT)
    assert packed.layer is None
    with zipfile.ZipFile(packed.function.path) as archive:
        names = archive.namelist()
    assert {"gcp_main.py", "analysis.py", "chart.py"} <= set(names)
    for library in ("functions_framework", "google/cloud/storage", "pandas"):
        assert f"libraries/{library}/__init__.py" in names


# ---- a permission that is not known yet


@pytest.fixture
def up(compute_clouds: ComputeClouds, new_stack: Callable[[], Any]) -> Iterator[tuple[Case, ComputeOutputs, Any]]:
    """A service that is up; what takes away and gives back its account's permission."""
    case = compute_clouds.case("gcp")
    case.data.extract(ROWS)
    stack = Up(new_stack(), case)
    stack.wait()
    yield case, stack.outputs.result(0), compute_clouds.google.storage
    stack.stack.destroy(lambda _: None)


def test_a_permission_that_comes_to_be_known_is_waited_for(
    up: tuple[Case, ComputeOutputs, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, function, storage = up
    refused = []
    allowed = storage.allows

    def not_yet(*arguments: Any) -> bool:
        refused.append(arguments)
        return len(refused) > 2 and allowed(*arguments)

    monkeypatch.setattr(storage, "allows", not_yet)
    assert case.cloud.invoke(function, case.package).rows == 3
    assert len(refused) == 4  # Two refusals, then what the bucket says of the object, and the object.


def test_a_permission_that_never_comes_is_told(
    up: tuple[Case, ComputeOutputs, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, function, storage = up
    monkeypatch.setattr(storage, "allows", lambda *_: False)
    monkeypatch.setattr(deadlines, "FUNCTION_READY", 0.0)
    with pytest.raises(FunctionError) as raised:
        case.cloud.invoke(function, case.package)
    assert raised.value.brief == "The function answered 503"
    assert "does not have storage.objects.get access" in str(raised.value.details)
