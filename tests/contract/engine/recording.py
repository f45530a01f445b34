"""What the stacks register, recorded where the stand-ins create it: then every value is known.

Many configs come up in one run of the engine: each stack has a room of its own, a component that its resources are in,
for otherwise their names would meet. The programs know nothing of it.
"""

import hashlib
import itertools
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
from pulumi.provider.experimental.provider import Provider
from pulumi.runtime.settings import get_root_resource, set_root_resource

from orchestrator.clouds import Environment
from orchestrator.clouds.by_name import compute_cloud, data_cloud
from orchestrator.engine import Stack
from orchestrator.package import Archive, Package
from orchestrator.rehearsal.aws import provider as aws_provider
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure import provider as azure_provider
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.gcp import provider as gcp_provider
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.identity import Identity
from orchestrator.rehearsal.gcp.sample import PublicTables
from orchestrator.rehearsal.provider import ResourceType, StandInProvider
from orchestrator.settings import Settings
from stacks.contracts import ComputeOutputs, DataOutputs, ExtractFile, LiveData
from stacks.naming import Names

SOURCE = "a synthetic sample"
_MIB = 1024**2


@dataclass(frozen=True)
class Record:
    """One resource as it was created: ``configuration`` is its provider's."""

    token: str
    kind: ResourceType
    inputs: dict[str, Any]
    configuration: dict[str, Any]

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Make one of its kind, with other inputs, past the recorder."""
        return type(self.kind).create(self.kind, inputs, configuration)


@dataclass(frozen=True)
class Config:
    """A run: its settings and names. ``layer_mib`` is the size that the layer is said to have."""

    settings: Settings
    names: Names
    layer_mib: int = 40


@dataclass
class Clouds:
    """The stand-ins of one project and one subscription, and what was created in them."""

    google: GoogleCloud
    azure: AzureCloud
    environment: Environment
    records: list[Record] = field(default_factory=list)

    def stop(self) -> None:
        """Take the stand-ins down."""
        self.google.stop()
        self.azure.stop()


class Recorder:
    """Starts the stand-ins and brings configs up in them. AWS is one for all, as moto's records are."""

    def __init__(
        self,
        amazon: Amazon,
        functions: FunctionHost,
        serve_provider: Callable[[Provider], int],
        stack: Callable[[str], Stack],
        folder: Path,
    ) -> None:
        """``stack`` makes a stack of that name in the environment of the moment."""
        self._amazon = amazon
        self._functions = functions
        self._serve = serve_provider
        self._stack = stack
        self._folder = folder
        self._count = itertools.count()
        self._tables = PublicTables.from_source(None)
        self._file = folder / "extract.csv"
        self._file.write_bytes(b"month\n3\n")
        self._zip = folder / "package.zip"
        with zipfile.ZipFile(self._zip, "w") as opened:
            opened.writestr("main.py", "")

    def clouds(self, *, project: str, subscription: str | None) -> Clouds:
        """Stand-ins of that project and subscription; what is created in them is recorded."""
        folder = self._folder / f"clouds-{next(self._count)}"
        (folder / "azure").mkdir(parents=True)
        google = GoogleCloud(self._tables, project=project, identity=Identity(), folder=folder / "google")
        azure = AzureCloud(folder / "azure", subscription)
        clouds = Clouds(google, azure, Environment({}, SOURCE))
        made = {
            "aws": aws_provider.provider(self._amazon, self._functions),
            "azure-native": azure_provider.provider(azure),
            "gcp": gcp_provider.provider(google),
        }
        for provider in made.values():
            _record(provider, clouds.records)
        ports = ",".join(f"{name}:{self._serve(provider)}" for name, provider in made.items())
        clouds.environment.variables = {
            "PULUMI_DEBUG_PROVIDERS": ports,
            "AWS_ENDPOINT_URL": self._amazon.endpoint,
            "AWS_ACCESS_KEY_ID": self._amazon.caller.key_id,
            "AWS_SECRET_ACCESS_KEY": self._amazon.caller.secret,
            "AWS_PROFILE": None,
            **azure.variables,
            **google.variables,
        }
        return clouds

    def up(self, clouds: Clouds, configs: Sequence[Config]) -> None:
        """Bring the data stack and the compute stack of each config up, in one stack of the engine's.

        It stays, without a state: the clouds go with all that is in them, and moto with the process.
        """
        outputs: list[Future[ComputeOutputs]] = [Future() for _ in configs]
        with clouds.environment.in_force():
            programs = [
                program for config, made in zip(configs, outputs, strict=True) for program in self._both(config, made)
            ]
            stack = self._stack(f"inputs{next(self._count)}")
            # The engine would write the whole state after each resource: most of the time of an up like this.
            stack._command._environment |= {"PULUMI_SKIP_CHECKPOINTS": "true", "PULUMI_EXPERIMENTAL": "true"}
            stack.up(lambda: _in_rooms(programs), lambda _: None)
        assert all(made.done() for made in outputs)

    def _both(self, config: Config, outputs: "Future[ComputeOutputs]") -> Iterator[Callable[[], None]]:
        """The two programs as ``run.py`` gets them."""
        made: Future[DataOutputs] = Future()
        extract: Future[ExtractFile] = Future()
        extract.set_result(ExtractFile(self._file, _sha256(self._file), 1, ("extract.csv",)))
        yield data_cloud(config.settings, config.names).program(made)
        compute = compute_cloud(config.settings, config.names, source=SOURCE)
        yield compute.program(self._package(config), LiveData(made, extract), outputs)

    def _package(self, config: Config) -> Package:
        function = Archive(self._zip, _sha256(self._zip), self._zip.stat().st_size, 0)
        layer = Archive(self._zip, _sha256(self._zip), config.layer_mib * _MIB, 0)
        return Package(function, layer if config.settings.compute.cloud == "aws" else None)


def _record(provider: StandInProvider, records: list[Record]) -> None:
    for token, kind in provider._resources.items():
        vars(kind)["create"] = partial(_create, partial(Record, token, kind), records)


def _create(
    record: Callable[[dict[str, Any], dict[str, Any]], Record],
    records: list[Record],
    inputs: dict[str, Any],
    configuration: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    made = record(inputs, dict(configuration))
    records.append(made)
    return made.create(inputs, configuration)


class _Room(pulumi.ComponentResource):
    """A stack within the stack."""

    def __init__(self, number: int) -> None:
        super().__init__(f"test:index:Room{number}", f"room{number}")


def _in_rooms(programs: Sequence[Callable[[], None]]) -> None:
    """Run each program with a room where it finds the stack. A room has no outputs: nobody reads them."""
    stack = get_root_resource()
    assert stack is not None
    with patch.object(pulumi, "export", lambda _name, _value: None):
        for number, program in enumerate(programs):
            set_root_resource(stack)
            set_root_resource(_Room(number))
            program()
    set_root_resource(stack)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
