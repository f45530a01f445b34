"""The data stack on Google Cloud: a dataset for the query's result and a bucket for its extract.

Only what can be destroyed is a resource. The query and the extract are work, done by the client in between:
``gcp.bigquery.Job`` does not wait until the job is done and its delete does nothing
(https://github.com/hashicorp/terraform-provider-google/issues/9826).
"""

from concurrent.futures import Future

import pulumi
import pulumi_gcp as gcp

from stacks.contracts import DataInputs, DataOutputs

_HOUR_MS = 3_600_000


def program(inputs: DataInputs, outputs: Future[DataOutputs]) -> None:
    """Declare the stack; ``outputs`` is set as soon as both resources exist."""
    google = gcp.Provider("google", project=inputs.project, default_labels=inputs.names.tags)
    options = pulumi.ResourceOptions(provider=google)
    dataset = gcp.bigquery.Dataset(
        "dataset",
        dataset_id=inputs.names.dataset,
        location=inputs.location,
        # The result table is the client's, not Pulumi's: it goes with the dataset, or by itself after an hour.
        delete_contents_on_destroy=True,
        default_table_expiration_ms=_HOUR_MS,
        opts=options,
    )
    bucket = gcp.storage.Bucket(
        "extract",
        name=f"{inputs.names.prefix}-extract",
        location=inputs.location,
        force_destroy=True,
        uniform_bucket_level_access=True,
        public_access_prevention="enforced",
        # Soft delete is on by default and bills seven days of every deleted object; it cannot be undone later
        # (https://cloud.google.com/storage/docs/soft-delete).
        soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=0),
        # The fuse of a run that never came back: objects go after a day, without us.
        lifecycle_rules=[
            gcp.storage.BucketLifecycleRuleArgs(
                action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
                condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=1),
            )
        ],
        opts=options,
    )
    pulumi.Output.all(dataset.dataset_id, bucket.name).apply(lambda made: outputs.set_result(DataOutputs(*made)))
    pulumi.export("dataset", dataset.dataset_id)
    pulumi.export("bucket", bucket.name)
