"""The REST API of Cloud Run's stand-in, and what it takes for a service."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.rest import CloudError

MakeService = Callable[..., dict[str, Any]]
Call = Callable[..., tuple[int, Any, Any]]
HERE = "/v2/projects/rehearsal-project/locations/us-central1"
PLACE = "projects/rehearsal-project/locations/us-central1"
VIOLATION = "Violation in CreateServiceRequest.service"
RESERVED = (
    "template.containers[0].env: The following reserved env names were provided: K_SERVICE, PORT. "
    "These values are automatically set by the system."
)
IMAGES = "us-central1-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes"
PYTHONS = f"{IMAGES}/ with python311, python312, python313 is known"


@pytest.fixture
def google(start_google: Callable[..., GoogleCloud]) -> GoogleCloud:
    return start_google()


def refused(action: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(CloudError) as caught:
        action()
    return caught.value.status, caught.value.reason, caught.value.message


def not_there(name: str, kind: str = "SERVICE") -> dict[str, Any]:
    return {
        "error": {"code": 404, "message": f"Resource '{name}' of kind '{kind}' does not exist.", "status": "NOT_FOUND"}
    }


# ---- routes


def test_services_are_listed_by_region_in_pages(
    google: GoogleCloud, make_service: MakeService, call_google: Call
) -> None:
    assert call_google("GET", f"{HERE}/services")[:2] == (200, {})
    made = [make_service(google, name=name, service={"labels": {"run-id": name}}) for name in ("b", "a")]
    make_service(google, name="c", region="europe-west10")
    status, answer, _ = call_google("GET", f"{HERE}/services?pageSize=1")
    assert (status, answer) == (200, {"services": [made[1]], "nextPageToken": "1"})
    assert call_google("GET", f"{HERE}/services?pageSize=1&pageToken=1")[1] == {"services": [made[0]]}
    assert [service["labels"] for service in call_google("GET", f"{HERE}/services")[1]["services"]] == [
        {"run-id": "a"}, {"run-id": "b"}
    ]  # fmt: skip


def test_a_service_says_where_it_is(google: GoogleCloud, make_service: MakeService, call_google: Call) -> None:
    make_service(google)
    status, answer, _ = call_google("GET", f"{HERE}/services/hop")
    assert status == 200
    assert (answer["name"], answer["urls"]) == (f"{PLACE}/services/hop", [answer["uri"]])
    assert answer["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert answer["template"]["containers"][0]["command"] == ["python", "main.py"]
    assert call_google("GET", f"{HERE}/services/none")[:2] == (404, not_there(f"{PLACE}/services/none"))


def test_a_delete_is_an_operation_to_ask_after(
    google: GoogleCloud, make_service: MakeService, call_google: Call
) -> None:
    service = make_service(google)
    status, operation, _ = call_google("DELETE", f"{HERE}/services/hop")
    assert (status, set(operation)) == (200, {"name", "metadata"})
    assert operation["name"].startswith(f"{PLACE}/operations/")
    status, done, _ = call_google("GET", f"/v2/{operation['name']}")
    about = {"@type": "type.googleapis.com/google.cloud.run.v2.Service", **service}
    assert (status, done) == (200, {**operation, "done": True, "response": about})
    assert call_google("DELETE", f"{HERE}/services/hop")[:2] == (404, not_there(f"{PLACE}/services/hop"))
    other = f"{PLACE}/operations/none"
    assert call_google("GET", f"/v2/{other}")[:2] == (404, not_there(other, "OPERATION"))


def test_locations_are_listed_by_the_first_version(google: GoogleCloud, call_google: Call) -> None:
    path = "/run/v1/projects/rehearsal-project/locations"
    status, answer, _ = call_google("GET", path)
    assert (status, len(answer["locations"])) == (200, 43)
    assert answer["locations"][-1] == {
        "name": "projects/rehearsal-project/locations/us-west4",
        "locationId": "us-west4",
    }
    assert call_google("GET", f"{path}?pageSize=1")[1] == {
        "locations": [{"name": "projects/rehearsal-project/locations/africa-south1", "locationId": "africa-south1"}],
        "nextPageToken": "1",
    }
    google.access.withheld.add("run.locations.list")
    message = f"Permission 'run.locations.list' denied on resource '{path}' (or it may not exist)."
    assert call_google("GET", path)[:2] == (
        403, {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v2/projects/other/locations/us-central1/services", 403, "Permission denied on resource project other."),
        (
            "/v2/projects/rehearsal-project/locations/-/services",
            404,
            "Location - is not found or access is unauthorized.",
        ),
        (
            f"{HERE}/services?showDeleted=true",
            501,
            f"not supported in rehearsal: query parameter showDeleted of GET {HERE}/services",
        ),
        (f"{HERE}/jobs", 501, f"not supported in rehearsal: GET {HERE}/jobs (404 Not Found)"),
    ],
)
@pytest.mark.usefixtures("google")
def test_what_the_api_refuses(call_google: Call, path: str, status: int, message: str) -> None:
    found, answer, _ = call_google("GET", path)
    assert (found, answer["error"]["message"]) == (status, message)


def test_a_service_api_that_is_not_enabled(google: GoogleCloud, make_service: MakeService, call_google: Call) -> None:
    google.access.disabled.add("run.googleapis.com")
    message = (
        "run.googleapis.com has not been used in project rehearsal-project before or it is disabled. Enable it by "
        "visiting https://console.developers.google.com/apis/api/run.googleapis.com/overview?project=rehearsal-project "
        "then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems "
        "and retry."
    )
    assert refused(lambda: make_service(google)) == (403, "PERMISSION_DENIED", message)
    assert call_google("GET", f"{HERE}/services")[1]["error"]["message"] == message


# ---- what it takes


def test_a_name_is_taken_once_in_a_region(google: GoogleCloud, make_service: MakeService) -> None:
    make_service(google)
    make_service(google, region="us-east1")
    assert refused(lambda: make_service(google)) == (409, "ALREADY_EXISTS", "Resource 'hop' already exists.")


@pytest.mark.parametrize("name", ["", "1hop", "Hop", "hop_", "hop-", "a" * 50])
def test_a_name_that_cloud_run_would_not_take(google: GoogleCloud, make_service: MakeService, name: str) -> None:
    message = "must begin with a letter, cannot end with a hyphen, and must contain fewer than 50 characters"
    assert refused(lambda: make_service(google, name=name)) == (
        400, "INVALID_ARGUMENT", f"{VIOLATION}.service_id: {message}"
    )  # fmt: skip


def test_the_longest_name(google: GoogleCloud, make_service: MakeService) -> None:
    assert make_service(google, name="a" * 49)["name"].endswith("/" + "a" * 49)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"region": "mars-north1"}, "Location mars-north1 is not found or access is unauthorized."),
        ({"service": {"labels": {"Run": "x"}}}, "Label key 'Run' contains invalid characters or length."),
        (
            {"service": {"launchStage": "GA"}},
            f"{VIOLATION}.launch_stage: The feature 'source_code' is not supported in the launch stage 'GA'",
        ),
        ({"template": {"timeout": "3601s"}}, f"{VIOLATION}.template.timeout: 3601s is not between 1s and 3600s"),
        ({"template": {"timeout": "0s"}}, f"{VIOLATION}.template.timeout: 0s is not between 1s and 3600s"),
        (
            {"template": {"maxInstanceRequestConcurrency": 1001}},
            f"{VIOLATION}.template.max_instance_request_concurrency: 1001 is not between 1 and 1000",
        ),
        (
            {"template": {"scaling": {"maxInstanceCount": 0}}},
            f"{VIOLATION}.template.scaling.max_instance_count: 0 is not greater than 0",
        ),
        (
            {"container": {"env": [{"name": "K_SERVICE", "value": "x"}, {"name": "PORT", "value": "1"}]}},
            f"{VIOLATION}.{RESERVED}",
        ),
        (
            {"container": {"sourceCode": {"cloudStorageSource": {"bucket": "hop-source", "object": "none.zip"}}}},
            "Source gs://hop-source/none.zip: No such object: hop-source/none.zip",
        ),
        (
            {"template": {"serviceAccount": "none@rehearsal-project.iam.gserviceaccount.com"}},
            "Unknown service account: none@rehearsal-project.iam.gserviceaccount.com",
        ),
    ],
)
def test_a_service_that_cloud_run_would_not_take(
    google: GoogleCloud, make_service: MakeService, given: dict[str, Any], message: str
) -> None:
    status, _, said = refused(lambda: make_service(google, **given))
    assert said == message
    assert status in (400, 404)
    assert google.run.list_services(google.project, "us-central1") == []


@pytest.mark.parametrize(
    ("name", "value"), [("", ""), ("1A", ""), ("A-B", ""), ("X_GOOGLE_A", ""), ("A" * 32_769, ""), ("A", "v" * 32_769)]
)
def test_a_variable_that_cloud_run_would_not_take(
    google: GoogleCloud, make_service: MakeService, name: str, value: str
) -> None:
    variable = {"env": [{"name": name, "value": value}]}
    assert refused(lambda: make_service(google, container=variable))[2] == (
        f"{VIOLATION}.template.containers[0].env: {name[:64]!r}: the name must be a C identifier that does not begin "
        "with X_GOOGLE_, and neither name nor value may exceed 32768 characters"
    )


@pytest.mark.parametrize("memory", ["511Mi", "4097Mi", "5Gi", "1G", "1.5Gi"])
def test_memory_that_one_processor_does_not_take(google: GoogleCloud, make_service: MakeService, memory: str) -> None:
    limits = {"resources": {"limits": {"cpu": "1", "memory": memory}}}
    assert refused(lambda: make_service(google, container=limits))[2] == (
        f"{VIOLATION}.template.containers[0].resources.limits.memory: Invalid value specified for container memory. "
        f"For 1.0 CPU, memory must be between 512Mi and 4Gi inclusive, not {memory}."
    )


@pytest.mark.parametrize("memory", ["512Mi", "4096Mi", "4Gi"])
def test_memory_that_one_processor_takes(google: GoogleCloud, make_service: MakeService, memory: str) -> None:
    make_service(google, container={"resources": {"limits": {"memory": memory}}})


def test_a_source_that_is_no_zip(
    google: GoogleCloud, make_bucket: Callable[..., Any], make_service: MakeService
) -> None:
    make_bucket(google, "hop-other")
    google.storage.put_object("hop-other", "package.zip", b"text", "application/zip")
    source = {"sourceCode": {"cloudStorageSource": {"bucket": "hop-other", "object": "package.zip"}}}
    message = "Source gs://hop-other/package.zip is not a zip archive."
    assert refused(lambda: make_service(google, container=source)) == (400, "INVALID_ARGUMENT", message)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"service": {"ingress": "INTERNAL"}}, "ingress INTERNAL; INGRESS_TRAFFIC_ALL is known"),
        ({"template": {"containers": []}}, "0 containers; one is known"),
        (
            {"template": {"scaling": {"minInstanceCount": 1}}},
            "min_instance_count 1: an instance starts at the first request",
        ),
        ({"container": {"image": "docker.io/hello"}}, 'image docker.io/hello; with source code it is "scratch"'),
        ({"container": {"baseImageUri": f"{IMAGES}/python310"}}, f"base image {IMAGES}/python310; {PYTHONS}"),
        ({"container": {"baseImageUri": f"eu{IMAGES}/python313"}}, f"base image eu{IMAGES}/python313; {PYTHONS}"),
        ({"container": {"command": ["gunicorn", "main"]}}, "command gunicorn main; python with its arguments is known"),
        ({"container": {"command": []}}, "command (none); python with its arguments is known"),
        ({"container": {"sourceCode": {}}}, "a container without source_code.cloud_storage_source"),
        ({"container": {"resources": {"limits": {"cpu": "2"}}}}, "2 processors; 1 is known"),
        ({"container": {"resources": {"limits": {"gpu": "1"}}}}, "limit gpu; cpu and memory are known"),
    ],
)
def test_a_service_that_the_stand_in_does_not_know(
    google: GoogleCloud, make_service: MakeService, given: dict[str, Any], what: str
) -> None:
    assert refused(lambda: make_service(google, **given)) == (
        501,
        "notImplemented",
        f"not supported in rehearsal: {what}",
    )
