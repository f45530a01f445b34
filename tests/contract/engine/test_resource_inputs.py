"""Every resource of every stack, as the stand-ins get it, held against what the clouds and the SDKs document."""

import inspect
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pulumi import _types as sdk_types

from orchestrator.rehearsal import schema
from orchestrator.rehearsal.provider import RefusedError
from orchestrator.settings import DEFAULT_CONFIG
from tests.contract.engine import name_rules, name_rules_aws, name_rules_azure, name_rules_gcp
from tests.contract.engine.generated_configs import PROJECT, SUBSCRIPTION, configs
from tests.contract.engine.name_rules import Rule, values_at, with_value
from tests.contract.engine.recording import Clouds, Config, Record, Recorder

RULES: Mapping[name_rules.Path, Rule] = {**name_rules_aws.RULES, **name_rules_azure.RULES, **name_rules_gcp.RULES}
NO_RULE = {
    "files": {"source", "code"},
    "compared by the provider only": {"sourceHash", "sourceCodeHash"},
    "any text": {
        "contentType", "siteConfig.appSettings.value", "template.containers.args", "template.containers.commands",
        "rules.filter.prefix",
    },
    "a kind that takes no list": {"kind"},
    "a resource's id": {"serverFarmId"},
}  # fmt: skip
"""Inputs, beside those that are true or false, of which no document says more than the SDK's types."""
# The names by which two resources would meet.
NAMES = {
    "aws:s3/bucket:Bucket": "bucket",
    "aws:s3/bucketObjectv2:BucketObjectv2": "key",
    "aws:lambda/layerVersion:LayerVersion": "layerName",
    "azure-native:resources:ResourceGroup": "resourceGroupName",
    "azure-native:storage:StorageAccount": "accountName",
    "azure-native:storage:BlobContainer": "containerName",
    "azure-native:storage:Blob": "blobName",
    "gcp:bigquery/dataset:Dataset": "datasetId",
    "gcp:serviceaccount/account:Account": "accountId",
}
# A flex plan takes one app, an app has one list of settings, an account one lifecycle policy.
ONE_ONLY = {
    "azure-native:web:WebApp",
    "azure-native:web:WebAppApplicationSettings",
    "azure-native:storage:ManagementPolicy",
}
# What the SDKs say themselves, in the words of the providers' own schemas.
SAID = {
    ("azure-native:storage:StorageAccount", "accountName"): "must be between 3 and 24 characters in length and use "
    "numbers and lower-case letters only",
    ("azure-native:storage:StorageAccount", "tags"): "a key with a length no greater than 128 characters and a value "
    "with a length no greater than 256 characters",
    ("azure-native:storage:ManagementPolicy", "managementPolicyName"): "It should always be 'default'",
    ("azure-native:storage:BlobContainer", "containerName"): "must be between 3 and 63 characters in length and use "
    "numbers, lower-case letters and dash (-) only. Every dash (-) character must be immediately preceded and followed "
    "by a letter or number",
    ("azure-native:resources:ResourceGroup", "resourceGroupName"): "Can include alphanumeric, underscore, parentheses, "
    "hyphen, period (except at end), and Unicode characters",
    ("gcp:bigquery/dataset:Dataset", "datasetId"): "must contain only letters (a-z, A-Z), numbers (0-9), or "
    "underscores (_). The maximum length is 1,024 characters",
    ("gcp:bigquery/dataset:Dataset", "defaultTableExpirationMs"): "The minimum value is 3600000 milliseconds",
    ("gcp:storage/bucket:Bucket", "name"): "must be in lowercase and no more than 63 characters long",
    ("gcp:storage/bucket:Bucket", "publicAccessPrevention"): 'Acceptable values are "inherited" or "enforced"',
    ("gcp:serviceaccount/account:Account", "accountId"): "must be 6-30 characters long",
    ("gcp:serviceaccount/account:Account", "description"): "less than or equal to 256 UTF-8 bytes",
    ("gcp:cloudrunv2/service:Service", "ingress"): "Possible values are: `INGRESS_TRAFFIC_ALL`, "
    "`INGRESS_TRAFFIC_INTERNAL_ONLY`, `INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER`",
    ("gcp:cloudrunv2/service:Service", "launchStage"): "Cloud Run supports ALPHA, BETA, and GA",
    ("aws:s3/bucket:Bucket", "bucket"): "lowercase and less than or equal to 63 characters",
    ("aws:cloudwatch/logGroup:LogGroup", "retentionInDays"): "1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, "
    "545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653",
    ("aws:lambda/function:Function", "timeout"): "Valid between 1 and 900",
    ("aws:lambda/function:Function", "layers"): "maximum of 5",
    ("aws:lambda/functionUrl:FunctionUrl", "authorizationType"): "Valid values are `AWS_IAM` and `NONE`",
}


def broken(records: list[Record]) -> list[str]:
    """The inputs that break a rule."""
    return [
        f"{token} {path}: {value!r} ({rule.source})"
        for (token, path), rule in RULES.items()
        for record in records
        if record.token == token
        for value in values_at(record.inputs | {"provider": record.configuration}, path)
        if not rule.accepts(value)
    ]


def test_every_shipped_config_is_here() -> None:
    assert {path.name for path in DEFAULT_CONFIG.parent.glob("*.yaml")} == {
        "aws.yaml", "azure.yaml", "gcp.yaml", "rehearsal.yaml", "ci.yaml"
    }  # fmt: skip


@pytest.mark.parametrize("key", RULES, ids=" ".join)
def test_a_rule_tells_its_examples_apart(key: name_rules.Path) -> None:
    rule = RULES[key]
    assert [value for value in rule.legal if not rule.accepts(value)] == []
    assert [value for value in rule.illegal if rule.accepts(value)] == []


def test_what_the_live_configs_register(live: Clouds) -> None:
    assert broken(live.records) == []


def test_what_the_other_configs_register(rehearsed: Clouds) -> None:
    assert broken(rehearsed.records) == []


def paths(inputs: Mapping[str, Any], token: str, above: str = "") -> Iterator[str]:
    """All inputs; what has a rule of its own is not looked into, and true and false need none."""
    for name, value in inputs.items():
        path = f"{above}{name}"
        for item in value if isinstance(value, list) and (token, path) not in RULES else [value]:
            if isinstance(item, Mapping) and (token, path) not in RULES:
                yield from paths(item, token, f"{path}.")
            elif not isinstance(item, bool):
                yield path


def test_every_input_has_a_rule_or_is_known_to_have_none(live: Clouds) -> None:
    found = {(record.token, path) for record in live.records for path in paths(record.inputs, record.token)}
    free = {path for some in NO_RULE.values() for path in some}
    assert sorted(key for key in found - set(RULES) if key[1] not in free) == []
    assert sorted(key for key in set(RULES) - found if not key[1].startswith("provider.")) == []


@given(some=st.lists(configs(), min_size=20, max_size=20))
@settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_a_hundred_generated_configs(recorder: Recorder, some: list[Config]) -> None:
    clouds = recorder.clouds(project=PROJECT, subscription=SUBSCRIPTION)
    try:
        recorder.up(clouds, some)
        assert broken(clouds.records) == []
        assert len(clouds.records) > 7 * len(some)
    finally:
        clouds.stop()


def refused(record: Record, path: str, value: Any) -> bool:
    """Whether the stand-in refuses the resource with that value; its name is new, and what it is in is there."""
    own = NAMES.get(record.token, "name")
    changed: dict[str, Any] = record.inputs | {"provider": record.configuration}
    if own in changed and record.token not in ONE_ONLY:
        changed = with_value(changed, own, fresh(changed[own]))
    changed = with_value(changed, path, value)
    if record.token == "aws:lambda/function:Function" and path != "loggingConfig.logGroup":
        changed = with_value(changed, "loggingConfig.logGroup", f"/aws/lambda/{changed['name']}")
    configuration = changed.pop("provider")
    if schema.mistakes(record.kind.arguments, changed, record.kind.known):
        return True
    if record.token in ONE_ONLY:
        record.kind.delete("", record.inputs, configuration)
    try:
        resource_id, outputs = record.create(changed, configuration)
    except RefusedError:
        return True
    record.kind.delete(resource_id, {**changed, **outputs}, configuration)
    return False


def fresh(name: str) -> str:
    """The same name as another run would make it."""
    other = "".join(secrets.choice("abcdef") for _ in range(6))
    return (
        re.sub(r"(?<=[0-9]{6})([-_]?)[a-z0-9]{6}", rf"\1{other}", name)
        if re.search(r"[0-9]{6}", name)
        else other + name
    )


def of_type(clouds: Clouds, key: name_rules.Path) -> Record:
    """A resource that has the input."""
    token, path = key
    return next(
        record
        for record in clouds.records
        if record.token == token and [*values_at(record.inputs | {"provider": record.configuration}, path)]
    )


@pytest.mark.parametrize("key", RULES, ids=" ".join)
def test_the_stand_in_refuses_what_the_cloud_would(live: Clouds, key: name_rules.Path) -> None:
    record = of_type(live, key)
    assert [value for value in RULES[key].illegal if not refused(record, key[1], value)] == []


@pytest.mark.parametrize("key", [key for key in RULES if RULES[key].legal], ids=" ".join)
def test_the_stand_in_takes_what_the_cloud_would(live: Clouds, key: name_rules.Path) -> None:
    record = of_type(live, key)
    assert [value for value in RULES[key].legal if refused(record, key[1], value)] == []


@pytest.mark.parametrize("key", SAID, ids=" ".join)
def test_the_sdk_says_the_same(live: Clouds, key: name_rules.Path) -> None:
    arguments = of_type(live, key).kind.arguments
    (name,) = [name for name, camel in sdk_types.input_type_py_to_pulumi_names(arguments).items() if camel == key[1]]
    documented = inspect.getdoc(vars(arguments)[name])
    assert documented is not None
    assert SAID[key] in " ".join(documented.split())
