"""What goes in and out of each stack: typed, frozen, plain values and futures. No Pulumi type crosses."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stacks.naming import Names

EXTRACT_PREFIX = "extract"
"""What the names of the extract's objects in the data stack's bucket start with."""


@dataclass(frozen=True)
class DataInputs:
    """What the data stack needs. ``location`` is BigQuery's and Cloud Storage's, such as ``US``."""

    names: Names
    project: str
    location: str


@dataclass(frozen=True)
class DataOutputs:
    """Where the query's result goes: a BigQuery dataset id and a Cloud Storage bucket name.

    ``needs`` are the URNs of the resources that had to be there first.
    """

    dataset: str
    bucket: str
    needs: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class ExtractFile:
    """The query's result on this machine: a CSV with one header and ``rows`` rows. ``sha256`` is in hexadecimal.

    ``objects`` are the names of the same CSV's parts in the data stack's bucket, in order, each with a header.
    """

    path: Path
    sha256: str
    rows: int
    objects: tuple[str, ...]


@dataclass(frozen=True)
class LiveData:
    """The data stack as it comes up: each future is set the moment that what it stands for exists."""

    made: Future[DataOutputs]
    extract: Future[ExtractFile]


@dataclass(frozen=True)
class ArchiveFile:
    """A zip on this machine. ``size`` in bytes, ``sha256`` in hexadecimal."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class AwsComputeInputs:
    """What the AWS compute stack needs.

    ``memory`` in MiB, ``timeout`` in seconds; the chart bears ``title`` and ``source``, whose data it shows.
    Only the data object waits for ``extract``.
    """

    names: Names
    region: str
    architecture: str
    python: str
    memory: int
    timeout: int
    title: str
    source: str
    function: ArchiveFile
    layer: ArchiveFile
    extract: Future[ExtractFile]


@dataclass(frozen=True)
class AzureComputeInputs:
    """What the Azure compute stack needs.

    ``memory`` in MiB, of plan ``flex`` only; ``timeout`` in seconds; ``title`` and ``source`` stand on the chart.
    Only the data blob waits for ``extract``.
    """

    names: Names
    subscription: str
    region: str
    plan: Literal["consumption", "flex"]
    python: str
    memory: int | None
    timeout: int
    title: str
    source: str
    package: ArchiveFile
    extract: Future[ExtractFile]


@dataclass(frozen=True)
class GcpComputeInputs:
    """What the Google Cloud compute stack needs.

    ``memory`` in MiB, ``timeout`` in seconds; ``title`` and ``source`` stand on the chart; ``libraries`` is a folder
    in the package. The function reads the extract where it is: only its permission waits for the bucket, and nothing
    but the outputs for the extract.
    """

    names: Names
    project: str
    region: str
    python: str
    memory: int
    timeout: int
    title: str
    source: str
    package: ArchiveFile
    libraries: str
    data: LiveData


@dataclass(frozen=True)
class ComputeOutputs:
    """The function, ready to be invoked: its URL is useless without a signature, a key or a token.

    ``needs`` are the URNs of the resources that had to be there first.
    """

    function: str
    url: str
    needs: frozenset[str] = field(default=frozenset(), compare=False)
