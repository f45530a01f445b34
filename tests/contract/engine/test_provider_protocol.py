"""The stand-in providers keep the provider protocol: all three at once, driven by the real engine.

The yardstick is what Pulumi publishes of the protocol: the comments of
https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto, which ``engine_wire.py`` holds every answer
against, and https://www.pulumi.com/docs/iac/concepts/options/.
"""

from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest
from pulumi_azure_native import resources as azure_resources

from tests.contract.engine.engine_wire import UNKNOWN, Conversation, Program
from tests.contract.engine.three_clouds import CLOUDS, LOCATION, REGION, ThreeClouds, all_three, declare, in_the_clouds

SMALL = {f"small-{cloud}" for cloud in CLOUDS}


# ---- preview and update


def test_a_preview_makes_nothing_and_an_output_flows_as_unknown(
    engine: Conversation, three: ThreeClouds, name: str
) -> None:
    def program() -> None:
        for cloud, small in three.small.items():
            options = pulumi.ResourceOptions(provider=small.provider())
            first = small.kind(f"small-{cloud}", **small.inputs(name, small.first), opts=options)
            later = pulumi.Output.all(getattr(first, small.output), small.second).apply(lambda known: known[1])
            small.kind(f"after-{cloud}", **small.inputs(f"{name}-b", later), opts=options)

    did = engine.preview(program)
    assert did.errors == []
    assert did.changes == {"create": 10}
    creates = {call.of: call for call in did.of("Create")}
    checks = {call.of: call for call in did.of("Check")}
    for cloud, small in three.small.items():
        assert creates[f"small-{cloud}"].response["properties"][small.output] == UNKNOWN
        assert checks[f"after-{cloud}"].request["news"][small.said_input] == UNKNOWN
        assert creates[f"after-{cloud}"].response["properties"][small.said_input] == UNKNOWN
    assert in_the_clouds(three, name) == all_three(None)
    did = engine.up(program)
    assert did.errors == []
    assert (in_the_clouds(three, name), in_the_clouds(three, f"{name}-b")) == (all_three("first"), all_three("second"))


def test_a_second_up_changes_nothing_and_a_made_up_name_stays(
    engine: Conversation, three: ThreeClouds, name: str
) -> None:
    def program() -> None:
        declare(three, name)()
        aws.cloudwatch.LogGroup("unnamed", opts=pulumi.ResourceOptions(provider=aws.Provider("a", region=REGION)))

    assert engine.up(program).errors == []
    unnamed = engine.state()["unnamed"]["id"]
    did = engine.up(program)
    assert (did.errors, did.changes) == ([], {"same": 9})
    assert [call.response for call in did.of("Diff")] == 4 * [
        {"changes": "DIFF_NONE", "deleteBeforeReplace": True, "hasDetailedDiff": True}
    ]
    assert engine.state()["unnamed"]["id"] == unnamed


def test_any_change_replaces_and_the_old_one_goes_first(engine: Conversation, three: ThreeClouds, name: str) -> None:
    engine.up(declare(three, name))
    did = engine.up(declare(three, name, "second"))
    assert (did.errors, did.changes) == ([], {"replace": 3, "same": 4})
    for cloud, small in three.small.items():
        order = [
            (method, of) for method, of in did.order("Diff", "Delete", "Create", "Update") if of == f"small-{cloud}"
        ]
        assert order == [(method, f"small-{cloud}") for method in ("Diff", "Delete", "Create")]
        (diff,) = [call for call in did.of("Diff") if call.of == f"small-{cloud}"]
        assert diff.response == {
            "replaces": [small.said_input],
            "deleteBeforeReplace": True,
            "changes": "DIFF_SOME",
            "diffs": [small.said_input],
            "detailedDiff": {small.said_input: {"kind": "UPDATE_REPLACE", "inputDiff": True}},
            "hasDetailedDiff": True,
        }
    assert in_the_clouds(three, name) == all_three("second")
    assert {key for key in engine.state() if key.startswith("small")} == SMALL


def test_an_input_that_is_given_no_more_replaces(engine: Conversation, three: ThreeClouds, name: str) -> None:
    engine.up(declare(three, name))

    def program() -> None:
        for cloud, small in three.small.items():
            given = small.inputs(name, None)
            small.kind(f"small-{cloud}", **given, opts=pulumi.ResourceOptions(provider=small.provider()))

    did = engine.preview(program)
    assert did.changes == {"replace": 3, "same": 4}
    assert {call.of: call.response["detailedDiff"] for call in did.of("Diff")} == {
        f"small-{cloud}": {small.said_input: {"kind": "DELETE_REPLACE", "inputDiff": True}}
        for cloud, small in three.small.items()
    }


# ---- secrets


def test_a_secret_comes_back_secret(engine: Conversation, three: ThreeClouds, name: str) -> None:
    words = "nobody-may-read-this"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}

    def program(said: str) -> Program:
        def declared() -> None:
            secret = pulumi.Output.secret(said)
            small = three.small
            document = pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [trust | {"Sid": secret}]})

            def given(cloud: str, output: str) -> pulumi.ResourceOptions:
                return pulumi.ResourceOptions(provider=small[cloud].provider(), additional_secret_outputs=[output])

            role = aws.iam.Role("aws-role", name=name, assume_role_policy=document, opts=given("aws", "arn"))
            account = gcp.serviceaccount.Account(
                "gcp-account", account_id=name, description=secret, opts=given("gcp", "email")
            )
            group = azure_resources.ResourceGroup(
                "azure-group",
                resource_group_name=name,
                location=LOCATION,
                tags={"says": secret},
                opts=given("azure", "type"),
            )
            pulumi.export("role", role.assume_role_policy)
            pulumi.export("account", account.description)
            pulumi.export("group", group.tags)

        return declared

    did = engine.up(program(words))
    assert did.errors == []
    # The provider takes no secrets: it gets, and gives, plain values, and the engine marks what has an input's name.
    for call in did.of("Create"):
        assert words in str(call.request)
        assert words in str(call.response)
    assert words not in did.events
    state = engine.state()
    assert words not in str(state)
    stack_outputs = next(resource for resource in state.values() if resource["type"] == "pulumi:pulumi:Stack")[
        "outputs"
    ]
    for key, said, output, exported in (
        ("aws-role", "assumeRolePolicy", "arn", "role"),
        ("gcp-account", "description", "email", "account"),
        ("azure-group", "tags", "type", "group"),
    ):
        assert _encrypted(state[key]["inputs"][said])
        assert _encrypted(state[key]["outputs"][said])
        assert _encrypted(state[key]["outputs"][output])
        assert _encrypted(stack_outputs[exported])
    did = engine.preview(program(f"{words}-again"))
    assert did.changes == {"replace": 3, "same": 4}
    assert words not in did.events


def _encrypted(value: Any) -> bool:
    """A secret, or an object of secrets."""
    if "ciphertext" in value:
        return bool(value["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270")
    return isinstance(value, dict) and all(_encrypted(item) for item in value.values())


def test_a_mark_alone_replaces_nothing(engine: Conversation, three: ThreeClouds, name: str) -> None:
    engine.up(declare(three, name))

    def program() -> None:
        for cloud, small in three.small.items():
            given = small.inputs(name, pulumi.Output.secret(small.first))
            small.kind(f"small-{cloud}", **given, opts=pulumi.ResourceOptions(provider=small.provider()))

    assert engine.preview(program).changes == {"same": 7}


# ---- refresh


def test_a_refresh_sees_what_changed_and_what_is_gone(engine: Conversation, three: ThreeClouds, name: str) -> None:
    engine.up(declare(three, name))
    for small in three.small.values():
        small.say(name, small.second)
    did = engine.refresh()
    assert (did.errors, did.changes) == ([], {"update": 3, "same": 4})
    state = engine.state()
    for cloud, small in three.small.items():
        resource = state[f"small-{cloud}"]
        assert resource["inputs"][small.said_input] == resource["outputs"][small.said_input] == small.second
    # What the program says is made again; what is gone is forgotten, and made again, too.
    assert engine.preview(declare(three, name)).changes == {"replace": 3, "same": 4}
    for small in three.small.values():
        small.lose(name)
    did = engine.refresh()
    assert (did.errors, did.changes) == ([], {"delete": 3, "same": 4})
    assert [call.response for call in did.of("Read")] == 3 * [{}]
    assert SMALL & set(engine.state()) == set()


# ---- read and import


def test_what_is_there_can_be_read(engine: Conversation, three: ThreeClouds, name: str) -> None:
    seen: dict[str, Any] = {}

    def program() -> None:
        for cloud, small in three.small.items():
            options = pulumi.ResourceOptions(provider=small.provider())
            read = small.kind.get(f"small-{cloud}", small.id_of(name), opts=options)  # type: ignore[attr-defined]
            said = {"aws": "retention_in_days", "gcp": "description", "azure": "tags"}[cloud]
            getattr(read, said).apply(lambda value, cloud=cloud: seen.update({cloud: value}))

    for small in three.small.values():
        small.say(name, small.second)
    did = engine.up(program)
    assert (did.errors, did.of("Create")) == ([], [])
    assert seen == {cloud: small.second for cloud, small in three.small.items()}
    state = engine.state()
    for cloud, small in three.small.items():
        external = state[f"small-{cloud}"]
        assert external["external"]
        assert external["outputs"][small.output]
    assert engine.destroy().order("Delete") == []
    assert in_the_clouds(three, name) == all_three("second")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_is_not_there_cannot_be_read(engine: Conversation, three: ThreeClouds, name: str, cloud: str) -> None:
    small = three.small[cloud]

    def program() -> None:
        options = pulumi.ResourceOptions(provider=small.provider())
        small.kind.get(f"small-{cloud}", small.id_of(name), opts=options)  # type: ignore[attr-defined]

    assert engine.preview(program).errors[0] == f"Preview failed: resource '{small.id_of(name)}' does not exist"


def test_an_import_takes_over_what_matches(engine: Conversation, three: ThreeClouds, name: str) -> None:
    def program() -> None:
        for cloud, small in three.small.items():
            options = pulumi.ResourceOptions(provider=small.provider(), import_=small.id_of(name))
            small.kind(f"small-{cloud}", **small.inputs(name, small.second), opts=options)

    for small in three.small.values():
        small.say(name, small.first)
    did = engine.preview(program)
    assert did.changes == {"create": 4, "import": 3, "replace": 3}  # What differs would be made anew.
    for small in three.small.values():
        small.say(name, small.second)
    did = engine.up(program)
    assert (did.errors, did.warnings, did.changes) == ([], [], {"create": 4, "import": 3})
    assert did.of("Create") == []
    did = engine.destroy()
    assert (did.errors, in_the_clouds(three, name)) == ([], all_three(None))


def test_a_bucket_and_a_dataset_are_imported(engine: Conversation, three: ThreeClouds, name: str) -> None:
    project, dataset = three.google.project, name.replace("-", "_")
    three.amazon.client("s3", REGION).create_bucket(Bucket=name)
    three.google.bigquery.create_dataset(
        project, dataset, location="EU", labels={}, default_table_expiration_ms=3_600_000
    )

    def program() -> None:
        amazon, google = (three.small[cloud].provider() for cloud in ("aws", "gcp"))
        given = pulumi.ResourceOptions(provider=amazon, import_=name)
        aws.s3.Bucket("bucket", bucket=name, opts=given)
        given = pulumi.ResourceOptions(provider=google, import_=f"projects/{project}/datasets/{dataset}")
        gcp.bigquery.Dataset(
            "data", dataset_id=dataset, location="EU", default_table_expiration_ms=3_600_000, opts=given
        )

    did = engine.up(program)
    assert (did.errors, did.warnings, did.changes) == ([], [], {"create": 3, "import": 2})
    state = engine.state()
    assert state["bucket"]["inputs"] == {"bucket": name}
    assert state["data"]["inputs"] == {
        "datasetId": dataset,
        "location": "EU",
        "defaultTableExpirationMs": 3_600_000,
    }
    assert engine.destroy().errors == []
