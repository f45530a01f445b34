"""The stand-in for Pulumi's gcp provider: all resource types, over one stand-in Google Cloud."""

from orchestrator.rehearsal.gcp import compute_resources, resources
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.provider import StandInProvider


def provider(google: GoogleCloud) -> StandInProvider:
    """A provider to be served."""
    types = resources.resources(google) | compute_resources.resources(google)
    return StandInProvider(types, resources.CONFIGURATION)
