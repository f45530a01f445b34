"""A bucket that leaves nothing behind: private, emptied when it is destroyed, and fading by itself if it never is."""

import pulumi
import pulumi_gcp as gcp


def private_bucket(resource: str, *, name: str, location: str, opts: pulumi.ResourceOptions) -> gcp.storage.Bucket:
    """Declare the bucket; ``location`` is Cloud Storage's, such as ``US`` or ``US-CENTRAL1``."""
    return gcp.storage.Bucket(
        resource,
        name=name,
        location=location,
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
        opts=opts,
    )
