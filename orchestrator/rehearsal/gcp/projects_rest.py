"""The routes of a stand-in project: Resource Manager and IAM, as far as our client uses them.

Both have version 1 and speak of ``projects/...``, so they share one endpoint:
https://cloud.google.com/resource-manager/reference/rest/v1, https://cloud.google.com/iam/docs/reference/rest/v1.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from orchestrator.rehearsal.gcp.identity import ServiceAccount
from orchestrator.rehearsal.gcp.projects import Project
from orchestrator.rehearsal.gcp.rest import only_fields, page, query_parameters

PERMISSIONS: Mapping[str, str | None] = {
    "projects.test_permissions": None,  # Whoever asks may know what he may do.
    "projects.list_accounts": "iam.serviceAccounts.list",
    "projects.delete_account": "iam.serviceAccounts.delete",
}
_IAM = "iam.googleapis.com"
_ACCOUNTS_PAGE = 20
"""Of a request that does not say: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/list."""


def routes(project: Project) -> Blueprint:
    """What the caller may do, service accounts to list and delete."""
    api = Blueprint("projects", __name__, url_prefix="/v1/projects")

    @api.post("/<project_id>:testIamPermissions")
    def test_permissions(project_id: str) -> Response:
        query_parameters()
        project.require_service("cloudresourcemanager.googleapis.com")
        project.check_id(project_id)
        body = only_fields("the request", request.get_json(), {"permissions"})
        found = project.granted(g.principal, body["permissions"])
        return jsonify({"permissions": found} if found else {})

    @api.get("/<project_id>/serviceAccounts")
    def list_accounts(project_id: str) -> Response:
        given = query_parameters("pageSize", "pageToken")
        project.require_service(_IAM)
        project.check_id(project_id)
        found = [_account(account) for account in project.accounts()]
        some, token = page(found, given.get("pageSize", str(_ACCOUNTS_PAGE)), given.get("pageToken"))
        return jsonify({"accounts": some} | ({"nextPageToken": token} if token else {}))

    @api.delete("/<project_id>/serviceAccounts/<email>")
    def delete_account(project_id: str, email: str) -> Response:
        query_parameters()
        project.require_service(_IAM)
        project.check_id(project_id)
        project.delete_account(email)
        return jsonify({})

    return api


def _account(account: ServiceAccount) -> dict[str, Any]:
    about = {"description": account.description, "displayName": account.display_name}
    return {
        "name": f"projects/{account.project}/serviceAccounts/{account.email}",
        "projectId": account.project,
        "uniqueId": account.unique_id,
        "email": account.email,
        "oauth2ClientId": account.unique_id,
        **{key: value for key, value in about.items() if value},
    }
