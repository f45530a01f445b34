"""What Google Cloud documents of the inputs that our stacks give. See ``name_rules.py``."""

from collections.abc import Mapping

from orchestrator.rehearsal.gcp.cloud_run_rules import REGIONS
from tests.contract.engine.name_rules import Path, Rule, one_of, pattern, reference, size, whole

_STORAGE = "https://cloud.google.com/storage/docs"
_RUN = "https://cloud.google.com/run/docs"
_RUN_API = f"{_RUN}/reference/rest/v2/projects.locations.services"
_DAY = 24 * 60 * 60

BUCKET = Rule(
    f"{_STORAGE}/buckets#naming",
    # Names with dots may be longer, and must be domains of the caller's: ours have none.
    pattern(r"(?!goog)(?!.*g[o0]{2}g[l1]e)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9_.-]{1,61}[a-z0-9]"),
    legal=("hop", "h" * 63, "hop_1-data", "1hop"),
    illegal=(
        "ab", "h" * 64, "Hop-data", "hop data", "-hop", "hop-", "_hop", "192.168.5.4", "goog-hop", "my-google-data",
        "hop-g00gle", "hop-goog1e", "höp",
    ),
)  # fmt: skip
LOCATION = Rule(
    f"{_STORAGE}/locations",
    lambda value: pattern(r"US|EU|ASIA|[A-Z]+-[A-Z]+\d+")(value.upper()),
    legal=("US", "EU", "us-central1", "EUROPE-WEST10"),
    illegal=("", "Mars", "us_central1"),
)
DATASET = Rule(
    "https://cloud.google.com/bigquery/docs/datasets#dataset-naming",
    pattern(r"[A-Za-z0-9_]{1,1024}"),
    legal=("d" * 1024, "A_1"),
    illegal=("", "d" * 1025, "a-b", "a b", "a.b"),
)
OBJECT = Rule(
    f"{_STORAGE}/objects#naming",
    lambda value: (
        size(1, 1024)(value)
        and pattern(r"[^\r\n]+")(value)
        and value not in (".", "..")
        and not value.startswith(".well-known/acme-challenge/")
    ),
    legal=("a/b.zip", "ü" * 512),
    illegal=("", "o" * 1025, "ü" * 513, "a\nb", "a\rb", ".", "..", ".well-known/acme-challenge/a"),
)
LABELS = Rule(
    "https://cloud.google.com/resource-manager/docs/labels-overview#requirements",
    # International letters are fine by Google, and not in use here.
    lambda value: (
        len(value) <= 64
        and all(
            pattern(r"[a-z][a-z0-9_-]{0,62}")(key) and pattern(r"[a-z0-9_-]{0,63}")(text) for key, text in value.items()
        )
    ),
    legal=({"k" * 63: "v" * 63}, {"a_b-1": ""}),
    illegal=({"k" * 64: ""}, {"k": "v" * 64}, {"": ""}, {"K": ""}, {"1k": ""}, {"k": "V"}, {"k": "a:b"}, {"k.": ""}),
)
PROJECT = Rule(
    "https://cloud.google.com/resource-manager/docs/creating-managing-projects",
    pattern(r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    legal=(),
    illegal=(),
)
ACCOUNT = Rule(
    "https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/create",
    pattern(r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    legal=("hop123", "h" * 30),
    illegal=("hop12", "h" * 31, "1hop12", "Hop123", "hop12-", "hop_123", ""),
)
DESCRIPTION = Rule(
    "https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts",
    size(0, 256),
    legal=("d" * 256, "ü" * 128),
    illegal=("d" * 257, "ü" * 129),
)
_EMAIL = r"[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z][a-z0-9-]{4,28}[a-z0-9]\.iam\.gserviceaccount\.com"
SERVICE = Rule(
    f"{_RUN_API}/create",
    pattern(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?"),
    legal=("s" * 49, "s", "s-1"),
    illegal=("", "s" * 50, "1s", "S", "s-", "s_1", "s.1"),
)
TIMEOUT = Rule(
    f"{_RUN}/configuring/request-timeout",
    lambda value: pattern(r"\d+s")(value) and 1 <= int(value[:-1]) <= 3600,
    legal=("1s", "3600s"),
    illegal=("0s", "3601s", "60", "1m"),
)
RESOURCES = Rule(
    f"{_RUN}/configuring/services/memory-limits",
    # What goes with the one processor of ours, in the second generation.
    lambda value: (
        value["cpu"] == "1" and pattern(r"\d+Mi")(value["memory"]) and 512 <= int(value["memory"][:-2]) <= 4096
    ),
    legal=({"cpu": "1", "memory": "512Mi"}, {"cpu": "1", "memory": "4096Mi"}),
    illegal=({"cpu": "1", "memory": "511Mi"}, {"cpu": "1", "memory": "4097Mi"}, {"cpu": "1", "memory": "1024"}),
)
_RESERVED = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
VARIABLE = Rule(
    f"{_RUN}/configuring/services/overview-environment-variables",
    lambda value: pattern(r"(?!X_GOOGLE_)[A-Za-z_][A-Za-z0-9_]{0,32767}")(value) and value not in _RESERVED,
    legal=("A", "_a1"),
    illegal=("", "1A", "A=B", "A-B", "A.B", "X_GOOGLE_A", *_RESERVED),
)
_IMAGE = r"([a-z0-9-]+)-docker\.pkg\.dev/serverless-runtimes/google-22-full/runtimes/python3(11|12|13)"
_TEMPLATE, _CONTAINER = "template", "template.containers"
_SERVICE_TYPE = "gcp:cloudrunv2/service:Service"

RULES: Mapping[Path, Rule] = {
    ("gcp:bigquery/dataset:Dataset", "provider.project"): PROJECT,
    ("gcp:bigquery/dataset:Dataset", "provider.defaultLabels"): LABELS,
    ("gcp:bigquery/dataset:Dataset", "datasetId"): DATASET,
    ("gcp:bigquery/dataset:Dataset", "location"): Rule(
        "https://cloud.google.com/bigquery/docs/locations",
        pattern(r"US|EU|[a-z]+-[a-z]+\d+"),
        legal=("US", "EU", "europe-west10"),
        illegal=("Mars", "us_central1"),
    ),
    ("gcp:bigquery/dataset:Dataset", "defaultTableExpirationMs"): Rule(
        "https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets",
        lambda value: value >= 3_600_000,
        legal=(3_600_000,),
        illegal=(3_599_999, 0),
    ),
    ("gcp:storage/bucket:Bucket", "provider.defaultLabels"): LABELS,
    ("gcp:storage/bucket:Bucket", "name"): BUCKET,
    ("gcp:storage/bucket:Bucket", "location"): LOCATION,
    ("gcp:storage/bucket:Bucket", "publicAccessPrevention"): Rule(
        f"{_STORAGE}/json_api/v1/buckets", one_of("enforced", "inherited"), legal=("enforced",), illegal=("yes", "")
    ),
    ("gcp:storage/bucket:Bucket", "softDeletePolicy.retentionDurationSeconds"): Rule(
        f"{_STORAGE}/soft-delete",
        lambda value: value == 0 or 7 * _DAY <= value <= 90 * _DAY,
        legal=(0, 7 * _DAY, 90 * _DAY),
        illegal=(1, 7 * _DAY - 1, 90 * _DAY + 1),
    ),
    ("gcp:storage/bucket:Bucket", "lifecycleRules.action.type"): Rule(
        f"{_STORAGE}/lifecycle",
        one_of("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"),
        legal=("Delete",),
        illegal=("delete", ""),
    ),
    ("gcp:storage/bucket:Bucket", "lifecycleRules.condition.age"): Rule(
        f"{_STORAGE}/lifecycle", lambda value: value >= 0, legal=(0, 1), illegal=(-1,)
    ),
    ("gcp:storage/bucketObject:BucketObject", "bucket"): reference(BUCKET),
    ("gcp:storage/bucketObject:BucketObject", "name"): OBJECT,
    ("gcp:serviceaccount/account:Account", "accountId"): ACCOUNT,
    ("gcp:serviceaccount/account:Account", "description"): DESCRIPTION,
    ("gcp:storage/bucketIAMMember:BucketIAMMember", "bucket"): reference(BUCKET),
    ("gcp:storage/bucketIAMMember:BucketIAMMember", "role"): Rule(
        f"{_STORAGE}/access-control/iam-roles",
        one_of("roles/storage.objectViewer"),
        legal=(),
        illegal=("storage.objectViewer", ""),
    ),
    ("gcp:storage/bucketIAMMember:BucketIAMMember", "member"): Rule(
        "https://cloud.google.com/iam/docs/reference/rest/v1/Policy#Binding",
        pattern(rf"serviceAccount:{_EMAIL}"),
        legal=(),
        illegal=("hop", "user:hop"),
    ),
    ("gcp:storage/bucketIAMMember:BucketIAMMember", "condition.title"): Rule(
        "https://cloud.google.com/iam/docs/conditions-overview#structure", size(1, 100), legal=(), illegal=()
    ),
    ("gcp:storage/bucketIAMMember:BucketIAMMember", "condition.expression"): Rule(
        # The time: https://cloud.google.com/iam/docs/conditions-attribute-reference#date-time
        f"{_STORAGE}/access-control/iam#conditions",
        pattern(
            r'resource\.name\.startsWith\("projects/_/buckets/[a-z0-9_.-]+/objects/[^"]*"\)'
            r' && request\.time < timestamp\("\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\)'
        ),
        legal=(),
        illegal=("", 'resource.name.startsWith("extract"'),
    ),
    (_SERVICE_TYPE, "provider.defaultLabels"): LABELS,
    (_SERVICE_TYPE, "name"): SERVICE,
    (_SERVICE_TYPE, "location"): Rule(
        f"{_RUN}/locations", one_of(*REGIONS), legal=(), illegal=("us", "US-CENTRAL1", "")
    ),
    (_SERVICE_TYPE, "ingress"): Rule(
        f"{_RUN_API}#ingresstraffic",
        one_of("INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"),
        legal=("INGRESS_TRAFFIC_ALL",),
        illegal=("all", ""),
    ),
    (_SERVICE_TYPE, "launchStage"): Rule(
        f"{_RUN_API}#launchstage", one_of("ALPHA", "BETA", "GA"), legal=("ALPHA", "BETA"), illegal=("beta", "")
    ),
    (_SERVICE_TYPE, f"{_TEMPLATE}.serviceAccount"): Rule(
        f"{_RUN_API}#revisiontemplate",
        pattern(_EMAIL),
        legal=(),
        illegal=("", "hop"),
    ),
    (_SERVICE_TYPE, f"{_TEMPLATE}.timeout"): TIMEOUT,
    (_SERVICE_TYPE, f"{_TEMPLATE}.maxInstanceRequestConcurrency"): Rule(
        f"{_RUN}/about-concurrency", whole(1, 1000), legal=(1, 1000), illegal=(-1, 1001)
    ),
    (_SERVICE_TYPE, f"{_TEMPLATE}.scaling.maxInstanceCount"): Rule(
        f"{_RUN}/configuring/max-instances", lambda value: value >= 1, legal=(1,), illegal=(-1,)
    ),
    (_SERVICE_TYPE, f"{_CONTAINER}.image"): Rule(
        f"{_RUN}/deploying-source-code", one_of("scratch"), legal=("scratch",), illegal=("", "Scratch")
    ),
    (_SERVICE_TYPE, f"{_CONTAINER}.baseImageUri"): Rule(
        f"{_RUN}/configuring/services/runtime-base-images",
        pattern(_IMAGE),
        legal=(),
        illegal=("", "python313", "us-central1-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/python3"),
    ),
    (_SERVICE_TYPE, f"{_CONTAINER}.sourceCode.cloudStorageSource.bucket"): reference(BUCKET),
    (_SERVICE_TYPE, f"{_CONTAINER}.sourceCode.cloudStorageSource.object"): reference(OBJECT),
    (_SERVICE_TYPE, f"{_CONTAINER}.envs.name"): VARIABLE,
    (_SERVICE_TYPE, f"{_CONTAINER}.envs.value"): Rule(
        f"{_RUN_API}#envvar", lambda value: len(value) <= 32_768, legal=("v" * 32_768,), illegal=("v" * 32_769,)
    ),
    (_SERVICE_TYPE, f"{_CONTAINER}.resources.limits"): RESOURCES,
}
