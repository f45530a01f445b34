"""The Google Cloud compute stack with the real package: up, asked with an ID token, destroyed, nothing left."""

import base64
import json
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import requests

from orchestrator.clouds.gcp_compute import LAYOUT
from orchestrator.clouds.invocation import archive_file
from orchestrator.engine import Stack, StackEvent
from orchestrator.package import Layout, Package
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.cloud_storage_iam import Binding
from stacks import compute_gcp
from stacks.contracts import ComputeOutputs, DataOutputs, ExtractFile, GcpComputeInputs, LiveData
from stacks.naming import Names

T = TypeVar("T")
CSV = b"""event_begin_time,magnitude,month
1990-03-25T17:00:00,1.75,3
1991-03-25T18:00:00,1.0,3
1992-03-04T18:00:00,,3
"""


def there(value: T) -> Future[T]:
    """What has arrived already."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def ask(url: str) -> requests.Response:
    """Asks for JSON as the rehearsal's caller, with a token from Google's own library."""
    from google.auth.transport.requests import Request  # noqa: PLC0415 - not before the metadata server is there
    from google.oauth2.id_token import fetch_id_token  # noqa: PLC0415

    split = urlsplit(url)
    token = fetch_id_token(Request(), f"{split.scheme}://{split.netloc}")  # type: ignore[no-untyped-call]
    return requests.get(url, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}, timeout=60)


@pytest.fixture
def inputs(pack: Callable[[Layout], Package], names: Names, tmp_path: Path) -> GcpComputeInputs:
    return GcpComputeInputs(
        names=names,
        project="rehearsal-project",
        region="us-central1",
        python="3.13",
        memory=512,
        timeout=60,
        title="Hail in March",
        source="a test",
        package=archive_file(pack(LAYOUT).function),
        libraries=LAYOUT.libraries,
        data=LiveData(
            made=there(DataOutputs("hop", f"{names.prefix}-data")),
            extract=there(ExtractFile(tmp_path / "extract.csv", "", 3, ("extract-0.csv", "extract-1.csv"))),
        ),
    )


def test_from_nothing_to_a_chart_to_nothing(
    start_google: Callable[..., GoogleCloud],
    provide_google: Callable[[GoogleCloud], None],
    make_bucket: Callable[..., dict[str, Any]],
    new_stack: Callable[[], Stack],
    inputs: GcpComputeInputs,
) -> None:
    google, name = start_google(), inputs.names.prefix
    provide_google(google)
    make_bucket(google, f"{name}-data")
    header = CSV.partition(b"\n")[0] + b"\n"
    google.storage.put_object(f"{name}-data", "extract-0.csv", CSV, "text/csv")
    google.storage.put_object(f"{name}-data", "extract-1.csv", header + b"1993-03-25T17:00:00,2.0,3\n", "text/csv")
    outputs: Future[ComputeOutputs] = Future()
    events: list[StackEvent] = []
    stack = new_stack()
    stack.up(lambda: compute_gcp.program(inputs, outputs), events.append)
    made = outputs.result(0)
    assert made.function == name
    assert sorted(event.type for event in events if event.kind == "created") == [
        "gcp:cloudrunv2/service:Service",
        "gcp:serviceaccount/account:Account",
        "gcp:storage/bucket:Bucket",
        "gcp:storage/bucketIAMMember:BucketIAMMember",
        "gcp:storage/bucketObject:BucketObject",
    ]
    answer = ask(made.url).json()
    assert (answer["counts"], answer["rows"]) == ({"4": 1, "25": 3}, 4)
    assert base64.b64decode(answer["chart_png"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert requests.get(made.url, timeout=10).status_code == 403
    _reads_the_extract_alone(google, inputs)
    stack.destroy(lambda _: None)
    assert google.run.list_services(google.project, "us-central1") == []
    assert [bucket["name"] for bucket in google.storage.list_buckets(google.project, "")] == [f"{name}-data"]
    assert google.storage.policy(f"{name}-data") == []
    assert [account.name for account in google.access.accounts()] == ["rehearsal"]


def _reads_the_extract_alone(google: GoogleCloud, inputs: GcpComputeInputs) -> None:
    email, name = f"{inputs.names.prefix}@{google.project}.iam.gserviceaccount.com", inputs.names.prefix
    may_get = {
        (bucket, stored): google.storage.allows(email, "storage.objects.get", bucket, stored)
        for bucket, stored in (
            (f"{name}-data", "extract-0.csv"),
            (f"{name}-data", "x"),
            (f"{name}-source", "package.zip"),
        )
    }
    assert list(may_get.values()) == [True, False, False]
    assert not google.storage.allows(email, "storage.objects.list", f"{name}-data", None)
    (binding,) = google.storage.policy(f"{name}-data")
    assert binding.expression == (
        f'resource.name.startsWith("projects/_/buckets/{name}-data/objects/extract")'
        f' && request.time < timestamp("{inputs.names.expires:%Y-%m-%dT%H:%M:%SZ}")'
    )


WATCHED = """
import os, runpy, socket, sys

def watched(look_up):
    def asked(host, *rest, **options):
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{host}\\n")
        return look_up(host, *rest, **options)
    return asked

for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
    setattr(socket, name, watched(getattr(socket, name)))
runpy.run_module("functions_framework", run_name="__main__", alter_sys=True)
"""


def test_the_function_asks_nothing_of_the_outside(
    start_google: Callable[..., GoogleCloud],
    make_bucket: Callable[..., dict[str, Any]],
    make_service: Callable[..., dict[str, Any]],
    inputs: GcpComputeInputs,
    tmp_path: Path,
) -> None:
    google = start_google()
    make_bucket(google, "hop-data")
    google.storage.put_object("hop-data", "extract.csv", CSV, "text/csv")
    package = Path(shutil.copy(inputs.package.path, tmp_path / "watched.zip"))
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("watched.py", WATCHED)
    make_bucket(google, "hop-watched")
    google.storage.put_object("hop-watched", "watched.zip", package.read_bytes(), "application/zip")
    variables = {"PYTHONPATH": "libraries", "CHART_TITLE": "t", "CHART_SOURCE": "s", "ASKED": str(tmp_path / "asked")}
    service = make_service(
        google,
        container={
            "sourceCode": {"cloudStorageSource": {"bucket": "hop-watched", "object": "watched.zip"}},
            "command": ["python", "-m", "watched"],
            "args": ["--source=gcp_main.py", "--target=hail"],
            "env": [{"name": name, "value": value} for name, value in variables.items()],
        },
    )
    member = f"serviceAccount:hop-reader@{google.project}.iam.gserviceaccount.com"
    google.storage.grant("hop-data", Binding("roles/storage.objectViewer", member))
    answer = ask(f"{service['uri']}/?bucket=hop-data&object=extract.csv")
    assert json.loads(answer.content)["counts"] == {"4": 1, "25": 2}
    assert set((tmp_path / "asked").read_text().splitlines()) == {"127.0.0.1"}
