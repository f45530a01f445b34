"""The configs as they are shipped, and all that they make, recorded."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from pulumi.provider.experimental.provider import Provider

from orchestrator.engine import Backend, Stack
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.settings import DEFAULT_CONFIG, load
from stacks.naming import Names, new_run_id
from tests.contract.engine.generated_configs import PROJECT, SUBSCRIPTION
from tests.contract.engine.recording import Clouds, Config, Recorder


@pytest.fixture(scope="session")
def recorder(
    amazon: Amazon,
    functions: FunctionHost,
    serve_provider: Callable[[Provider], int],
    cli: Cli,
    tmp_path_factory: pytest.TempPathFactory,
) -> Recorder:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "state").mkdir()
    backend = Backend((folder / "state").as_uri(), "passphrase of the tests")

    def stack(name: str) -> Stack:
        (folder / name).mkdir()
        return Stack(name, "all", folder=folder / name, cli=cli, backend=backend, pulumi_home=folder / "pulumi-home")

    return Recorder(amazon, functions, serve_provider, stack, folder)


def shipped(name: str, *overrides: str, layer_mib: int = 40) -> Config:
    """A config as it is shipped, with what its user must fill in."""
    given = load(DEFAULT_CONFIG.parent / name, overrides=overrides, environ={})
    return Config(given, Names(new_run_id(datetime.now(UTC))), layer_mib)


@pytest.fixture(scope="session")
def live(recorder: Recorder) -> Iterator[Clouds]:
    """All that the live configs make."""
    clouds = recorder.clouds(project=PROJECT, subscription=SUBSCRIPTION)
    mine, paid = f"data.project={PROJECT}", f"compute.subscription={SUBSCRIPTION}"
    recorder.up(
        clouds,
        [
            shipped("aws.yaml", mine),
            shipped("aws.yaml", mine, layer_mib=60),  # Above what Lambda takes directly.
            shipped("azure.yaml", mine, paid),
            shipped("azure.yaml", mine, paid, "compute.plan=flex"),
            shipped("gcp.yaml", mine),
        ],
    )
    yield clouds
    clouds.stop()


@pytest.fixture(scope="session")
def rehearsed(recorder: Recorder) -> Iterator[Clouds]:
    """All that the configs make that switch by one word."""
    clouds = recorder.clouds(project="rehearsal-project", subscription=None)
    recorder.up(
        clouds,
        [
            shipped(name, f"compute.cloud={cloud}")
            for name in ("rehearsal.yaml", "ci.yaml")
            for cloud in ("aws", "azure", "gcp")
        ],
    )
    yield clouds
    clouds.stop()
