"""What AWS documents of the inputs that our stacks give. See ``name_rules.py``."""

import json
from collections.abc import Mapping

from tests.contract.engine.name_rules import Path, Rule, one_of, pattern, reference, size, whole

_S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
_LAMBDA = "https://docs.aws.amazon.com/lambda/latest"
_IAM = "https://docs.aws.amazon.com/IAM/latest"
_LOGS = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference"
_ACCOUNT = "123456789012"

BUCKET = Rule(
    f"{_S3}/bucketnamingrules.html",
    pattern(
        r"(?!xn--|sthree-|amzn-s3-demo-)(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
        r"(?<!-s3alias)(?<!--ol-s3)(?<!\.mrap)(?<!--x-s3)(?<!--table-s3)"
    ),
    legal=("hop", "h" * 63, "hop.1-data", "1.2.3"),
    illegal=(
        "ab", "h" * 64, "Hop-data", "hop_data", "-hop", "hop-", ".hop", "hop..data", "192.168.5.4", "xn--hop",
        "sthree-hop", "amzn-s3-demo-hop", "hop-s3alias", "hop--ol-s3", "hop.mrap", "hop--x-s3", "hop--table-s3",
        "höp", "hop data",
    ),
)  # fmt: skip
RULE_ID = Rule(
    f"{_S3}/intro-lifecycle-rules.html",
    lambda value: 1 <= len(value) <= 255,
    legal=("fuse", "i" * 255),
    illegal=("", "i" * 256),
)
RULE_STATUS = Rule(
    f"{_S3}/intro-lifecycle-rules.html", one_of("Enabled", "Disabled"), legal=("Enabled",), illegal=("enabled", "")
)
# The most is a 32-bit integer's: https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleExpiration.html
RULE_DAYS = Rule(f"{_S3}/intro-lifecycle-rules.html", whole(1, 2**31 - 1), legal=(1, 365), illegal=(0, -1))
KEY = Rule(
    f"{_S3}/object-keys.html",
    size(1, 1024),
    legal=("extract.csv", "ü" * 512),
    illegal=("", "k" * 1025, "ü" * 513),
)
ROLE_NAME = Rule(
    f"{_IAM}/UserGuide/reference_iam-quotas.html",
    pattern(r"[A-Za-z0-9+=,.@_-]{1,64}"),
    legal=("r" * 64, "a+=,.@_-1"),
    illegal=("", "r" * 65, "a b", "a/b", "a:b"),
)
POLICY_NAME = Rule(
    f"{_IAM}/UserGuide/reference_iam-quotas.html",
    pattern(r"[A-Za-z0-9+=,.@_-]{1,128}"),
    legal=("p" * 128,),
    illegal=("", "p" * 129, "a b", "a/b"),
)
ROLE_PATH = Rule(
    f"{_IAM}/APIReference/API_CreateRole.html",
    lambda value: len(value) <= 512 and pattern(r"/|/[!-~]+/")(value),
    legal=("/", "/hop/1/"),
    illegal=("", "hop", "/hop", "hop/", "/h p/", f"/{'p' * 511}/"),
)
TRUST = Rule(
    f"{_IAM}/UserGuide/reference_iam-quotas.html",
    lambda value: len("".join(value.split())) <= 2048 and json.loads(value)["Version"] == "2012-10-17",
    legal=(),
    illegal=(json.dumps({"Version": "2012-10-17", "Statement": [], "Id": "i" * 2048}),),
)
POLICY = Rule(
    f"{_IAM}/UserGuide/reference_iam-quotas.html",
    lambda value: len("".join(value.split())) <= 10_240 and json.loads(value)["Version"] == "2012-10-17",
    legal=(),
    illegal=(json.dumps({"Version": "2012-10-17", "Statement": [], "Id": "i" * 10_240}),),
)
LOG_GROUP = Rule(
    f"{_LOGS}/API_CreateLogGroup.html",
    pattern(r"[A-Za-z0-9_/.#-]{1,512}"),
    legal=("/aws/lambda/hop", "g" * 512, "a_b/c.d#e-f"),
    illegal=("", "g" * 513, "a b", "a:b", "ä"),
)
RETENTION = Rule(
    f"{_LOGS}/API_PutRetentionPolicy.html",
    one_of(
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
    ),
    legal=(1, 3653),
    illegal=(2, 3654),
)  # fmt: skip
FUNCTION = Rule(
    f"{_LAMBDA}/api/API_CreateFunction.html",
    pattern(r"[A-Za-z0-9_-]{1,64}"),
    legal=("f" * 64, "a_b-C"),
    illegal=("", "f" * 65, "a b", "a.b", "ä"),
)
LAYER = Rule(
    f"{_LAMBDA}/api/API_PublishLayerVersion.html",
    pattern(r"[A-Za-z0-9_-]{1,140}"),
    legal=("l" * 140,),
    illegal=("", "l" * 141, "a b", "a.b"),
)
_RUNTIMES = tuple(f"python3.{minor}" for minor in range(10, 15))
RUNTIME = Rule(
    f"{_LAMBDA}/dg/lambda-runtimes.html",
    one_of(*_RUNTIMES),
    legal=_RUNTIMES,
    illegal=("python3", "python3.1", "3.13"),
)
ARCHITECTURES = Rule(
    f"{_LAMBDA}/api/API_CreateFunction.html",
    one_of(["arm64"], ["x86_64"]),
    legal=(["arm64"], ["x86_64"]),
    illegal=([], ["arm64", "x86_64"], ["amd64"]),
)
HANDLER = Rule(
    f"{_LAMBDA}/api/API_CreateFunction.html",
    pattern(r"\S{1,128}"),
    legal=("h" * 128,),
    illegal=("h" * 129, "a b"),
)
ROLE_ARN = Rule(
    f"{_LAMBDA}/api/API_CreateFunction.html",
    pattern(r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+"),
    legal=(),
    illegal=("hop", f"arn:aws:iam::{_ACCOUNT}:user/hop", "arn:aws:iam::1:role/hop"),
)
MEMORY = Rule(f"{_LAMBDA}/dg/configuration-memory.html", whole(128, 10_240), legal=(128, 10_240), illegal=(127, 10_241))
TIMEOUT = Rule(f"{_LAMBDA}/dg/configuration-timeout.html", whole(1, 900), legal=(1, 900), illegal=(0, 901))
LAYERS = Rule(
    f"{_LAMBDA}/dg/chapter-layers.html",
    lambda value: (
        len(value) <= 5
        and all(map(pattern(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[A-Za-z0-9_-]+:\d+"), value))
    ),
    legal=(),
    illegal=(["hop"], [f"arn:aws:lambda:us-east-1:{_ACCOUNT}:layer:hop"]),
)


def _variables(value: Mapping[str, str]) -> bool:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    taken = (
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
    )  # fmt: skip
    names = all(pattern("[A-Za-z][A-Za-z0-9_]+")(name) for name in value)
    return names and len(text.encode()) <= 4096 and not set(taken) & set(value)


VARIABLES = Rule(
    f"{_LAMBDA}/dg/configuration-envvars.html",
    _variables,
    legal=({"AB": "v" * 4087}, {"Data_1": "ü"}),
    illegal=(
        {"AB": "v" * 4088}, {"AB": "ü" * 2044}, {"A": "1"}, {"1A": "1"}, {"_AB": "1"}, {"A-B": "1"}, {"A.B": "1"},
        {"AWS_REGION": "us-east-1"}, {"LAMBDA_TASK_ROOT": "/"}, {"_HANDLER": "x"},
    ),
)  # fmt: skip
LOG_FORMAT = Rule(
    f"{_LAMBDA}/api/API_LoggingConfig.html", one_of("JSON", "Text"), legal=("Text",), illegal=("text", "")
)
AUTHORIZATION = Rule(
    f"{_LAMBDA}/api/API_CreateFunctionUrlConfig.html",
    one_of("AWS_IAM", "NONE"),
    legal=("AWS_IAM",),
    illegal=("aws_iam", ""),
)
_TAG_TEXT = r"[\w +=.:/@-]"


def _tags(value: Mapping[str, str]) -> bool:
    return len(value) <= 50 and all(
        pattern(rf"(?!(?i:aws:)){_TAG_TEXT}{{1,128}}")(key) and pattern(rf"{_TAG_TEXT}{{0,256}}")(text)
        for key, text in value.items()
    )


TAGS = Rule(
    "https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html",
    _tags,
    legal=({"k" * 128: "v" * 256}, {"a +-=._:/@ä": "ö"}, {"empty": ""}),
    illegal=({"k" * 129: ""}, {"k": "v" * 257}, {"": "v"}, {"aws:k": "v"}, {"AWS:k": "v"}, {"k?": "v"}, {"k": "v&"}),
)
REGION = Rule(
    "https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html",
    pattern(r"[a-z]{2}-[a-z]+-\d"),
    legal=(),
    illegal=(),
)

_LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
RULES: Mapping[Path, Rule] = {
    ("aws:s3/bucket:Bucket", "bucket"): BUCKET,
    ("aws:s3/bucket:Bucket", "provider.region"): REGION,
    ("aws:s3/bucket:Bucket", "provider.defaultTags.tags"): TAGS,
    (_LIFECYCLE, "bucket"): reference(BUCKET),
    (_LIFECYCLE, "rules.id"): RULE_ID,
    (_LIFECYCLE, "rules.status"): RULE_STATUS,
    (_LIFECYCLE, "rules.expiration.days"): RULE_DAYS,
    (_LIFECYCLE, "rules.abortIncompleteMultipartUpload.daysAfterInitiation"): RULE_DAYS,
    ("aws:s3/bucketObjectv2:BucketObjectv2", "bucket"): reference(BUCKET),
    ("aws:s3/bucketObjectv2:BucketObjectv2", "key"): KEY,
    ("aws:cloudwatch/logGroup:LogGroup", "name"): LOG_GROUP,
    ("aws:cloudwatch/logGroup:LogGroup", "retentionInDays"): RETENTION,
    ("aws:cloudwatch/logGroup:LogGroup", "provider.defaultTags.tags"): TAGS,
    ("aws:iam/role:Role", "name"): ROLE_NAME,
    ("aws:iam/role:Role", "path"): ROLE_PATH,
    ("aws:iam/role:Role", "assumeRolePolicy"): TRUST,
    ("aws:iam/role:Role", "provider.defaultTags.tags"): TAGS,
    ("aws:iam/rolePolicy:RolePolicy", "name"): POLICY_NAME,
    ("aws:iam/rolePolicy:RolePolicy", "role"): reference(ROLE_NAME),
    ("aws:iam/rolePolicy:RolePolicy", "policy"): POLICY,
    ("aws:lambda/layerVersion:LayerVersion", "layerName"): LAYER,
    ("aws:lambda/layerVersion:LayerVersion", "s3Bucket"): reference(BUCKET),
    ("aws:lambda/layerVersion:LayerVersion", "s3Key"): Rule(KEY.source, KEY.accepts, (), ("", "k" * 1025)),
    ("aws:lambda/layerVersion:LayerVersion", "compatibleRuntimes"): Rule(
        RUNTIME.source,
        lambda value: len(value) <= 15 and set(value) <= set(_RUNTIMES),
        legal=(list(_RUNTIMES),),
        illegal=(["python3"], ["python3.13"] * 16),
    ),
    ("aws:lambda/layerVersion:LayerVersion", "compatibleArchitectures"): Rule(
        LAYER.source,
        lambda value: set(value) <= {"arm64", "x86_64"},
        legal=(["arm64", "x86_64"],),
        illegal=(["amd64"],),
    ),
    ("aws:lambda/function:Function", "name"): FUNCTION,
    ("aws:lambda/function:Function", "runtime"): RUNTIME,
    ("aws:lambda/function:Function", "architectures"): ARCHITECTURES,
    ("aws:lambda/function:Function", "handler"): HANDLER,
    ("aws:lambda/function:Function", "role"): ROLE_ARN,
    ("aws:lambda/function:Function", "memorySize"): MEMORY,
    ("aws:lambda/function:Function", "timeout"): TIMEOUT,
    ("aws:lambda/function:Function", "layers"): LAYERS,
    ("aws:lambda/function:Function", "environment.variables"): VARIABLES,
    ("aws:lambda/function:Function", "loggingConfig.logGroup"): reference(LOG_GROUP),
    ("aws:lambda/function:Function", "loggingConfig.logFormat"): LOG_FORMAT,
    ("aws:lambda/function:Function", "provider.defaultTags.tags"): TAGS,
    ("aws:lambda/functionUrl:FunctionUrl", "functionName"): reference(FUNCTION),
    ("aws:lambda/functionUrl:FunctionUrl", "authorizationType"): AUTHORIZATION,
}
