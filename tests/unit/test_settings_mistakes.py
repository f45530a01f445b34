from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.errors import UsageError
from orchestrator.settings import load
from orchestrator.settings.mistakes import Expected, explain

SMALL = """\
data: {project: my-project-123}
compute: {cloud: aws}
analysis: {query: q.sql, title: Hail}
"""
FIX_ONE = "To fix it: correct it; config/ has an example for each cloud."
FIX_ALL = "To fix it: correct each of them; config/ has an example for each cloud."


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> str:
    Path("c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load(Path("c.yaml"), overrides=overrides, environ=environ or {})
    assert caught.value.exit_code == 2
    return str(caught.value)


def mistake(text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> str:
    """The only mistake in the settings."""
    brief, details, resolution = refusal(text, *overrides, environ=environ).split("\n")
    by_override = overrides or environ
    assert brief == (
        "The settings (c.yaml and what overrides it) have 1 mistake" if by_override else "c.yaml has 1 mistake"
    )
    assert resolution == FIX_ONE
    return details.strip()


MEMORY = 'expected a whole number of MiB from 128 to 10240, such as "1769 MiB"; got'
TIMEOUT = 'expected a whole number of seconds from 1 to 900, such as "60 s"; got'
PROJECT = 'expected a GCP project id: 6 to 30 lowercase letters, digits and hyphens, such as "my-project-123"; got'
BACKEND = (
    'expected a URL that starts with "file:///", "s3://", "gs://" or "azblob://", without a password or a space; got'
)
PARAMETER = "expected text, a number, true, false or a date (a time of day is none); got"
LATENCY = 'expected "none", "typical" or a factor on what is typical, above 0 and up to 10, such as 0.1; got'
COST = "expected an amount in US dollars, 0 or more, such as 0.05; got"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("mode=dead", 'expected "rehearsal" or "live"; got "dead"'),
        ("mode.x=1", 'expected "rehearsal" or "live"; got a mapping'),
        ("data.cloud=aws", 'expected "gcp"; got "aws"'),
        ("data.project=Mine", f'{PROJECT} "Mine"'),
        ("data.project=short", f'{PROJECT} "short"'),
        ("data.project=ends-with-", f'{PROJECT} "ends-with-"'),
        ("data.location=us", 'expected a BigQuery location, such as "US", "EU" or "us-central1"; got "us"'),
        ("data.max_bytes_billed=3", 'expected a size from 10 MiB to 1024 TiB, such as "2 GiB"; got 3'),
        ("data.max_bytes_billed=9 MiB", 'expected a size from 10 MiB to 1024 TiB, such as "2 GiB"; got "9 MiB"'),
        ("compute=azure", 'expected a section with cloud ("aws", "azure" or "gcp") and its keys; got "azure"'),
        ("compute.cloud=ibm", 'expected "aws", "azure" or "gcp"; got "ibm"'),
        ("compute.cloud=", 'expected "aws", "azure" or "gcp"; got nothing'),
        ("compute.region=mars-1", 'expected an AWS region with Lambda, such as "us-east-1"; got "mars-1"'),
        ("compute.architecture=arm", 'expected "arm64" or "x86_64"; got "arm"'),
        ("compute.python=3.14", 'expected "3.11", "3.12" or "3.13"; got 3.14'),
        ("compute.memory=1769", f"{MEMORY} 1769"),
        ("compute.memory=1769 MB", f'{MEMORY} "1769 MB"'),
        ("compute.memory=127 MiB", f'{MEMORY} "127 MiB"'),
        ("compute.memory=10241 MiB", f'{MEMORY} "10241 MiB"'),
        ("compute.memory=1024.5 MiB", f'{MEMORY} "1024.5 MiB"'),
        ("compute.timeout=0 s", f'{TIMEOUT} "0 s"'),
        ("compute.timeout=16 min", f'{TIMEOUT} "16 min"'),
        ("compute.timeout=1.5 s", f'{TIMEOUT} "1.5 s"'),
        ("compute.timeout=true", f"{TIMEOUT} true"),
        ("analysis.query=", 'expected the path of a SQL file, such as "queries/hail_days.sql"; got nothing'),
        ("analysis.title=2024", 'expected one line of 1 to 200 characters, such as "Hail in March"; got 2024'),
        ('analysis.title="a\\nb"', 'expected one line of 1 to 200 characters, such as "Hail in March"; got "a\\nb"'),
        (
            f"analysis.title={'x' * 201}",
            f'expected one line of 1 to 200 characters, such as "Hail in March"; got "{"x" * 60}..."',
        ),
        ("analysis.parameters=3", 'expected a section of values, such as "month: 3"; got 3'),
        ("analysis.parameters.at=2024-01-01T10:00:00", f"{PARAMETER} 2024-01-01 10:00:00"),
        ("analysis.parameters.n=9223372036854775808", f"{PARAMETER} 9223372036854775808"),
        (f"analysis.parameters.n={'9' * 70}", f"{PARAMETER} a huge number"),
        ("analysis.parameters.n=.inf", f"{PARAMETER} inf"),
        ("analysis.parameters.n=", f"{PARAMETER} nothing"),
        ('analysis.parameters.n="\\ud800"', f'{PARAMETER} "\\ud800"'),
        ("package.trim=all", 'expected "full", "safe" or "none"; got "all"'),
        ("budget.max_cost_usd=-0.01", f"{COST} -0.01"),
        ("budget.max_cost_usd=.nan", f"{COST} nan"),
        ("budget.max_cost_usd=5 USD", f'{COST} "5 USD"'),
        (
            "rehearsal.tables=3",
            'expected the path or glob of Parquet or NOAA CSV files, such as "storms/*.csv.gz"; got 3',
        ),
        ("rehearsal.latency=0", f"{LATENCY} 0"),
        ("rehearsal.latency=-1", f"{LATENCY} -1"),
        ("rehearsal.latency=.inf", f"{LATENCY} inf"),
        ("rehearsal.latency=10.1", f"{LATENCY} 10.1"),
        ("rehearsal.latency=true", f"{LATENCY} true"),
        ("rehearsal.latency=slow", f'{LATENCY} "slow"'),
        ("rehearsal.latency=", f"{LATENCY} nothing"),
        ("results=", 'expected the path of a folder, such as "results"; got nothing'),
        ("backend=https://app.pulumi.com", f'{BACKEND} "https://app.pulumi.com"'),
        ("backend=postgres://me:hunter2@host/db", f'{BACKEND} "postgres://...@host/db"'),
        ("backend=s3://me:hunter2@host/db", f'{BACKEND} "s3://...@host/db"'),
        ("compute.memroy=SECRET", 'unknown key; did you mean "memory"?'),
        ("Mode=SECRET", 'unknown key; did you mean "mode"?'),
        ("analysis.max-cost-usd=1", "unknown key; known here: query, parameters, title"),
        ("region=SECRET", "unknown key; region belongs under compute"),
        ("budget.mode=live", "unknown key; mode belongs at the top level"),
        ("cloud=aws", "unknown key; cloud belongs under compute or under data"),
        ("rehearsal.password=hunter2", "unknown key; known here: tables, clouds, latency"),
        ("data.location='EU", "the quotes do not close, or something follows them"),
        ("data.location=2024-99-99", "it looks like a number or a date but is none; for text, use quotes"),
    ],
)
def test_one_mistake_in_an_override(override: str, text: str) -> None:
    name, _, value = override.partition("=")
    assert mistake(SMALL, override) == f"--set {name}: {text}"
    variable = "ORCHESTRATOR_" + name.replace(".", "__").upper()
    assert mistake(SMALL, environ={variable: value}).partition(": ")[0] == variable


@pytest.mark.parametrize("name", ["", ".", "analysis.parameters.", "analysis.parameters.\udcff", "\n"])
def test_an_override_of_no_key(name: str) -> None:
    printed = name.replace("\udcff", "\\udcff").replace("\n", "\\n")
    assert mistake(SMALL, f"{name}=1") == f"--set {printed}: not a key; keys are like compute.region"


def test_an_override_without_a_value() -> None:
    assert mistake(SMALL, "mode") == "--set mode: expected key=value, such as compute.region=us-east-1"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("mode: live\nmode: live", "line 5: mode is given twice, first on line 4"),
        ("results: &a x", "line 4: results: anchors and aliases (&name, *name) are not allowed; write the value out"),
        ("results: !!str 3", "line 4: results: tags (!name) are not allowed; for text, use quotes"),
        ("budget: !!set {a, b}", "line 4: budget: tags (!name) are not allowed"),
        ("5: x", "line 4: a key must be plain text; put it in quotes"),
        ('"a\\nb": x', "line 4: a key must be plain text; put it in quotes"),
        ("results: 2024-13-01", "line 4: results: it looks like a number or a date but is none; for text, use quotes"),
        ("package: {trim: [safe]}", 'line 4: package.trim: expected "full", "safe" or "none"; got a list'),
        ("budget: []", "line 4: budget: expected a section with max_cost_usd; got a list"),
        (
            "mode: live\nrehearsal: {tables: x.csv}",
            'line 5: rehearsal.tables: only a rehearsal reads it, and mode is "live"',
        ),
        (
            "mode: live\nrehearsal: {latency: typical}",
            'line 5: rehearsal.latency: only a rehearsal reads it, and mode is "live"',
        ),
    ],
)
def test_one_mistake_in_the_file(line: str, text: str) -> None:
    assert mistake(SMALL + line + "\n") == text


def test_the_stand_ins_project_is_not_for_live() -> None:
    text = SMALL.replace("my-project-123", "rehearsal-project")
    assert mistake(text + "mode: live\n") == "line 1: data.project: it is the stand-ins' project; live needs yours"


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file_then_of_the_overrides() -> None:
    config = """\
compute:
  cloud: aws
  memroy: 1769 MiB
  timeout: 16 min
region: us-east-1
analysis:
  parameters: {month: [3]}
"""
    assert refusal(config, "compute.memory=1769", environ={"ORCHESTRATOR_MODE": "dead"}) == (
        "The settings (c.yaml and what overrides it) have 9 mistakes\n"
        "  data.project: missing; expected a GCP project id: 6 to 30 lowercase letters, digits and hyphens, "
        'such as "my-project-123"\n'
        '  line 3: compute.memroy: unknown key; did you mean "memory"?\n'
        f'  line 4: compute.timeout: {TIMEOUT} "16 min"\n'
        "  line 5: region: unknown key; region belongs under compute\n"
        '  line 6: analysis.query: missing; expected the path of a SQL file, such as "queries/hail_days.sql"\n'
        '  line 6: analysis.title: missing; expected one line of 1 to 200 characters, such as "Hail in March"\n'
        f"  line 7: analysis.parameters.month: {PARAMETER} a list\n"
        '  ORCHESTRATOR_MODE: expected "rehearsal" or "live"; got "dead"\n'
        f"  --set compute.memory: {MEMORY} 1769\n{FIX_ALL}"
    )


def test_a_cloud_that_must_be_named() -> None:
    assert mistake(SMALL.replace("{cloud: aws}", "{}")) == (
        'line 2: compute.cloud: missing; expected "aws", "azure" or "gcp"'
    )


AWS_REGION = 'expected an AWS region with Lambda, such as "us-east-1"; got'
AZURE_REGION = 'expected an Azure region, such as "eastus"; got'
AZURE_TIMEOUT = 'expected a whole number of seconds from 1 to 230, such as "60 s"; got'
FLEX_MEMORY = 'expected "512 MiB", "2 GiB" or "4 GiB"; got'
GOOGLE_REGION = 'expected a Google Cloud region, such as "us-central1"; got'
GOOGLE_MEMORY = 'expected a whole number of MiB from 512 to 4096, such as "1 GiB"; got'
GOOGLE_TIMEOUT = 'expected a whole number of seconds from 1 to 3600, such as "60 s"; got'
SUBSCRIPTION = 'expected an Azure subscription id, such as "01234567-89ab-cdef-0123-456789abcdef"; got'


@pytest.mark.parametrize(
    ("cloud", "line", "text"),
    [
        ("aws", "region: eastus2", f'region: {AWS_REGION} "eastus2", which has the form of an Azure region'),
        ("aws", "region: us-east1", f'region: {AWS_REGION} "us-east1", which has the form of a Google Cloud region'),
        ("aws", "region: us-east-9", f'region: {AWS_REGION} "us-east-9"'),
        ("aws", "plan: flex", "plan: unknown key for aws; it belongs to azure"),
        ("aws", "plann: flex", 'plann: unknown key; did you mean "plan"? It belongs to azure'),
        ("azure", "region: us-east-1", f'region: {AZURE_REGION} "us-east-1", which has the form of an AWS region'),
        ("azure", "region: East US", f'region: {AZURE_REGION} "East US"'),
        ("azure", "region: 7", f"region: {AZURE_REGION} 7"),
        ("azure", "architecture: arm64", "architecture: unknown key for azure; it belongs to aws"),
        ("azure", "timeOut: 5 s", 'timeOut: unknown key; did you mean "timeout"?'),
        ("azure", "title: Hail", "title: unknown key; title belongs under analysis"),
        (
            "azure",
            "zone: 1",
            "zone: unknown key; known here: cloud, subscription, region, plan, python, memory, timeout",
        ),
        ("azure", "subscription: mine", f'subscription: {SUBSCRIPTION} "mine"'),
        ("azure", "plan: premium", 'plan: expected "consumption" or "flex"; got "premium"'),
        ("azure", "python: 3.14", 'python: expected "3.11", "3.12" or "3.13"; got 3.14'),
        ("azure", "python: 3.13", "python: the consumption plan has Python up to 3.12; plan flex has 3.13"),
        (
            "azure",
            'plan: consumption, python: "3.13"',
            "python: the consumption plan has Python up to 3.12; plan flex has 3.13",
        ),
        ("azure", "memory: 2 GiB", "memory: only plan flex has it; consumption gives 1.5 GiB"),
        ("azure", "plan: flex, memory: 1 GiB", f'memory: {FLEX_MEMORY} "1 GiB"'),
        ("azure", "timeout: 231 s", f'timeout: {AZURE_TIMEOUT} "231 s"'),
        ("azure", "timeout: 0 s", f'timeout: {AZURE_TIMEOUT} "0 s"'),
        ("gcp", "region: us-east-1", f'region: {GOOGLE_REGION} "us-east-1", which has the form of an AWS region'),
        ("gcp", "region: eastus", f'region: {GOOGLE_REGION} "eastus", which has the form of an Azure region'),
        ("gcp", "region: US", f'region: {GOOGLE_REGION} "US"'),
        ("gcp", "subscription: mine", "subscription: unknown key for gcp; it belongs to azure"),
        ("gcp", "project: my-project-123", "project: unknown key; project belongs under data"),
        ("gcp", "memory: 511 MiB", f'memory: {GOOGLE_MEMORY} "511 MiB"'),
        ("gcp", "memory: 4097 MiB", f'memory: {GOOGLE_MEMORY} "4097 MiB"'),
        ("gcp", "memory: 1.0001 GiB", f'memory: {GOOGLE_MEMORY} "1.0001 GiB"'),
        ("gcp", "memory: ", f"memory: {GOOGLE_MEMORY} nothing"),
        ("gcp", "timeout: 61 min", f'timeout: {GOOGLE_TIMEOUT} "61 min"'),
        ("gcp", "timeout: 0 s", f'timeout: {GOOGLE_TIMEOUT} "0 s"'),
    ],
)
def test_one_mistake_about_a_cloud(cloud: str, line: str, text: str) -> None:
    assert mistake(SMALL.replace("{cloud: aws}", f"{{cloud: {cloud}, {line}}}")) == f"line 2: compute.{text}"


def test_an_impossible_pair_is_told_where_it_was_written_with_the_other_mistakes() -> None:
    config = SMALL.replace("{cloud: aws}", "\n  cloud: azure\n  plan: flex\n  python: 3.13\n  architecture: arm64")
    assert refusal(config, "compute.plan=consumption", "compute.memory=4 GiB") == (
        "The settings (c.yaml and what overrides it) have 3 mistakes\n"
        "  line 5: compute.python: the consumption plan has Python up to 3.12; plan flex has 3.13\n"
        "  line 6: compute.architecture: unknown key for azure; it belongs to aws\n"
        f"  --set compute.memory: only plan flex has it; consumption gives 1.5 GiB\n{FIX_ALL}"
    )


class Small(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cloud: Literal["small"]
    region: Annotated[str, Expected("a region of it", remark=lambda value: f" on a {value}-day")] = "here"


class Large(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cloud: Literal["large"]
    plan: Annotated[int, Expected("a number of its plan")] = 1


class Huge(Large):
    cloud: Literal["huge"]  # type: ignore[assignment]  # Another tag.


class ThreeClouds(BaseModel):
    compute: Annotated[Small | Large | Huge, Field(discriminator="cloud")]


@pytest.mark.parametrize(
    ("compute", "text"),
    [
        ({}, 'compute.cloud: missing; expected "small", "large" or "huge"'),
        ({"cloud": "ibm"}, 'compute.cloud: expected "small", "large" or "huge"; got "ibm"'),
        ({"cloud": "large", "plan": "x"}, 'compute.plan: expected a number of its plan; got "x"'),
        ({"cloud": "large", "large": 1}, "compute.large: unknown key; known here: cloud, plan"),
        ({"cloud": "large", "region": "x"}, "compute.region: unknown key for large; it belongs to small"),
        ({"cloud": "small", "plan": 1}, "compute.plan: unknown key for small; it belongs to large and huge"),
        (
            {"cloud": "small", "plam": 1},
            'compute.plam: unknown key; did you mean "plan"? It belongs to large and huge',
        ),
        ({"cloud": "small", "region": 3}, "compute.region: expected a region of it; got 3 on a 3-day"),
    ],
)
def test_a_union_of_clouds(compute: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ThreeClouds.model_validate({"compute": compute})
    assert [str(found) for found in explain(caught.value, ThreeClouds, {"compute": compute}, {})] == [text]
