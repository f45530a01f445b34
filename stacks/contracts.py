"""What goes in and out of each stack: typed, frozen, plain values and futures. No Pulumi type crosses."""

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from stacks.naming import Names


@dataclass(frozen=True)
class DataInputs:
    """What the data stack needs. ``location`` is BigQuery's and Cloud Storage's, such as ``US``."""

    names: Names
    project: str
    location: str


@dataclass(frozen=True)
class DataOutputs:
    """Where the query's result goes: a BigQuery dataset id and a Cloud Storage bucket name."""

    dataset: str
    bucket: str


@dataclass(frozen=True)
class ExtractFile:
    """The query's result on this machine: a CSV with one header and ``rows`` rows. ``sha256`` is in hexadecimal."""

    path: Path
    sha256: str
    rows: int


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
    ``extract`` is the live output of the data stack: only the data object waits for it.
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
class ComputeOutputs:
    """The function, ready to be invoked: its URL is useless without a signature or a key."""

    function: str
    url: str
