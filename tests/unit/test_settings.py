import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.settings import DEFAULT_CONFIG, Settings, effective, load
from orchestrator.settings.values import GIB, MIB

CONFIGS = DEFAULT_CONFIG.parent
SMALL = """\
data: {project: my-project-123}
compute: {cloud: aws}
analysis: {query: q.sql, title: Hail}
"""
FIX_ONE = "To fix it: correct it; config/ has an example for each cloud."


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> Settings:
    Path("c.yaml").write_text(text, encoding="utf-8")
    return load(Path("c.yaml"), overrides=overrides, environ=environ or {})


def refusal(text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        loaded(text, *overrides, environ=environ)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults() -> None:
    assert loaded(SMALL).model_dump() == {
        "mode": "rehearsal",
        "data": {"cloud": "gcp", "project": "my-project-123", "location": "US", "max_bytes_billed": "2 GiB"},
        "compute": {
            "cloud": "aws",
            "region": "us-east-1",
            "architecture": "arm64",
            "python": "3.13",
            "memory": "1769 MiB",
            "timeout": "60 s",
        },
        "analysis": {"query": Path("q.sql"), "parameters": {}, "title": "Hail"},
        "package": {"trim": "full"},
        "budget": {"max_cost_usd": 0.05},
        "rehearsal": {"tables": None, "clouds": None, "latency": "none"},
        "results": Path("results"),
        "backend": None,
    }


def test_sizes_and_durations_are_whole_bytes_and_seconds_inside() -> None:
    chosen = loaded(SMALL, "compute.memory=1.5 GiB", "compute.timeout=1.5 min", "data.max_bytes_billed=10MiB")
    assert (chosen.compute.memory, chosen.compute.memory_mib) == (1536 * MIB, 1536)
    assert chosen.compute.timeout == 90
    assert chosen.data.max_bytes_billed == 10 * MIB
    assert loaded(SMALL).data.max_bytes_billed == 2 * GIB
    assert chosen.model_dump()["compute"]["memory"] == "1536 MiB"


def test_the_later_source_wins_and_effective_names_it() -> None:
    chosen = loaded(
        SMALL + "mode: rehearsal\nresults: here\n",
        "compute.region=eu-west-1",
        environ={
            "ORCHESTRATOR_COMPUTE__REGION": "eu-north-1",
            "ORCHESTRATOR_RESULTS": "there",
            "ORCHESTRATOR_HOME": "not a setting",
            "PATH": "not ours",
        },
    )
    assert effective(chosen) == [
        ("mode", "rehearsal (c.yaml:4)"),
        ("data.cloud", "gcp (default)"),
        ("data.project", "my-project-123 (c.yaml:1)"),
        ("data.location", "US (default)"),
        ("data.max_bytes_billed", "2 GiB (default)"),
        ("compute.cloud", "aws (c.yaml:2)"),
        ("compute.region", "eu-west-1 (--set compute.region)"),
        ("compute.architecture", "arm64 (default)"),
        ("compute.python", "3.13 (default)"),
        ("compute.memory", "1769 MiB (default)"),
        ("compute.timeout", "60 s (default)"),
        ("analysis.query", "q.sql (c.yaml:3)"),
        ("analysis.title", "Hail (c.yaml:3)"),
        ("package.trim", "full (default)"),
        ("budget.max_cost_usd", "0.05 (default)"),
        ("rehearsal.tables", "none (default)"),
        ("rehearsal.clouds", "none (default)"),
        ("rehearsal.latency", "none (default)"),
        ("results", "there (ORCHESTRATOR_RESULTS)"),
        ("backend", "none (default)"),
    ]


def test_values_of_overrides_are_read_as_yaml_scalars() -> None:
    chosen = loaded(
        SMALL + "rehearsal: {tables: x.parquet}\n",
        "analysis.parameters.month=3",
        'analysis.parameters.code="3"',
        "analysis.parameters.state=NO",
        "analysis.parameters.since=1955-03-25",
        "analysis.parameters.all=true",
        "analysis.parameters.inches=1.5",
        "analysis.title=Hail: in March #1",
        "compute.python=3.12",
        "rehearsal.tables=",
    )
    assert chosen.analysis.parameters == {
        "month": 3,
        "code": "3",
        "state": "NO",
        "since": date(1955, 3, 25),
        "all": True,
        "inches": 1.5,
    }
    assert chosen.analysis.title == "Hail: in March #1"
    assert chosen.compute.python == "3.12"
    assert chosen.rehearsal.tables is None


@pytest.mark.parametrize(
    ("text", "kept", "factor"),
    [("none", "none", None), ("typical", "typical", 1.0), ("2", 2.0, 2.0), ("0.1", 0.1, 0.1)],
)
def test_how_long_a_rehearsal_takes(text: str, kept: object, factor: float | None) -> None:
    chosen = loaded(SMALL, f"rehearsal.latency={text}")
    assert (chosen.rehearsal.latency, chosen.rehearsal.latency_factor) == (kept, factor)
    assert Settings.model_validate(chosen.model_dump(mode="json")).rehearsal == chosen.rehearsal


def test_live_takes_the_time_that_it_takes() -> None:
    assert loaded(SMALL + "mode: live\nrehearsal: {latency: none}\n").rehearsal.latency == "none"


def test_paths_in_the_file_are_relative_to_it_and_all_others_to_the_working_directory() -> None:
    Path("conf").mkdir()
    Path("conf/c.yaml").write_text(SMALL + "rehearsal: {tables: 'storms/*.csv'}\nresults: out\n", encoding="utf-8")
    chosen = load(Path("conf/c.yaml"), environ={})
    assert chosen.analysis.query == Path("conf/q.sql")
    assert chosen.rehearsal.tables == os.path.join("conf", "storms/*.csv")  # noqa: PTH118  # A glob, not a path.
    assert chosen.results == Path("out")
    chosen = load(Path("conf/c.yaml"), overrides=["analysis.query=q.sql", "rehearsal.tables=a.csv"], environ={})
    assert (chosen.analysis.query, chosen.rehearsal.tables) == (Path("q.sql"), "a.csv")


def test_a_section_with_every_line_commented_out_has_its_defaults() -> None:
    assert loaded(SMALL + "rehearsal:\n  # tables: x\n").rehearsal.tables is None


@pytest.mark.parametrize("name", ["rehearsal.yaml", "ci.yaml"])
def test_the_shipped_rehearsals_need_nothing(name: str) -> None:
    chosen = load(CONFIGS / name, environ={})
    assert chosen.mode == "rehearsal"
    assert chosen.analysis.query == CONFIGS / "queries/hail_days.sql"
    assert chosen.analysis.parameters == {"state": "Texas", "county": "TRAVIS", "month": 3}
    assert chosen.analysis.title == "Hail in March"
    assert chosen.model_dump() == load(CONFIGS / "rehearsal.yaml", environ={}).model_dump()


SUBSCRIPTION = {"AZURE_SUBSCRIPTION_ID": "01234567-89ab-cdef-0123-456789abcdef"}


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_the_shipped_live_configs_need_only_your_project_and_on_azure_a_subscription(cloud: str) -> None:
    config = CONFIGS / f"{cloud}.yaml"
    chosen = load(config, environ={"ORCHESTRATOR_DATA__PROJECT": "my-project-123"} | SUBSCRIPTION)
    assert (chosen.mode, chosen.data.project, chosen.compute.cloud) == ("live", "my-project-123", cloud)
    more = [f"compute.subscription={SUBSCRIPTION['AZURE_SUBSCRIPTION_ID']}"] if cloud == "azure" else []
    assert chosen.compute == loaded(SMALL, f"compute.cloud={cloud}", *more).compute
    with pytest.raises(UsageError) as caught:
        load(config, environ=SUBSCRIPTION)
    missing = (
        "  line 7: data.project: expected a GCP project id: 6 to 30 lowercase letters, digits and hyphens, "
        'such as "my-project-123"; got nothing'
    )
    if cloud == "azure":
        assert str(caught.value).splitlines()[1] == missing
    else:
        assert str(caught.value) == f"{config} has 1 mistake\n{missing}\n{FIX_ONE}"


def test_parameters_are_up_to_64_bits_long() -> None:
    for parameter in (2**63 - 1, -(2**63)):
        assert loaded(SMALL, f"analysis.parameters.n={parameter}").analysis.parameters == {"n": parameter}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_an_empty_file(text: str) -> None:
    assert refusal(text) == (
        "c.yaml is empty\n  It holds no settings, or only comments.\n"
        "To fix it: start from a copy of config/rehearsal.yaml, which is complete."
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mode: live\na: b: c\n", "line 2: mapping values are not allowed here"),
        ("- mode\n", 'line 1: expected "key: value" lines'),
        ("mode\n", 'line 1: expected "key: value" lines'),
        ("mode: live\n\x07\n", "line 2: the character U+0007 is not allowed"),
        ("a: 1\n---\na: 2\n", "line 2: expected a single document in the stream, but found another document"),
        ("a: *b\n", "line 1: found undefined alias 'b'"),
        ("[" * 5000, "it nests too deeply"),
    ],
)
def test_not_yaml(text: str, why: str) -> None:
    assert refusal(text) == f"c.yaml is not a YAML config\n  {why}\n{FIX_ONE}"


def test_not_utf_8() -> None:
    Path("c.yaml").write_bytes(b"mode: live\nresults: \xe9t\xe9\n")
    with pytest.raises(UsageError) as caught:
        load(Path("c.yaml"), environ={})
    assert str(caught.value) == (
        "c.yaml is not UTF-8 text\n  line 2: the byte 0xe9 does not belong there\nTo fix it: save the file as UTF-8."
    )


def test_no_such_file_names_the_nearest_and_the_default() -> None:
    Path("mine.yaml").write_text(SMALL, encoding="utf-8")
    for name, nearest in (("mime.yaml", "mine.yaml"), ("aws.yml", str(CONFIGS / "aws.yaml"))):
        with pytest.raises(UsageError) as caught:
            load(Path(name), environ={})
        assert str(caught.value) == (
            f"{name} does not exist\n  It was to be the config.\nTo fix it: name a config that exists: "
            f"{nearest} is the nearest, config/rehearsal.yaml is the default."
        )


def test_a_directory() -> None:
    Path("conf").mkdir()
    with pytest.raises(UsageError) as caught:
        load(Path("conf"), environ={})
    assert str(caught.value) == (
        "conf is a directory\n  It was to be the config, a file.\n"
        "To fix it: name a config that exists: config/rehearsal.yaml is the default."
    )


def test_a_file_that_cannot_be_read() -> None:
    Path("loop.yaml").symlink_to("loop.yaml")  # Fails for every user, unlike a file without permissions.
    with pytest.raises(UsageError) as caught:
        load(Path("loop.yaml"), environ={})
    assert str(caught.value) == (
        "loop.yaml cannot be read\n  The system says: Too many levels of symbolic links.\n"
        "To fix it: make the file readable for you, or name another one."
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded(SMALL).mode = "live"


REHEARSAL = (CONFIGS / "rehearsal.yaml").read_text(encoding="utf-8")
MARKS = [
    "\n",
    "  ",
    "\t",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "'",
    '"',
    "&a ",
    "*a",
    "!!int ",
    "!x ",
    "<<: ",
    "? ",
    "|",
    "%",
    "#",
]
WORDS = [
    "~",
    "null",
    "9" * 5000,
    ".nan",
    "2024-13-45",
    "1 GiB",
    '"\\ud800"',
    "\x00",
    "\ufeff",
    "é",
    "=",
    "data:",
    "---\n",
]
PIECES = st.sampled_from([*MARKS, *WORDS])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(REHEARSAL)), st.integers(0, 40), PIECES | st.text(max_size=8)), max_size=5
    ),
    override=st.text(max_size=20) | st.text(max_size=4).map(lambda name: f"analysis.{name}={name}"),
)
def test_whatever_a_config_says_it_is_settings_or_a_usage_error(
    edits: list[tuple[int, int, str]], override: str
) -> None:
    text = REHEARSAL
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    Path("c.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(
            load(Path("c.yaml"), overrides=[override], environ={f"ORCHESTRATOR_{override}": override}), Settings
        )
    except UsageError as error:
        str(error).encode()
