"""A stand-in of BigQuery's datasets and tables, kept in DuckDB.

Its jobs are in ``bigquery_jobs``, its routes in ``bigquery_rest``.
https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets and .../tables.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.gcp import sample
from orchestrator.rehearsal.gcp.rest import CloudError, checked_labels, unsupported
from orchestrator.rehearsal.gcp.sample import PublicTables
from orchestrator.rehearsal.sql.query import Read, Source

_DATASET_ID = re.compile(r"[A-Za-z0-9_]{1,1024}")
_TABLE_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
# Multi-regions and the form of a region: https://cloud.google.com/bigquery/docs/locations
_LOCATION = re.compile(r"US|EU|[a-z]+-[a-z]+[0-9]+")
_HOUR_MS = 3_600_000
_PUBLIC_LOCATION = "US"

# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes
_FIXED_SIZES = {"INT64": 8, "FLOAT64": 8, "BOOL": 1, "DATE": 8, "DATETIME": 8}


def now_ms() -> int:
    """Milliseconds since 1970, as BigQuery counts time."""
    return int(clock.seconds() * 1000)


def logical_size(column: str, kind: str) -> str:
    """DuckDB SQL for the bytes that BigQuery says a column holds: STRING 2 + UTF-8, NULL 0."""
    if kind == "STRING":
        return f'coalesce(sum(2 + strlen("{column}")), 0)'
    return f'{_FIXED_SIZES[kind]} * count("{column}")'


@dataclass
class Table:
    """A result table. ``relation`` is its DuckDB name; ``columns`` name -> BigQuery type; times in ms since 1970."""

    relation: str
    columns: Mapping[str, str]
    rows: int
    bytes: int
    created: int
    expires: int | None


@dataclass
class Dataset:
    """A dataset: its labels and tables by id."""

    project: str
    id: str
    location: str
    labels: dict[str, str]
    default_table_expiration_ms: int | None
    created: int = field(default_factory=now_ms)
    tables: dict[str, Table] = field(default_factory=dict)


class BigQuery:
    """The datasets of one project, and the public tables. Safe to use from several threads."""

    def __init__(self, public: PublicTables, *, project: str) -> None:
        self.project = project
        self.database = public.database
        self._public = public
        self._datasets: dict[str, Dataset] = {}
        self._lock = threading.RLock()

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of the datasets and their tables, without BigQuery's own, of results that it keeps for a day."""
        with self._lock:
            found = [(name, list(one.tables)) for name, one in self._datasets.items() if not name.startswith("_")]
        for name, tables in found:
            yield "bigquery dataset", name
            yield from (("bigquery table", f"{name}.{table}") for table in tables)

    # ---- what the Pulumi provider calls

    def create_dataset(
        self,
        project: str,
        dataset_id: str,
        *,
        location: str,
        labels: Mapping[str, str],
        default_table_expiration_ms: int | None,
    ) -> dict[str, Any]:
        """Make a dataset; returns its REST resource.

        Raises:
            CloudError: 400 for an id, location, label or expiration that BigQuery would not take, 409 when it exists.
        """
        self.check_project(project)
        if not _DATASET_ID.fullmatch(dataset_id):
            raise CloudError(
                400,
                "invalid",
                f'Invalid dataset ID "{dataset_id}". Dataset IDs must be alphanumeric (plus underscores) '
                "and must be at most 1024 characters long.",
            )
        if dataset_id.startswith("_"):
            raise unsupported(f"a hidden dataset, {dataset_id}")
        if not _LOCATION.fullmatch(location):
            raise CloudError(400, "invalid", f"Invalid storage region {location}")
        if default_table_expiration_ms is not None and default_table_expiration_ms < _HOUR_MS:
            raise CloudError(
                400, "invalid", f"defaultTableExpirationMs must be at least {_HOUR_MS} (one hour) if it is given"
            )
        with self._lock:
            if dataset_id in self._datasets:
                raise CloudError(409, "duplicate", f"Already Exists: Dataset {project}:{dataset_id}")
            dataset = Dataset(project, dataset_id, location, checked_labels(labels), default_table_expiration_ms)
            self._datasets[dataset_id] = dataset
        return self._dataset_resource(dataset)

    def get_dataset(self, project: str, dataset_id: str) -> dict[str, Any]:
        """The REST resource; CloudError 404 when there is none."""
        return self._dataset_resource(self._dataset(project, dataset_id))

    def delete_dataset(self, project: str, dataset_id: str, *, delete_contents: bool) -> None:
        """CloudError 404 when there is none, 400 ``resourceInUse`` when it has tables and they may not go."""
        with self._lock:
            dataset = self._dataset(project, dataset_id)
            self._drop_expired(dataset)
            if dataset.tables and not delete_contents:
                raise CloudError(400, "resourceInUse", f"Dataset {project}:{dataset_id} is still in use")
            for table_id in list(dataset.tables):
                self._drop(dataset, table_id)
            del self._datasets[dataset_id]

    # ---- what the routes and jobs call

    def check_project(self, project: str) -> None:
        """CloudError 404 for another project than the rehearsal's."""
        if project != self.project:
            raise CloudError(404, "notFound", f"Not found: Project {project}")

    def list_datasets(self, project: str, label: tuple[str, str | None] | None) -> list[dict[str, Any]]:
        """The resources of the datasets with a label (key, value or None for any), by id; hidden ones are left out."""
        self.check_project(project)
        with self._lock:
            found = [self._datasets[name] for name in sorted(self._datasets) if not name.startswith("_")]
        return [
            self._dataset_resource(dataset)
            for dataset in found
            if label is None or (label[0] in dataset.labels and label[1] in {None, dataset.labels[label[0]]})
        ]

    def list_tables(self, project: str, dataset_id: str) -> list[dict[str, Any]]:
        """The resources of a dataset's tables, by id."""
        with self._lock:
            dataset = self._dataset(project, dataset_id)
            self._drop_expired(dataset)
            return [self._table_resource(dataset, table_id) for table_id in sorted(dataset.tables)]

    def get_table(self, project: str, dataset_id: str, table_id: str) -> dict[str, Any]:
        """The REST resource; CloudError 404 when there is none."""
        dataset, _ = self.table(project, dataset_id, table_id)
        return self._table_resource(dataset, table_id)

    def table(self, project: str, dataset_id: str, table_id: str, location: str | None = None) -> tuple[Dataset, Table]:
        """A result table and its dataset; CloudError 404 when there is none (in ``location``, if one is given)."""
        with self._lock:
            dataset = self._dataset(project, dataset_id, location)
            self._drop_expired(dataset)
            if table_id not in dataset.tables:
                where = f" was not found in location {location}" if location else ""
                raise CloudError(404, "notFound", f"Not found: Table {project}:{dataset_id}.{table_id}{where}")
            return dataset, dataset.tables[table_id]

    def anonymous_dataset(self, location: str) -> str:
        """The id of the dataset for results that are given no table: hidden by its underscore, kept for a day."""
        dataset_id = f"_anonymous_{location}"
        with self._lock:
            self._datasets.setdefault(dataset_id, Dataset(self.project, dataset_id, location, {}, 24 * _HOUR_MS))
        return dataset_id

    def prepare_destination(self, project: str, dataset_id: str, table_id: str, location: str) -> Dataset:
        """The dataset that a result is to go to; CloudError when there is none, or its table has rows."""
        if not _TABLE_ID.fullmatch(table_id):
            raise CloudError(400, "invalid", f'Invalid table ID "{table_id}".')
        with self._lock:
            dataset = self._dataset(project, dataset_id, location)
            self._drop_expired(dataset)
            if table_id in dataset.tables and dataset.tables[table_id].rows:
                # The default write disposition is WRITE_EMPTY.
                raise CloudError(409, "duplicate", f"Already Exists: Table {project}:{dataset_id}.{table_id}")
            return dataset

    def store(self, dataset: Dataset, table_id: str, relation: str, columns: Mapping[str, str]) -> Table:
        """Take a DuckDB table for a dataset's; its rows and logical bytes are counted."""
        sizes = " + ".join(logical_size(name, kind) for name, kind in columns.items())
        count = self.database.cursor().execute(f"SELECT count(*), {sizes} FROM {relation}").fetchone()  # noqa: S608
        if count is None:
            raise RuntimeError("an aggregate gives one row")
        created, lifetime = now_ms(), dataset.default_table_expiration_ms
        table = Table(relation, columns, count[0], int(count[1]), created, lifetime and created + lifetime)
        with self._lock:
            if dataset is not self._datasets.get(dataset.id):
                raise CloudError(404, "notFound", f"Not found: Dataset {dataset.project}:{dataset.id}")
            if table_id in dataset.tables:
                self._drop(dataset, table_id)
            dataset.tables[table_id] = table
        return table

    def find(self, project: str | None, dataset_id: str, table_id: str, location: str) -> Source:
        """What a name in a query's FROM stands for, for a job in ``location``; CloudError 404 when there is none."""
        if (project, dataset_id) == (sample.PROJECT, sample.DATASET):
            return self._find_public(table_id, location)
        name = f"{project or self.project}:{dataset_id}.{table_id}"
        if "*" in table_id:
            raise unsupported(f"a wildcard over your own tables, {name}")
        if project not in {None, self.project}:
            raise CloudError(
                404, "notFound", f"Not found: Dataset {project}:{dataset_id} was not found in location {location}"
            )
        _, table = self.table(self.project, dataset_id, table_id, location)
        return Source(name, table.relation, table.columns)

    def read_bytes(self, read: Read, arguments: Mapping[str, Any]) -> dict[str, int]:
        """The logical bytes of the columns read, by the name of each table (``project:dataset.table``) that is read."""
        sizes = " + ".join(logical_size(name, read.source.columns[name]) for name in read.columns) or "0"
        where = f" WHERE {read.pruning}" if read.pruning else ""
        suffix, group = (sample.SUFFIX, " GROUP BY ALL") if read.source.suffixes is not None else ("''", "")
        used = {name: value for name, value in arguments.items() if f"${name}" in where}
        sql = f"SELECT {suffix}, {sizes} FROM {read.source.relation}{where}{group}"  # noqa: S608
        rows = self.database.cursor().execute(sql, used).fetchall()
        return {read.source.name.replace("*", suffix): int(size) for suffix, size in sorted(rows)}

    def _find_public(self, table_id: str, location: str) -> Source:
        known = f"{sample.PROJECT}:{sample.DATASET}"
        if location != _PUBLIC_LOCATION:
            raise CloudError(404, "notFound", f"Not found: Dataset {known} was not found in location {location}")
        columns = self._public.columns
        absent = frozenset(sample.SCHEMA) - frozenset(columns)
        prefix, star, rest = table_id.partition("*")
        if star and not rest and sample.PREFIX.startswith(prefix[: len(sample.PREFIX)]):
            if prefix != sample.PREFIX:
                raise unsupported(
                    f"the wildcard {table_id}; {sample.PREFIX}* with a condition on _TABLE_SUFFIX is known"
                )
            return Source(f"{known}.{table_id}", sample.RELATION, columns, absent, self._public.suffixes)
        if star:
            raise CloudError(404, "notFound", f"{known}.{table_id} does not match any table.")
        suffix = table_id.removeprefix(sample.PREFIX)
        if table_id == suffix or suffix not in self._public.suffixes:
            raise CloudError(
                404, "notFound", f"Not found: Table {known}.{table_id} was not found in location {location}"
            )
        relation = f"(SELECT * FROM {sample.RELATION} WHERE {sample.SUFFIX} = '{suffix}')"  # noqa: S608
        return Source(f"{known}.{table_id}", relation, columns, absent)

    def _dataset(self, project: str, dataset_id: str, location: str | None = None) -> Dataset:
        self.check_project(project)
        dataset = self._datasets.get(dataset_id)
        if dataset is None or location not in {None, dataset.location}:
            where = f" was not found in location {location}" if location else ""
            raise CloudError(404, "notFound", f"Not found: Dataset {project}:{dataset_id}{where}")
        return dataset

    def _drop_expired(self, dataset: Dataset) -> None:
        for table_id, table in list(dataset.tables.items()):
            if table.expires is not None and table.expires <= now_ms():
                self._drop(dataset, table_id)

    def _drop(self, dataset: Dataset, table_id: str) -> None:
        self.database.cursor().execute(f"DROP TABLE IF EXISTS {dataset.tables.pop(table_id).relation}")

    def _dataset_resource(self, dataset: Dataset) -> dict[str, Any]:
        resource = {
            "kind": "bigquery#dataset",
            "id": f"{dataset.project}:{dataset.id}",
            "selfLink": f"https://bigquery.googleapis.com/bigquery/v2/projects/{dataset.project}/datasets/{dataset.id}",
            "datasetReference": {"projectId": dataset.project, "datasetId": dataset.id},
            "labels": dict(dataset.labels),
            "creationTime": str(dataset.created),
            "lastModifiedTime": str(dataset.created),
            "location": dataset.location,
        }
        if dataset.default_table_expiration_ms is not None:
            resource["defaultTableExpirationMs"] = str(dataset.default_table_expiration_ms)
        return resource

    def _table_resource(self, dataset: Dataset, table_id: str) -> dict[str, Any]:
        table = dataset.tables[table_id]
        resource = {
            "kind": "bigquery#table",
            "id": f"{dataset.project}:{dataset.id}.{table_id}",
            "tableReference": {"projectId": dataset.project, "datasetId": dataset.id, "tableId": table_id},
            "type": "TABLE",
            "schema": schema_resource(table.columns),
            "numRows": str(table.rows),
            "numBytes": str(table.bytes),
            "creationTime": str(table.created),
            "lastModifiedTime": str(table.created),
            "location": dataset.location,
        }
        if table.expires is not None:
            resource["expirationTime"] = str(table.expires)
        return resource


def schema_resource(columns: Mapping[str, str]) -> dict[str, Any]:
    """A schema in the REST API's words, which are the legacy names of the types."""
    legacy = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
    return {
        "fields": [{"name": name, "type": legacy.get(kind, kind), "mode": "NULLABLE"} for name, kind in columns.items()]
    }
