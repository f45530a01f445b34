"""AWS: preflight, invoke, what is left, remove it. The only importer of boto3.

The caller needs, on resources named ``hop-*``: S3 bucket and object create, tag, read and delete; IAM role and role
policy create, tag, read, pass and delete; Lambda function, layer and function URL create, tag, read and delete,
``lambda:InvokeFunctionUrl`` and, since October 2025, ``lambda:InvokeFunction``; Logs group create, tag, read and
delete and ``logs:FilterLogEvents``; ``tag:GetResources`` and ``sts:GetCallerIdentity``. With
``iam:SimulatePrincipalPolicy``, what is missing is known before anything is made (``aws_permissions.py``).
"""

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
from orchestrator.clouds.aws_permissions import missing
from orchestrator.clouds.invocation import CONNECT_SECONDS, OK, START_SECONDS, FunctionError, archive_file, checked
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import Layout, Package, Target
from orchestrator.settings import AwsCompute
from stacks.contracts import AwsComputeInputs, ComputeOutputs, LiveData
from stacks.naming import Names

# https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html and
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html ("250 MB" for function and layers together)
LAYOUT = Layout("Lambda", "aws_main.py", "requirements.txt", libraries="python", layer=True, most_bytes=262_144_000)
_LOG_LINES = 20
_GONE = frozenset({"NoSuchBucket", "NoSuchEntity", "ResourceNotFoundException"})


class Aws:
    """The AWS side of one run."""

    reads_in_place = False

    def __init__(self, settings: AwsCompute, names: Names, *, title: str, source: str) -> None:
        self._settings = settings
        self._names = names
        self._title = title
        self._source = source
        self._session = boto3.Session(region_name=settings.region)
        self._config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=60, retries={"mode": "standard"})

    def preflight(self) -> None:
        """Credentials are there, AWS knows them, and their owner may do what a run needs as far as IAM says so."""
        try:
            caller = self._client("sts").get_caller_identity()["Arn"]
            lacking = missing(self._client("iam"), caller, names=self._names, region=self._settings.region)
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
        if lacking:
            raise UsageError(
                "The caller may not do in AWS what a run needs, destroying included",
                details="missing:\n" + "\n".join(lacking),
                resolution=f"allow {caller} these actions on resources named hop-*, then run again.",
            )

    def package_target(self) -> Target:
        """Lambda's Amazon Linux 2023 has glibc 2.34."""
        machine = {"arm64": "aarch64", "x86_64": "x86_64"}[self._settings.architecture]
        return Target(python=self._settings.python, platform=f"{machine}-manylinux_2_28", layout=LAYOUT)

    def program(self, package: Package, data: LiveData, outputs: Future[ComputeOutputs]) -> Callable[[], None]:
        """``stacks/compute_aws.py`` with this run's inputs."""
        if package.layer is None:
            raise ValueError("on AWS the libraries are a layer")
        inputs = AwsComputeInputs(
            names=self._names,
            region=self._settings.region,
            architecture=self._settings.architecture,
            python=self._settings.python,
            memory=self._settings.memory_mib,
            timeout=self._settings.timeout,
            title=self._title,
            source=self._source,
            function=archive_file(package.function),
            layer=archive_file(package.layer),
            extract=data.extract,
        )
        from stacks import compute_aws  # noqa: PLC0415 - the SDK takes a second to import: not before it is needed

        return lambda: compute_aws.program(inputs, outputs)

    def most_usd(self) -> float:
        """One request that runs to the timeout."""
        return cost.lambda_usd(self._settings.architecture, self._settings.memory_mib, self._settings.timeout)

    def invoke(self, function: ComputeOutputs, package: Package) -> Answer:  # noqa: ARG002 - the stack brought it
        """One signed GET of the function URL; the reason of a failure is fetched from the function's log."""
        request = AWSRequest("GET", function.url, headers={"Accept": "application/json"})
        credentials = self._session.get_credentials()  # They are there: ``preflight`` has used them.
        SigV4Auth(credentials, "lambda", self._settings.region).add_auth(request)  # type: ignore[arg-type]
        seconds = (CONNECT_SECONDS, self._settings.timeout + START_SECONDS)  # The stubs know one only, botocore two.
        session = URLLib3Session(timeout=seconds)  # type: ignore[arg-type]
        try:
            response = session.send(request.prepare())
        except BotoCoreError as error:
            raise FunctionError("The function did not answer", details=str(error)) from error
        said = "" if response.status_code == OK else self._log_tail(function.function)
        return checked(response.status_code, response.content, said=said)

    def remaining(self) -> list[Remaining]:
        """By tag, and by name or path what cannot be found by tag: roles and layers."""
        try:
            return sorted(set(self._remaining()), key=lambda found: (found.kind, found.id))
        except (BotoCoreError, ClientError) as error:
            raise OrchestratorError("AWS did not say what is left of the run", details=str(error)) from error

    def remove(self, left: Remaining) -> None:
        """Through the service that its ARN names; a bucket or a role is emptied first."""
        try:
            self._remove(left)
        except (BotoCoreError, ClientError) as error:
            if not isinstance(error, ClientError) or error.response["Error"]["Code"] not in _GONE:
                raise OrchestratorError(f"AWS did not remove {left.id}", details=str(error)) from error

    def _remove(self, left: Remaining) -> None:
        name = left.id.rpartition(":")[2]
        match left.kind:
            case "s3 bucket":
                client = self._client("s3")
                for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
                    for entry in page.get("Contents", []):
                        client.delete_object(Bucket=name, Key=entry["Key"])
                client.delete_bucket(Bucket=name)
            case "iam role":
                client, role = self._client("iam"), name.rpartition("/")[2]
                for policy in client.list_role_policies(RoleName=role)["PolicyNames"]:
                    client.delete_role_policy(RoleName=role, PolicyName=policy)
                client.delete_role(RoleName=role)
            case "lambda function":
                self._client("lambda").delete_function(FunctionName=name)
            case "lambda layer":
                layer = left.id.split(":")[6]
                self._client("lambda").delete_layer_version(LayerName=layer, VersionNumber=int(name))
            case "logs log-group":
                self._client("logs").delete_log_group(logGroupName=name)
            case _:
                raise OrchestratorError(
                    f"This program does not know how to remove {left.id}", resolution="remove it in the AWS console."
                )

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
