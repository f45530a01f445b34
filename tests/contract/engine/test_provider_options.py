"""The stand-in providers under Pulumi's resource options, with provider resources, with files, and half-way failures.

See ``test_provider_protocol.py`` for the yardstick.
"""

from collections.abc import Iterator
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest
from pulumi_azure_native import resources as azure_resources
from pulumi_azure_native import storage as azure_storage

from tests.contract.engine.engine_wire import Conversation, Program
from tests.contract.engine.three_clouds import CLOUDS, LOCATION, REGION, ThreeClouds, all_three, declare, in_the_clouds

# ---- resource options


def test_what_is_ignored_or_renamed_is_not_replaced(engine: Conversation, three: ThreeClouds, name: str) -> None:
    engine.up(declare(three, name))

    def program() -> None:
        for cloud, small in three.small.items():
            options = pulumi.ResourceOptions(
                provider=small.provider(),
                ignore_changes=[small.said_input],
                aliases=[pulumi.Alias(name=f"small-{cloud}")],
            )
            small.kind(f"renamed-{cloud}", **small.inputs(name, small.second), opts=options)

    did = engine.up(program)
    assert (did.errors, did.changes) == ([], {"same": 7})
    assert did.order("Create", "Delete") == []
    assert {f"renamed-{cloud}" for cloud in CLOUDS} < set(engine.state())
    assert in_the_clouds(three, name) == all_three("first")


def test_what_is_protected_stays(engine: Conversation, three: ThreeClouds, name: str) -> None:
    engine.up(declare(three, name, protect=True))
    did = engine.destroy()
    assert sorted(error.partition("\n")[0].rpartition("::")[2] for error in did.errors) == [
        f'small-{cloud}" cannot be deleted' for cloud in sorted(CLOUDS)
    ]
    assert did.order("Delete") == []
    assert in_the_clouds(three, name) == all_three("first")


def test_what_depends_comes_later_and_goes_first_or_with_the_other(
    engine: Conversation, three: ThreeClouds, name: str
) -> None:
    def program() -> None:
        for cloud, small in three.small.items():
            options = pulumi.ResourceOptions(provider=small.provider())
            first = small.kind(f"small-{cloud}", **small.inputs(name, small.first), opts=options)
            for then, more in (
                ("after", pulumi.ResourceOptions(depends_on=[first])),
                ("inside", pulumi.ResourceOptions(deleted_with=first)),
            ):
                given = pulumi.ResourceOptions.merge(options, more)
                small.kind(f"{then}-{cloud}", **small.inputs(f"{name}-{then[0]}", small.first), opts=given)

    made = engine.up(program).order("Create")
    gone = engine.destroy().order("Delete")
    for cloud in CLOUDS:
        assert made.index(("Create", f"small-{cloud}")) < made.index(("Create", f"after-{cloud}"))
        assert gone.index(("Delete", f"after-{cloud}")) < gone.index(("Delete", f"small-{cloud}"))
        assert ("Delete", f"inside-{cloud}") not in gone
    assert in_the_clouds(three, f"{name}-i") == all_three("first")


# ---- provider resources


def test_two_providers_of_one_cloud_keep_apart(engine: Conversation, three: ThreeClouds, name: str) -> None:
    def program() -> None:
        for number, (region, location) in enumerate((("eu-west-1", "westeurope"), ("us-east-1", "eastus"))):
            amazon = aws.Provider(f"aws-{number}", region=pulumi.Output.secret(region))
            aws.cloudwatch.LogGroup(f"log-{number}", name=name, opts=pulumi.ResourceOptions(provider=amazon))
            google = gcp.Provider(f"gcp-{number}", project=three.google.project, default_labels={"of": region})
            gcp.bigquery.Dataset(
                f"data-{number}",
                dataset_id=f"{name}_{number}".replace("-", "_"),
                opts=pulumi.ResourceOptions(provider=google),
            )
            azure = three.small["azure"].provider(f"azure-{number}", location=location)
            azure_resources.ResourceGroup(
                f"group-{number}", resource_group_name=f"{name}-{number}", opts=pulumi.ResourceOptions(provider=azure)
            )

    did = engine.up(program)
    assert (did.errors, did.changes) == ([], {"create": 13})
    for number, (region, location) in enumerate((("eu-west-1", "westeurope"), ("us-east-1", "eastus"))):
        (group,) = three.amazon.client("logs", region).describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        assert group["arn"] == f"arn:aws:logs:{region}:123456789012:log-group:{name}:*"
        dataset = three.google.bigquery.get_dataset(three.google.project, f"{name}_{number}".replace("-", "_"))
        assert dataset["labels"] == {"of": region}
        assert three.azure.subscription.group(f"{name}-{number}").location == location


def test_a_provider_of_another_place_replaces_what_it_made(engine: Conversation, three: ThreeClouds, name: str) -> None:
    # "Changes to an AWS region, for example, will almost certainly require a provider replacement".
    elsewhere = {"aws": ("region", "eu-west-1"), "gcp": ("project", "another"), "azure": ("subscriptionId", "another")}
    engine.up(declare(three, name))

    def program() -> None:
        for cloud, small in three.small.items():
            given = pulumi.ResourceOptions(provider=small.provider(cloud, elsewhere[cloud][1]))
            small.kind(f"small-{cloud}", **small.inputs(name, small.first), opts=given)

    did = engine.preview(program)
    assert did.changes == {"replace": 6, "same": 1}
    assert {call.of: (call.response["replaces"], call.response["diffs"]) for call in did.of("DiffConfig")} == {
        cloud: ([key], [key]) for cloud, (key, _) in elsewhere.items()
    }


def test_a_provider_of_the_same_place_is_updated_and_replaces_nothing(
    engine: Conversation, three: ThreeClouds, name: str
) -> None:
    def program(owner: str) -> Program:
        def declared() -> None:
            for provider, cloud in (
                (aws.Provider("aws", region=REGION, default_tags={"tags": {"owner": owner}}), "aws"),
                (gcp.Provider("gcp", project=three.google.project, default_labels={"owner": owner}), "gcp"),
            ):
                small = three.small[cloud]
                options = pulumi.ResourceOptions(provider=provider)
                small.kind(f"small-{cloud}", **small.inputs(name, small.first), opts=options)

        return declared

    engine.up(program("me"))
    did = engine.up(program("you"))
    assert (did.errors, did.changes) == ([], {"update": 2, "same": 3})
    assert did.order("Create", "Delete", "Update") == []


# ---- files


@pytest.fixture
def places(three: ThreeClouds, name: str) -> Iterator[str]:
    """A place for files in each cloud, made without Pulumi; the name of Azure's account."""
    account = name.replace("-", "")
    client = three.amazon.client("s3", REGION)
    client.create_bucket(Bucket=name)
    three.google.storage.create_bucket(
        three.google.project, name, location="US", labels={}, soft_delete_seconds=0, lifecycle_rules=[],
        uniform_access=True, public_access_prevention="enforced",
    )  # fmt: skip
    three.azure.subscription.create_group(name, LOCATION, {})
    three.azure.storage.create_account(
        name, account, location=LOCATION, tags={}, public_allowed=False, shared_keys_allowed=True
    )
    three.azure.storage.create_container(name, account, "files")
    yield account
    client.delete_bucket(Bucket=name)


def test_a_file_is_uploaded_kept_out_of_the_outputs_refreshed_and_replaced_when_it_changes(
    engine: Conversation, three: ThreeClouds, name: str, places: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.txt"
    file.write_text("first")

    def program() -> None:
        options = {cloud: pulumi.ResourceOptions(provider=small.provider()) for cloud, small in three.small.items()}
        source = pulumi.FileAsset(str(file))
        aws.s3.BucketObjectv2("file-aws", bucket=name, key="file", source=source, opts=options["aws"])
        gcp.storage.BucketObject("file-gcp", bucket=name, name="file", source=source, opts=options["gcp"])
        azure_storage.Blob(
            "file-azure", resource_group_name=name, account_name=places, container_name="files", blob_name="file",
            type=azure_storage.BlobType.BLOCK, source=source, opts=options["azure"],
        )  # fmt: skip

    def uploaded() -> dict[str, bytes]:
        s3 = three.amazon.client("s3", REGION)
        return {
            "aws": s3.get_object(Bucket=name, Key="file")["Body"].read(),
            "gcp": three.google.storage.get_object(name, "file").content.read(),
            "azure": three.azure.storage.container(name, places, "files")["file"].content.read(),
        }

    did = engine.up(program)
    assert did.errors == []
    assert uploaded() == all_three(b"first")
    assert all("source" not in call.response["properties"] for call in did.of("Create"))
    before = engine.state()
    did = engine.refresh()
    assert (did.errors, did.changes) == ([], {"same": 7})
    after = engine.state()
    for cloud in CLOUDS:
        assert after[f"file-{cloud}"]["inputs"] == before[f"file-{cloud}"]["inputs"]
        assert after[f"file-{cloud}"]["inputs"]["source"]["hash"]
    file.write_text("second")
    did = engine.up(program)
    assert (did.errors, did.changes) == ([], {"replace": 3, "same": 4})
    assert [call.response["replaces"] for call in did.of("Diff")] == 3 * [["source"]]
    assert uploaded() == all_three(b"second")
    assert engine.destroy().errors == []


# ---- what fails half-way


@pytest.mark.parametrize(
    ("kind", "arn", "refusal"),
    [
        ("bucket", "arn:aws:s3:::{name}", "An error occurred (InvalidTag) when calling the PutBucketTagging operation"),
        (
            "log",
            f"arn:aws:logs:{REGION}:123456789012:log-group:{{name}}",
            "An error occurred (InvalidParameterException) when calling the PutRetentionPolicy operation",
        ),
    ],
)
def test_what_is_half_made_is_in_the_state_and_destroyed(
    *, engine: Conversation, three: ThreeClouds, name: str, kind: str, arn: str, refusal: str
) -> None:
    def bucket() -> None:
        reserved = aws.Provider("reserved", region=REGION, default_tags={"tags": {"aws:reserved": "for AWS"}})
        aws.s3.Bucket("bucket", bucket=name, opts=pulumi.ResourceOptions(provider=reserved))

    def log() -> None:
        options = pulumi.ResourceOptions(provider=three.small["aws"].provider())
        aws.cloudwatch.LogGroup("log", name=name, retention_in_days=2, opts=options)

    def made() -> list[str]:
        buckets = three.amazon.client("s3", REGION).list_buckets()["Buckets"]
        groups = three.amazon.client("logs", REGION).describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        found = [("bucket", bucket["Name"]) for bucket in buckets] + [
            ("log", group["logGroupName"]) for group in groups
        ]
        return [kind for kind, found_name in found if found_name == name]

    did = engine.up({"bucket": bucket, "log": log}[kind])
    state = engine.state()[kind]
    (reason,) = state["initErrors"]
    assert refusal in reason
    assert did.errors == [f"1 error occurred:\n\t* {reason}"]
    assert (state["id"], state["outputs"]["arn"]) == (name, arn.format(name=name))
    assert made() == [kind]
    assert engine.destroy().errors == []
    assert made() == []
