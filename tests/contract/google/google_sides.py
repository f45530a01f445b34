"""The two sides of BigQuery and Cloud Storage: our stand-in, and goccy/bigquery-emulator with fsouza/fake-gcs-server.

Each is started once for the session, with the synthetic storm reports as BigQuery's public tables; tests share it and
make datasets and buckets of their own. https://github.com/goccy/bigquery-emulator,
https://github.com/fsouza/fake-gcs-server.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from orchestrator.clouds import Environment
from orchestrator.clouds.gcp import GoogleData
from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.rehearsal.gcp import sample, synthetic
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.sample import PublicTables
from stacks.naming import Names
from tests.contract.parts import free_port, serving
from tests.rehearsal.conftest import GOOGLE, GOOGLE_PROJECT

STORMS = f"{sample.PROJECT}.{sample.DATASET}.{sample.PREFIX}"
"""With a year, or ``*``, in backticks: the public table(s). 180 reports a year, 2010 to 2019."""
NAMES = Names("20261123-174205-k3x9qz")
PART_BYTES = 1_000
"""The most logical table data that our stand-in writes into one file of an extract."""


class Making(Protocol):
    """What the clients cannot do on both sides, because the stand-in leaves it to Pulumi's provider."""

    def dataset(self, name: str) -> None: ...

    def bucket(self, name: str) -> None: ...

    def put_object(self, bucket: str, name: str, content: bytes) -> None: ...


@dataclass
class GoogleSide:
    """One side of the session: its ``variables`` lead there, and ``clients`` are Google's own, through ours."""

    name: str
    variables: Mapping[str, str | None]
    clients: GoogleClients
    """In the location US: ``clients.bigquery`` and ``clients.storage``."""
    making: Making
    project: str = GOOGLE_PROJECT
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def data(self) -> GoogleData:
        """Our client of the data side, as a run makes it."""
        return GoogleData(project=self.project, location="US", names=NAMES)

    def new_dataset(self) -> str:
        """Make an empty dataset; its id."""
        name = f"held_{next(self.numbers)}"
        self.making.dataset(name)
        return name

    def new_bucket(self) -> str:
        """Make an empty bucket; its name."""
        name = f"hop-held-{next(self.numbers)}"
        self.making.bucket(name)
        return name

    def put_object(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object, of the type text/csv."""
        self.making.put_object(bucket, name, content)


class _InOurs:
    def __init__(self, google: GoogleCloud) -> None:
        self._google = google

    def dataset(self, name: str) -> None:
        self._google.bigquery.create_dataset(
            GOOGLE_PROJECT, name, location="US", labels=NAMES.tags, default_table_expiration_ms=None
        )

    def bucket(self, name: str) -> None:
        self._google.storage.create_bucket(
            GOOGLE_PROJECT,
            name,
            location="US",
            labels=NAMES.tags,
            soft_delete_seconds=0,
            lifecycle_rules=[],
            uniform_access=True,
            public_access_prevention="enforced",
        )

    def put_object(self, bucket: str, name: str, content: bytes) -> None:
        self._google.storage.put_object(bucket, name, content, "text/csv")


class _InTheirs:
    def __init__(self, clients: GoogleClients) -> None:
        self._clients = clients

    def dataset(self, name: str) -> None:
        from google.cloud import bigquery  # noqa: PLC0415 - not before the metadata server, see tests/rehearsal

        dataset = bigquery.Dataset(f"{GOOGLE_PROJECT}.{name}")
        dataset.location, dataset.labels = "US", dict(NAMES.tags)
        self._clients.bigquery.create_dataset(dataset, retry=None)  # type: ignore[arg-type]

    def bucket(self, name: str) -> None:
        bucket = self._clients.storage.bucket(name)
        bucket.labels = dict(NAMES.tags)
        bucket.create(location="US")

    def put_object(self, bucket: str, name: str, content: bytes) -> None:
        self._clients.storage.bucket(bucket).blob(name).upload_from_string(content, "text/csv")


@pytest.fixture(scope="session")
def google_side(
    side: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GoogleSide]:
    """One of the two, running. Tests take ``google``, which also points the environment at it."""
    folder = tmp_path_factory.mktemp("google")
    start = _ours(folder) if side == "ours" else _theirs(folder, request.getfixturevalue("part"))
    clients = GoogleClients(project=GOOGLE_PROJECT, location="US")
    with start as (endpoints, making):
        variables = {**endpoints, "CLOUDSDK_CONFIG": str(folder), "GOOGLE_APPLICATION_CREDENTIALS": None}
        with Environment(variables, data_source="").in_force():
            bigquery, storage = clients.bigquery, clients.storage
        yield GoogleSide(side, variables, clients, making(clients))
        bigquery.close()  # type: ignore[no-untyped-call]
        storage.close()


@pytest.fixture
def google(google_side: GoogleSide) -> Iterator[GoogleSide]:
    """One of the two, with the environment pointed at it."""
    with Environment(google_side.variables, data_source="").in_force():
        yield google_side


@contextlib.contextmanager
def _ours(folder: Path) -> Iterator[tuple[Mapping[str, str], Callable[[GoogleClients], Making]]]:
    tables = PublicTables.from_source(None)
    google = GoogleCloud(tables, project=GOOGLE_PROJECT, identity=GOOGLE, folder=folder, part_bytes=PART_BYTES)
    yield google.variables, lambda _: _InOurs(google)
    google.stop()


@contextlib.contextmanager
def _theirs(
    folder: Path, part: Callable[[str], Path]
) -> Iterator[tuple[Mapping[str, str], Callable[[GoogleClients], Making]]]:
    rest, grpc, storage = (str(free_port()) for _ in range(3))
    variables = {
        "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{rest}",
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{storage}",
    }
    initial = folder / "initial.yaml"
    initial.write_text(json.dumps({"projects": _initial_projects()}))  # JSON is YAML.
    here = ["--host=127.0.0.1"]
    storage_server = [
        str(part("fake-gcs-server") / "fake-gcs-server"), *here, "--scheme=http", f"--port={storage}",
        f"--public-host=127.0.0.1:{storage}", "--backend=memory", "--location=US",
    ]  # fmt: skip
    bigquery_server = [
        str(part("bigquery-emulator") / "bigquery-emulator"), *here, f"--project={GOOGLE_PROJECT}", f"--port={rest}",
        f"--grpc-port={grpc}", f"--data-from-yaml={initial}",
    ]  # fmt: skip
    with (
        serving(storage_server, lambda line: "server started" in line),
        serving(bigquery_server, lambda line: "REST server listening" in line, variables),
    ):
        yield variables, _InTheirs


def _initial_projects() -> list[dict[str, Any]]:
    """The storm tables of the public project, and the caller's own, empty."""
    reports: dict[str, list[dict[str, Any]]] = {}
    for report in synthetic.reports():
        row = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in report.items()}
        reports.setdefault(str(row["event_begin_time"])[:4], []).append(row)
    tables = [
        {
            "id": f"{sample.PREFIX}{year}",
            "columns": [{"name": name, "type": kind} for name, kind in sample.SCHEMA.items() if name in rows[0]],
            "data": rows,
        }
        for year, rows in reports.items()
    ]
    public = {"id": sample.PROJECT, "datasets": [{"id": sample.DATASET, "tables": tables}]}
    return [public, {"id": GOOGLE_PROJECT, "datasets": []}]
