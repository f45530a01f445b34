"""The Google Cloud compute types through the real engine: what Google refuses is refused, in its words."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pytest

from orchestrator.engine import Stack, StackError, StackEvent
from orchestrator.rehearsal.gcp import compute_resources as gcp_compute_resources
from orchestrator.rehearsal.gcp.cloud import GoogleCloud

Program = Callable[[], None]
Refused = Callable[[Program], str | None]
PROJECT = "rehearsal-project"
ACCOUNT = "gcp:serviceaccount/account:Account"
OBJECT = "gcp:storage/bucketObject:BucketObject"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
SERVICE = "gcp:cloudrunv2/service:Service"
LABELS = {"run-id": "one"}
IMAGE = "us-central1-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/python313"
EMAIL = "hop-reader@rehearsal-project.iam.gserviceaccount.com"
CONDITION = 'resource.name.startsWith("projects/_/buckets/hop-source/objects/extract")'


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud], provide_google: Callable[[GoogleCloud], None]) -> GoogleCloud:
    google = start_google()
    provide_google(google)
    return google


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("main.py", "raise SystemExit(1)\n")
    return path


def options(project: str = PROJECT) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=gcp.Provider("google", project=project, default_labels=LABELS))


def stack_of(package: Path, *, role: str = "roles/storage.objectViewer", **service: Any) -> Program:
    """A program with one of each, as the compute stack has them."""

    def program() -> None:
        opts = options()
        account = gcp.serviceaccount.Account("account", account_id="hop-reader", description="expires", opts=opts)
        bucket = gcp.storage.Bucket(
            "bucket", name="hop-source", location="US-CENTRAL1", uniform_bucket_level_access=True, force_destroy=True,
            public_access_prevention="enforced", opts=opts
        )  # fmt: skip
        code = gcp.storage.BucketObject(
            "code", bucket=bucket.name, name="a/package.zip", source=pulumi.FileAsset(str(package)), opts=opts
        )
        member = gcp.storage.BucketIAMMember(
            "member",
            bucket=bucket.name,
            role=role,
            member=account.member,
            condition=gcp.storage.BucketIAMMemberConditionArgs(title="the extract", expression=CONDITION),
            opts=opts,
        )
        made = _service(account.email, bucket.name, code.name, opts, **service)
        for name, output in {
            "unique_id": account.unique_id, "account": account.name, "member": member.id, "generation": code.generation,
            "md5hash": code.md5hash, "md5hexhash": code.md5hexhash, "link": code.self_link, "object": code.output_name,
            "uri": made.uri, "urls": made.urls, "service": made.id, "revision": made.latest_ready_revision,
        }.items():  # fmt: skip
            pulumi.export(name, output)

    return program


def _service(
    email: Any, bucket: Any, name: Any, opts: pulumi.ResourceOptions, **settings: Any
) -> gcp.cloudrunv2.Service:
    source = gcp.cloudrunv2.ServiceTemplateContainerSourceCodeArgs(
        cloud_storage_source=gcp.cloudrunv2.ServiceTemplateContainerSourceCodeCloudStorageSourceArgs(
            bucket=bucket, object=name
        )
    )
    container = gcp.cloudrunv2.ServiceTemplateContainerArgs(
        image="scratch", base_image_uri=IMAGE, source_code=source, commands=["python"], args=["main.py"],
        envs=[gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(name="CHART_TITLE", value="Hail")],
        resources=gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(limits={"cpu": "1", "memory": "1024Mi"}),
    )  # fmt: skip
    template = gcp.cloudrunv2.ServiceTemplateArgs(service_account=email, timeout="60s", containers=[container])
    given = {"name": "hop", "location": "us-central1", "launch_stage": "BETA", "deletion_protection": False, **settings}
    return gcp.cloudrunv2.Service("service", template=template, opts=opts, **given)


def test_one_of_each_from_nothing_to_nothing(
    new_stack: Callable[[], Stack], google: GoogleCloud, package: Path
) -> None:
    stack = new_stack()
    stack.up(stack_of(package), lambda _: None)
    state = stack._open(stack_of(package), select=True).export_stack().deployment
    assert state is not None
    outputs = state["resources"][0]["outputs"]
    service = google.run.get_service(PROJECT, "us-central1", "hop")
    stored = google.storage.get_object("hop-source", "a/package.zip")
    assert outputs == {
        "unique_id": google.access.account(EMAIL).unique_id,
        "account": f"projects/{PROJECT}/serviceAccounts/{EMAIL}",
        "member": f"b/hop-source/roles/storage.objectViewer/serviceAccount:{EMAIL}/the extract",
        "generation": stored.generation,
        "md5hash": stored.md5,
        "md5hexhash": hashlib.md5(package.read_bytes(), usedforsecurity=False).hexdigest(),
        "link": "https://www.googleapis.com/storage/v1/b/hop-source/o/a%2Fpackage.zip",
        "object": "a/package.zip",
        "uri": service["uri"],
        "urls": [service["uri"]],
        "service": f"projects/{PROJECT}/locations/us-central1/services/hop",
        "revision": service["latestReadyRevision"],
    }
    assert (stored.content.read(), stored.content_type) == (package.read_bytes(), "application/octet-stream")
    assert google.access.account(EMAIL).description == "expires"
    bucket = google.storage.get_bucket("hop-source")
    assert (bucket["location"], bucket["locationType"], bucket["labels"]) == ("US-CENTRAL1", "region", LABELS)
    assert [binding.resource for binding in google.storage.policy("hop-source")] == [
        {
            "role": "roles/storage.objectViewer",
            "members": [f"serviceAccount:{EMAIL}"],
            "condition": {"title": "the extract", "expression": CONDITION},
        }
    ]
    assert service["labels"] == LABELS
    assert service["template"] == {
        "serviceAccount": EMAIL,
        "timeout": "60s",
        "containers": [
            {
                "image": "scratch",
                "baseImageUri": IMAGE,
                "sourceCode": {"cloudStorageSource": {"bucket": "hop-source", "object": "a/package.zip"}},
                "command": ["python"],
                "args": ["main.py"],
                "env": [{"name": "CHART_TITLE", "value": "Hail"}],
                "resources": {"limits": {"cpu": "1", "memory": "1024Mi"}},
            }
        ],
    }
    stack.destroy(lambda _: None)
    assert_nothing_left(google)


def assert_nothing_left(google: GoogleCloud) -> None:
    assert google.run.list_services(PROJECT, "us-central1") == []
    assert google.storage.list_buckets(PROJECT, "") == []
    assert [account.name for account in google.access.accounts()] == ["rehearsal"]


def test_what_is_gone_already_is_fine(new_stack: Callable[[], Stack], google: GoogleCloud, package: Path) -> None:
    stack = new_stack()
    stack.up(stack_of(package), lambda _: None)
    google.run.delete_service(PROJECT, "us-central1", "hop")
    google.storage.delete_bucket("hop-source", force=True)
    google.access.delete_account(EMAIL)
    stack.destroy(lambda _: None)
    assert_nothing_left(google)


ACCOUNT_ID = f"projects/{PROJECT}/serviceAccounts/{EMAIL}"


def test_what_is_gone_is_found_to_be_gone(new_stack: Callable[[], Stack], google: GoogleCloud, package: Path) -> None:
    stack, types = new_stack(), gcp_compute_resources.resources(google)
    stack.up(stack_of(package), lambda _: None)
    states: dict[str, dict[str, Any]] = {
        ACCOUNT: {"email": EMAIL},
        OBJECT: {"bucket": "hop-source", "name": "a/package.zip"},
        MEMBER: {
            "bucket": "hop-source",
            "role": "roles/storage.objectViewer",
            "member": f"serviceAccount:{EMAIL}",
            "condition": {"title": "the extract", "expression": CONDITION},
        },
        SERVICE: {"project": PROJECT, "location": "us-central1", "name": "hop"},
    }
    assert [types[kind].exists(ACCOUNT_ID, state, {}) for kind, state in states.items()] == [True] * 4
    google.storage.revoke("hop-source", google.storage.policy("hop-source")[0])
    google.storage.delete_object("hop-source", "a/package.zip")
    google.run.delete_service(PROJECT, "us-central1", "hop")
    google.access.delete_account(EMAIL)
    assert [types[kind].exists(ACCOUNT_ID, state, {}) for kind, state in states.items()] == [False] * 4
    google.storage.delete_bucket("hop-source", force=True)
    assert types[MEMBER].exists("", states[MEMBER], {}) is False
    stack.destroy(lambda _: None)


def test_a_protected_service_stays(new_stack: Callable[[], Stack], google: GoogleCloud, package: Path) -> None:
    stack = new_stack()
    stack.up(stack_of(package, deletion_protection=None), lambda _: None)
    with pytest.raises(StackError) as caught:
        stack.destroy(lambda _: None)
    message = "cannot destroy service without setting deletion_protection=false and running `terraform apply`"
    assert message in str(caught.value)
    assert [service["uri"] for service in google.run.list_services(PROJECT, "us-central1")] != []


def test_a_caller_who_may_not_delete(new_stack: Callable[[], Stack], google: GoogleCloud, package: Path) -> None:
    stack = new_stack()
    stack.up(stack_of(package), lambda _: None)
    google.access.withheld.add("run.services.delete")
    events: list[StackEvent] = []
    with pytest.raises(StackError) as caught:
        stack.destroy(events.append)
    on = "projects/rehearsal-project/locations/us-central1/services/hop"
    message = f"Permission 'run.services.delete' denied on resource '{on}' (or it may not exist)."
    assert f"Error deleting Service: googleapi: Error 403: {message}" in str(caught.value)
    google.access.withheld.clear()
    stack.destroy(lambda _: None)
    assert_nothing_left(google)


# ---- what is refused


def one(resource_type: str, inputs: Mapping[str, Any], project: str = PROJECT) -> Program:
    """A program with one resource, past the SDK class's own checks."""
    return lambda: _declare(resource_type, inputs, project)


def _declare(resource_type: str, inputs: Mapping[str, Any], project: str) -> None:
    pulumi.CustomResource(resource_type, "it", dict(inputs), options(project))


VIEWER = {"bucket": "hop-data", "role": "roles/storage.objectViewer", "member": f"serviceAccount:{EMAIL}"}
CREATING = "creating service account"


def google_says(doing: str, code: int, message: str) -> str:
    return f"it: Error {doing}: googleapi: Error {code}: {message}"


def problem(resource_type: str, path: str, value: str, message: str = "") -> str:
    said = message or "the rehearsal's stand-in does not know this input"
    return f"it: {resource_type} resource 'it': property {path} value {{{value}}} has a problem: {said}"


APPLYING = "applying IAM policy for storage bucket b/hop-data"
NOT_PUBLIC = (
    "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced."
)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            one(ACCOUNT, {"accountId": "short"}),
            google_says(CREATING, 400, "account_id ('short') does not match [a-z]([-a-z0-9]{4,28}[a-z0-9])"),
        ),
        (
            one(ACCOUNT, {"accountId": "hop-reader"}, project="other"),
            google_says(CREATING, 403, "Permission denied on resource project other."),
        ),
        (one(ACCOUNT, {"accountId": "hop-reader", "disabled": True}), problem(ACCOUNT, "disabled", "true")),
        (
            one(OBJECT, {"bucket": "hop-none", "name": "a", "source": pulumi.FileAsset(__file__)}),
            google_says("uploading object a", 404, "The specified bucket does not exist."),
        ),
        (one(OBJECT, {"bucket": "hop-data", "name": "a", "content": "text"}), problem(OBJECT, "content", "text")),
        (one(OBJECT, {"bucket": "hop-data", "name": "a"}), "it: a: the rehearsal takes files only"),
        (one(MEMBER, VIEWER), google_says(APPLYING, 404, f"Unknown service account: {EMAIL}")),
        (one(MEMBER, {**VIEWER, "member": "allUsers"}), google_says(APPLYING, 412, NOT_PUBLIC)),
        (
            one(SERVICE, {"name": "hop", "location": "us-central1", "template": {"vpcAccess": {"connector": "x"}}}),
            problem(SERVICE, "template.vpcAccess.connector", "<nil>"),
        ),
        (
            one(SERVICE, {"name": "hop", "location": "us-central1"}),
            problem(SERVICE, "template", "<nil>", "missing: ServiceArgs requires it"),
        ),
    ],
)
def test_refused_with_the_resources_name(
    refused: Refused, google: GoogleCloud, make_bucket: Callable[..., Any], program: Program, reason: str
) -> None:
    make_bucket(google, "hop-data")
    assert refused(program) == reason


def test_a_role_that_has_no_stand_in(refused: Refused, google: GoogleCloud, package: Path) -> None:
    said = refused(stack_of(package, role="roles/storage.admin"))
    assert said is not None
    assert (
        "member: Error applying IAM policy for storage bucket b/hop-source: googleapi: Error 501: not supported in "
        "rehearsal: role roles/storage.admin on a bucket; roles/storage.objectViewer is known"
    ) in said.splitlines()
    assert google.storage.policy("hop-source") == []


@pytest.mark.parametrize("permission", ["run.services.create", "iam.serviceAccounts.actAs"])
def test_a_caller_who_may_not_make_a_service(
    refused: Refused, google: GoogleCloud, package: Path, permission: str
) -> None:
    google.access.withheld.add(permission)
    said = refused(stack_of(package))
    assert said is not None
    assert f"Permission '{permission}' denied on resource" in said
    assert google.run.list_services(PROJECT, "us-central1") == []
