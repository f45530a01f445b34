"""A stand-in project's REST API: what the caller may do, which services are enabled, service accounts."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.rest import CloudError

Call = Callable[..., tuple[int, Any, Any]]
PROJECT = "/v1/projects/rehearsal-project"
CALLER = "rehearsal@rehearsal-project.iam.gserviceaccount.com"


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud]) -> GoogleCloud:
    return start_google()


def error(code: int, status: str, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"error": {"code": code, "message": message, "status": status}}


# ---- permissions


def test_the_caller_is_told_what_he_may_do(google: GoogleCloud, call_google: Call) -> None:
    asked = {"permissions": ["run.services.create", "run.services.delete", "storage.buckets.create"]}
    assert call_google("POST", f"{PROJECT}:testIamPermissions", asked)[:2] == (200, asked)
    google.access.withheld |= {"run.services.delete", "storage.buckets.create"}
    assert call_google("POST", f"{PROJECT}:testIamPermissions", asked)[1] == {"permissions": ["run.services.create"]}
    google.access.withheld.add("run.services.create")
    assert call_google("POST", f"{PROJECT}:testIamPermissions", asked)[:2] == (200, {})


# ---- service accounts


def test_service_accounts_come_in_pages_of_twenty(google: GoogleCloud, call_google: Call) -> None:
    for number in range(20):
        google.access.create_account(f"hop-account-{number:02}", description="expires soon", display_name="")
    status, first, _ = call_google("GET", f"{PROJECT}/serviceAccounts")
    assert (status, len(first["accounts"])) == (200, 20)
    account = first["accounts"][0]
    assert len(account["uniqueId"]) == 21
    assert account == {
        "name": "projects/rehearsal-project/serviceAccounts/hop-account-00@rehearsal-project.iam.gserviceaccount.com",
        "projectId": "rehearsal-project",
        "uniqueId": account["oauth2ClientId"],
        "email": "hop-account-00@rehearsal-project.iam.gserviceaccount.com",
        "oauth2ClientId": account["uniqueId"],
        "description": "expires soon",
    }
    rest = call_google("GET", f"{PROJECT}/serviceAccounts?pageToken={first['nextPageToken']}")[1]
    assert [account["email"] for account in rest["accounts"]] == [CALLER]
    assert "nextPageToken" not in rest
    assert len(call_google("GET", f"{PROJECT}/serviceAccounts?pageSize=100")[1]["accounts"]) == 21


def test_a_service_account_is_deleted(google: GoogleCloud, call_google: Call) -> None:
    email = google.access.create_account("hop-reader", description="", display_name="").email
    assert call_google("DELETE", f"{PROJECT}/serviceAccounts/{email}")[:2] == (200, {})
    assert [account.email for account in google.access.accounts()] == [CALLER]
    gone = error(404, "NOT_FOUND", f"Unknown service account: {email}")
    assert call_google("DELETE", f"{PROJECT}/serviceAccounts/{email}")[:2] == gone
    google.access.withheld.add("iam.serviceAccounts.delete")
    assert call_google("DELETE", f"{PROJECT}/serviceAccounts/{email}")[0] == 403


@pytest.mark.parametrize("name", ["short", "a" * 31, "Hop-reader", "1hop-reader", "hop-reader-", "hop_reader"])
def test_a_service_account_that_iam_would_not_take(google: GoogleCloud, name: str) -> None:
    with pytest.raises(CloudError) as caught:
        google.access.create_account(name, description="", display_name="")
    message = f"account_id ({name!r}) does not match [a-z]([-a-z0-9]{{4,28}}[a-z0-9])"
    assert (caught.value.status, caught.value.reason, caught.value.message) == (400, "INVALID_ARGUMENT", message)


def test_a_service_account_is_made_once(google: GoogleCloud) -> None:
    google.access.create_account("a" * 30, description="x" * 256, display_name="")
    for name, description, said in (
        ("a" * 30, "", (409, f"Service account {'a' * 30} already exists within project projects/rehearsal-project.")),
        ("hop-reader", "x" * 257, (400, "The description has over 256 bytes.")),
    ):
        with pytest.raises(CloudError) as caught:
            google.access.create_account(name, description=description, display_name="")
        assert (caught.value.status, caught.value.message) == said


# ---- what is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        (
            "POST",
            "/v1/projects/other:testIamPermissions",
            {"permissions": []},
            error(403, "PERMISSION_DENIED", "Permission denied on resource project other."),
        ),
        (
            "GET",
            "/v1/projects/other/serviceAccounts",
            None,
            error(403, "PERMISSION_DENIED", "Permission denied on resource project other."),
        ),
    ],
)
@pytest.mark.usefixtures("google")
def test_what_the_api_refuses(
    call_google: Call, method: str, path: str, body: Any, answer: tuple[int, dict[str, Any]]
) -> None:
    assert call_google(method, path, body)[:2] == answer


@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("POST", f"{PROJECT}:testIamPermissions", {"permissions": [], "x": 1}, "field x of the request"),
        ("POST", f"{PROJECT}:getIamPolicy", {}, f"POST {PROJECT}:getIamPolicy (404 Not Found)"),
        ("POST", f"{PROJECT}/serviceAccounts", {}, f"POST {PROJECT}/serviceAccounts (405 Method Not Allowed)"),
        (
            "GET",
            f"{PROJECT}/serviceAccounts?filter=x",
            None,
            f"query parameter filter of GET {PROJECT}/serviceAccounts",
        ),
    ],
)
@pytest.mark.usefixtures("google")
def test_what_the_stand_in_does_not_know(call_google: Call, method: str, path: str, body: Any, what: str) -> None:
    status, answer, _ = call_google(method, path, body)
    assert (status, answer["error"]["message"]) == (501, f"not supported in rehearsal: {what}")
