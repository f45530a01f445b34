"""AWS: preflight, invoke, what is left, remove it. The only importer of boto3.

The caller needs, on resources named ``hop-*``: S3 bucket and object create, tag, read and delete, a bucket's lifecycle
rules put and read; IAM role and role policy create, tag, read, pass and delete; Lambda function, layer and function URL
create, tag, read and delete, ``lambda:InvokeFunctionUrl`` and, since October 2025, ``lambda:InvokeFunction``; Logs
group create, tag, read and delete and ``logs:FilterLogEvents``; ``sts:GetCallerIdentity``; and the listings that
``aws_leftovers.py`` names. With ``iam:SimulatePrincipalPolicy``, what is missing is known before anything is made
(``aws_permissions.py``).
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import boto3
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from orchestrator import cost, deadlines
from orchestrator.clouds import Answer, Remaining
from orchestrator.clouds.aws_leftovers import AwsLeftovers
from orchestrator.clouds.aws_permissions import missing
from orchestrator.clouds.invocation import OK, archive_file, checked, get
from orchestrator.errors import UsageError
from orchestrator.package import Layout, Package, Target
from orchestrator.settings import AwsCompute
from stacks.contracts import AwsComputeInputs, ComputeOutputs, LiveData
from stacks.naming import Names

# https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html and
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html ("250 MB" for function and layers together)
LAYOUT = Layout("Lambda", "aws_main.py", "requirements.txt", libraries="python", layer=True, most_bytes=262_144_000)
_LOG_LINES = 20


def session(region: str | None) -> boto3.Session:
    """The standard chain of credentials, with deadlines for all that is asked through it, the chain's own calls too.

    Of what fails, botocore tries again what may help, so many times as fit into a call with its retries.

    Raises:
        UsageError: AWS_PROFILE names a profile that is not there.
    """
    core = botocore.session.get_session()
    attempts = int(deadlines.CALL_WITH_RETRIES // (deadlines.CONNECT + deadlines.CALL))
    core.set_default_client_config(
        Config(
            connect_timeout=deadlines.CONNECT,
            read_timeout=deadlines.CALL,
            retries={"mode": "standard", "total_max_attempts": max(1, attempts)},
        )
    )
    try:
        return boto3.Session(botocore_session=core, region_name=region)
    except BotoCoreError as error:
        raise UsageError(
            "The AWS profile cannot be used", details=str(error), resolution="correct AWS_PROFILE, or unset it."
        ) from error


class Aws:
    """The AWS side of one run."""

    reads_in_place = False

    def __init__(self, settings: AwsCompute, names: Names, *, title: str, source: str) -> None:
        self._settings = settings
        self._names = names
        self._title = title
        self._source = source
        self._session = session(settings.region)
        self._leftovers = AwsLeftovers(self._session, settings.region)

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
                resolution=f"allow {caller} these actions on resources named hop-*, listings on all, and run again.",
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
        response = get(function.url, dict(request.headers.items()), timeout=self._settings.timeout)
        said = "" if response.status_code == OK else self._log_tail(function.function)
        return checked(response.status_code, response.content, said=said)

    def remaining(self) -> list[Remaining]:
        """By tag and by name, in the order of removal."""
        return self._leftovers.find(self._names.run_id)

    def remove(self, left: Remaining) -> None:
        """If it is named as a run names it."""
        self._leftovers.remove(left)

    def _client(self, service: Any) -> Any:
        return self._session.client(service)

    def _log_tail(self, function: str) -> str:
        """The last lines of the function's log; empty when there are none yet or we may not read them."""
        try:
            events = self._client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        except (BotoCoreError, ClientError):
            return ""
        return "\n".join(event["message"].rstrip() for event in events[-_LOG_LINES:])
