"""S3's resource types: bucket, lifecycle rules and object."""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

from collections.abc import Mapping
from typing import Any

import pulumi_aws as aws

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.resources import AwsResource, file_path, tag_list
from orchestrator.rehearsal.provider import HalfMadeError, LiveType, RefusedError, ResourceType

# https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/s3/bucket_lifecycle_configuration.go
_RULE_ID_LENGTH = range(1, 256)
_DEFAULT_MINIMUM_SIZE = "all_storage_classes_128K"


def resources(amazon: Amazon) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "aws:s3/bucket:Bucket": Bucket(amazon),
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": BucketLifecycle(amazon),
        "aws:s3/bucketObjectv2:BucketObjectv2": BucketObject(amazon),
    }


class Bucket(AwsResource, LiveType):
    """An S3 bucket."""

    service = "s3"
    arguments = aws.s3.BucketArgs
    known = frozenset({"bucket", "forceDestroy"})
    name_input = "bucket"
    computed = ("arn", "region")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html."""
        client, name, region = self._client(configuration), inputs["bucket"], configuration["region"]
        doing = f"creating S3 Bucket ({name})"
        place = None if region == "us-east-1" else {"LocationConstraint": region}
        self._ask(doing, client.create_bucket, Bucket=name, CreateBucketConfiguration=place)
        tags = {"TagSet": tag_list(configuration)}
        outputs = {"arn": f"arn:aws:s3:::{name}", "region": region}
        try:
            self._ask(f"tagging S3 Bucket ({name})", client.put_bucket_tagging, Bucket=name, Tagging=tags)
        except RefusedError as refusal:
            raise HalfMadeError(str(refusal), name, outputs) from refusal
        return name, outputs

    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """HeadBucket."""
        client = self._client(configuration)
        if not self._is_there(client.head_bucket, Bucket=resource_id):
            return None
        region = client.get_bucket_location(Bucket=resource_id)["LocationConstraint"] or "us-east-1"
        return {"bucket": resource_id, "arn": f"arn:aws:s3:::{resource_id}", "region": region}

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Refused while it has objects, unless the state says ``forceDestroy``."""
        client = self._client(configuration)
        if state.get("forceDestroy") and self.exists(resource_id, state, configuration):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=resource_id):
                for entry in page.get("Contents", []):
                    client.delete_object(Bucket=resource_id, Key=entry["Key"])
        self._drop(f"deleting S3 Bucket ({resource_id})", client.delete_bucket, Bucket=resource_id)


class BucketLifecycle(AwsResource):
    """A bucket's lifecycle rules. Moto keeps them and does nothing by them: no rehearsal lasts a day."""

    service = "s3"
    arguments = aws.s3.BucketLifecycleConfigurationArgs
    known = frozenset(
        {
            "bucket", "rules.id", "rules.status", "rules.filter.prefix", "rules.expiration.days",
            "rules.abortIncompleteMultipartUpload.daysAfterInitiation",
        }
    )  # fmt: skip
    computed = ("region", "transitionDefaultMinimumObjectSize")

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html."""
        bucket = inputs["bucket"]
        self._ask(
            f"creating S3 Bucket ({bucket}) Lifecycle Configuration",
            self._client(configuration).put_bucket_lifecycle_configuration,
            Bucket=bucket,
            LifecycleConfiguration={"Rules": [_lifecycle_rule(rule) for rule in inputs.get("rules", [])]},
        )
        return bucket, {
            "region": configuration["region"],
            "transitionDefaultMinimumObjectSize": _DEFAULT_MINIMUM_SIZE,
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """GetBucketLifecycleConfiguration."""
        return self._is_there(self._client(configuration).get_bucket_lifecycle_configuration, Bucket=resource_id)

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteBucketLifecycle."""
        doing = f"deleting S3 Bucket Lifecycle Configuration ({resource_id})"
        self._drop(doing, self._client(configuration).delete_bucket_lifecycle, Bucket=state["bucket"])


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule in S3's words."""
    if len(rule["id"]) not in _RULE_ID_LENGTH:
        raise RefusedError(f"rules.id: string length must be between 1 and 255, got: {len(rule['id'])}")
    in_s3 = {
        "Filter": {"Prefix": rule.get("filter", {}).get("prefix")},
        "Expiration": {"Days": rule.get("expiration", {}).get("days")},
        "AbortIncompleteMultipartUpload": {
            "DaysAfterInitiation": rule.get("abortIncompleteMultipartUpload", {}).get("daysAfterInitiation")
        },
    }
    given = {name: value for name, value in in_s3.items() if None not in value.values()}
    return {"ID": rule["id"], "Status": rule["status"], **given}


class BucketObject(AwsResource):
    """An object in a bucket."""

    service = "s3"
    arguments = aws.s3.BucketObjectv2Args
    known = frozenset({"bucket", "key", "source", "sourceHash", "contentType"})
    computed = ("etag",)
    not_stored = ("source",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html."""
        bucket, key = inputs["bucket"], inputs["key"]
        with file_path(inputs, "source").open("rb") as content:
            answer = self._ask(
                f"uploading S3 Object ({key}) to Bucket ({bucket})",
                self._client(configuration).put_object,
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=inputs.get("contentType"),
            )
        return f"{bucket}/{key}", {"etag": answer["ETag"].strip('"')}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """HeadObject."""
        return self._is_there(self._client(configuration).head_object, Bucket=state["bucket"], Key=state["key"])

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteObject."""
        doing = f"deleting S3 Object ({resource_id})"
        self._drop(doing, self._client(configuration).delete_object, Bucket=state["bucket"], Key=state["key"])
