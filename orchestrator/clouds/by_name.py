"""The clouds by the word in the config. Nothing else names one."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.clouds import ComputeCloud, Leftovers
from orchestrator.clouds.aws import Aws
from orchestrator.clouds.aws import session as aws_session
from orchestrator.clouds.aws_leftovers import AwsLeftovers
from orchestrator.clouds.azure import Azure
from orchestrator.clouds.azure_clients import AzureClients, default_subscription
from orchestrator.clouds.azure_leftovers import AzureLeftovers
from orchestrator.clouds.gcp import GoogleData
from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.clouds.gcp_compute import GoogleCompute
from orchestrator.clouds.gcp_leftovers import GoogleComputeLeftovers, GoogleDataLeftovers
from orchestrator.errors import OrchestratorError
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


def load_programs(settings: Settings) -> None:
    """Import what the stacks' programs are made of: seconds of Pulumi's SDKs, to be spent while others are waited for.

    They read no environment: it may not be in force yet.
    """
    match settings.compute:
        case AwsCompute():
            from stacks import compute_aws  # noqa: F401, PLC0415 - see above
        case AzureCompute():
            from stacks import compute_azure  # noqa: F401, PLC0415
        case GcpCompute():
            from stacks import compute_gcp  # noqa: F401, PLC0415
    from stacks import data_gcp  # noqa: F401, PLC0415


@dataclass(frozen=True)
class Part:
    """A part of the clouds in which runs may have left something; ``configured`` if the config names it.

    ``open`` raises an OrchestratorError where nothing leads there.
    """

    cloud: str
    open: Callable[[], Leftovers]
    configured: bool


def parts(settings: Settings) -> list[Part]:
    """All clouds, those of the config and the others, in the order in which they can be emptied.

    What the config does not say of another cloud comes from the environment, as that cloud's own tools have it.
    """
    compute, project = settings.compute, settings.data.project
    google = GoogleClients(project=project, location=settings.data.location)
    return [
        Part(
            "Google Cloud", lambda: GoogleComputeLeftovers(project, google), configured=isinstance(compute, GcpCompute)
        ),
        Part("AWS", lambda: _aws(compute), configured=isinstance(compute, AwsCompute)),
        Part("Azure", lambda: _azure(compute), configured=isinstance(compute, AzureCompute)),
        Part("Google Cloud", lambda: GoogleDataLeftovers(project, google), configured=True),
    ]


def _aws(compute: AwsCompute | AzureCompute | GcpCompute) -> Leftovers:
    """In the config's region, else the environment's, else where a config without a region has its runs."""
    session = aws_session(compute.region if isinstance(compute, AwsCompute) else None)
    return AwsLeftovers(session, session.region_name or AwsCompute(cloud="aws").region)


def _azure(compute: AwsCompute | AzureCompute | GcpCompute) -> Leftovers:
    chosen = compute.subscription if isinstance(compute, AzureCompute) else None
    subscription = chosen or default_subscription(os.environ)
    if not subscription:
        raise OrchestratorError("AZURE_SUBSCRIPTION_ID is not set")
    return AzureLeftovers(AzureClients(subscription), subscription)
