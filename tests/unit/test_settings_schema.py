import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator import cli
from orchestrator.errors import UsageError
from orchestrator.settings import DEFAULT_CONFIG, load, schema
from orchestrator.settings.yaml_source import document

CONFIGS = DEFAULT_CONFIG.parent
SCHEMA = json.loads(schema.text())
VALIDATOR = Draft202012Validator(SCHEMA)
SMALL = """\
data: {project: my-project-123}
compute: {cloud: aws}
analysis: {query: q.sql, title: Hail}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def accepted(text: str) -> bool:
    """Whether an editor finds nothing; JSON has no dates, which are text there."""
    return VALIDATOR.is_valid(json.loads(json.dumps(document(text).tree, default=str)))


def loads(text: str) -> bool:
    Path("c.yaml").write_text(text, encoding="utf-8")
    try:
        load(Path("c.yaml"), environ={})
    except UsageError:
        return False
    return True


def test_the_shipped_schema_is_the_settings() -> None:
    assert (CONFIGS / "settings.schema.json").read_text(encoding="utf-8") == schema.text(), (
        "write it anew: python -m orchestrator schema > config/settings.schema.json"
    )


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    cli.app(["schema"], standalone_mode=False)
    assert capsys.readouterr().out == schema.text()


def test_it_is_a_schema() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_a_size_is_written_with_its_unit_and_described_with_its_range() -> None:
    assert SCHEMA["properties"]["compute"]["oneOf"][0]["properties"]["memory"] == {
        "description": "Bytes, whole MiB. 1769 MiB by default: there Lambda gives one full processor. "
        "https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html\n\n"
        'Takes a whole number of MiB from 128 to 10240, such as "1769 MiB".',
        "pattern": r"^([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(B|KiB|MiB|GiB|TiB)$",
        "type": "string",
        "default": "1769 MiB",
        "examples": ["512 MiB", "1769 MiB", "3538 MiB"],
    }


def values(schema: dict[str, Any], parent: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for section in schema.get("oneOf", [schema]):
        for name, inner in section.get("properties", {}).items():
            key = f"{parent}{name}"
            if "oneOf" in inner or "properties" in inner:
                yield from values(inner, f"{key}.")
            else:
                yield key, inner


def test_every_value_is_described_and_its_default_is_right() -> None:
    described = dict(values(SCHEMA))
    assert {"mode", "data.project", "compute.plan", "rehearsal.tables"} <= described.keys()
    for key, value in described.items():
        assert value["description"].endswith("."), key
        assert "default" not in value or Draft202012Validator(value).is_valid(value["default"]), key


@pytest.mark.parametrize("section", SCHEMA["properties"]["compute"]["oneOf"])
def test_what_an_editor_offers_can_be_loaded(section: dict[str, Any]) -> None:
    cloud = section["properties"]["cloud"]["const"]
    for name, value in section["properties"].items():
        for offered in [*value.get("examples", []), *value.get("enum", [])]:
            compute = {"cloud": cloud} | ({"plan": "flex"} if cloud == "azure" else {}) | {name: offered}
            assert loads(SMALL.replace("{cloud: aws}", json.dumps(compute))), (name, offered)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda config: str(config.name))
def test_every_shipped_config_names_the_schema_and_keeps_it(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=settings.schema.json\n")
    assert accepted(text)


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        SMALL + "mode: live\nresults: out\nbackend: gs://bucket/state\n",
        SMALL + "package: {trim: none}\nbudget: {max_cost_usd: 0}\nrehearsal: {tables: x.csv}\n",
        SMALL + "package:\nbudget:\nrehearsal: {tables: }\nbackend:\n",
        SMALL.replace("project:", "cloud: gcp, location: EU, max_bytes_billed: 1.5TiB, project:"),
        SMALL.replace("title: Hail", "title: Hail, parameters: {a: x, b: 1, c: 1.5, d: true, e: 1955-03-25}"),
        SMALL.replace("title: Hail", "title: Hail, parameters: {}"),
        SMALL.replace("cloud: aws", "cloud: aws, region: eu-west-1, architecture: x86_64, python: 3.11, memory: 1 GiB"),
        SMALL.replace("cloud: aws", 'cloud: aws, python: "3.12", timeout: 1.5 min'),
        SMALL.replace("cloud: aws", "cloud: azure, region: eastus2, python: 3.12, memory: , subscription: "),
        SMALL.replace("cloud: aws", "cloud: azure, subscription: 01234567-89ab-cdef-0123-456789ABCDEF, timeout: 230s"),
        SMALL.replace("cloud: aws", "cloud: azure, plan: flex, python: 3.13, memory: 2048 MiB"),
        SMALL.replace("cloud: aws", "cloud: gcp, region: europe-west12, python: 3.13, memory: 4 GiB, timeout: 60 min"),
    ],
)
def test_what_is_right_is_right_for_both(text: str) -> None:
    assert accepted(text)
    assert loads(text)


@pytest.mark.parametrize(
    "text",
    [
        SMALL + "Mode: live\n",
        SMALL + "mode: dead\n",
        SMALL + "results: 3\n",
        SMALL + "results: ''\n",
        SMALL + "backend: https://app.pulumi.com\n",
        SMALL + "budget: {max_cost_usd: -1}\n",
        SMALL + "budget: {max_cost_usd: '1'}\n",
        SMALL + "budget: {max_cost_usd: true}\n",
        SMALL + "package: []\n",
        SMALL + "package: {trim: }\n",
        SMALL + "rehearsal: {password: x}\n",
        SMALL.replace("data: {project: my-project-123}\n", ""),
        SMALL.replace("project: my-project-123", "location: US"),
        SMALL.replace("my-project-123", "Mine"),
        SMALL.replace("project:", "location: us, project:"),
        SMALL.replace("project:", "max_bytes_billed: 2147483648, project:"),
        SMALL.replace("project:", "max_bytes_billed: 2 GB, project:"),
        SMALL.replace("query: q.sql, ", ""),
        SMALL.replace("title: Hail", ""),
        SMALL.replace("title: Hail", f"title: {'x' * 201}"),
        SMALL.replace("title: Hail", "title: Hail, parameters: 3"),
        SMALL.replace("title: Hail", "title: Hail, parameters: {a: [1]}"),
        SMALL.replace("title: Hail", "title: Hail, parameters: {a: }"),
        SMALL.replace("{cloud: aws}", ""),
        SMALL.replace("{cloud: aws}", "aws"),
        SMALL.replace("{cloud: aws}", "{}"),
        SMALL.replace("aws", "ibm"),
        SMALL.replace("cloud: aws", "cloud: aws, plan: flex"),
        SMALL.replace("cloud: aws", "cloud: aws, region: eastus"),
        SMALL.replace("cloud: aws", "cloud: aws, architecture: arm"),
        SMALL.replace("cloud: aws", "cloud: aws, python: 3.14"),
        SMALL.replace("cloud: aws", "cloud: aws, memory: 1769"),
        SMALL.replace("cloud: aws", "cloud: aws, memory: "),
        SMALL.replace("cloud: aws", "cloud: aws, timeout: 60"),
        SMALL.replace("cloud: aws", "cloud: aws, timeout: 1 h"),
        SMALL.replace("cloud: aws", "cloud: azure, architecture: arm64"),
        SMALL.replace("cloud: aws", "cloud: azure, region: us-east-1"),
        SMALL.replace("cloud: aws", "cloud: azure, subscription: mine"),
        SMALL.replace("cloud: aws", "cloud: azure, plan: premium"),
        SMALL.replace("cloud: aws", "cloud: azure, python: 3.13"),
        SMALL.replace("cloud: aws", 'cloud: azure, plan: consumption, python: "3.13"'),
        SMALL.replace("cloud: aws", "cloud: azure, memory: 2 GiB"),
        SMALL.replace("cloud: aws", "cloud: gcp, subscription: 01234567-89ab-cdef-0123-456789abcdef"),
        SMALL.replace("cloud: aws", "cloud: gcp, region: us-east-1"),
    ],
)
def test_what_is_wrong_is_wrong_for_both(text: str) -> None:
    assert not accepted(text)
    assert not loads(text)


SECTIONS = st.fixed_dictionaries(
    {"cloud": st.sampled_from(["aws", "azure", "gcp"])},
    optional={
        "region": st.sampled_from(["us-east-1", "eastus", "us-central1", "", None, 1]),
        "architecture": st.sampled_from(["arm64", "x86_64", "arm"]),
        "plan": st.sampled_from(["flex", "consumption", None]),
        "subscription": st.sampled_from([None, "01234567-89ab-cdef-0123-456789abcdef", "mine"]),
        "python": st.sampled_from(["3.11", 3.12, "3.13", 3.13, 3.14, "3", None]),
        "memory": st.sampled_from(["512 MiB", "2 GiB", "4096MiB", "2 GB", 512, None]),
        "timeout": st.sampled_from(["60 s", "230s", "1.5 min", "60 sec", 60, None]),
        "zone": st.just("a"),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(compute=SECTIONS)
def test_both_agree_on_where_the_function_runs(compute: dict[str, object]) -> None:
    text = SMALL.replace("{cloud: aws}", json.dumps(compute))
    assert accepted(text) == loads(text)
