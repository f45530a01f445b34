"""What Azure documents of the inputs that our stacks give. See ``name_rules.py``."""

from collections.abc import Mapping

from orchestrator.rehearsal.azure.regions import REGIONS
from tests.contract.engine.name_rules import Path, Rule, one_of, pattern, reference

_NAMES = "https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules"
_FUNCTIONS = "https://learn.microsoft.com/azure/azure-functions"

GROUP = Rule(
    f"{_NAMES}#microsoftresources",
    pattern(r"[\w().-]{0,89}[\w()-]"),
    legal=("g", "g" * 90, "a(b)_c.d-é"),
    illegal=("", "g" * 91, "hop.", "a b", "a/b", "a&b"),
)
LOCATION = Rule(
    "https://learn.microsoft.com/azure/reliability/regions-list",
    one_of(*REGIONS),
    legal=("eastus",),
    illegal=("mars", "us-east-1"),
)
ACCOUNT = Rule(
    f"{_NAMES}#microsoftstorage",
    pattern("[a-z0-9]{3,24}"),
    legal=("hop", "h" * 24, "123"),
    illegal=("ho", "h" * 25, "Hop", "hop-1", "höp"),
)
CONTAINER = Rule(
    f"{_NAMES}#microsoftstorage",
    pattern("(?=.{3,63}$)[a-z0-9](-?[a-z0-9])*"),
    legal=("hop", "c" * 63, "a-b-c"),
    illegal=("ho", "c" * 64, "Hop", "hop-", "-hop", "a--b", "a_b", "a.b"),
)
BLOB = Rule(
    "https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata",
    pattern(r"(?=.{1,1024}$).*[^./]"),
    legal=("b" * 1024, "a/b.csv"),
    illegal=("", "b" * 1025, "a.", "a/"),
)
_LIFECYCLE_RULES = "https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure"
RULE_NAME = Rule(
    _LIFECYCLE_RULES,
    pattern("[A-Za-z0-9]{1,256}"),
    legal=("fuse", "r" * 256, "1"),
    illegal=("", "r" * 257, "a-b", "a b", "ä"),
)
RULE_BLOBS = Rule(
    _LIFECYCLE_RULES,
    lambda value: bool(value) and set(value) <= {"blockBlob", "appendBlob"},
    legal=(["blockBlob"], ["blockBlob", "appendBlob"]),
    illegal=([], ["pageBlob"], ["BlockBlob"]),
)
RULE_DAYS = Rule(_LIFECYCLE_RULES, lambda value: value >= 0 and value == int(value), legal=(0, 1), illegal=(-1, 0.5))
PLAN = Rule(
    f"{_NAMES}#microsoftweb",
    pattern("[A-Za-z0-9-]{1,60}"),
    legal=("p", "p" * 60),
    illegal=("", "p" * 61, "a_b", "a.b", "a b"),
)
SITE = Rule(
    f"{_NAMES}#microsoftweb",
    # Of the first 32 characters the host makes its id, which two apps must not share:
    # https://learn.microsoft.com/azure/azure-functions/storage-considerations#host-id-considerations
    pattern("[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]"),
    legal=("ho", "h" * 60, "hop-1"),
    illegal=("h", "h" * 61, "-hop", "hop-", "a_b", "a.b", ""),
)


def _tags(longest_name: int, most: int) -> Rule:
    name = pattern(rf"[^<>%&\\?/]{{1,{longest_name}}}")
    return Rule(
        "https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations",
        lambda value: len(value) <= most and all(name(key) and len(text) <= 256 for key, text in value.items()),
        legal=({"n" * longest_name: "v" * 256}, {"a b": ""}, {f"n{number}": "" for number in range(most)}),
        illegal=(
            {"n" * (longest_name + 1): ""}, {"n": "v" * 257}, {"": "v"}, *({f"n{sign}": ""} for sign in "<>%&\\?/"),
            {f"n{number}": "" for number in range(most + 1)},
        ),
    )  # fmt: skip


TAGS = _tags(512, 50)
# https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create, which the SDK quotes.
ACCOUNT_TAGS = _tags(128, 15)
SUBSCRIPTION = Rule(
    "https://learn.microsoft.com/azure/azure-portal/get-subscription-tenant-id",
    pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    legal=(),
    illegal=("hop",),
)
SETTING = Rule(
    "https://learn.microsoft.com/azure/app-service/configure-common#configure-app-settings",
    pattern("[A-Za-z0-9_.]+"),
    legal=(),
    illegal=("", "a-b", "a b", "a:b", "ä"),
)
SETTINGS = Rule(
    SETTING.source,
    lambda value: all(SETTING.accepts(name) for name in value),
    legal=(),
    illegal=tuple({name: "v"} for name in SETTING.illegal),
)
MEMORY = Rule(
    f"{_FUNCTIONS}/flex-consumption-plan#instance-sizes",
    one_of(512, 2048, 4096),
    legal=(512, 2048, 4096),
    illegal=(1024, 0),
)
INSTANCES = Rule(
    f"{_FUNCTIONS}/flex-consumption-plan#scale", lambda value: 40 <= value <= 1000, legal=(40, 1000), illegal=(39, 1001)
)
_PYTHON = f"{_FUNCTIONS}/functions-reference-python#python-version"
_ACCOUNT_TYPE = "azure-native:storage:StorageAccount"
_POLICY_TYPE = "azure-native:storage:ManagementPolicy"
_CONTAINER_TYPE = "azure-native:storage:BlobContainer"
_BLOB_TYPE = "azure-native:storage:Blob"
_PLAN_TYPE = "azure-native:web:AppServicePlan"
_APP = "azure-native:web:WebApp"
_SETTINGS_TYPE = "azure-native:web:WebAppApplicationSettings"
_FLEX = "functionAppConfig"

RULES: Mapping[Path, Rule] = {
    ("azure-native:resources:ResourceGroup", "provider.subscriptionId"): SUBSCRIPTION,
    ("azure-native:resources:ResourceGroup", "provider.location"): Rule(LOCATION.source, LOCATION.accepts, (), ()),
    ("azure-native:resources:ResourceGroup", "resourceGroupName"): GROUP,
    ("azure-native:resources:ResourceGroup", "location"): LOCATION,
    ("azure-native:resources:ResourceGroup", "tags"): TAGS,
    **{(token, "location"): LOCATION for token in (_ACCOUNT_TYPE, _PLAN_TYPE)},
    (_APP, "location"): reference(LOCATION),  # Its plan's.
    **{
        (token, "resourceGroupName"): reference(GROUP)
        for token in (_ACCOUNT_TYPE, _POLICY_TYPE, _CONTAINER_TYPE, _BLOB_TYPE, _PLAN_TYPE, _APP, _SETTINGS_TYPE)
    },
    (_ACCOUNT_TYPE, "accountName"): ACCOUNT,
    (_ACCOUNT_TYPE, "kind"): Rule(
        "https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create#kind",
        one_of("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"),
        legal=("StorageV2",),
        illegal=("storagev3", ""),
    ),
    (_ACCOUNT_TYPE, "sku.name"): Rule(
        "https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create#skuname",
        pattern("(Standard|Premium)(V2)?_[A-Z]+"),
        legal=("Standard_LRS",),
        illegal=("LRS", "standard_lrs", ""),
    ),
    (_ACCOUNT_TYPE, "minimumTlsVersion"): Rule(
        "https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create#minimumtlsversion",
        one_of("TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"),
        legal=("TLS1_2",),
        illegal=("1.2", "TLS1.2"),
    ),
    (_ACCOUNT_TYPE, "tags"): ACCOUNT_TAGS,
    (_POLICY_TYPE, "accountName"): reference(ACCOUNT),
    (_POLICY_TYPE, "managementPolicyName"): Rule(
        "https://learn.microsoft.com/rest/api/storagerp/management-policies/create-or-update#managementpolicyname",
        one_of("default"),
        legal=("default",),
        illegal=("fuse", "Default", ""),
    ),
    (_POLICY_TYPE, "policy.rules.name"): RULE_NAME,
    (_POLICY_TYPE, "policy.rules.type"): Rule(
        _LIFECYCLE_RULES, one_of("Lifecycle"), legal=("Lifecycle",), illegal=("lifecycle", "")
    ),
    (_POLICY_TYPE, "policy.rules.definition.filters.blobTypes"): RULE_BLOBS,
    (_POLICY_TYPE, "policy.rules.definition.actions.baseBlob.delete.daysAfterModificationGreaterThan"): RULE_DAYS,
    (_CONTAINER_TYPE, "accountName"): reference(ACCOUNT),
    (_CONTAINER_TYPE, "containerName"): CONTAINER,
    (_CONTAINER_TYPE, "publicAccess"): Rule(
        "https://learn.microsoft.com/rest/api/storagerp/blob-containers/create#publicaccess",
        one_of("Container", "Blob", "None"),
        legal=("None",),
        illegal=("none", "private", ""),
    ),
    (_BLOB_TYPE, "accountName"): reference(ACCOUNT),
    (_BLOB_TYPE, "containerName"): reference(CONTAINER),
    (_BLOB_TYPE, "blobName"): BLOB,
    (_BLOB_TYPE, "type"): Rule(
        "https://www.pulumi.com/registry/packages/azure-native/api-docs/storage/blob/#blobtype",
        one_of("Block", "Append"),
        legal=("Block",),
        illegal=("block", ""),
    ),
    (_PLAN_TYPE, "name"): PLAN,
    (_PLAN_TYPE, "sku.name"): Rule(
        f"{_FUNCTIONS}/functions-infrastructure-as-code#create-the-hosting-plan",
        one_of("Y1", "FC1"),
        legal=(),
        illegal=("Y2", ""),
    ),
    (_PLAN_TYPE, "sku.tier"): Rule(
        f"{_FUNCTIONS}/functions-infrastructure-as-code#create-the-hosting-plan",
        one_of("Dynamic", "FlexConsumption"),
        legal=(),
        illegal=("Y1", ""),
    ),
    (_PLAN_TYPE, "tags"): TAGS,
    (_SETTINGS_TYPE, "name"): reference(SITE),
    (_SETTINGS_TYPE, "properties"): SETTINGS,
    (_APP, "name"): SITE,
    (_APP, "tags"): TAGS,
    (_APP, "siteConfig.linuxFxVersion"): Rule(
        _PYTHON,
        pattern(r"PYTHON\|3\.1[0-2]"),  # Plan consumption has no newer one.
        legal=("PYTHON|3.11", "PYTHON|3.12"),
        illegal=("PYTHON|3.13", "3.12", "NODE|22", "PYTHON|3"),
    ),
    (_APP, "siteConfig.appSettings.name"): SETTING,
    (_APP, "siteConfig.minTlsVersion"): Rule(
        "https://learn.microsoft.com/rest/api/appservice/web-apps/create-or-update#supportedtlsversions",
        one_of("1.0", "1.1", "1.2", "1.3"),
        legal=("1.2",),
        illegal=("TLS1_2", "1.4"),
    ),
    (_APP, "siteConfig.ftpsState"): Rule(
        "https://learn.microsoft.com/rest/api/appservice/web-apps/create-or-update#ftpsstate",
        one_of("AllAllowed", "FtpsOnly", "Disabled"),
        legal=("Disabled",),
        illegal=("disabled", ""),
    ),
    (_APP, f"{_FLEX}.runtime.name"): Rule(
        f"{_FUNCTIONS}/flex-consumption-plan#supported-language-stack-versions",
        one_of("python"),
        legal=("python",),
        illegal=("PYTHON", "perl"),
    ),
    (_APP, f"{_FLEX}.runtime.version"): Rule(
        _PYTHON, pattern(r"3\.1[0-4]"), legal=("3.11", "3.13"), illegal=("3.9", "313", "3")
    ),
    (_APP, f"{_FLEX}.scaleAndConcurrency.instanceMemoryMB"): MEMORY,
    (_APP, f"{_FLEX}.scaleAndConcurrency.maximumInstanceCount"): INSTANCES,
    (_APP, f"{_FLEX}.deployment.storage.type"): Rule(
        f"{_FUNCTIONS}/functions-infrastructure-as-code#deployment-sources",
        one_of("blobContainer"),
        legal=("blobContainer",),
        illegal=("BlobContainers", ""),
    ),
    (_APP, f"{_FLEX}.deployment.storage.value"): Rule(
        f"{_FUNCTIONS}/functions-infrastructure-as-code#deployment-sources",
        pattern(r"https://[^/]+/([a-z0-9]{3,24}/)?[a-z0-9-]{3,63}"),  # The stand-in has the account in the path.
        legal=(),
        illegal=("packages", ""),
    ),
    (_APP, f"{_FLEX}.deployment.storage.authentication.type"): Rule(
        f"{_FUNCTIONS}/functions-infrastructure-as-code#deployment-sources",
        one_of("SystemAssignedIdentity", "UserAssignedIdentity", "StorageAccountConnectionString"),
        legal=("StorageAccountConnectionString",),
        illegal=("Key", ""),
    ),
    (_APP, f"{_FLEX}.deployment.storage.authentication.storageAccountConnectionStringName"): Rule(
        SETTING.source, SETTING.accepts, (), ("a-b", "")
    ),
}
