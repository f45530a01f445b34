"""Where the function runs: one section a cloud, chosen by ``compute.cloud``, each with that cloud's own keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from orchestrator.settings.mistakes import Expected
from orchestrator.settings.values import (
    AWS_REGION,
    AZURE_REGION,
    GIB,
    GOOGLE_REGION,
    MIB,
    AzureRegion,
    Bytes,
    GoogleRegion,
    LambdaRegion,
    Python,
    Seconds,
    Section,
    Text,
    unless_of,
)

_FLEX_MEMORY = (512 * MIB, 2 * GIB, 4 * GIB)
_FLEX_DEFAULT_MIB = 2048
_TIMEOUTS = ["10 s", "60 s", "2 min"]


class AwsCompute(Section):
    """The function on AWS Lambda. Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""

    cloud: Annotated[Literal["aws"], Field(description="The cloud that draws the chart.")]
    region: Annotated[
        LambdaRegion,
        Expected('an AWS region with Lambda, such as "us-east-1"', remark=unless_of(AWS_REGION)),
        Field(
            examples=["us-east-1", "us-east-2", "eu-west-1"],
            description="The region of bucket and function. us-east-1 by default: nearest to the US tables.",
        ),
    ] = "us-east-1"
    architecture: Annotated[
        Literal["arm64", "x86_64"],
        Field(description="The function's processor. arm64 by default: a fifth cheaper a second than x86_64."),
    ] = "arm64"
    python: Annotated[
        Python,
        Field(description="The function's Python. 3.13 by default: the newest with wheels for all that it imports."),
    ] = "3.13"
    memory: Annotated[
        Bytes,
        Expected('a whole number of MiB from 128 to 10240, such as "1769 MiB"'),
        Field(
            ge=128 * MIB,
            le=10240 * MIB,
            multiple_of=MIB,
            examples=["512 MiB", "1769 MiB", "3538 MiB"],
            description="Bytes, whole MiB. 1769 MiB by default: there Lambda gives one full processor. "
            "https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html",
        ),
    ] = 1769 * MIB
    timeout: Annotated[
        Seconds,
        Expected('a whole number of seconds from 1 to 900, such as "60 s"'),
        Field(
            ge=1,
            le=900,
            examples=_TIMEOUTS,
            description="Seconds after which Lambda ends the function. 60 by default: a cold start takes a few.",
        ),
    ] = 60

    @property
    def memory_mib(self) -> int:
        """The memory in MiB, the unit of Lambda's API."""
        return self.memory // MIB


def _flex_memory(value: int) -> int:
    """https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#instance-sizes has the sizes."""
    if value not in _FLEX_MEMORY:
        raise ValueError
    return value


class AzureCompute(Section):
    """The function on Azure Functions. Plans: https://learn.microsoft.com/azure/azure-functions/functions-scale."""

    model_config = ConfigDict(
        json_schema_extra={  # What only plan flex has.
            "if": {"properties": {"plan": {"const": "flex"}}, "required": ["plan"]},
            "else": {"properties": {"python": {"not": {"enum": ["3.13", 3.13]}}, "memory": {"type": "null"}}},
        }
    )

    cloud: Annotated[Literal["azure"], Field(description="The cloud that draws the chart.")]
    subscription: Annotated[
        Text | None,
        Expected('an Azure subscription id, such as "01234567-89ab-cdef-0123-456789abcdef"'),
        Field(
            pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
            description="The Azure subscription that pays; its id is no credential. None by default: the environment's "
            "AZURE_SUBSCRIPTION_ID or ARM_SUBSCRIPTION_ID.",
        ),
    ] = None
    region: Annotated[
        AzureRegion,
        Expected('an Azure region, such as "eastus"', remark=unless_of(AZURE_REGION)),
        Field(
            examples=["eastus", "eastus2", "westeurope"],
            description="The region of the resource group and all in it. eastus by default: near to the US tables. "
            "Azure is asked before the run whether it has it.",
        ),
    ] = "eastus"
    plan: Annotated[
        Literal["consumption", "flex"],
        Field(
            description="How the function is hosted. consumption by default: up in under a minute; flex takes several, "
            "and has newer Pythons and a choice of memory."
        ),
    ] = "consumption"
    python: Annotated[
        Python,
        Field(
            description="The function's Python. 3.12 by default: the newest that both plans have, for consumption gets "
            "no newer one. https://learn.microsoft.com/azure/azure-functions/functions-reference-python#python-version"
        ),
    ] = "3.12"
    memory: Annotated[
        Annotated[Bytes, AfterValidator(_flex_memory)] | None,
        Expected('"512 MiB", "2 GiB" or "4 GiB"'),
        Field(
            examples=["512 MiB", "2 GiB", "4 GiB"],
            description="Bytes; plan flex only. None by default: what the plan gives, which is 2 GiB on flex and up "
            "to 1.5 GiB on consumption.",
        ),
    ] = None
    timeout: Annotated[
        Seconds,
        Expected('a whole number of seconds from 1 to 230, such as "60 s"'),
        Field(
            ge=1,
            le=230,
            examples=_TIMEOUTS,
            description="Seconds after which Azure ends the function; its load balancer ends a request after 230: "
            "https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#limits. "
            "60 by default: a cold start takes several.",
        ),
    ] = 60

    @property
    def memory_mib(self) -> int | None:
        """An instance's memory in MiB, the unit of Azure's API; None on plan consumption, which gives what is used."""
        if self.plan == "consumption":
            return None
        return _FLEX_DEFAULT_MIB if self.memory is None else self.memory // MIB


class GcpCompute(Section):
    """The function on Cloud Run, in the project of the data stack. Limits: https://cloud.google.com/run/quotas."""

    cloud: Annotated[Literal["gcp"], Field(description="The cloud that draws the chart.")]
    region: Annotated[
        GoogleRegion,
        Expected('a Google Cloud region, such as "us-central1"', remark=unless_of(GOOGLE_REGION)),
        Field(
            examples=["us-central1", "us-east1", "europe-west4"],
            description="The region of the service. us-central1 by default: in the US, as the tables are. "
            "https://cloud.google.com/run/docs/locations",
        ),
    ] = "us-central1"
    python: Annotated[
        Python,
        Field(description="The function's Python. 3.13 by default: the newest with wheels for all that it imports."),
    ] = "3.13"
    memory: Annotated[
        Bytes,
        Expected('a whole number of MiB from 512 to 4096, such as "1 GiB"'),
        Field(
            ge=512 * MIB,
            le=4 * GIB,
            multiple_of=MIB,
            examples=["512 MiB", "1 GiB", "2 GiB", "4 GiB"],
            description="Bytes, whole MiB; one processor takes at most 4 GiB. 1 GiB by default: the function uses "
            "half of it. https://cloud.google.com/run/docs/configuring/services/memory-limits",
        ),
    ] = GIB
    timeout: Annotated[
        Seconds,
        Expected('a whole number of seconds from 1 to 3600, such as "60 s"'),
        Field(
            ge=1,
            le=3600,
            examples=_TIMEOUTS,
            description="Seconds after which Cloud Run ends the request. 60 by default: a cold start takes a few. "
            "https://cloud.google.com/run/docs/configuring/request-timeout",
        ),
    ] = 60

    @property
    def memory_mib(self) -> int:
        """The memory in MiB, the unit of Cloud Run's ``Mi``."""
        return self.memory // MIB


ComputeSettings = Annotated[AwsCompute | AzureCompute | GcpCompute, Field(discriminator="cloud")]
"""A union tagged by ``cloud``: another cloud is one more member."""
