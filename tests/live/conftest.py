"""Real clouds: nothing runs unless a cloud is named (``make live CLOUD=aws``), and each run costs at most a cent."""

import json
import os

import pytest

from tests.live import facts, runs

_SETTLE_SECONDS = 60.0  # As long as the run itself gives the clouds' listings.
_DONE = pytest.StashKey[runs.Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cloud", choices=list(runs.CREDENTIALS), help="Run live on this cloud; it costs up to a cent.")


def _chosen(config: pytest.Config) -> str | None:
    """None as well where the option is not known, because pytest was started above this folder."""
    cloud: str | None = config.getoption("--cloud", default=None)
    return cloud


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = _chosen(metafunc.config)
    metafunc.parametrize("live", [chosen] if chosen else list(runs.CREDENTIALS), indirect=True, scope="session")


@pytest.fixture(scope="session")
def live(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> runs.Run:
    """The one run on a cloud, about which every test asks."""
    cloud = str(request.param)
    if _chosen(pytestconfig) is None:
        pytest.skip(f"`make live CLOUD={cloud}` runs it, for up to a cent, after {runs.CREDENTIALS[cloud]}")
    done = runs.do(cloud, environ=os.environ, results=runs.CHECKOUT / "results", settle=_SETTLE_SECONDS)
    pytestconfig.stash[_DONE] = done
    return done


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what the run taught."""
    done = config.stash.get(_DONE, None)
    if done is not None and (path := done.directory / facts.FILE).exists():
        terminalreporter.section("facts")
        terminalreporter.write_line(f"written to {path}")
        for name in json.loads(path.read_text())["differs"]:
            terminalreporter.write_line(f"other than the rehearsal says: {name}")
