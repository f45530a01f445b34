"""The stand-in for Pulumi's aws provider: all resource types, over one stand-in AWS."""

from orchestrator.rehearsal.aws import lambda_resources, resources, s3_resources
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.provider import StandInProvider


def provider(amazon: Amazon, functions: FunctionHost) -> StandInProvider:
    """A provider to be served."""
    types = {
        **resources.resources(amazon),
        **s3_resources.resources(amazon),
        **lambda_resources.resources(amazon, functions),
    }
    return StandInProvider(types, resources.CONFIGURATION)
