"""Any config that the settings let through: each value at random, written as a user writes it."""

import json
from datetime import UTC, datetime
from typing import Any

from botocore.loaders import Loader
from botocore.regions import EndpointResolver
from hypothesis import strategies as st

from orchestrator.rehearsal.azure.regions import REGIONS as AZURE_REGIONS
from orchestrator.rehearsal.azure.regions import WITHOUT_FLEX
from orchestrator.rehearsal.gcp.cloud_run_rules import REGIONS as GOOGLE_REGIONS
from orchestrator.settings import DEFAULT_CONFIG, load
from stacks.naming import Names, new_run_id
from tests.contract.engine.recording import Config

PROJECT = "my-project-123"
SUBSCRIPTION = "01234567-89ab-cdef-0123-456789abcdef"
_LAMBDA_REGIONS = EndpointResolver(Loader().load_data("endpoints")).get_available_endpoints("lambda")
_PYTHONS = st.sampled_from(["3.11", "3.12", "3.13"])
_titles = st.one_of(
    st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable() and bool(text.strip())),
    st.just("\N{MUSICAL SYMBOL G CLEF}" * 200),  # The most bytes.
)
_YEARS = [int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2025, 2100)]
_run_ids = st.integers(*_YEARS).map(lambda second: new_run_id(datetime.fromtimestamp(second, UTC)))


def _at_the_edge_or_within(least: int, most: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([least, most]), st.integers(least, most))


def _seconds(most: int) -> st.SearchStrategy[str]:
    return _at_the_edge_or_within(1, most).map(lambda seconds: f"{seconds} s")


def _mib(least: int, most: int) -> st.SearchStrategy[str]:
    return _at_the_edge_or_within(least, most).map(lambda size: f"{size} MiB")


_aws = st.fixed_dictionaries(
    {"cloud": st.just("aws")},
    optional={
        "region": st.sampled_from(_LAMBDA_REGIONS),
        "architecture": st.sampled_from(["arm64", "x86_64"]),
        "python": _PYTHONS,
        "memory": _mib(128, 10_240),
        "timeout": _seconds(900),
    },
)
_consumption = st.fixed_dictionaries(
    {"cloud": st.just("azure"), "subscription": st.just(SUBSCRIPTION)},
    optional={
        "plan": st.just("consumption"),
        "region": st.sampled_from(sorted(AZURE_REGIONS)),
        "python": st.sampled_from(["3.11", "3.12"]),
        "timeout": _seconds(230),
    },
)
_flex = st.fixed_dictionaries(
    {"cloud": st.just("azure"), "subscription": st.just(SUBSCRIPTION), "plan": st.just("flex")},
    optional={
        # Azure is asked before the run whether a region has the plan.
        "region": st.sampled_from(sorted(set(AZURE_REGIONS) - WITHOUT_FLEX)),
        "python": _PYTHONS,
        "memory": st.sampled_from(["512 MiB", "2 GiB", "4 GiB"]),
        "timeout": _seconds(230),
    },
)
_gcp = st.fixed_dictionaries(
    {"cloud": st.just("gcp")},
    optional={
        "region": st.sampled_from(GOOGLE_REGIONS),
        "python": _PYTHONS,
        "memory": _mib(512, 4096),
        "timeout": _seconds(3600),
    },
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A run of a config that is valid."""
    given: dict[str, Any] = {
        "data.project": PROJECT,
        "data.location": draw(st.sampled_from(["US", "EU", *GOOGLE_REGIONS])),
        "analysis.title": draw(_titles),
        **{f"compute.{name}": value for name, value in draw(st.one_of(_aws, _consumption, _flex, _gcp)).items()},
    }
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]
    settings = load(DEFAULT_CONFIG.parent / "ci.yaml", overrides=overrides, environ={})
    return Config(settings, Names(draw(_run_ids)), draw(st.sampled_from([40, 60])))
