"""The clouds by the word in the config. Nothing else names one."""

from orchestrator.clouds import ComputeCloud
from orchestrator.clouds.aws import Aws
from orchestrator.clouds.azure import Azure
from orchestrator.clouds.gcp import GoogleData
from orchestrator.clouds.gcp_compute import GoogleCompute
from orchestrator.settings import AwsCompute, AzureCompute, GcpCompute, Settings
from stacks.naming import Names


def data_cloud(settings: Settings, names: Names) -> GoogleData:
    """Where the query runs: the public tables are in BigQuery, so there is no other."""
    return GoogleData(project=settings.data.project, location=settings.data.location, names=names)


def compute_cloud(settings: Settings, names: Names, *, source: str) -> ComputeCloud:
    """Where the function runs; ``source`` says on the chart whose data it shows."""
    title = settings.analysis.title
    match settings.compute:
        case AwsCompute() as compute:
            return Aws(compute, names, title=title, source=source)
        case AzureCompute() as compute:
            return Azure(compute, names, title=title, source=source)
        case GcpCompute() as compute:
            return GoogleCompute(compute, names, project=settings.data.project, title=title, source=source)
