"""What the stand-in clouds hold: everything that a caller made and did not unmake, in their own records.

Not asked by API, by tag or by name: it is what the answers of the clouds' clients are held against.
"""

from collections.abc import Iterator

from orchestrator.clouds import Remaining
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.gcp.cloud import GoogleCloud


def census(amazon: Amazon, functions: FunctionHost, google: GoogleCloud, azure: AzureCloud) -> list[Remaining]:
    """All of it, by cloud, kind and id."""
    return sorted(_found(amazon, functions, google, azure), key=lambda found: (found.cloud, found.kind, found.id))


def _found(amazon: Amazon, functions: FunctionHost, google: GoogleCloud, azure: AzureCloud) -> Iterator[Remaining]:
    held = {
        "aws": (amazon.held(), functions.held()),
        "azure": (azure.held(),),
        "gcp": (google.held(),),
    }
    for cloud, records in held.items():
        for record in records:
            yield from (Remaining(cloud, kind, found) for kind, found in record)
