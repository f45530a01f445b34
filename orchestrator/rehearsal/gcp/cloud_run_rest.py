"""The routes of the stand-in Cloud Run: its Admin API as far as our client uses it.

https://cloud.google.com/run/docs/reference/rest. Version 2 has the services; version 1 alone lists locations.
"""

from collections.abc import Mapping

from flask import Blueprint, Response, jsonify

from orchestrator.rehearsal.gcp import cloud_run_rules
from orchestrator.rehearsal.gcp.cloud_run import CloudRun
from orchestrator.rehearsal.gcp.projects import Project
from orchestrator.rehearsal.gcp.rest import page, query_parameters

PERMISSIONS: Mapping[str, str] = {
    "run.list_locations": "run.locations.list",
    "run.list_services": "run.services.list",
    "run.get_service": "run.services.get",
    "run.delete_service": "run.services.delete",
    "run.get_operation": "run.operations.get",
}
_PAGE = 100


def routes(run: CloudRun, project: Project) -> Blueprint:
    """Services to list, get and delete; operations to ask after; the locations that there are."""
    api = Blueprint("run", __name__)
    services = "/v2/projects/<project_id>/locations/<region>/services"

    @api.get("/run/v1/projects/<project_id>/locations")
    def list_locations(project_id: str) -> Response:
        given = query_parameters("pageSize", "pageToken")
        project.check_id(project_id)
        locations = [
            {"name": f"projects/{project_id}/locations/{region}", "locationId": region}
            for region in cloud_run_rules.REGIONS
        ]
        found, token = page(locations, given.get("pageSize"), given.get("pageToken"))
        return jsonify({"locations": found} | ({"nextPageToken": token} if token else {}))

    @api.get(services)
    def list_services(project_id: str, region: str) -> Response:
        given = query_parameters("pageSize", "pageToken")
        found = run.list_services(project_id, region)
        some, token = page(found, given.get("pageSize", str(_PAGE)), given.get("pageToken"))
        return jsonify(({"services": some} if some else {}) | ({"nextPageToken": token} if token else {}))

    @api.get(f"{services}/<name>")
    def get_service(project_id: str, region: str, name: str) -> Response:
        query_parameters()
        return jsonify(run.get_service(project_id, region, name))

    @api.delete(f"{services}/<name>")
    def delete_service(project_id: str, region: str, name: str) -> Response:
        query_parameters()
        return jsonify(run.delete_service(project_id, region, name))

    @api.get("/v2/projects/<project_id>/locations/<region>/operations/<operation>")
    def get_operation(project_id: str, region: str, operation: str) -> Response:
        query_parameters()
        return jsonify(run.operation(f"projects/{project_id}/locations/{region}/operations/{operation}"))

    return api
