"""The stand-in for Pulumi's azure-native provider: all resource types and functions, over one stand-in Azure."""

from orchestrator.rehearsal import azure_resources, azure_storage_resources, azure_web_resources
from orchestrator.rehearsal.azure import AzureCloud
from orchestrator.rehearsal.provider import StandInProvider


def provider(azure: AzureCloud) -> StandInProvider:
    """A provider to be served."""
    types = (
        azure_resources.resources(azure)
        | azure_storage_resources.resources(azure)
        | azure_web_resources.resources(azure)
    )
    return StandInProvider(types, azure_resources.CONFIGURATION, azure_storage_resources.functions(azure))
