"""What Cloud Run takes: names, regions, and the template of a service from source without a build.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.rehearsal.gcp.rest import CloudError, unsupported

# https://cloud.google.com/run/docs/locations
REGIONS = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1",
    "asia-south2", "asia-southeast1", "asia-southeast2", "asia-southeast3", "australia-southeast1",
    "australia-southeast2", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1",
    "europe-west10", "europe-west12", "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8",
    "europe-west9", "me-central1", "me-central2", "me-west1", "northamerica-northeast1", "northamerica-northeast2",
    "northamerica-south1", "southamerica-east1", "southamerica-west1", "us-central1", "us-east1", "us-east4",
    "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
)  # fmt: skip
# "It must begin with letter, and cannot end with hyphen; must contain fewer than 50 characters."
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
# https://cloud.google.com/run/docs/configuring/services/runtime-base-images
_BASE_IMAGE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/serverless-runtimes/google-22-full/runtimes/python(\d+)")
_PYTHONS = frozenset({"311", "312", "313"})
_PROGRAMS = frozenset({"python", "python3"})
# https://cloud.google.com/run/docs/container-contract#env-vars
_RESERVED = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})
# https://cloud.google.com/run/docs/configuring/services/overview-environment-variables, and the lengths:
# https://cloud.google.com/run/docs/reference/rest/v2/Container#envvar
_VARIABLE = re.compile(r"(?!X_GOOGLE_)[A-Za-z_][A-Za-z0-9_]{0,32767}")
_LONGEST_VALUE = 32_768
_QUANTITY = re.compile(r"(\d+)(Mi|Gi)")
_SECONDS = re.compile(r"(\d+)s")
# https://cloud.google.com/run/docs/configuring/services/memory-limits: of one processor, second generation.
_MEMORY_MIB = range(512, 4096 + 1)
# https://cloud.google.com/run/docs/configuring/request-timeout, .../about-concurrency, .../max-instances
_TIMEOUTS = range(1, 3600 + 1)
_CONCURRENCIES = range(1, 1000 + 1)
_DEFAULTS: Mapping[str, Any] = {"timeout": "300s", "maxInstanceRequestConcurrency": 80}
_MOST_INSTANCES = 100


@dataclass(frozen=True)
class Revision:
    """What an instance of a service is made of. ``timeout`` in seconds, ``memory_mib`` in MiB."""

    bucket: str
    object: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    service_account: str
    timeout: int
    memory_mib: int


def check_name(name: str) -> None:
    """CloudError 400 for what cannot be a service's name."""
    if not _NAME.fullmatch(name):
        raise _invalid(
            "service_id",
            "must begin with a letter, cannot end with a hyphen, and must contain fewer than 50 characters",
        )


def check_region(region: str) -> None:
    """CloudError 404 where there is no Cloud Run."""
    if region not in REGIONS:
        raise CloudError(404, "NOT_FOUND", f"Location {region} is not found or access is unauthorized.")


def checked(region: str, resource: Mapping[str, Any]) -> Revision:
    """What a service's REST resource asks for; CloudError when Cloud Run, or the rehearsal, would not have it."""
    if resource.get("ingress", "INGRESS_TRAFFIC_ALL") != "INGRESS_TRAFFIC_ALL":
        raise unsupported(f"ingress {resource['ingress']}; INGRESS_TRAFFIC_ALL is known")
    stage = resource.get("launchStage", "GA")
    if stage not in {"ALPHA", "BETA"}:
        raise _invalid("launch_stage", f"The feature 'source_code' is not supported in the launch stage '{stage}'")
    template = _DEFAULTS | resource["template"]
    container = _only(template["containers"])
    _check_base_image(region, container)
    _check_instances(template)
    if "serviceAccount" not in template:
        raise unsupported("a service without an account of its own")
    source = container.get("sourceCode", {}).get("cloudStorageSource")
    if source is None:
        raise unsupported("a container without source_code.cloud_storage_source")
    return Revision(
        bucket=source["bucket"],
        object=source["object"],
        command=_command(container),
        variables=_variables(container),
        service_account=template["serviceAccount"],
        timeout=_timeout(template["timeout"]),
        memory_mib=_memory(container.get("resources", {}).get("limits", {})),
    )


def _only(containers: list[dict[str, Any]]) -> dict[str, Any]:
    if len(containers) != 1:
        raise unsupported(f"{len(containers)} containers; one is known")
    return containers[0]


def _check_base_image(region: str, container: Mapping[str, Any]) -> None:
    if container.get("image") != "scratch":
        raise unsupported(f'image {container.get("image")}; with source code it is "scratch"')
    found = _BASE_IMAGE.fullmatch(container.get("baseImageUri", ""))
    if not found or found[1] != region or found[2] not in _PYTHONS:
        known = ", ".join(f"python{version}" for version in sorted(_PYTHONS))
        raise unsupported(
            f"base image {container.get('baseImageUri')}; "
            f"{region}-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/ with {known} is known"
        )


def _check_instances(template: Mapping[str, Any]) -> None:
    concurrency = template["maxInstanceRequestConcurrency"]
    if concurrency not in _CONCURRENCIES:
        raise _invalid("template.max_instance_request_concurrency", f"{concurrency} is not between 1 and 1000")
    scaling = template.get("scaling", {})
    least, most = scaling.get("minInstanceCount", 0), scaling.get("maxInstanceCount", _MOST_INSTANCES)
    if least:
        raise unsupported(f"min_instance_count {least}: an instance starts at the first request")
    if most < 1:
        raise _invalid("template.scaling.max_instance_count", f"{most} is not greater than 0")


def _command(container: Mapping[str, Any]) -> tuple[str, ...]:
    command = (*container.get("command", []), *container.get("args", []))
    if not command or command[0] not in _PROGRAMS:
        raise unsupported(f"command {' '.join(command) or '(none)'}; python with its arguments is known")
    return command


def _variables(container: Mapping[str, Any]) -> dict[str, str]:
    variables = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    reserved = sorted(_RESERVED & set(variables))
    if reserved:
        raise _invalid(
            "template.containers[0].env",
            f"The following reserved env names were provided: {', '.join(reserved)}. "
            "These values are automatically set by the system.",
        )
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or len(value) > _LONGEST_VALUE:
            raise _invalid(
                "template.containers[0].env",
                f"{name[:64]!r}: the name must be a C identifier that does not begin with X_GOOGLE_, and neither name "
                f"nor value may exceed {_LONGEST_VALUE} characters",
            )
    return variables


def _timeout(text: str) -> int:
    found = _SECONDS.fullmatch(text)
    if not found or int(found[1]) not in _TIMEOUTS:
        raise _invalid("template.timeout", f"{text} is not between 1s and 3600s")
    return int(found[1])


def _memory(limits: Mapping[str, str]) -> int:
    """In MiB; 512 is the default."""
    for name in limits:
        if name not in {"cpu", "memory"}:
            raise unsupported(f"limit {name}; cpu and memory are known")
    if limits.get("cpu", "1") not in {"1", "1000m"}:
        raise unsupported(f"{limits['cpu']} processors; 1 is known")
    text = limits.get("memory", "512Mi")
    found = _QUANTITY.fullmatch(text)
    mib = int(found[1]) * (1024 if found[2] == "Gi" else 1) if found else 0
    if mib not in _MEMORY_MIB:
        raise _invalid(
            "template.containers[0].resources.limits.memory",
            f"Invalid value specified for container memory. For 1.0 CPU, memory must be between 512Mi and 4Gi "
            f"inclusive, not {text}.",
        )
    return mib


def _invalid(field: str, description: str) -> CloudError:
    return CloudError(400, "INVALID_ARGUMENT", f"Violation in CreateServiceRequest.service.{field}: {description}")
