"""AWS: preflight, invoke, and what is left. The only importer of boto3.

The caller needs, on resources named ``hop-*``: S3 bucket and object create, tag, read and delete; IAM role and role
policy create, tag, read, pass and delete; Lambda function, layer and function URL create, tag, read and delete,
``lambda:InvokeFunctionUrl`` and, since October 2025, ``lambda:InvokeFunction``; Logs group create, tag, read and
delete and ``logs:FilterLogEvents``; ``tag:GetResources`` and ``sts:GetCallerIdentity``.
"""

import base64
import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session

from orchestrator import cost
from orchestrator.clouds import Answer, Remaining
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import Package, Target
from orchestrator.settings import AwsCompute
from stacks.contracts import ArchiveFile, AwsComputeInputs, ComputeOutputs, ExtractFile
from stacks.naming import Names

_CONNECT_SECONDS = 10
_OK = 200
_LOG_LINES = 20
_PNG = b"\x89PNG\r\n\x1a\n"
_ANSWER_FORM = '{"counts": {"25": 11, ...}, "chart_png": "<base64>", "rows": 27}'


class FunctionError(OrchestratorError):
    """The function did not answer, or not what it should."""


class Aws:
    """The AWS side of one run."""

    def __init__(self, settings: AwsCompute, names: Names, *, title: str, source: str) -> None:
        self._settings = settings
        self._names = names
        self._title = title
        self._source = source
        self._session = boto3.Session(region_name=settings.region)
        self._config = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=60, retries={"mode": "standard"})

    def preflight(self) -> None:
        """Credentials are there and AWS knows them."""
        try:
            self._client("sts").get_caller_identity()
        except NoCredentialsError as error:
            raise UsageError(
                "There are no AWS credentials",
                details="looked in the environment, the shared profiles and the instance or job identity.",
                resolution="run `aws configure sso` or set AWS_PROFILE; in CI use OpenID Connect.",
            ) from error
        except (BotoCoreError, ClientError) as error:
            raise UsageError(
                "AWS does not accept the caller",
                details=str(error),
                resolution="check the profile, its expiry and the region, then run again.",
            ) from error

    def package_target(self) -> Target:
        """Lambda's Amazon Linux 2023 has glibc 2.34."""
        machine = {"arm64": "aarch64", "x86_64": "x86_64"}[self._settings.architecture]
        return Target(python=self._settings.python, platform=f"{machine}-manylinux_2_28")

    def program(
        self, package: Package, extract: Future[ExtractFile], outputs: Future[ComputeOutputs]
    ) -> Callable[[], None]:
        """``stacks/compute_aws.py`` with this run's inputs."""
        inputs = AwsComputeInputs(
            names=self._names,
            region=self._settings.region,
            architecture=self._settings.architecture,
            python=self._settings.python,
            memory=self._settings.memory_mib,
            timeout=self._settings.timeout,
            title=self._title,
            source=self._source,
            function=_archive(package.function),
            layer=_archive(package.layer),
            extract=extract,
        )
        from stacks import compute_aws  # noqa: PLC0415 - the SDK takes a second to import: not before it is needed

        return lambda: compute_aws.program(inputs, outputs)

    def most_usd(self) -> float:
        """One request that runs to the timeout."""
        return cost.lambda_usd(self._settings.architecture, self._settings.memory, self._settings.timeout)

    def invoke(self, function: ComputeOutputs) -> Answer:
        """One signed GET of the function URL; the reason of a failure is fetched from the function's log."""
        request = AWSRequest("GET", function.url, headers={"Accept": "application/json"})
        credentials = self._session.get_credentials()  # They are there: ``preflight`` has used them.
        SigV4Auth(credentials, "lambda", self._settings.region).add_auth(request)  # type: ignore[arg-type]
        # A cold start comes on top of the function's own timeout. The stubs know one timeout only, botocore two.
        seconds = (_CONNECT_SECONDS, self._settings.timeout + 30)
        session = URLLib3Session(timeout=seconds)  # type: ignore[arg-type]
        try:
            response = session.send(request.prepare())
        except BotoCoreError as error:
            raise FunctionError("The function did not answer", details=str(error)) from error
        if response.status_code != _OK:
            raise FunctionError(
                f"The function answered {response.status_code}",
                details=self._log_tail(function.function) or response.text,
                resolution="the lines above are the function's log; mend function_code/ and run again.",
            )
        return _answer(response.content)

    def remaining(self) -> list[Remaining]:
        """By tag, and by name or path what cannot be found by tag: roles and layers."""
        try:
            return sorted(set(self._remaining()), key=lambda found: (found.kind, found.id))
        except (BotoCoreError, ClientError) as error:
            raise OrchestratorError("AWS did not say what is left of the run", details=str(error)) from error

    def _remaining(self) -> list[Remaining]:
        prefix = self._names.prefix
        found = []
        pages = self._client("resourcegroupstaggingapi").get_paginator("get_resources")
        for page in pages.paginate(TagFilters=[{"Key": "run-id", "Values": [self._names.run_id]}]):
            found += [_from_arn(entry["ResourceARN"]) for entry in page["ResourceTagMappingList"]]
        roles = self._client("iam").get_paginator("list_roles")
        for page in roles.paginate(PathPrefix=f"/cloud-hopping/{self._names.run_id}/"):
            found += [_from_arn(role["Arn"]) for role in page["Roles"]]
        layers = self._client("lambda").get_paginator("list_layer_versions")
        for page in layers.paginate(LayerName=f"{prefix}-libraries"):
            found += [_from_arn(layer["LayerVersionArn"]) for layer in page["LayerVersions"]]
        groups = self._client("logs").get_paginator("describe_log_groups")
        for page in groups.paginate(logGroupNamePrefix=f"/aws/lambda/{prefix}"):
            found += [_from_arn(group["arn"].removesuffix(":*")) for group in page["logGroups"]]
        return found

    def _client(self, service: Any) -> Any:
        return self._session.client(service, config=self._config)

    def _log_tail(self, function: str) -> str:
        """The last lines of the function's log; empty when there are none yet or we may not read them."""
        try:
            events = self._client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        except (BotoCoreError, ClientError):
            return ""
        return "\n".join(event["message"].rstrip() for event in events[-_LOG_LINES:])


def _from_arn(arn: str) -> Remaining:
    """``arn:aws:lambda:us-east-1:123456789012:function:hop-...`` is a ``lambda function``."""
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    kind = "bucket" if service == "s3" else resource.replace("/", ":").split(":")[0]
    return Remaining("aws", f"{service} {kind}", arn)


def _archive(archive: Any) -> ArchiveFile:
    return ArchiveFile(archive.path, archive.sha256, archive.zipped_bytes)


def _answer(content: bytes) -> Answer:
    """The function's JSON, checked: a user's own analysis may answer anything."""
    try:
        said = json.loads(content)
        counts = {day: _whole(count) for day, count in said["counts"].items()}
        chart = base64.b64decode(said["chart_png"], validate=True)
        if not chart.startswith(_PNG):
            raise ValueError("chart_png is no PNG")  # noqa: TRY301
        return Answer(counts, _whole(said["rows"]), chart)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FunctionError(
            "The function's answer is not what it should be",
            details=f"{type(error).__name__}: {error}. Expected {_ANSWER_FORM}.",
            resolution="see aws_main.py in function_code/ for the answer's form.",
        ) from error


def _whole(count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{count!r} is no whole number")
    return count
