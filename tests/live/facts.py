"""What a live run teaches: ``live-facts.json`` beside its results, real answers beside the rehearsal's.

``rehearsed.json`` and ``hail_days_1950_1995.csv`` are what the rehearsal says, of NOAA's reports of those years.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

FILE = "live-facts.json"
QUERY = Path(__file__).parent / "hail_days_1950_1995.sql"
REPORTS = QUERY.with_suffix(".csv")
_REHEARSED = Path(__file__).parent / "rehearsed.json"


def rehearsed() -> dict[str, Any]:
    """What the rehearsal's BigQuery says of the query, and of queries that are wrong."""
    return dict(json.loads(_REHEARSED.read_text()))


def write(cloud: str, result: dict[str, Any], directory: Path, bigquery: dict[str, Any]) -> None:
    """Write them; ``differs`` names what the stand-ins would have to be mended in."""
    compared = {
        name: {"live": live, "rehearsal": ours} for name, live, ours in _compared(cloud, result, directory, bigquery)
    }
    found = {
        "cloud": cloud,
        "run_id": result["run_id"],
        "status": result["status"],
        "cost_usd": result["cost_usd"],
        "versions": result["versions"],
        "phase_seconds": {phase["name"]: phase["seconds"] for phase in result["phases"]},
        "resource_seconds": _resource_seconds(directory / "events.jsonl"),
        "differs": [name for name, said in compared.items() if said["live"] != said["rehearsal"]],
        "compared": compared,
    }
    (directory / FILE).write_text(json.dumps(found, indent=2) + "\n")


def _compared(
    cloud: str, result: dict[str, Any], directory: Path, bigquery: dict[str, Any]
) -> list[tuple[str, Any, Any]]:
    ours = rehearsed()
    extract = directory / "extract.csv"
    pairs = [
        ("bytes processed", bigquery.get("bytes_processed"), ours["bytes_processed"]),
        ("tables", bigquery.get("tables"), ours["tables"]),
        ("bytes billed", result["bytes_billed"], ours["bytes_billed"]),
        ("resources", result["resources"]["created"], ours["resources"][cloud]),
        ("extract", extract.read_text().splitlines() if extract.exists() else None, REPORTS.read_text().splitlines()),
        ("extract, byte for byte", result["extract_sha256"], hashlib.sha256(REPORTS.read_bytes()).hexdigest()),
    ]
    said = bigquery.get("refusals", {})
    return pairs + [(f"refusal of {sql}", said.get(sql), words) for sql, words in ours["refusals"].items()]


def _resource_seconds(events: Path) -> dict[str, dict[str, float]]:
    """How long the engine took for each resource: ``{"compute data": {"created": 2.1, "deleted": 0.9}}``."""
    began: dict[tuple[str, str], float] = {}
    seconds: dict[str, dict[str, float]] = {}
    for line in events.read_text().splitlines() if events.exists() else []:
        event = json.loads(line)
        name = f"{event['stack']} {event['name']}"
        if event["kind"] in {"creating", "deleting"}:
            began[name, event["kind"]] = event["time"]
        elif event["kind"] in {"created", "deleted"}:
            start = began.get((name, event["kind"].replace("ed", "ing")), event["time"])
            seconds.setdefault(name, {})[event["kind"]] = round(event["time"] - start, 3)
    return seconds
