"""What the clouds say once a run is over: ``python -m tests.live.ask RUN_ID SECONDS --config PATH --set KEY=VALUE``.

Prints JSON: ``left`` is what they list of the run, by tag and by name; ``bigquery`` what dry runs, which are free, say.
The run's own books are not opened. Listings lag behind a delete: they have ``SECONDS`` to become empty.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import query, settings
from orchestrator.clouds import ComputeCloud
from orchestrator.clouds.aws import Aws
from orchestrator.clouds.azure import Azure
from orchestrator.clouds.by_name import compute_cloud, data_cloud
from orchestrator.clouds.gcp import GoogleData
from orchestrator.clouds.gcp_compute import GoogleCompute
from orchestrator.errors import OrchestratorError, UsageError
from stacks.naming import Names
from tests.live import facts

_ASK_AGAIN_SECONDS = 2.0


def main() -> None:
    """Ask, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run_id")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    chosen = settings.load(given.config, overrides=given.set, environ=os.environ)
    names = Names(given.run_id)
    data, compute = data_cloud(chosen, names), compute_cloud(chosen, names, source="")
    question = query.read(chosen.analysis.query, chosen.analysis.parameters)
    answer = {"left": left(data, compute, names, given.seconds), "bigquery": bigquery(data, question)}
    sys.stdout.write(json.dumps(answer))


def left(data: GoogleData, compute: ComputeCloud, names: Names, seconds: float) -> list[str]:
    """What is left, such as ``gcp storage bucket: hop-20261123-174205-k3x9qz-extract``."""
    deadline = time.monotonic() + seconds
    while True:
        tagged = [f"{left.cloud} {left.kind}: {left.id}" for left in (*data.remaining(), *compute.remaining())]
        found = sorted({*tagged, *_google_by_name(data, names), *_by_name(compute, names)})
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(_ASK_AGAIN_SECONDS)


def _google_by_name(data: GoogleData, names: Names) -> Iterator[str]:
    clients = data._clients
    for dataset in clients.bigquery.list_datasets(**clients.bigquery_limits):
        if dataset.dataset_id.startswith(names.dataset):
            yield f"gcp bigquery dataset: {dataset.full_dataset_id}"
    for bucket in clients.storage.list_buckets(**clients.storage_limits):
        if bucket.name.startswith(names.prefix):
            yield f"gcp storage bucket: {bucket.name}"


def _by_name(compute: ComputeCloud, names: Names) -> Iterator[str]:
    """By name alone, and asked in another way than ``remaining`` asks."""
    match compute:
        case Aws():
            return _aws_by_name(compute, names)
        case Azure():
            groups = compute._clients.arm.resource_groups.list()
            return (f"azure resource group: {group.id}" for group in groups if str(group.name).startswith(names.prefix))
        case GoogleCompute():
            path = f"projects/{compute._project}/locations/{compute._settings.region}/services"
            found = [str(service["name"]) for service in compute._rest.pages("run", path, "services")]
            return (f"gcp cloud run service: {name}" for name in found if name.startswith(f"{path}/{names.prefix}"))
    raise NotImplementedError(compute)


def _aws_by_name(compute: Aws, names: Names) -> Iterator[str]:
    for bucket in compute._client("s3").list_buckets(Prefix=names.prefix)["Buckets"]:
        yield f"aws s3 bucket: arn:aws:s3:::{bucket['Name']}"
    for page in compute._client("lambda").get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if function["FunctionName"].startswith(names.prefix):
                yield f"aws lambda function: {function['FunctionArn']}"


def bigquery(data: GoogleData, question: query.Query) -> dict[str, Any]:
    """How much BigQuery would read for the question, and how it refuses queries that are wrong."""
    dry = data.dry_run(question)
    wrong = facts.rehearsed()["refusals"]
    return {
        "bytes_processed": dry.bytes_processed,
        "tables": dry.tables,
        "refusals": {sql: _refusal(data, sql) for sql in wrong},
    }


def _refusal(data: GoogleData, sql: str) -> str:
    try:
        data.dry_run(query.Query(sql, {}))
    except UsageError as refused:
        return str(refused.details)
    return "accepted"


if __name__ == "__main__":
    try:
        main()
    except OrchestratorError as error:
        sys.exit(str(error))
