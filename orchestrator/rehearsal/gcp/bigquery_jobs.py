"""The jobs of the stand-in BigQuery: queries and extracts that run in threads, PENDING, RUNNING, DONE.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job.
"""

import contextlib
import itertools
import math
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

from orchestrator.rehearsal.content import Content
from orchestrator.rehearsal.gcp.bigquery import BigQuery, Table, now_ms, schema_resource
from orchestrator.rehearsal.gcp.bigquery_values import csv_parts, text
from orchestrator.rehearsal.gcp.cloud_storage import CloudStorage
from orchestrator.rehearsal.gcp.rest import CloudError, only_fields, unsupported
from orchestrator.rehearsal.latency import AT_ONCE, Latency
from orchestrator.rehearsal.sql.query import Statement, invalid, translate

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_MIB = 1 << 20
_MINIMUM_BILLED = 10 * _MIB
_MOST_REFERENCED = 50  # https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobStatistics2
_URI = re.compile(r"gs://([^/*]+)/([^*]+|[^*]*\*[^*]*)")
_LINK = "https://bigquery.googleapis.com/bigquery/v2"
_STOPPED = CloudError(400, "stopped", "Job execution was cancelled: User requested cancellation")


@dataclass
class Job:
    """A job: what was asked, how far it is, what it found out."""

    number: int
    id: str
    location: str
    configuration: dict[str, Any]
    connection: duckdb.DuckDBPyConnection
    created: int = field(default_factory=now_ms)
    started: int | None = None
    ended: int | None = None
    error: CloudError | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    table: Table | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> str:
        """PENDING, RUNNING or DONE."""
        if self.done.is_set():
            return "DONE"
        return "PENDING" if self.started is None else "RUNNING"


@dataclass(frozen=True)
class _Plan:
    statement: Statement
    bytes_processed: int
    bytes_billed: int
    statistics: dict[str, Any]


class Jobs:
    """The jobs of a project; their ids are taken for ever.

    ``part_bytes`` is the most logical table data that goes into one file of an extract
    (1 GB, https://cloud.google.com/bigquery/docs/exporting-data#export_limitations).
    """

    def __init__(
        self, bigquery: BigQuery, storage: CloudStorage, *, part_bytes: int, latency: Latency = AT_ONCE
    ) -> None:
        self._bigquery = bigquery
        self._storage = storage
        self._part_bytes = part_bytes
        self._latency = latency
        self._jobs: dict[tuple[str, str], Job] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, id) of the jobs that are not done: they bill, and write what they find out."""
        with self._lock:
            jobs = list(self._jobs.values())
        yield from (("bigquery job", job.id) for job in jobs if not job.done.is_set())

    def insert(self, project: str, body: Any) -> dict[str, Any]:
        """Start a job, or answer a dry run; returns the job's REST resource.

        Raises:
            CloudError: 409 for an id that was used before; a dry run's own error.
        """
        self._bigquery.check_project(project)
        only_fields("the job", body, {"jobReference", "configuration"})
        reference = only_fields("jobReference", body.get("jobReference"), {"projectId", "jobId", "location"})
        self._bigquery.check_project(reference.get("projectId", project))
        kinds = {"query", "extract"}
        configuration = only_fields("configuration", body.get("configuration"), {*kinds, "labels", "dryRun"})
        given = kinds & set(configuration)
        if len(given) != 1:
            raise CloudError(400, "invalid", "Job configuration must contain exactly one job-specific configuration")
        if not reference.get("location"):
            raise unsupported("a job without a location")
        if not _JOB_ID.fullmatch(reference.get("jobId") or ""):
            raise CloudError(400, "invalid", f'Invalid job ID "{reference.get("jobId")}"')
        connection = self._bigquery.database.cursor()
        configuration = {**configuration, "jobType": "QUERY" if given == {"query"} else "EXTRACT"}
        job = Job(next(self._numbers), reference["jobId"], reference["location"], configuration, connection)
        work = self._query if given == {"query"} else self._extract
        if configuration.get("dryRun"):
            if given != {"query"}:
                raise CloudError(400, "invalid", "Dry run is only supported for query jobs")
            return self._dry_run(job)
        with self._lock:
            if (job.location, job.id) in self._jobs:
                raise CloudError(409, "duplicate", f"Already Exists: Job {project}:{job.location}.{job.id}")
            self._jobs[job.location, job.id] = job
        answer = self.resource(job)
        (kind,) = given
        threading.Thread(target=_run, args=(job, lambda job: self._lasting(kind, work, job)), daemon=True).start()
        return answer

    def get(self, project: str, job_id: str, location: str | None) -> Job:
        """A job by its id; the location may be left out for the multi-regions. CloudError 404 when there is none."""
        self._bigquery.check_project(project)
        for where in [location] if location else ["US", "EU"]:
            if (where, job_id) in self._jobs:
                return self._jobs[where, job_id]
        raise CloudError(404, "notFound", f"Not found: Job {project}:{location + '.' if location else ''}{job_id}")

    def all(self) -> list[Job]:
        """Every job that was inserted, in order."""
        return list(self._jobs.values())

    def cancel(self, project: str, job_id: str, location: str | None) -> Job:
        """Ask a job to stop; it is DONE a little later, with the reason ``stopped``, unless it was so before."""
        job = self.get(project, job_id, location)
        job.cancelled.set()
        threading.Thread(target=_interrupt, args=(job,), daemon=True).start()
        return job

    def rows(self, job: Job, start: int, count: int) -> list[dict[str, Any]]:
        """Rows of a finished query, as getQueryResults gives them."""
        table = job.table
        if table is None:
            raise CloudError(400, "invalid", f"Job {job.id} is not a query job")
        found = self._bigquery.database.cursor().execute(
            f"SELECT * FROM {table.relation} LIMIT $count OFFSET $start",  # noqa: S608 - the relation is ours
            {"count": count, "start": start},
        )
        return [{"f": [{"v": text(value)} for value in row]} for row in found.fetchall()]

    def resource(self, job: Job) -> dict[str, Any]:
        """The job's REST resource."""
        project = self._bigquery.project
        times = {"creationTime": job.created, "startTime": job.started, "endTime": job.ended}
        status: dict[str, Any] = {"state": job.state}
        if job.done.is_set() and job.error is not None:
            status |= {"errorResult": job.error.proto, "errors": [job.error.proto]}
        return {
            "kind": "bigquery#job",
            "id": f"{project}:{job.location}.{job.id}",
            "selfLink": f"{_LINK}/projects/{project}/jobs/{job.id}?location={job.location}",
            "jobReference": {"projectId": project, "jobId": job.id, "location": job.location},
            "configuration": job.configuration,
            "statistics": {name: str(at) for name, at in times.items() if at is not None} | job.statistics,
            "status": status,
        }

    def _lasting(self, kind: str, work: Callable[[Job], None], job: Job) -> None:
        """Do the work, and be RUNNING until its time is over; what a job wrote that is cancelled meanwhile stays."""
        since = self._latency.now()
        work(job)
        if self._latency.wait(kind, since, until=job.cancelled):
            raise _STOPPED

    # ---- query

    def _dry_run(self, job: Job) -> dict[str, Any]:
        with job.connection:
            plan = self._plan(job)
        job.statistics = plan.statistics
        job.statistics["query"] |= {"totalBytesBilled": "0", "schema": schema_resource(plan.statement.columns)}
        job.done.set()
        return self.resource(job)

    def _plan(self, job: Job) -> _Plan:
        query = only_fields(
            "configuration.query",
            job.configuration["query"],
            {
                "query", "useLegacySql", "queryParameters", "parameterMode", "maximumBytesBilled", "destinationTable",
            },
        )  # fmt: skip
        if query.get("useLegacySql") is not False:
            raise unsupported("legacy SQL; send useLegacySql false")
        if query.get("parameterMode", "NAMED") != "NAMED":
            raise unsupported("positional parameters")
        parameters = dict(_parameter(given) for given in query.get("queryParameters", ()))
        statement = translate(
            query.get("query", ""),
            parameters,
            lambda project, dataset, table: self._bigquery.find(project, dataset, table, job.location),
        )
        try:
            job.connection.execute(f"EXPLAIN {statement.sql}", statement.arguments).fetchall()
        except duckdb.Error as error:
            raise invalid(_words(error)) from error
        sizes = [self._bigquery.read_bytes(read, statement.arguments) for read in statement.reads]
        processed = sum(sum(tables.values()) for tables in sizes)
        # At least 10 MB for each table of which anything is read, then up to a whole MB.
        # https://cloud.google.com/bigquery/pricing#on-demand-pricing
        billed = sum(max(size, _MINIMUM_BILLED) for tables in sizes for size in tables.values() if size)
        billed = math.ceil(billed / _MIB) * _MIB
        details = {
            "totalBytesProcessed": str(processed),
            "totalBytesBilled": str(billed),
            "cacheHit": False,
            "referencedTables": [_reference(name) for tables in sizes for name in tables][:_MOST_REFERENCED],
            "statementType": "SELECT",
        }
        statistics = {"totalBytesProcessed": str(processed), "query": details}
        return _Plan(statement, processed, billed, statistics)

    def _query(self, job: Job) -> None:
        plan = self._plan(job)
        query = job.configuration["query"]
        most = int(query.get("maximumBytesBilled", plan.bytes_billed))
        if plan.bytes_billed > most:
            raise CloudError(
                500,
                "bytesBilledLimitExceeded",
                f"Query exceeded limit for bytes billed: {most}. {plan.bytes_billed} or higher required.",
            )
        if "destinationTable" not in query:
            dataset_id = self._bigquery.anonymous_dataset(job.location)
            reference = {"projectId": self._bigquery.project, "datasetId": dataset_id, "tableId": f"r{job.number}"}
            query["destinationTable"] = reference
        target = only_fields("destinationTable", query["destinationTable"], {"projectId", "datasetId", "tableId"})
        dataset = self._bigquery.prepare_destination(
            target["projectId"], target["datasetId"], target["tableId"], job.location
        )
        relation = f"result_{job.number}"
        job.connection.execute(f"CREATE TABLE {relation} AS {plan.statement.sql}", plan.statement.arguments)
        job.table = self._bigquery.store(dataset, target["tableId"], relation, plan.statement.columns)
        job.statistics = plan.statistics

    # ---- extract

    def _extract(self, job: Job) -> None:
        extract = only_fields(
            "configuration.extract",
            job.configuration["extract"],
            {"sourceTable", "destinationUris", "destinationFormat", "compression", "printHeader"},
        )
        for name, only in (("destinationFormat", "CSV"), ("compression", "NONE"), ("printHeader", True)):
            if extract.get(name, only) != only:
                raise unsupported(f"{name} {extract[name]} of an extract; {only} is known")
        source = only_fields("sourceTable", extract.get("sourceTable"), {"projectId", "datasetId", "tableId"})
        dataset, table = self._bigquery.table(source["projectId"], source["datasetId"], source["tableId"], job.location)
        uris = extract.get("destinationUris", [])
        if len(uris) != 1:
            raise unsupported(f"{len(uris)} destination URIs of an extract; one is known")
        uri = uris[0]
        named = _URI.fullmatch(uri)
        if named is None:
            raise CloudError(400, "invalid", f"Invalid destination URI {uri}")
        bucket, pattern = named.groups()
        self._check_bucket(uri, bucket, dataset.location)
        if "*" not in pattern and table.bytes > self._part_bytes:
            raise CloudError(
                400,
                "invalid",
                f"Table {uri} too large to be exported to a single file. Specify a uri including a * to shard export. "
                "See 'Exporting data into one or more files' in https://cloud.google.com/bigquery/docs/exporting-data.",
            )
        parts = max(1, math.ceil(table.bytes / self._part_bytes))
        count = 0
        for count, blocks in enumerate(csv_parts(job.connection, table, parts), start=1):
            self._storage.put_object(bucket, pattern.replace("*", f"{count - 1:012}"), Content(blocks), "text/csv")
        job.statistics = {"extract": {"destinationUriFileCounts": [str(count)], "inputBytes": str(table.bytes)}}

    def _check_bucket(self, uri: str, bucket: str, location: str) -> None:
        try:
            found = self._storage.get_bucket(bucket)["location"]
        except CloudError as error:
            raise CloudError(404, "notFound", f"Not found: URI {uri}") from error
        # https://cloud.google.com/bigquery/docs/exporting-data#data-locations: from US, to anywhere.
        if location != "US" and found.lower() != location.lower():
            raise CloudError(
                400,
                "invalid",
                f"Cannot read and write in different locations: source: {location}, destination: {found}",
            )


def _run(job: Job, work: Callable[[Job], None]) -> None:
    job.started = now_ms()
    try:
        work(job)
    except CloudError as error:
        job.error = error
    except duckdb.Error as error:
        job.error = invalid(_words(error))
    except Exception as error:  # noqa: BLE001 - a job must become DONE, or its caller waits for ever.
        job.error = CloudError(500, "internalError", f"the rehearsal failed: {type(error).__name__}: {error}")
    finally:
        if job.error is not None and job.cancelled.is_set():
            job.error = _STOPPED  # However the interrupt showed itself.
        job.ended = now_ms()
        job.done.set()
        job.connection.close()


def _interrupt(job: Job) -> None:
    """Again and again, because an interrupt between two statements is lost."""
    with contextlib.suppress(duckdb.ConnectionException):  # Done and closed in this very moment.
        while not job.done.wait(0.05):
            job.connection.interrupt()


def _words(error: duckdb.Error) -> str:
    """What BigQuery says: our translation raises its words itself, as invalid input; the rest is in DuckDB's own."""
    line = str(error).splitlines()[0]
    if isinstance(error, duckdb.InvalidInputException):
        return line.removeprefix("Invalid Input Error: ")
    return f"Query error (in DuckDB's words): {line}"


def _reference(name: str) -> dict[str, str]:
    """``project:dataset.table`` as the REST API has it."""
    project, _, rest = name.partition(":")
    dataset, _, table = rest.partition(".")
    return {"projectId": project, "datasetId": dataset, "tableId": table}


def _parameter(given: Any) -> tuple[str, tuple[str, Any]]:
    """A query parameter of the REST API: name -> (BigQuery type, Python value)."""
    only_fields("a query parameter", given, {"name", "parameterType", "parameterValue"})
    kind = only_fields("parameterType", given["parameterType"], {"type"})["type"]
    value = only_fields("parameterValue", given["parameterValue"], {"value"}).get("value")
    read: dict[str, Callable[[str], Any]] = {
        "STRING": str,
        "INT64": int,
        "FLOAT64": float,
        "BOOL": {"true": True, "false": False}.__getitem__,
        "DATE": date.fromisoformat,
    }
    if kind not in read:
        raise unsupported(f"parameter @{given['name']} of type {kind}")
    try:
        return given["name"], (kind, None if value is None else read[kind](value))
    except (ValueError, KeyError) as error:
        raise CloudError(
            400, "invalid", f"Invalid value for parameter {given['name']} of type {kind}: {value}"
        ) from error
