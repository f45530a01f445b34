"""What faults leave in the clouds is found without a journal and without a state, by name if need be, and removed."""

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from orchestrator import settings, surroundings
from orchestrator.clouds import Environment, Leftovers, Remaining
from orchestrator.clouds.aws import session
from orchestrator.clouds.aws_leftovers import AwsLeftovers
from orchestrator.clouds.azure_clients import AzureClients
from orchestrator.clouds.azure_leftovers import AzureLeftovers
from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.clouds.gcp_leftovers import GoogleComputeLeftovers, GoogleDataLeftovers
from orchestrator.console import Console
from orchestrator.home import Home
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.subscription import Resource
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.settings import DEFAULT_CONFIG
from orchestrator.sweep import Wanted, sweep
from stacks.naming import Names, new_run_id

REGION = "us-east-1"
ACCOUNT = "123456789012"
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        ],
    }
)
MakeBucket = Callable[..., dict[str, Any]]


@pytest.fixture
def names() -> Names:
    """A run of a year ago; there is one Amazon for all these tests, so each has a run of its own."""
    return Names(new_run_id(datetime(2025, 1, 1, tzinfo=UTC)))


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("main.py", "def handler(event, context): pass\n")
    return content.getvalue()


# ---- AWS


@dataclass
class Account:
    """What a test makes in AWS."""

    amazon: Amazon
    names: Names

    def client(self, service: str) -> Any:
        return self.amazon.client(service, REGION)

    def bucket(self, *keys: str) -> str:
        name = f"{self.names.prefix}-data"
        self.client("s3").create_bucket(Bucket=name)
        for key in keys:
            self.client("s3").put_object(Bucket=name, Key=key, Body=b"1")
        return f"arn:aws:s3:::{name}"

    def role(self) -> str:
        path = f"/cloud-hopping/{self.names.run_id}/"
        made = self.client("iam").create_role(RoleName=self.names.prefix, Path=path, AssumeRolePolicyDocument=TRUST)
        return str(made["Role"]["Arn"])

    def function(self, role: str) -> str:
        made = self.client("lambda").create_function(
            FunctionName=self.names.prefix,
            Role=role,
            Code={"ZipFile": archive()},
            Runtime="python3.13",
            Handler="main.handler",
        )
        return str(made["FunctionArn"])

    def layer(self) -> str:
        name = f"{self.names.prefix}-libraries"
        made = self.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": archive()})
        return str(made["LayerVersionArn"])

    def log(self) -> str:
        name = f"/aws/lambda/{self.names.prefix}"
        self.client("logs").create_log_group(logGroupName=name)
        return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"


@pytest.fixture
def account(in_force: None, amazon: Amazon, names: Names) -> Account:  # noqa: ARG001 - boto3 reads the environment
    return Account(amazon, names)


def in_aws() -> AwsLeftovers:
    return AwsLeftovers(session(REGION), REGION)


def remove_all(where: Leftovers, run_id: str) -> None:
    """Each twice: what is gone already is fine."""
    left = where.find(run_id)
    for one in left:
        where.remove(one)
        where.remove(one)
    assert where.find(run_id) == []


def test_in_aws_all_is_found_by_name_in_the_order_of_its_removal(account: Account, names: Names) -> None:
    role = account.role()
    made = [account.function(role), account.layer(), account.layer(), role, account.bucket(), account.log()]
    kinds = ["lambda function", "lambda layer", "lambda layer", "iam role", "s3 bucket", "logs log-group"]
    expected = [Remaining("aws", kind, arn) for kind, arn in zip(kinds, made, strict=True)]
    assert in_aws().find(names.run_id) == expected
    assert [left for left in in_aws().find() if in_aws().run_of(left) == names.run_id] == expected
    remove_all(in_aws(), names.run_id)


def test_a_bucket_is_emptied_page_by_page(account: Account, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    account.bucket(*(f"layers/{number}.zip" for number in range(8)))
    remove_all(in_aws(), names.run_id)


def test_a_bucket_with_versions_is_emptied_of_them(account: Account, names: Names) -> None:
    account.bucket("extract.csv")
    name, client = f"{names.prefix}-data", account.client("s3")
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=name, Key="extract.csv", Body=b"2")
    client.delete_object(Bucket=name, Key="extract.csv")
    remove_all(in_aws(), names.run_id)


def test_a_role_goes_with_the_policies_that_it_has(account: Account, names: Names) -> None:
    account.role()
    iam = account.client("iam")
    attached = iam.create_policy(PolicyName=names.prefix, PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=names.prefix, PolicyArn=attached)
    iam.put_role_policy(RoleName=names.prefix, PolicyName="read-extract-write-log", PolicyDocument=POLICY)
    remove_all(in_aws(), names.run_id)
    assert iam.get_policy(PolicyArn=attached)["Policy"]["AttachmentCount"] == 0  # It is not ours, and stays.
    iam.delete_policy(PolicyArn=attached)


def test_what_is_tagged_in_aws_and_not_ours_is_found_and_stays(account: Account, names: Names) -> None:
    client, name = account.client("s3"), f"archive-{names.run_id}"
    client.create_bucket(Bucket=name)
    tags = [{"Key": key, "Value": value} for key, value in names.tags.items()]
    client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    (left,) = in_aws().find(names.run_id)
    assert (left, in_aws().run_of(left)) == (Remaining("aws", "s3 bucket", f"arn:aws:s3:::{name}"), None)
    client.delete_bucket(Bucket=name)


# ---- Google Cloud


@dataclass
class Project:
    """What a test makes in Google Cloud, without a label."""

    google: GoogleCloud
    names: Names
    make_bucket: MakeBucket
    make_service: Callable[..., dict[str, Any]]

    def all(self, region: str = "us-central1") -> list[Remaining]:
        """Everything that a run makes, in the order of its removal."""
        prefix, project = self.names.prefix, self.google.project
        self.google.bigquery.create_dataset(
            project, self.names.dataset, location="US", labels={}, default_table_expiration_ms=None
        )
        for name in (f"{prefix}-extract", f"{prefix}-source"):
            self.make_bucket(self.google, name)
            self.google.storage.put_object(name, "an object", b"1", "text/plain")
        account = self.google.access.create_account(prefix, description="", display_name="")
        service = self.make_service(self.google, name=prefix, region=region)
        return [
            Remaining("gcp", "cloud run service", service["name"]),
            Remaining("gcp", "storage bucket", f"{prefix}-source"),
            Remaining("gcp", "service account", account.email),
            Remaining("gcp", "storage bucket", f"{prefix}-extract"),
            Remaining("gcp", "storage bucket", f"{prefix}-source"),
            Remaining("gcp", "bigquery dataset", f"{project}:{self.names.dataset}"),
        ]


@pytest.fixture
def project(
    start_google: Callable[..., GoogleCloud],
    names: Names,
    make_bucket: MakeBucket,
    make_service: Callable[..., dict[str, Any]],
) -> Project:
    return Project(start_google(), names, make_bucket, make_service)


def in_google(project: Project, region: str | None = None) -> tuple[GoogleComputeLeftovers, GoogleDataLeftovers]:
    name = project.google.project
    clients = GoogleClients(project=name, location="US")
    return GoogleComputeLeftovers(name, clients, region), GoogleDataLeftovers(name, clients)


def test_in_google_cloud_all_is_found_by_name_in_the_order_of_its_removal(project: Project, names: Names) -> None:
    made = project.all(region="europe-west1")
    compute, data = in_google(project)
    assert [*compute.find(names.run_id), *data.find(names.run_id)] == made
    assert [*compute.find(), *data.find()] == made
    remove_all(compute, names.run_id)
    remove_all(data, names.run_id)
    # What the fixtures made under other names stands.
    assert [bucket["name"] for bucket in project.google.storage.list_buckets(project.google.project, "")] == [
        "hop-source"
    ]


def test_a_runs_own_side_asks_its_own_region_only(project: Project, names: Names) -> None:
    project.all(region="europe-west1")
    here, there = (in_google(project, region)[0] for region in ("us-central1", "europe-west1"))
    kinds = ["storage bucket", "service account"]
    assert [left.kind for left in here.find(names.run_id)] == kinds
    assert [left.kind for left in there.find(names.run_id)] == ["cloud run service", *kinds]


def test_what_is_labelled_in_google_cloud_and_not_ours_is_found_and_stays(project: Project, names: Names) -> None:
    project.make_bucket(project.google, "archive", labels=names.tags)
    _, data = in_google(project)
    assert [(left.id, data.run_of(left)) for left in data.find(names.run_id)] == [("archive", None)]


# ---- Azure


@pytest.fixture
def azure(start_azure: Callable[[], AzureCloud]) -> AzureCloud:
    return start_azure()


def in_azure(azure: AzureCloud) -> AzureLeftovers:
    return AzureLeftovers(AzureClients(azure.subscription.id), azure.subscription.id)


def resource_in(azure: AzureCloud, group: str, tags: dict[str, str]) -> str:
    resource_id = f"{azure.subscription.group_id(group)}/providers/Microsoft.Web/sites/site"
    resource = Resource(resource_id, "Microsoft.Web/sites", "site", "eastus", tags, "app", None, end=lambda: None)
    azure.subscription.add(group, resource)
    return resource_id


def test_a_group_is_found_by_name_and_by_tag_and_goes_with_what_is_in_it(azure: AzureCloud, names: Names) -> None:
    azure.subscription.create_group(names.prefix, "eastus", {})
    resource_in(azure, names.prefix, names.tags)
    group = Remaining("azure", "resource group", azure.subscription.group_id(names.prefix))
    assert in_azure(azure).find(names.run_id) == [group]
    assert in_azure(azure).find() == [group]
    remove_all(in_azure(azure), names.run_id)
    assert azure.subscription.resources(None) == []


def test_what_is_tagged_in_azure_and_not_ours_is_found_and_stays(azure: AzureCloud, names: Names) -> None:
    azure.subscription.create_group("Production", "eastus", {"Managed-By": "cloud-hopping"})
    azure.subscription.create_group("others", "eastus", {})
    site = resource_in(azure, "others", names.tags)
    found = in_azure(azure).find()
    assert found == [
        Remaining("azure", "resource group", azure.subscription.group_id("Production")),
        Remaining("azure", "microsoft.web/sites", site),
    ]
    assert [in_azure(azure).run_of(left) for left in found] == [None, None]


# ---- all of them


@dataclass
class Swept:
    """A sweep of all three, as the command does it."""

    home: Home
    said: list[str] = field(default_factory=list)
    notes: StringIO = field(default_factory=StringIO)

    def __call__(self, *, run_id: str | None = None, yes: bool = False, **overrides: str) -> None:
        self.said.clear()
        chosen = settings.load(
            DEFAULT_CONFIG,
            overrides=[f"{name.replace('__', '.')}={value}" for name, value in overrides.items()],
            environ={},
        )
        wanted = Wanted(run_id, 3600, "sweep --yes", yes)
        with Console(self.notes) as console:
            sweep(wanted, chosen, home=self.home, console=console, say=self.said.append, now=datetime.now(UTC))


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    monkeypatch.setattr(surroundings, "of_a_sweep", lambda _settings: nullcontext(Environment({}, "")))
    return Swept(Home(tmp_path))


def test_all_clouds_are_swept_whichever_the_config_names(
    account: Account, project: Project, azure: AzureCloud, swept: Swept, names: Names
) -> None:
    account.function(account.role())
    account.bucket("extract.csv")
    account.log()
    project.all()
    azure.subscription.create_group(names.prefix, "eastus", {})
    swept(compute__cloud="gcp")
    assert len([line for line in swept.said[0].splitlines() if names.run_id in line and "stays" not in line]) == 10
    assert swept.said[1].startswith("10 left in ")
    swept(yes=True)
    subscription = azure.subscription.id
    places = (
        f"Google Cloud, Cloud Run and IAM (rehearsal-project); AWS (us-east-1); Azure ({subscription}); "
        "Google Cloud, BigQuery and Cloud Storage (rehearsal-project)"
    )
    assert swept.said[-1] == f"0 left in {places}."
    swept(yes=True, run_id=names.run_id)
    assert swept.said == [f"0 left in {places}."]
    assert {one.name for one in project.google.access.accounts()} == {"hop-reader", "rehearsal"}


def test_a_cloud_to_which_nothing_leads_is_named(
    account: Account,  # noqa: ARG001 - AWS is there
    project: Project,  # noqa: ARG001 - and Google Cloud
    swept: Swept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID"):
        monkeypatch.delenv(name, raising=False)
    swept()
    assert "Not asked: Azure, which the config does not name: AZURE_SUBSCRIPTION_ID is not set\n" in (
        swept.notes.getvalue()
    )
    assert "Azure" not in swept.said[-1]


def test_an_api_that_another_project_does_not_need(
    account: Account,  # noqa: ARG001 - the config names AWS
    project: Project,
    swept: Swept,
) -> None:
    project.google.access.disabled = {"run.googleapis.com"}
    swept()
    assert "Not asked: Google Cloud, which the config does not name: run.googleapis.com has not been used" in (
        " ".join(swept.notes.getvalue().split())
    )
