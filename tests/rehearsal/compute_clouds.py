"""The compute clouds of the contract tests: for each its client, its package, and what is its own in the assertions."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from orchestrator.clouds import ComputeCloud, aws, azure, gcp_compute
from orchestrator.clouds.azure_clients import AzureClients
from orchestrator.package import Layout, Package
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.settings import AwsCompute, AzureCompute, GcpCompute
from stacks.contracts import DataOutputs, ExtractFile, LiveData
from stacks.naming import Names

TITLE, SOURCE = "Hail in March", "a test"
HEADER = "event_begin_time,magnitude,month"


class Data:
    """The data stack's side: a bucket, and then the extract in it and on this machine."""

    def __init__(self, google: GoogleCloud, make_bucket: Callable[..., Any], names: Names, folder: Path) -> None:
        self.live = LiveData(Future(), Future())
        self._google = google
        self._make_bucket = make_bucket
        self._names = names
        self._folder = folder

    def bucket(self) -> None:
        name = f"{self._names.prefix}-extract"
        self._make_bucket(self._google, name)
        self.live.made.set_result(DataOutputs(self._names.dataset, name))

    def extract(self, rows: Sequence[str]) -> None:
        if not self.live.made.done():
            self.bucket()
        content = "\n".join([HEADER, *rows, ""]).encode()
        path = self._folder / "extract.csv"
        path.write_bytes(content)
        self._google.storage.put_object(f"{self._names.prefix}-extract", "extract.csv", content, "text/csv")
        sha256 = hashlib.sha256(content).hexdigest()
        self.live.extract.set_result(ExtractFile(path, sha256, len(rows), ("extract.csv",)))


class Ask(Protocol):
    """Calls the function as its caller may."""

    def __call__(self, url: str, *, accept: str) -> requests.Response: ...


@dataclass(frozen=True)
class Case:
    """One compute cloud.

    ``resources`` are the names in the program of all that the stack makes, ``kinds`` what ``remaining`` then says,
    ``tagged`` how many of it carry tags. ``waits`` need the extract; of the ``may_wait`` some may come after it for
    other reasons. ``refusal`` is the status for a stranger, ``failure`` that of a function that failed. ``needs`` are
    the resources that the outputs need, and not those that these need.
    """

    cloud: ComputeCloud
    package: Package
    names: Names
    data: Data
    ask: Ask
    tags: Callable[[], list[dict[str, str]]]
    resources: list[str]
    kinds: list[str]
    tagged: int
    last_without_extract: str
    waits: set[str]
    may_wait: set[str]
    refusal: int
    failure: int
    needs: set[str]


@dataclass(frozen=True)
class ComputeClouds:
    """Makes the cases."""

    names: Names
    data: Data
    pack: Callable[[Layout], Package]
    amazon: Amazon
    google: GoogleCloud
    provide_google: Callable[[GoogleCloud], None]
    start_azure: Callable[[], AzureCloud]
    provide_azure: Callable[[AzureCloud], None]

    def case(self, name: str) -> Case:
        """``aws``, ``gcp``, ``azure`` on its default plan, or ``azure-flex``."""
        cases = {
            "aws": self._aws,
            "azure": lambda: self._azure("consumption"),
            "azure-flex": lambda: self._azure("flex"),
            "gcp": self._gcp,
        }
        return cases[name]()

    def _aws(self) -> Case:
        cloud = aws.Aws(AwsCompute(cloud="aws"), self.names, title=TITLE, source=SOURCE)

        def ask(url: str, *, accept: str) -> requests.Response:
            signed = AWSRequest("GET", url, headers={"Accept": accept})
            key = self.amazon.caller
            SigV4Auth(Credentials(key.key_id, key.secret), "lambda", "us-east-1").add_auth(signed)
            return requests.get(url, headers=dict(signed.headers), timeout=60)

        def tags() -> list[dict[str, str]]:
            tagging = self.amazon.client("resourcegroupstaggingapi", "us-east-1")
            wanted = [{"Key": "run-id", "Values": [self.names.run_id]}]
            found = tagging.get_resources(TagFilters=wanted)["ResourceTagMappingList"]
            return [{tag["Key"]: tag["Value"] for tag in entry["Tags"]} for entry in found]

        return Case(
            cloud=cloud,
            package=self.pack(aws.LAYOUT),
            names=self.names,
            data=self.data,
            ask=ask,
            tags=tags,
            resources=["data", "extract", "function", "fuse", "libraries", "logs", "permissions", "role", "url"],
            kinds=["iam role", "lambda function", "lambda layer", "logs log-group", "s3 bucket"],
            tagged=3,  # Bucket, log group, function: a role is found by its path, a layer by its name.
            last_without_extract="url",
            waits={"extract"},
            may_wait={"extract"},
            refusal=403,
            failure=502,
            needs={"function", "url", "permissions", "extract"},
        )

    def _azure(self, plan: Literal["consumption", "flex"]) -> Case:
        stand_in = self.start_azure()
        self.provide_azure(stand_in)
        cloud = azure.Azure(AzureCompute(cloud="azure", plan=plan), self.names, title=TITLE, source=SOURCE)

        def ask(url: str, *, accept: str) -> requests.Response:
            site = stand_in.web.app(self.names.prefix, self.names.prefix).site
            return requests.get(url, headers={"x-functions-key": site.function_key, "Accept": accept}, timeout=60)

        def tags() -> list[dict[str, str]]:
            arm = AzureClients(stand_in.subscription.id).arm
            return [dict(group.tags or {}) for group in arm.resource_groups.list()] + [
                dict(resource.tags or {}) for resource in arm.resources.list()
            ]

        published = ["account", "app", "data", "extract", "fuse", "group", "packages", "plan"]
        mounted = ["account", "app", "data", "extract", "fuse", "group", "package", "plan", "settings"]
        return Case(
            cloud=cloud,
            package=self.pack(azure.LAYOUT),
            names=self.names,
            data=self.data,
            ask=ask,
            tags=tags,
            resources=mounted if plan == "consumption" else published,
            kinds=["resource group"],
            tagged=4,  # The group, and in it account, plan and app.
            last_without_extract="settings" if plan == "consumption" else "app",
            waits={"extract"},
            may_wait={"extract"},
            refusal=401,
            failure=500,
            needs={"app", "extract"} | ({"settings"} if plan == "consumption" else set()),
        )

    def _gcp(self) -> Case:
        self.provide_google(self.google)
        settings = GcpCompute(cloud="gcp")
        cloud = gcp_compute.GoogleCompute(settings, self.names, project=self.google.project, title=TITLE, source=SOURCE)

        def ask(url: str, *, accept: str) -> requests.Response:
            from google.auth.transport.requests import Request  # noqa: PLC0415 - not before the metadata server is there
            from google.oauth2.id_token import fetch_id_token  # noqa: PLC0415

            token = fetch_id_token(Request(), url.partition("/?")[0])  # type: ignore[no-untyped-call]
            return requests.get(url, headers={"Authorization": f"Bearer {token}", "Accept": accept}, timeout=60)

        def tags() -> list[dict[str, str]]:
            bucket = self.google.storage.get_bucket(f"{self.names.prefix}-source")
            (service,) = self.google.run.list_services(self.google.project, "us-central1")
            return [bucket["labels"], service["labels"]]

        return Case(
            cloud=cloud,
            package=self.pack(gcp_compute.LAYOUT),
            names=self.names,
            data=self.data,
            ask=ask,
            tags=tags,
            resources=["identity", "package", "permission", "service", "source"],
            kinds=["cloud run service", "service account", "storage bucket"],
            tagged=2,  # Bucket and service: a service account has no labels, and is found by its name.
            last_without_extract="service",
            waits=set(),  # The function reads it in place.
            may_wait={"permission"},
            refusal=403,
            failure=500,
            needs={"service", "permission"},
        )
