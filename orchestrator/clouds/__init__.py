"""The clouds, as the run sees them: what each can do. ``by_name.py`` is the one dict to choose from.

Nothing in ``run.py`` names a cloud; docs/adding-a-cloud.md lists what another one takes.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from orchestrator.critical_path import Times
from orchestrator.package import Package, Target
from stacks.contracts import ComputeOutputs, LiveData


@dataclass(frozen=True)
class Remaining:
    """Something of a run that a cloud still holds. ``id`` is the cloud's own: a name or an ARN."""

    cloud: str
    kind: str
    id: str


@dataclass
class Environment:
    """Which clouds a run talks to. ``variables`` are the process environment's; None unsets one.

    ``functions_run_here`` says that functions run on this machine, not on the cloud's own.
    ``leave_standing`` asks a rehearsal not to take its clouds down, because something remains in them.
    ``times`` are how long these clouds take, where that is known.
    """

    variables: Mapping[str, str | None]
    data_source: str
    functions_run_here: bool = False
    leave_standing: bool = False
    times: Times | None = None

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Set the process environment for the block: the engine and the clients read it."""
        before = {name: os.environ.get(name) for name in self.variables}
        _set(self.variables)
        try:
            yield
        finally:
            _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


# The engine and its programs talk gRPC on this machine; a proxy of the caller's is for everything else.
LIVE = Environment(variables={"no_grpc_proxy": "127.0.0.1,localhost"}, data_source="bigquery-public-data")


@dataclass(frozen=True)
class Answer:
    """What the function answered. ``counts`` by day of month; ``rows`` of the extract; ``chart`` is a PNG."""

    counts: dict[str, int]
    rows: int
    chart: bytes


class Leftovers(Protocol):
    """A part of a cloud that can say what any run left in it. It needs no run, no journal and no state.

    A tag can be copied, and anybody can set one: what is found by its tag alone is told, and never removed.
    """

    @property
    def place(self) -> str:
        """Where it looks, such as ``AWS (us-east-1)``."""

    def find(self, run_id: str | None = None) -> list[Remaining]:
        """Ask, by tag and by name, what is left of a run, or of any run; in the order in which it can be removed."""

    def run_of(self, left: Remaining) -> str | None:
        """The run that made it, by its name; None when no run can have made it."""

    def remove(self, left: Remaining) -> None:
        """Remove something that a run made; what is gone already is fine."""


class ComputeCloud(Protocol):
    """A cloud that runs the function. Made from the run's names and settings."""

    reads_in_place: bool
    """Whether the function reads the extract in the data stack's bucket, which then has to stay until it answered."""

    def preflight(self) -> None:
        """Raise a UsageError when the cloud would refuse the run. Creates nothing."""

    def package_target(self) -> Target:
        """Where the function runs, and how its package is to look."""

    def program(self, package: Package, data: LiveData, outputs: "Future[ComputeOutputs]") -> Callable[[], None]:
        """The stack's program, ready for the engine."""

    def most_usd(self) -> float:
        """What the function may cost at most, in US dollars at list prices: it runs to its timeout."""

    def invoke(self, function: ComputeOutputs, package: Package) -> Answer:
        """Call the function once and check its answer; bring it its package first where the stack could not."""

    def remaining(self) -> list[Remaining]:
        """Ask the cloud, by tag and by name, what is left of the run; in the order in which it can be removed."""

    def remove(self, left: Remaining) -> None:
        """Remove something that ``remaining`` named, with the cloud's own client; what is gone already is fine."""
