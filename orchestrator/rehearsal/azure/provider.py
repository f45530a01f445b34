"""The stand-in for Pulumi's azure-native provider: all resource types and functions, over one stand-in Azure."""

from orchestrator.rehearsal.azure import resources, storage_resources, web_resources
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.provider import StandInProvider


def provider(azure: AzureCloud) -> StandInProvider:
    """A provider to be served."""
    types = resources.resources(azure) | storage_resources.resources(azure) | web_resources.resources(azure)
    return StandInProvider(types, resources.CONFIGURATION, storage_resources.functions(azure))
