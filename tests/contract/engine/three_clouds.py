"""One small resource of each stand-in cloud, and all three clouds behind one engine."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest
from pulumi.provider.experimental.provider import Provider
from pulumi_azure_native import Provider as AzureProvider
from pulumi_azure_native import resources as azure_resources

from orchestrator.engine import Stack
from orchestrator.rehearsal.aws import provider as aws_provider
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure import provider as azure_provider
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.rest import ArmError
from orchestrator.rehearsal.gcp import provider as gcp_provider
from orchestrator.rehearsal.gcp.cloud import CloudError, GoogleCloud
from orchestrator.rehearsal.gcp.sample import PublicTables
from tests.contract.engine.engine_wire import Conversation, Program
from tests.rehearsal.conftest import GOOGLE, GOOGLE_PROJECT

REGION, LOCATION = "us-east-1", "westeurope"
CLOUDS = ("aws", "gcp", "azure")


@dataclass(frozen=True)
class Small:
    """A resource with a physical name, and one input that says something: ``first`` or ``second``."""

    kind: type[pulumi.CustomResource]
    token: str
    name_input: str
    said_input: str
    first: Any
    second: Any
    output: str
    """A computed output, by its name in the protocol."""
    provider: Callable[..., pulumi.ProviderResource]
    inputs: Callable[[pulumi.Input[str] | None, Any], dict[str, Any]]
    """The arguments of ``kind`` for a physical name and what is said."""
    id_of: Callable[[str], str]
    said: Callable[[str], Any]
    """What the cloud itself says that the resource of that physical name says; None if there is no such resource."""
    say: Callable[[str, Any], None]
    """Makes it say something behind Pulumi's back; makes it if there is none."""
    lose: Callable[[str], None]


@dataclass(frozen=True)
class ThreeClouds:
    amazon: Amazon
    google: GoogleCloud
    azure: AzureCloud

    @cached_property
    def small(self) -> dict[str, Small]:
        """The small resource of each cloud."""
        return {"aws": self._log_group(), "gcp": self._account(), "azure": self._group()}

    def _log_group(self) -> Small:
        client = self.amazon.client("logs", REGION)

        def said(name: str) -> Any:
            groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            return next((group["retentionInDays"] for group in groups if group["logGroupName"] == name), None)

        def say(name: str, days: int) -> None:
            if said(name) is None:
                client.create_log_group(logGroupName=name)
            client.put_retention_policy(logGroupName=name, retentionInDays=days)

        return Small(
            kind=aws.cloudwatch.LogGroup,
            token="aws:cloudwatch/logGroup:LogGroup",
            name_input="name",
            said_input="retentionInDays",
            first=1,
            second=3,
            output="arn",
            provider=lambda name="aws", region=REGION: aws.Provider(name, region=region),
            inputs=lambda name, days: {"name": name, "retention_in_days": days},
            id_of=lambda name: name,
            said=said,
            say=say,
            lose=lambda name: client.delete_log_group(logGroupName=name),
        )

    def _account(self) -> Small:
        access, project = self.google.access, self.google.project

        def email(name: str) -> str:
            return f"{name}@{project}.iam.gserviceaccount.com"

        def said(name: str) -> Any:
            try:
                return access.account(email(name)).description
            except CloudError:
                return None

        def say(name: str, what: str) -> None:
            if said(name) is None:
                access.create_account(name, description=what, display_name="")
            else:
                access._accounts[email(name)] = replace(access.account(email(name)), description=what)

        return Small(
            kind=gcp.serviceaccount.Account,
            token="gcp:serviceaccount/account:Account",
            name_input="accountId",
            said_input="description",
            first="first",
            second="second",
            output="email",
            provider=lambda name="gcp", project=project: gcp.Provider(name, project=project),
            inputs=lambda name, what: {"account_id": name, "description": what},
            id_of=lambda name: f"projects/{project}/serviceAccounts/{email(name)}",
            said=said,
            say=say,
            lose=lambda name: access.delete_account(email(name)),
        )

    def _group(self) -> Small:
        subscription = self.azure.subscription

        def said(name: str) -> Any:
            try:
                return subscription.group(name).tags
            except ArmError:
                return None

        def say(name: str, tags: dict[str, str]) -> None:
            if said(name) is None:
                subscription.create_group(name, LOCATION, tags)
            else:
                subscription.group(name).tags = tags

        return Small(
            kind=azure_resources.ResourceGroup,
            token="azure-native:resources:ResourceGroup",
            name_input="resourceGroupName",
            said_input="tags",
            first={"says": "first"},
            second={"says": "second"},
            output="name",
            provider=lambda name="azure", subscription=subscription.id, location=LOCATION: AzureProvider(
                name, location=location, subscription_id=subscription, use_default_azure_credential=True
            ),
            inputs=lambda name, tags: {"resource_group_name": name, "location": LOCATION, "tags": tags},
            id_of=subscription.group_id,
            said=said,
            say=say,
            lose=subscription.delete_group,
        )


_PACKAGES = {"aws": "aws", "gcp": "gcp", "azure": "azure-native"}
_names = (f"hop-protocol-{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def three(amazon: Amazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeClouds]:
    """The clouds; each test uses names of its own."""
    folder = tmp_path_factory.mktemp("clouds")
    google = GoogleCloud(
        PublicTables.from_source(None), project=GOOGLE_PROJECT, identity=GOOGLE, folder=folder / "google"
    )
    (folder / "azure").mkdir()
    azure = AzureCloud(folder / "azure")
    yield ThreeClouds(amazon, google, azure)
    google.stop()
    azure.stop()


@pytest.fixture(scope="session")
def ports(three: ThreeClouds, functions: FunctionHost, serve_provider: Callable[[Provider], int]) -> dict[str, int]:
    """The port of each cloud's provider."""
    return {
        "aws": serve_provider(aws_provider.provider(three.amazon, functions)),
        "gcp": serve_provider(gcp_provider.provider(three.google)),
        "azure": serve_provider(azure_provider.provider(three.azure)),
    }


@pytest.fixture
def engine(
    *,
    in_force: None,  # noqa: ARG001 - its variable is replaced
    ports: dict[str, int],
    new_stack: Callable[[], Stack],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Conversation:
    """A stack that reaches all three clouds."""
    attached = ",".join(f"{_PACKAGES[cloud]}:{port}" for cloud, port in ports.items())
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", attached)
    return Conversation(new_stack(), tmp_path / "grpc.json")


@pytest.fixture
def name() -> str:
    """The physical name of a test's small resources."""
    return next(_names)


def declare(three: ThreeClouds, name: str | None, said: str = "first", **options: Any) -> Program:
    """A program of the small resource of each cloud."""

    def program() -> None:
        for cloud, small in three.small.items():
            given = pulumi.ResourceOptions(provider=small.provider(), **options)
            small.kind(f"small-{cloud}", **small.inputs(name, getattr(small, said)), opts=given)

    return program


def in_the_clouds(three: ThreeClouds, name: str) -> dict[str, Any]:
    """What the clouds themselves say: "first", "second", or None if there is none."""
    return {
        cloud: {str(small.first): "first", str(small.second): "second", "None": None}[str(small.said(name))]
        for cloud, small in three.small.items()
    }


def all_three(value: Any) -> dict[str, Any]:
    """The same of each cloud."""
    return dict.fromkeys(CLOUDS, value)
