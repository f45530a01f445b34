from pathlib import Path

import pytest
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from orchestrator.errors import UsageError
from orchestrator.settings import DEFAULT_CONFIG, AwsCompute, AzureCompute, Settings, load

CONFIGS = DEFAULT_CONFIG.parent
SMALL = """\
data: {project: my-project-123}
compute: {cloud: aws}
analysis: {query: q.sql, title: Hail}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, *overrides: str) -> Settings:
    Path("c.yaml").write_text(text, encoding="utf-8")
    return load(Path("c.yaml"), overrides=overrides, environ={})


@pytest.mark.parametrize(
    ("cloud", "section", "memory_mib"),
    [
        (
            "azure",
            {
                "cloud": "azure",
                "subscription": None,
                "region": "eastus",
                "plan": "consumption",
                "python": "3.12",
                "memory": None,
                "timeout": "60 s",
            },
            None,
        ),
        (
            "gcp",
            {"cloud": "gcp", "region": "us-central1", "python": "3.13", "memory": "1 GiB", "timeout": "60 s"},
            1024,
        ),
    ],
)
def test_defaults_of_the_other_clouds(cloud: str, section: dict[str, object], memory_mib: int | None) -> None:
    chosen = loaded(SMALL, f"compute.cloud={cloud}").compute
    assert chosen.model_dump() == section
    assert chosen.memory_mib == memory_mib


@pytest.mark.parametrize("config", ["rehearsal.yaml", "ci.yaml"])
@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_one_word_switches_the_shipped_rehearsals_to_a_cloud_and_its_defaults(config: str, cloud: str) -> None:
    chosen = load(CONFIGS / config, overrides=[f"compute.cloud={cloud}"], environ={})
    assert chosen.compute == loaded(SMALL, f"compute.cloud={cloud}").compute


@pytest.mark.parametrize(
    ("memory", "memory_mib"), [("", 2048), ("512 MiB", 512), ("2048 MiB", 2048), ("2 GiB", 2048), ("4GiB", 4096)]
)
def test_memory_on_plan_flex(memory: str, memory_mib: int) -> None:
    chosen = loaded(SMALL, "compute.cloud=azure", "compute.plan=flex", f"compute.memory={memory}")
    assert chosen.compute.memory_mib == memory_mib


def test_a_subscription_is_kept_as_it_is_written_and_none_if_it_is_not() -> None:
    subscription = "01234567-89AB-cdef-0123-456789abcdef"
    chosen = loaded(SMALL, "compute.cloud=azure", f"compute.subscription={subscription}").compute
    assert isinstance(chosen, AzureCompute)
    assert chosen.subscription == subscription
    chosen = loaded("compute: {cloud: azure, subscription: }\n" + SMALL.replace("compute: {cloud: aws}\n", "")).compute
    assert isinstance(chosen, AzureCompute)
    assert chosen.subscription is None


def test_the_newest_python_is_for_plan_flex() -> None:
    chosen = loaded(SMALL, "compute.cloud=azure", "compute.plan=flex", "compute.python=3.13")
    assert chosen.compute.python == "3.13"


@pytest.mark.parametrize(
    ("cloud", "memories", "timeouts"),
    [
        ("aws", ("128 MiB", "10 GiB"), ("1 s", "15 min")),
        ("azure", (), ("1 s", "230 s")),
        ("gcp", ("512 MiB", "513 MiB", "4 GiB"), ("1 s", "60 min")),
    ],
)
def test_the_ends_of_the_ranges_are_in(cloud: str, memories: tuple[str, ...], timeouts: tuple[str, ...]) -> None:
    for memory in memories:
        assert loaded(SMALL, f"compute.cloud={cloud}", f"compute.memory={memory}")
    for timeout in timeouts:
        assert loaded(SMALL, f"compute.cloud={cloud}", f"compute.timeout={timeout}")


def test_every_region_of_lambda_is_one() -> None:
    regions = EndpointResolver(Loader().load_data("endpoints")).get_available_endpoints("lambda")
    assert len(regions) > 30
    assert [AwsCompute(cloud="aws", region=region).region for region in regions] == regions


SUBSCRIPTION = "01234567-89ab-cdef-0123-456789abcdef"
OTHER = "11234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("overrides", "environ", "subscription", "origin"),
    [
        ([], {"ARM_SUBSCRIPTION_ID": OTHER}, OTHER, "ARM_SUBSCRIPTION_ID"),
        (
            [],
            {"ARM_SUBSCRIPTION_ID": OTHER, "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION},
            SUBSCRIPTION,
            "AZURE_SUBSCRIPTION_ID",
        ),
        (
            [f"compute.subscription={SUBSCRIPTION}"],
            {"AZURE_SUBSCRIPTION_ID": OTHER},
            SUBSCRIPTION,
            "--set compute.subscription",
        ),
        # A rehearsal never looks at the caller's own.
        (["mode=rehearsal"], {"AZURE_SUBSCRIPTION_ID": OTHER}, None, "default"),
    ],
)
def test_a_live_runs_azure_subscription_is_pinned(
    overrides: list[str], environ: dict[str, str], subscription: str | None, origin: str
) -> None:
    Path("c.yaml").write_text("mode: live\n" + SMALL, encoding="utf-8")
    chosen = load(Path("c.yaml"), overrides=["compute.cloud=azure", *overrides], environ=environ)
    assert isinstance(chosen.compute, AzureCompute)
    assert (chosen.compute.subscription, chosen.origin(("compute", "subscription"))) == (subscription, origin)


def test_a_subscription_of_the_environment_is_checked_as_any_setting() -> None:
    Path("c.yaml").write_text("mode: live\n" + SMALL, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load(Path("c.yaml"), overrides=["compute.cloud=azure"], environ={"ARM_SUBSCRIPTION_ID": "mine"})
    assert raised.value.details == (
        'ARM_SUBSCRIPTION_ID: expected an Azure subscription id, such as "01234567-89ab-cdef-0123-456789abcdef"; '
        'got "mine"'
    )


def test_a_live_run_on_azure_needs_a_subscription() -> None:
    Path("c.yaml").write_text("mode: live\n" + SMALL, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load(Path("c.yaml"), overrides=["compute.cloud=azure"], environ={"AZURE_SUBSCRIPTION_ID": ""})
    assert raised.value.details == "compute.subscription: missing; `az account show --query id` says yours"
