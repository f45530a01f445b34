"""Whose something is, by its name alone; and how long a busy cloud is waited for."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from orchestrator import deadlines
from orchestrator.clouds import Leftovers, Remaining, aws_leftovers, patience
from orchestrator.clouds.aws_leftovers import AwsLeftovers
from orchestrator.clouds.azure_clients import AzureClients
from orchestrator.clouds.azure_leftovers import AzureLeftovers
from orchestrator.clouds.gcp_clients import GoogleClients
from orchestrator.clouds.gcp_leftovers import GoogleComputeLeftovers, GoogleDataLeftovers
from orchestrator.errors import OrchestratorError

RUN = "20261123-174205-k3x9qz"
AWS = AwsLeftovers(None, "us-east-1")
AZURE = AzureLeftovers(AzureClients("s"), "s")
CLIENTS = GoogleClients(project="my-project-1", location="US")
DATA, COMPUTE = GoogleDataLeftovers("my-project-1", CLIENTS), GoogleComputeLeftovers("my-project-1", CLIENTS)
SERVICES = "projects/my-project-1/locations/us-central1/services"
MAIL = "my-project-1.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("where", "kind", "found"),
    [
        (AWS, "s3 bucket", f"arn:aws:s3:::hop-{RUN}-data"),
        (AWS, "s3 bucket", f"arn:aws-cn:s3:::hop-{RUN}-data"),
        (AWS, "iam role", f"arn:aws:iam::123456789012:role/cloud-hopping/{RUN}/hop-{RUN}"),
        (AWS, "lambda function", f"arn:aws:lambda:us-east-1:123456789012:function:hop-{RUN}"),
        (AWS, "lambda layer", f"arn:aws:lambda:us-east-1:123456789012:layer:hop-{RUN}-libraries:12"),
        (AWS, "logs log-group", f"arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/hop-{RUN}"),
        (AZURE, "resource group", f"/subscriptions/s/resourceGroups/hop-{RUN}"),
        (DATA, "bigquery dataset", "my-project-1:hop_20261123_174205_k3x9qz"),
        (DATA, "storage bucket", f"hop-{RUN}-extract"),
        (COMPUTE, "storage bucket", f"hop-{RUN}-source"),
        (COMPUTE, "cloud run service", f"{SERVICES}/hop-{RUN}"),
        (COMPUTE, "service account", f"hop-{RUN}@{MAIL}"),
    ],
)
def test_what_a_run_made(where: Leftovers, kind: str, found: str) -> None:
    assert where.run_of(Remaining("", kind, found)) == RUN


@pytest.mark.parametrize(
    ("where", "kind", "found"),
    [
        (AWS, "s3 bucket", "arn:aws:s3:::production"),
        (AWS, "s3 bucket", f"arn:aws:s3:::hop-{RUN}"),
        (AWS, "s3 bucket", f"arn:aws:s3:::x-hop-{RUN}-data"),
        (AWS, "s3 bucket", f"arn:aws:s3:::hop-{RUN}-data-of-others"),
        (AWS, "s3 bucket", "arn:aws:s3:::hop-20269923-174205-k3x9qz-data"),  # Of no time.
        (AWS, "iam role", f"arn:aws:iam::123456789012:role/cloud-hopping/{RUN}/admin"),
        (AWS, "iam role", f"arn:aws:iam::123456789012:role/hop-{RUN}/admin"),
        (AWS, "iam role", f"arn:aws:iam::123456789012:role/cloud-hopping/20261123-174205-others/hop-{RUN}"),
        (AWS, "lambda function", f"arn:aws:lambda:us-east-1:123456789012:function:hop-{RUN}:prod"),
        (AWS, "lambda layer", f"arn:aws:lambda:us-east-1:123456789012:layer:hop-{RUN}-libraries:<version>x"),
        (AWS, "logs log-group", f"arn:aws:logs:us-east-1:123456789012:log-group:/others/hop-{RUN}"),
        (AWS, "dynamodb table", f"arn:aws:dynamodb:us-east-1:123456789012:table/hop-{RUN}"),
        (AZURE, "resource group", f"/subscriptions/s/resourceGroups/hop-{RUN}-2"),
        (AZURE, "microsoft.web/sites", f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/hop-{RUN}"),
        (DATA, "bigquery dataset", f"my-project-1:hop-{RUN}"),
        (DATA, "bigquery dataset", "my-project-1:hop_20261123_174205_k3x9qz_2"),
        (DATA, "storage bucket", f"hop-{RUN}-data"),
        (COMPUTE, "cloud run service", f"projects/hop-{RUN}/locations/us-central1/services/site"),
        (COMPUTE, "service account", f"admin@hop-{RUN}.iam.gserviceaccount.com"),
    ],
)
def test_what_no_run_made_is_not_removed(where: Leftovers, kind: str, found: str) -> None:
    left = Remaining("", kind, found)
    assert where.run_of(left) is None
    with pytest.raises(OrchestratorError) as raised:
        where.remove(left)
    assert raised.value.brief == f"No run made {found}, so it is not removed"


# ---- patience


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Remove")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (refusal("BucketNotEmpty", 409), True),
        (refusal("ResourceConflictException", 409), True),
        (refusal("ThrottlingException"), True),
        (refusal("Whatever", 503), True),
        (refusal("AccessDenied", 403), False),
        (EndpointConnectionError(endpoint_url="https://s3"), True),
        (ValueError(), False),
    ],
)
def test_what_passes_in_aws(error: Exception, *, passes: bool) -> None:
    assert aws_leftovers._passes(error) is passes


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time goes on only while it is slept."""
    pauses: list[float] = []
    monkeypatch.setattr("orchestrator.clouds.patience.time.sleep", pauses.append)
    monkeypatch.setattr("orchestrator.clouds.patience.time.monotonic", lambda: sum(pauses))
    return pauses


def removing(*refusals: Exception | None) -> Any:
    left = list(refusals)

    def remove() -> None:
        refused = left.pop(0) if len(left) > 1 else left[0]
        if refused:
            raise refused

    return remove


def test_a_conflict_passes(slept: list[float]) -> None:
    patience.patiently(removing(OSError(), OSError(), None), passes=lambda _: True)
    assert slept == [0.25, 0.5]


def test_a_conflict_that_does_not_pass_is_waited_for_so_long_and_no_longer(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "CALL_WITH_RETRIES", 10.0)
    with pytest.raises(OSError, match="still"):
        patience.patiently(removing(OSError("still")), passes=lambda _: True)
    assert slept == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_a_refusal_that_stays_is_not_tried_again(slept: list[float]) -> None:
    with pytest.raises(OSError, match="no"):
        patience.patiently(removing(OSError("no")), passes=lambda _: False)
    assert slept == []
