"""The compute stack on AWS: the resources of the 2022 "Cloud Hopping" lab, brought up to date.

Data bucket with a lifecycle rule, data object (the extract from Google Cloud), policy document, role, log group, layer,
function and function URL. No public access, no managed policy: the role may read one object, until the run expires, and
write one log.
"""

import json
from concurrent.futures import Future
from datetime import datetime

import pulumi
import pulumi_aws as aws

from stacks import live
from stacks.contracts import AwsComputeInputs, ComputeOutputs

DATA_KEY = "extract.csv"
# Lambda takes zips above this from S3 only (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
_TRUST_LAMBDA = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}],
}


def program(inputs: AwsComputeInputs, outputs: Future[ComputeOutputs]) -> None:
    """Declare the stack; ``outputs`` is set once the function can be invoked: URL, permissions and data are there."""
    name = inputs.names.prefix
    amazon = aws.Provider(
        "amazon", region=inputs.region, default_tags=aws.ProviderDefaultTagsArgs(tags=inputs.names.tags)
    )
    options = pulumi.ResourceOptions(provider=amazon)

    # New buckets block public access and encrypt by themselves (S3, since 2023). force_destroy from the first up:
    # only then is it in the state when objects that we did not declare must go too.
    bucket = aws.s3.Bucket("data", bucket=f"{name}-data", force_destroy=True, opts=options)

    _fuse(bucket, options)

    extract = live.output(inputs.extract)
    data = aws.s3.BucketObjectv2(
        "extract",
        bucket=bucket.bucket,
        key=DATA_KEY,
        source=extract.apply(lambda file: pulumi.FileAsset(str(file.path))),
        source_hash=extract.apply(lambda file: file.sha256),
        content_type="text/csv",
        opts=options,
    )

    # Declared, because Lambda would make it by itself and destroy would leave it behind.
    logs = aws.cloudwatch.LogGroup("logs", name=f"/aws/lambda/{name}", retention_in_days=1, opts=options)
    role = aws.iam.Role(
        "role",
        name=name,
        path=f"/cloud-hopping/{inputs.names.run_id}/",  # IAM roles can be listed by path, not by tag.
        assume_role_policy=json.dumps(_TRUST_LAMBDA),
        force_detach_policies=True,
        opts=options,
    )
    permissions = aws.iam.RolePolicy(
        "permissions",
        name="read-extract-write-log",
        role=role.name,
        policy=_permissions(bucket, logs, inputs.names.expires),
        opts=options,
    )

    function = aws.lambda_.Function(
        "function",
        name=name,
        runtime=f"python{inputs.python}",
        architectures=[inputs.architecture],
        handler="aws_main.handler",
        role=role.arn,
        memory_size=inputs.memory,
        timeout=inputs.timeout,
        code=pulumi.FileArchive(str(inputs.function.path)),
        source_code_hash=inputs.function.sha256,
        layers=[_layer(inputs, bucket, options).arn],
        environment={
            "variables": {
                "DATA_BUCKET": bucket.bucket,
                "DATA_KEY": DATA_KEY,
                "CHART_TITLE": inputs.title,
                "CHART_SOURCE": inputs.source,
            },
        },
        logging_config={"log_format": "Text", "log_group": logs.name},
        # A new role takes seconds, at worst minutes, until Lambda may assume it: retry for the whole timeout.
        use_resource_timeout_for_propagation=True,
        opts=pulumi.ResourceOptions.merge(
            options, pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="15m"))
        ),
    )
    url = aws.lambda_.FunctionUrl("url", function_name=function.name, authorization_type="AWS_IAM", opts=options)

    # The last two are only waited for: without them the function answers, but with an error.
    ready = pulumi.Output.all(function.name, url.function_url, permissions.id, data.id)
    live.hand_over(ready.apply(lambda made: ComputeOutputs(function=made[0], url=made[1])), outputs)
    pulumi.export("function", function.name)
    pulumi.export("url", url.function_url)


def _fuse(bucket: aws.s3.Bucket, options: pulumi.ResourceOptions) -> None:
    """What is in the bucket goes after a day without us, if the run never comes back. Nothing waits for the rule.

    It goes with the bucket: removed first, as its dependency on the bucket would have it, it would leave a bucket
    without a fuse when the destroy breaks off there.
    """
    aws.s3.BucketLifecycleConfiguration(
        "fuse",
        bucket=bucket.bucket,
        rules=[
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id="fuse",
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),  # All objects.
                expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=1),
                abort_incomplete_multipart_upload=(
                    aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(days_after_initiation=1)
                ),
            )
        ],
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(deleted_with=bucket)),
    )


def _permissions(bucket: aws.s3.Bucket, logs: aws.cloudwatch.LogGroup, expires: datetime) -> pulumi.Output[str]:
    """The role's policy document: read the one object until the run ``expires``, write into the one log group.

    No logs:CreateLogGroup: a late write of the function must not make the group again after destroy.
    """
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": pulumi.Output.concat(bucket.arn, "/", DATA_KEY),
                    "Condition": {"DateLessThan": {"aws:CurrentTime": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}},
                },
                {
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": pulumi.Output.concat(logs.arn, ":*"),
                },
            ],
        }
    )


def _layer(
    inputs: AwsComputeInputs, bucket: aws.s3.Bucket, options: pulumi.ResourceOptions
) -> aws.lambda_.LayerVersion:
    """The libraries as a layer: uploaded directly up to 50 MB, through the data bucket above."""
    archive = inputs.layer
    upload = None
    if archive.size > DIRECT_UPLOAD_LIMIT:
        upload = aws.s3.BucketObjectv2(
            "libraries",
            bucket=bucket.bucket,
            key=f"layers/{archive.sha256}.zip",
            source=pulumi.FileAsset(str(archive.path)),
            source_hash=archive.sha256,
            opts=options,
        )
    return aws.lambda_.LayerVersion(
        "libraries",
        layer_name=f"{inputs.names.prefix}-libraries",
        code=None if upload else pulumi.FileArchive(str(archive.path)),
        s3_bucket=bucket.bucket if upload else None,
        s3_key=upload.key if upload else None,
        source_code_hash=archive.sha256,
        compatible_runtimes=[f"python{inputs.python}"],
        compatible_architectures=[inputs.architecture],
        skip_destroy=False,
        opts=options,
    )
