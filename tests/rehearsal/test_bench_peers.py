"""What the benchmark holds a run against does the same work, on each cloud, and leaves nothing."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.bench import runs


@pytest.fixture(scope="module")
def environment(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    home = tmp_path_factory.mktemp("home")
    packages.mkdir(exist_ok=True)
    (home / "packages").symlink_to(packages)
    return runs.environment_of_runs() | {"ORCHESTRATOR_HOME": str(home)}


@pytest.fixture(scope="module")
def clouds(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with runs.standing_clouds(tmp_path_factory.mktemp("clouds"), "none", environment) as folder:
        yield folder


@pytest.mark.parametrize(
    ("peer", "cloud"), [("stock script", "aws"), ("stock script", "azure"), ("stock script", "gcp"), ("by hand", "gcp")]
)
def test_a_peer_does_the_work_and_leaves_nothing(
    peer: str, cloud: str, clouds: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    runs.timed(peer, clouds, cloud, tmp_path, environment)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
