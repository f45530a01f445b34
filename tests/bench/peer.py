"""What the peers share with us: the same settings, stacks, clients, package and stand-in clouds.

What they differ in is who drives the engine, and when.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from orchestrator import package, query
from orchestrator.clouds import Answer, ComputeCloud
from orchestrator.clouds.by_name import compute_cloud, data_cloud
from orchestrator.clouds.gcp import GoogleData
from orchestrator.home import Home
from orchestrator.rehearsal import shared
from orchestrator.settings import DEFAULT_CONFIG, Settings, load
from stacks.contracts import ComputeOutputs, DataOutputs, ExtractFile, LiveData
from stacks.naming import Names, new_run_id

T = TypeVar("T")


@dataclass(frozen=True)
class Peer:
    """One run of a peer: ``folder`` is its working directory."""

    settings: Settings
    names: Names
    data: GoogleData
    compute: ComputeCloud
    packed: package.Package
    folder: Path

    def data_program(self) -> Callable[[], None]:
        """The data stack."""
        return self.data.program(Future())

    def compute_program(self, made: DataOutputs, extract: ExtractFile) -> Callable[[], None]:
        """The compute stack, once the data is there."""
        return self.compute.program(self.packed, LiveData(known(made), known(extract)), Future())

    def query(self, made: DataOutputs) -> ExtractFile:
        """The query, its extract and the download."""
        question = query.read(self.settings.analysis.query, self.settings.analysis.parameters)
        most, never = self.settings.data.max_bytes_billed, threading.Event()
        outcome = self.data.query(question, dataset=made.dataset, max_bytes_billed=most, cancelled=never)
        objects = self.data.extract(outcome.table, bucket=made.bucket, cancelled=never)
        path = (self.folder / "extract.csv").absolute()
        file = self.data.download(made.bucket, to=path, expected_rows=outcome.rows, cancelled=never)
        return ExtractFile(path, file.sha256, outcome.rows, objects)

    def invoke(self, function: ComputeOutputs) -> Answer:
        """Call the function, and keep its chart."""
        answer = self.compute.invoke(function, self.packed)
        (self.folder / "chart.png").write_bytes(answer.chart)
        return answer


@contextmanager
def peer(clouds: Path, cloud: str, folder: Path, run_id: str | None = None) -> Iterator[Peer]:
    """A run on stand-in clouds that stand already, with their variables in force."""
    overrides = [f"compute.cloud={cloud}", f"rehearsal.clouds={clouds}"]
    settings = load(DEFAULT_CONFIG, overrides=overrides, environ=os.environ)
    with shared.attached(clouds, settings) as environment, environment.in_force():
        names = Names(run_id or new_run_id(datetime.now(UTC)))
        compute = compute_cloud(settings, names, source=environment.data_source)
        packed = package.build(
            compute.package_target().on_this_machine(),
            trim=settings.package.trim,
            cache=Home.locate(os.environ).folder("packages"),
            progress=lambda _: None,
        )
        yield Peer(settings, names, data_cloud(settings, names), compute, packed, folder)


def known(value: T) -> "Future[T]":
    """A future that has its value already."""
    future: Future[T] = Future()
    future.set_result(value)
    return future
