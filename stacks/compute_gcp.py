"""The compute stack on Google Cloud: a Cloud Run service from source, without a build.

The extract does not leave the cloud: the service reads it in the data stack's bucket, with a service account that may
read the extract's objects until the run expires, and nothing else. Nothing is public: there is no ``allUsers``, a
caller needs an ID token.

A service of a zip and a base image is up in seconds. A Cloud Function would be built for minutes, and would leave
buckets (``gcf-*``) and a registry behind.
"""

from concurrent.futures import Future
from urllib.parse import urlencode

import pulumi
import pulumi_gcp as gcp

from stacks import live
from stacks.contracts import EXTRACT_PREFIX, ComputeOutputs, ExtractFile, GcpComputeInputs
from stacks.gcp_bucket import private_bucket

_PACKAGE = "package.zip"


def program(inputs: GcpComputeInputs, outputs: Future[ComputeOutputs]) -> None:
    """Declare the stack; ``outputs`` is set once the service may read the extract, and the extract is there."""
    name = inputs.names.prefix
    google = gcp.Provider("google", project=inputs.project, default_labels=inputs.names.tags)
    options = pulumi.ResourceOptions(provider=google)

    identity = gcp.serviceaccount.Account(
        "identity", account_id=name, description=f"expires {inputs.names.expires:%Y-%m-%dT%H:%M:%SZ}", opts=options
    )
    bucket = private_bucket("source", name=f"{name}-source", location=inputs.region.upper(), opts=options)
    package = gcp.storage.BucketObject(
        "package",
        bucket=bucket.name,
        name=_PACKAGE,
        source=pulumi.FileAsset(str(inputs.package.path)),
        content_type="application/zip",
        opts=options,
    )
    data_bucket = live.output(inputs.data.made).apply(lambda made: made.bucket)
    permission = gcp.storage.BucketIAMMember(
        "permission",
        bucket=data_bucket,
        role="roles/storage.objectViewer",
        member=identity.member,
        condition=gcp.storage.BucketIAMMemberConditionArgs(
            title="the extract only",
            expression=data_bucket.apply(
                lambda data: (
                    f'resource.name.startsWith("projects/_/buckets/{data}/objects/{EXTRACT_PREFIX}")'
                    f' && request.time < timestamp("{inputs.names.expires:%Y-%m-%dT%H:%M:%SZ}")'
                )
            ),
        ),
        opts=options,
    )
    service = _service(inputs, identity, bucket, package, options)

    extract = live.output(inputs.data.extract)
    url = pulumi.Output.all(service.uri, data_bucket, extract).apply(
        lambda made: f"{made[0]}/?{_where(made[1], made[2])}"
    )
    # The permission is only waited for: without it the function answers, but with an error.
    ready = pulumi.Output.all(service.name, url, permission.id)
    live.hand_over(ready.apply(lambda made: ComputeOutputs(made[0], made[1])), outputs)
    pulumi.export("function", service.name)
    pulumi.export("url", url)


def _service(
    inputs: GcpComputeInputs,
    identity: gcp.serviceaccount.Account,
    bucket: gcp.storage.Bucket,
    package: gcp.storage.BucketObject,
    options: pulumi.ResourceOptions,
) -> gcp.cloudrunv2.Service:
    settings = {
        "PYTHONPATH": inputs.libraries,
        "CHART_TITLE": inputs.title,
        "CHART_SOURCE": inputs.source,
        # The framework's own server ends requests after it, too, when it has one thread: as many as requests at once.
        "CLOUD_RUN_TIMEOUT_SECONDS": str(inputs.timeout),
        "THREADS": "1",
    }
    return gcp.cloudrunv2.Service(
        "service",
        name=inputs.names.prefix,
        location=inputs.region,
        deletion_protection=False,
        ingress="INGRESS_TRAFFIC_ALL",
        launch_stage="BETA",  # Of source without a build.
        template=gcp.cloudrunv2.ServiceTemplateArgs(
            service_account=identity.email,
            timeout=f"{inputs.timeout}s",
            max_instance_request_concurrency=1,
            scaling=gcp.cloudrunv2.ServiceTemplateScalingArgs(max_instance_count=1),
            containers=[
                gcp.cloudrunv2.ServiceTemplateContainerArgs(
                    image="scratch",  # There is none: the source runs on the base image.
                    base_image_uri=f"{inputs.region}-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/"
                    f"python{inputs.python.replace('.', '')}",
                    source_code=gcp.cloudrunv2.ServiceTemplateContainerSourceCodeArgs(
                        cloud_storage_source=gcp.cloudrunv2.ServiceTemplateContainerSourceCodeCloudStorageSourceArgs(
                            bucket=bucket.name, object=package.name
                        )
                    ),
                    commands=["python", "-m", "functions_framework"],
                    args=["--source=gcp_main.py", "--target=hail"],
                    envs=[
                        gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(name=name, value=value)
                        for name, value in settings.items()
                    ],
                    resources=gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(
                        limits={"cpu": "1", "memory": f"{inputs.memory}Mi"},
                        cpu_idle=True,  # Billed by request: with limits, the default is by instance.
                        startup_cpu_boost=True,
                    ),
                )
            ],
        ),
        opts=options,
    )


def _where(bucket: str, extract: ExtractFile) -> str:
    """Where the function finds the extract, as its query string: the service is up before anyone knows."""
    return urlencode([("bucket", bucket), *(("object", name) for name in extract.objects)])
