"""The routes of the stand-in BigQuery: its REST API (v2) as far as our client uses it.

https://cloud.google.com/bigquery/docs/reference/rest.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from orchestrator.rehearsal.gcp.bigquery import BigQuery, schema_resource
from orchestrator.rehearsal.gcp.bigquery_jobs import Jobs
from orchestrator.rehearsal.gcp.rest import CloudError, page, query_parameters, unsupported

PERMISSIONS: Mapping[str, str] = {
    "bigquery.list_datasets": "bigquery.datasets.get",
    "bigquery.get_dataset": "bigquery.datasets.get",
    "bigquery.delete_dataset": "bigquery.datasets.delete",
    "bigquery.list_tables": "bigquery.tables.list",
    "bigquery.get_table": "bigquery.tables.get",
    "bigquery.insert_job": "bigquery.jobs.create",
    "bigquery.get_job": "bigquery.jobs.get",
    "bigquery.cancel_job": "bigquery.jobs.update",
    "bigquery.get_query_results": "bigquery.jobs.create",
}
"""https://cloud.google.com/bigquery/docs/access-control#bq-permissions."""
_PAGE_ROWS = 10_000
_WAIT_SECONDS = 10.0


def routes(bigquery: BigQuery, jobs: Jobs) -> Blueprint:
    """Datasets and tables to list, get and (datasets) delete; jobs to insert, get and cancel; a query's rows."""
    api = Blueprint("bigquery", __name__, url_prefix="/bigquery/v2/projects/<project>")

    @api.get("/datasets")
    def list_datasets(project: str) -> Response:
        given = query_parameters("maxResults", "pageToken", "filter")
        found = bigquery.list_datasets(project, _label(given.get("filter")))
        return _listing("bigquery#datasetList", "datasets", found, given)

    @api.get("/datasets/<dataset>")
    def get_dataset(project: str, dataset: str) -> Response:
        query_parameters()
        return jsonify(bigquery.get_dataset(project, dataset))

    @api.delete("/datasets/<dataset>")
    def delete_dataset(project: str, dataset: str) -> Response:
        given = query_parameters("deleteContents")
        contents = given.get("deleteContents", "false").lower() == "true"
        bigquery.delete_dataset(project, dataset, delete_contents=contents)
        return Response(status=204)

    @api.get("/datasets/<dataset>/tables")
    def list_tables(project: str, dataset: str) -> Response:
        given = query_parameters("maxResults", "pageToken")
        return _listing("bigquery#tableList", "tables", bigquery.list_tables(project, dataset), given)

    @api.get("/datasets/<dataset>/tables/<table>")
    def get_table(project: str, dataset: str, table: str) -> Response:
        query_parameters()
        return jsonify(bigquery.get_table(project, dataset, table))

    _job_routes(api, jobs)
    return api


def _job_routes(api: Blueprint, jobs: Jobs) -> None:
    @api.post("/jobs")
    def insert_job(project: str) -> Response:
        query_parameters()
        return jsonify(jobs.insert(project, request.get_json()))

    @api.get("/jobs/<job_id>")
    def get_job(project: str, job_id: str) -> Response:
        given = query_parameters("location", "projection")
        return jsonify(jobs.resource(jobs.get(project, job_id, given.get("location"))))

    @api.post("/jobs/<job_id>/cancel")
    def cancel_job(project: str, job_id: str) -> Response:
        given = query_parameters("location", "projection")
        job = jobs.cancel(project, job_id, given.get("location"))
        return jsonify({"kind": "bigquery#jobCancelResponse", "job": jobs.resource(job)})

    @api.get("/queries/<job_id>")
    def get_query_results(project: str, job_id: str) -> Response:
        given = query_parameters(
            "location", "maxResults", "pageToken", "timeoutMs", "fields", "formatOptions.useInt64Timestamp"
        )
        job = jobs.get(project, job_id, given.get("location"))
        reference = jobs.resource(job)["jobReference"]
        answer = {"kind": "bigquery#getQueryResultsResponse", "jobReference": reference, "jobComplete": False}
        if not job.done.wait(min(_WAIT_SECONDS, float(given.get("timeoutMs", 10_000)) / 1000)):
            return jsonify(answer)
        if job.error is not None:
            raise job.error
        if job.table is None:
            raise CloudError(400, "invalid", f"Job {job_id} is not a query job")
        start = int(given.get("pageToken", 0))
        size = min(_PAGE_ROWS, int(given.get("maxResults", _PAGE_ROWS)))
        rows = jobs.rows(job, start, size)
        answer |= {
            "jobComplete": True,
            "schema": schema_resource(job.table.columns),
            "totalRows": str(job.table.rows),
            "totalBytesProcessed": job.statistics["totalBytesProcessed"],
            "cacheHit": False,
            "rows": rows,
        }
        if start + len(rows) < job.table.rows:
            answer["pageToken"] = str(start + len(rows))
        # A partial answer, of whole fields: https://cloud.google.com/bigquery/docs/api-performance#partial-response
        fields = given["fields"].split(",") if "fields" in given else list(answer)
        return jsonify({name: value for name, value in answer.items() if name in fields})


def _label(expression: str | None) -> tuple[str, str | None] | None:
    """``labels.key`` or ``labels.key:value``, https://cloud.google.com/bigquery/docs/filtering-labels."""
    if expression is None:
        return None
    key, _, value = expression.removeprefix("labels.").partition(":")
    if not expression.startswith("labels.") or " " in expression or not key:
        raise unsupported(f"filter {expression}; labels.KEY and labels.KEY:VALUE are known")
    return key, value or None


def _listing(kind: str, name: str, items: list[dict[str, Any]], given: Mapping[str, str]) -> Response:
    found, token = page(items, given.get("maxResults"), given.get("pageToken"))
    return jsonify({"kind": kind, name: found} | ({"nextPageToken": token} if token else {}))
