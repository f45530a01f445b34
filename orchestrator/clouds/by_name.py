"""The clouds by the word in the config. Nothing else names one."""

from collections.abc import Callable
from typing import Final

from orchestrator.clouds import ComputeCloud
from orchestrator.clouds.aws import Aws
from orchestrator.clouds.gcp import GoogleData
from orchestrator.settings import Settings
from stacks.naming import Names

_COMPUTE: Final[dict[str, Callable[..., ComputeCloud]]] = {"aws": Aws}


def data_cloud(settings: Settings, names: Names) -> GoogleData:
    """Where the query runs: the public tables are in BigQuery, so there is no other."""
    return GoogleData(project=settings.data.project, location=settings.data.location, names=names)


def compute_cloud(settings: Settings, names: Names, *, source: str) -> ComputeCloud:
    """Where the function runs; ``source`` says on the chart whose data it shows."""
    return _COMPUTE[settings.compute.cloud](settings.compute, names, title=settings.analysis.title, source=source)
