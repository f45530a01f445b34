"""What fades without us: each resource that the shipped configs make, as the engine registered it.

docs/expiry.md says when and how.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pulumi import _types as sdk_types

from stacks.naming import Names
from tests.contract.engine.recording import Clouds, Record

BUCKET_RULES = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
ACCOUNT_RULES = "azure-native:storage:ManagementPolicy"
HOUR_MS = 3_600_000
AWS_RULE = {
    "id": "fuse",
    "status": "Enabled",
    "filter": {"prefix": ""},
    "expiration": {"days": 1},
    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
}
AZURE_RULE = {
    "name": "fuse",
    "type": "Lifecycle",
    "enabled": True,
    "definition": {
        "filters": {"blobTypes": ["blockBlob"]},
        "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 1}}},
    },
}
GOOGLE_RULE = {"action": {"type": "Delete"}, "condition": {"age": 1}}


def _said_of(record: Record, key: str, records: Sequence[Record], token: str) -> list[dict[str, Any]]:
    """The inputs of the resources of another type that name the same in their input ``key``."""
    return [other.inputs for other in records if other.token == token and other.inputs[key] == record.inputs[key]]


def _bucket_fades(record: Record, records: Sequence[Record]) -> bool:
    return [rule["rules"] for rule in _said_of(record, "bucket", records, BUCKET_RULES)] == [[AWS_RULE]]


def _account_fades(record: Record, records: Sequence[Record]) -> bool:
    policies = [policy["policy"] for policy in _said_of(record, "accountName", records, ACCOUNT_RULES)]
    return record.inputs["kind"] == "StorageV2" and policies == [{"rules": [AZURE_RULE]}]


def _google_bucket_fades(record: Record, _: Sequence[Record]) -> bool:
    kept = record.inputs["softDeletePolicy"]
    return bool(record.inputs["lifecycleRules"] == [GOOGLE_RULE] and kept == {"retentionDurationSeconds": 0})


FUSES: Mapping[str, Callable[[Record, Sequence[Record]], bool]] = {
    "aws:s3/bucket:Bucket": _bucket_fades,
    "aws:cloudwatch/logGroup:LogGroup": lambda record, _: record.inputs["retentionInDays"] == 1,
    "azure-native:storage:StorageAccount": _account_fades,
    "gcp:storage/bucket:Bucket": _google_bucket_fades,
    "gcp:bigquery/dataset:Dataset": lambda record, _: record.inputs["defaultTableExpirationMs"] == HOUR_MS,
}
"""What holds data, and whether that has an end outside of our process."""
WITHIN = {
    "aws:s3/bucketObjectv2:BucketObjectv2": "bucket",
    "azure-native:storage:BlobContainer": "accountName",
    "azure-native:storage:Blob": "accountName",
    "gcp:storage/bucketObject:BucketObject": "bucket",
}
"""What is data, by the input that names what holds it."""
NO_DATA = {
    BUCKET_RULES,
    ACCOUNT_RULES,
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:lambda/function:Function",
    "aws:lambda/functionUrl:FunctionUrl",
    "aws:lambda/layerVersion:LayerVersion",
    "azure-native:resources:ResourceGroup",
    "azure-native:web:AppServicePlan",
    "azure-native:web:WebApp",
    "azure-native:web:WebAppApplicationSettings",
    "gcp:cloudrunv2/service:Service",
    "gcp:serviceaccount/account:Account",
    "gcp:storage/bucketIAMMember:BucketIAMMember",
}
"""What holds our own code at most, and costs nothing while nobody calls it."""
TAGGED = {
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketObjectv2:BucketObjectv2",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:iam/role:Role",
    "aws:lambda/function:Function",
    "azure-native:resources:ResourceGroup",
    "azure-native:storage:StorageAccount",
    "azure-native:web:AppServicePlan",
    "azure-native:web:WebApp",
    "gcp:bigquery/dataset:Dataset",
    "gcp:cloudrunv2/service:Service",
    "gcp:storage/bucket:Bucket",
}
"""What can carry tags. The rest is in one of these, belongs to one, or is said to expire in its own words."""
# A function's environment variables: those without a secret, and those with one by what ends it.
PLAIN = {
    "CHART_TITLE", "CHART_SOURCE", "DATA_BUCKET", "DATA_KEY", "PYTHONPATH", "CLOUD_RUN_TIMEOUT_SECONDS", "THREADS",
    "AzureFunctionsJobHost__functionTimeout", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME",
}  # fmt: skip
UNTIL_THE_RUN_EXPIRES = {"DATA_URL", "WEBSITE_RUN_FROM_PACKAGE"}
AS_LONG_AS_THE_ACCOUNT = {"AzureWebJobsStorage", "DEPLOYMENT_STORAGE_CONNECTION_STRING"}


@pytest.fixture
def records(live: Clouds, rehearsed: Clouds) -> Sequence[Record]:
    """All that the shipped configs make."""
    return [*live.records, *rehearsed.records]


def test_what_holds_data_has_a_fuse(records: Sequence[Record]) -> None:
    holding = [record for record in records if record.token in FUSES]
    assert {record.token for record in holding} == set(FUSES)
    assert [record.inputs for record in holding if not FUSES[record.token](record, records)] == []


def test_all_data_is_in_what_has_a_fuse(records: Sequence[Record]) -> None:
    assert {record.token for record in records} == {*FUSES, *WITHIN, *NO_DATA}
    holding = [record.inputs for record in records if record.token in FUSES]
    names = {inputs.get(key) for inputs in holding for key in ("bucket", "name", "accountName")}
    inside = [record for record in records if record.token in WITHIN]
    assert [record.inputs for record in inside if record.inputs[WITHIN[record.token]] not in names] == []


def _tags(record: Record) -> dict[str, str] | None:
    """The tags or labels that it gets, from the program or from its provider; None if its type can carry none."""
    inputs = sdk_types.input_type_types(record.kind.arguments)
    if "labels" in inputs:  # Of Google Cloud, whose tags are another thing.
        return dict(record.configuration.get("defaultLabels", {}))
    if "tags" in inputs:
        return dict(record.inputs.get("tags") or record.configuration.get("defaultTags", {}).get("tags", {}))
    return None


def test_what_can_carry_tags_says_when_its_run_expires(records: Sequence[Record]) -> None:
    tagged = [(record.token, tags) for record in records if (tags := _tags(record)) is not None]
    assert {token for token, _ in tagged} == TAGGED
    for _, tags in tagged:
        started = datetime.strptime(f"{tags['run-id'][:15]}Z", "%Y%m%d-%H%M%S%z")
        assert datetime.strptime(tags["expires-at"].upper(), "%Y%m%dT%H%M%S%z") == started + timedelta(hours=1)


def test_a_service_account_has_words_only_and_they_say_it(records: Sequence[Record]) -> None:
    accounts = [record.inputs for record in records if record.token == "gcp:serviceaccount/account:Account"]
    assert {account["description"] for account in accounts} == {
        f"expires {_names(account['accountId']).expires:%Y-%m-%dT%H:%M:%SZ}" for account in accounts
    }


def _names(name: str) -> Names:
    """The names of the run that a physical name is of."""
    found = re.search("[0-9]{8}-[0-9]{6}-[a-z0-9]{6}", name)
    assert found is not None
    return Names(found[0])


def test_what_a_function_may_read_it_may_read_until_its_run_expires(records: Sequence[Record]) -> None:
    policies = [record.inputs for record in records if record.token == "aws:iam/rolePolicy:RolePolicy"]
    members = [record.inputs for record in records if record.token == "gcp:storage/bucketIAMMember:BucketIAMMember"]
    assert policies
    assert members
    for policy in policies:
        read, log = json.loads(policy["policy"])["Statement"]
        expires = f"{_names(policy['role']).expires:%Y-%m-%dT%H:%M:%SZ}"
        assert (read["Action"], log["Action"]) == ("s3:GetObject", ["logs:CreateLogStream", "logs:PutLogEvents"])
        assert read["Condition"] == {"DateLessThan": {"aws:CurrentTime": expires}}
    for member in members:
        expires = f"{_names(member['member']).expires:%Y-%m-%dT%H:%M:%SZ}"
        assert member["condition"]["expression"].endswith(f' && request.time < timestamp("{expires}")')


def _variables(record: Record) -> Iterator[tuple[str, str]]:
    """A function's environment variables."""
    if record.token == "aws:lambda/function:Function":
        yield from record.inputs["environment"]["variables"].items()
    elif record.token == "azure-native:web:WebAppApplicationSettings":
        yield from record.inputs["properties"].items()
    elif record.token == "azure-native:web:WebApp" and "appSettings" in record.inputs["siteConfig"]:
        yield from ((setting["name"], setting["value"]) for setting in record.inputs["siteConfig"]["appSettings"])
    elif record.token == "gcp:cloudrunv2/service:Service":
        (container,) = record.inputs["template"]["containers"]
        yield from ((variable["name"], variable["value"]) for variable in container["envs"])


def test_the_secrets_that_a_function_is_given_end_with_the_run_or_the_account(records: Sequence[Record]) -> None:
    given = [(record, name, value) for record in records for name, value in _variables(record)]
    assert {name for _, name, _ in given} == PLAIN | UNTIL_THE_RUN_EXPIRES | AS_LONG_AS_THE_ACCOUNT
    for record, name, value in given:
        assert ("sig=" in value) == (name in UNTIL_THE_RUN_EXPIRES)
        assert ("AccountKey=" in value) == (name in AS_LONG_AS_THE_ACCOUNT)
        if name in UNTIL_THE_RUN_EXPIRES:
            fields = parse_qs(urlsplit(value).query)
            assert fields["se"] == [f"{_names(record.inputs['name']).expires:%Y-%m-%dT%H:%M:%S}.0000000Z"]
            assert (fields["sp"], fields["sr"]) == (["r"], ["b"])
