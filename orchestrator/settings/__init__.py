"""What a config may say: frozen models, each field with its unit, its default and why.

``load`` puts together, weakest first: the defaults, the config file, ``ORCHESTRATOR_...`` environment variables and
``--set key=value``. Credentials are no settings: they come from each cloud's own standard chain.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from orchestrator.settings.compute import AwsCompute, AzureCompute, ComputeSettings, GcpCompute
from orchestrator.settings.mistakes import Expected, Mistake, Source, explain, shown, usage_error
from orchestrator.settings.sources import Layers, merge
from orchestrator.settings.values import GIB, MIB, TIB, Bytes, FilePath, FolderPath, Latency, Parameter, Section, Text
from orchestrator.settings.yaml_source import Key
from orchestrator.text_file import KIB, read_text

__all__ = [
    "DEFAULT_CONFIG",
    "REHEARSAL_PROJECT",
    "AwsCompute",
    "AzureCompute",
    "GcpCompute",
    "Settings",
    "effective",
    "load",
]

DEFAULT_CONFIG = Path(__file__).parents[2] / "config" / "rehearsal.yaml"
"""What runs when no config is named: a rehearsal, which needs no account."""

REHEARSAL_PROJECT = "rehearsal-project"

# Reading takes a second for each 64 KiB of the worst YAML; the longest config of ours has 2.
_MOST_BYTES = 64 * KIB


class DataSettings(Section):
    """Where the query runs."""

    cloud: Annotated[Literal["gcp"], Field(description="The cloud with the tables: BigQuery is where they are.")] = (
        "gcp"
    )
    project: Annotated[
        Text,
        Expected('a GCP project id: 6 to 30 lowercase letters, digits and hyphens, such as "my-project-123"'),
        Field(
            pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$",
            # A file may leave it empty for the environment to give.
            json_schema_extra={"type": ["string", "null"]},
            description="The GCP project id that owns the dataset and the bucket and pays for the query. No default: "
            "it is yours. Rules: https://cloud.google.com/resource-manager/docs/creating-managing-projects",
        ),
    ]
    location: Annotated[
        Text,
        Expected('a BigQuery location, such as "US", "EU" or "us-central1"'),
        Field(
            pattern=r"^(US|EU|[a-z]+(-[a-z]+)+[0-9]{1,2})$",
            examples=["US", "EU", "us-central1"],
            description="Where dataset, job and bucket are; a query reads only tables of its own location, and the "
            "public tables are in US, hence the default. https://cloud.google.com/bigquery/docs/locations",
        ),
    ] = "US"
    max_bytes_billed: Annotated[
        Bytes,
        Expected('a size from 10 MiB to 1024 TiB, such as "2 GiB"'),
        Field(
            ge=10 * MIB,
            le=1024 * TIB,
            examples=["10 MiB", "2 GiB", "1 TiB"],
            description="Bytes; BigQuery fails a query that would bill more, without a charge. 2 GiB by default, a "
            "500th of a month's free 1 TiB. The least that is ever billed is 10 MiB: "
            "https://cloud.google.com/bigquery/pricing",
        ),
    ] = 2 * GIB


class AnalysisSettings(Section):
    """What is asked and how the answer is titled."""

    query: Annotated[
        FilePath,
        Expected('the path of a SQL file, such as "queries/hail_days.sql"'),
        Field(description="A file with one BigQuery SELECT; in a config, relative to the config. No default."),
    ]
    parameters: Annotated[
        dict[str, Parameter],
        Expected(
            'a section of values, such as "month: 3"',
            entry="text, a number, true, false or a date (a time of day is none)",
        ),
        Field(description="A value for each @name in the query, none by default; its type here is its type there."),
    ] = Field(default_factory=dict)
    title: Annotated[
        Text,
        Expected('one line of 1 to 200 characters, such as "Hail in March"'),
        Field(max_length=200, description="The chart's title, as printed. No default: only you know what is shown."),
    ]


class PackageSettings(Section):
    """How the function's archive is made."""

    trim: Annotated[
        Literal["full", "safe", "none"],
        Field(
            description="What is left out of the wheels. full by default: all that the shipped analysis does not need "
            "(orchestrator/package/trimming.py), which halves the upload. An analysis of your own may need more: safe "
            "leaves out tests, headers and sample data alone; none leaves everything in, and comes near Lambda's "
            "250 MB."
        ),
    ] = "full"


class BudgetSettings(Section):
    """What a run may cost."""

    max_cost_usd: Annotated[
        float,
        Expected("an amount in US dollars, 0 or more, such as 0.05"),
        Field(
            ge=0,
            allow_inf_nan=False,
            description="US dollars at list price; a run estimated above it is refused before anything exists. 0.05 "
            "by default: a run of the shipped analysis costs a small part of it.",
        ),
    ] = 0.05


class RehearsalSettings(Section):
    """What the stand-in clouds hold, where they are, and how long they take."""

    tables: Annotated[
        Text | None,
        Expected('the path or glob of Parquet or NOAA CSV files, such as "storms/*.csv.gz"'),
        Field(
            description="The public storm tables of the rehearsal, from your copy; in a config, relative to the "
            "config. None by default: a small synthetic sample, and every output says so."
        ),
    ] = None
    clouds: Annotated[
        FolderPath | None,
        Expected('the path of the folder of stand-in clouds, such as "clouds"'),
        Field(
            description="The folder of stand-in clouds that stand already (`python -m orchestrator clouds FOLDER`); "
            "always relative to the working directory. None by default: each run starts its own, and ends them."
        ),
    ] = None
    latency: Annotated[
        Latency,
        Expected('"none", "typical" or a factor on what is typical, above 0 and up to 10, such as 0.1'),
        Field(
            examples=["none", "typical", 0.1],
            description="How long creates, deletes, jobs and the function take: no time, as long as in real clouds "
            "(orchestrator/rehearsal/latency.toml), or a part or a multiple of that. none by default: a rehearsal is "
            "to be quick. Clouds that stand already (rehearsal.clouds) have the pace that they were started with: a "
            "run takes them as they are, and a run that names another pace is refused.",
        ),
    ] = "none"

    @property
    def latency_factor(self) -> float | None:
        """The factor on what is typical; None where nothing takes any time."""
        factors = {"none": None, "typical": 1.0}
        return factors[self.latency] if isinstance(self.latency, str) else self.latency


class Settings(Section):
    """The settings of one run."""

    mode: Annotated[
        Literal["rehearsal", "live"],
        Field(description="Stand-in clouds on this machine, or the real ones. rehearsal by default: it needs nothing."),
    ] = "rehearsal"
    data: DataSettings
    compute: ComputeSettings
    analysis: AnalysisSettings
    package: PackageSettings = PackageSettings()
    budget: BudgetSettings = BudgetSettings()
    rehearsal: RehearsalSettings = RehearsalSettings()
    results: Annotated[
        FilePath,
        Expected('the path of a folder, such as "results"'),
        Field(description="The folder that gets one folder a run; always relative to the working directory."),
    ] = Path("results")
    backend: Annotated[
        Text | None,
        Expected('a URL that starts with "file:///", "s3://", "gs://" or "azblob://", without a password or a space'),
        Field(
            pattern=r"^(file:///|s3://|gs://|azblob://)[^\s@]+$",
            description="Where Pulumi keeps its state. None by default: files under the home, nothing to set up. "
            "https://www.pulumi.com/docs/iac/concepts/state-and-backends/",
        ),
    ] = None

    _origins: Mapping[Key, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Mapping[Key, str] | None) -> None:
        """Keep where each value was written, which ``load`` hands over as the validation's context."""
        self._origins = context or {}

    def origin(self, key: Key) -> str:
        """Where a value came from: ``config/aws.yaml:7``, a variable's name, ``--set <key>``, or ``default``."""
        return self._origins.get(key, "default")


_SECTIONS = ("data", "compute", "analysis", "package", "budget", "rehearsal")


def load(path: Path, *, overrides: Sequence[str] = (), environ: Mapping[str, str]) -> Settings:
    """Read the config at ``path``, apply ``environ`` and ``overrides`` (``key.sub=value``), and check all of it.

    Raises:
        UsageError: no such file, not YAML, or settings with mistakes: all of them at once, each with its place.
    """
    text = read_text(path, what="config", most=_MOST_BYTES, resolution=_other_configs(path))
    layers = merge(path, text, environ=environ, overrides=overrides)
    for section in _SECTIONS:  # A section that is left out, or has all its lines commented out, has its defaults.
        if layers.tree.get(section) is None:
            layers.tree[section] = {}
    _pin_subscription(layers, environ)
    mistakes = [*layers.mistakes, *_impossible_pairs(layers)]
    try:
        settings = Settings.model_validate(layers.tree, context=layers.origins(path))
    except ValidationError as error:
        refused = [mistake.key for mistake in mistakes if mistake.key]
        mistakes += [
            mistake
            for mistake in explain(error, Settings, layers.tree, layers.sources)
            if not any(mistake.key[: len(key)] == key for key in refused)
        ]
    if mistakes:
        raise usage_error(path, mistakes)
    return settings


def effective(settings: Settings) -> list[tuple[str, str]]:
    """Every setting as key and value, such as ``("compute.memory", "1769 MiB (config/aws.yaml:7)")``.

    After the value stands where it came from: the config's line, the environment variable, ``--set``, or the default.
    """
    return [
        (".".join(key), f"{value} ({settings.origin(key)})") for key, value in _leaves(settings.model_dump(mode="json"))
    ]


def _leaves(section: Mapping[str, Any], parent: Key = ()) -> Iterator[tuple[Key, str]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*parent, name))
        else:
            yield (*parent, name), "none" if value is None else value if isinstance(value, str) else shown(value)


def _pin_subscription(layers: Layers, environ: Mapping[str, str]) -> None:
    """Take Azure's subscription from the variables of its own tools, where no setting names one.

    It becomes a setting, so that it stands in the journal: a recovery in another shell must ask the same one. (In a
    rehearsal it is the stand-in's.)
    """
    if _runs_live_on_azure(layers) and _given(layers, "compute", "subscription") is None:
        for name in ("AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID"):
            if environ.get(name):
                layers.override(Source(name), ("compute", "subscription"), environ[name])
                return


def _runs_live_on_azure(layers: Layers) -> bool:
    return layers.tree.get("mode") == "live" and _given(layers, "compute", "cloud") == "azure"


def _impossible_pairs(layers: Layers) -> Iterator[Mistake]:
    """Settings that are right alone and wrong together."""
    for key, text in (*_only_in_rehearsal(layers), *_only_on_plan_flex(layers)):
        yield Mistake(layers.sources[key], key, text)
    if _runs_live_on_azure(layers) and _given(layers, "compute", "subscription") is None:
        yield Mistake(None, ("compute", "subscription"), "missing; `az account show --query id` says yours")


def _only_in_rehearsal(layers: Layers) -> Iterator[tuple[Key, str]]:
    if layers.tree.get("mode") != "live":
        return
    for name in ("tables", "clouds", "latency"):
        if _given(layers, "rehearsal", name) not in (None, "none"):
            yield ("rehearsal", name), 'only a rehearsal reads it, and mode is "live"'
    if _given(layers, "data", "project") == REHEARSAL_PROJECT:
        yield ("data", "project"), "it is the stand-ins' project; live needs yours"


def _only_on_plan_flex(layers: Layers) -> Iterator[tuple[Key, str]]:
    plan = _given(layers, "compute", "plan") or "consumption"
    if _given(layers, "compute", "cloud") != "azure" or plan != "consumption":
        return
    if str(_given(layers, "compute", "python")) == "3.13":
        yield ("compute", "python"), "the consumption plan has Python up to 3.12; plan flex has 3.13"
    if _given(layers, "compute", "memory") is not None:
        yield ("compute", "memory"), "only plan flex has it; consumption gives 1.5 GiB"


def _given(layers: Layers, section: str, name: str) -> object:
    values = layers.tree[section]
    return values.get(name) if isinstance(values, dict) else None


def _other_configs(path: Path) -> str:
    """What to name instead of a config that is not there."""
    configs = (config for folder in (DEFAULT_CONFIG.parent, path.parent) for config in folder.glob("*.yaml"))
    known = {config.name: config for config in configs if config != path}
    close = get_close_matches(path.name, known, n=1)
    nearest = f"{known[close[0]]} is the nearest, " if close else ""
    return f"name a config that exists: {nearest}config/rehearsal.yaml is the default."
