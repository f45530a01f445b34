"""The data stack on Google Cloud: a dataset for the query's result and a bucket for its extract.

Only what can be destroyed is a resource. The query and the extract are work, done by the client in between:
``gcp.bigquery.Job`` does not wait until the job is done and its delete does nothing
(https://github.com/hashicorp/terraform-provider-google/issues/9826).
"""

from concurrent.futures import Future

import pulumi
import pulumi_gcp as gcp

from stacks import live
from stacks.contracts import DataInputs, DataOutputs
from stacks.gcp_bucket import private_bucket

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
    bucket = private_bucket("extract", name=f"{inputs.names.prefix}-extract", location=inputs.location, opts=options)
    made = pulumi.Output.all(dataset.dataset_id, bucket.name)
    live.hand_over(made.apply(lambda made: DataOutputs(*made)), outputs)
    pulumi.export("dataset", dataset.dataset_id)
    pulumi.export("bucket", bucket.name)
