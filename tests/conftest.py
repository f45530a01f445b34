"""What each tier of tests may touch: ``unit`` nothing outside this process, ``live`` all, the others loopback.

The guard is pytest-socket's. It sees Python's own sockets only: not gRPC's, nor those of a process that a test starts.
"""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
import pytest_socket

# What a shell starts in the background has SIGINT ignored, and all that a test starts would inherit that
# (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_11).
signal.signal(signal.SIGINT, signal.default_int_handler)

_LOOPBACK = ["127.0.0.1", "::1", "localhost"]
_RULES = {
    "unit": "tests/unit opens no socket, not even to this machine: tests/rehearsal is for what needs one.",
    "rehearsal": "tests/rehearsal connects to servers on this machine only: tests/live is for real clouds.",
    "contract": "tests/contract connects to servers on this machine only: tests/live is for real clouds.",
}
_REFUSAL = "#!/bin/sh\necho 'tests/unit runs no {name}: tests/rehearsal is for what needs it.' >&2\nexit 1\n"


def _tier(item: pytest.Item | pytest.FixtureRequest) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.hookimpl(tryfirst=True)  # Before the fixtures of whatever scope.
def pytest_runtest_setup(item: pytest.Item) -> None:
    # A Unix socket leads nowhere: an event loop wakes itself up with a pair of them.
    if _tier(item) == "unit":
        pytest_socket.disable_socket(allow_unix_socket=True)
    elif _tier(item) in ("rehearsal", "contract"):
        pytest_socket.socket_allow_hosts(_LOOPBACK, allow_unix_socket=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and "A test tried to use socket" in str(call.excinfo.value):
        report.sections.append(("why", _RULES[_tier(item)]))
    return report


@pytest.fixture(scope="session")
def refusing_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ``pulumi`` and a ``go`` that refuse."""
    folder = tmp_path_factory.mktemp("refusing")
    for name in ("pulumi", "go"):
        (folder / name).write_text(_REFUSAL.format(name=name))
        (folder / name).chmod(0o700)
    return folder


@pytest.fixture(autouse=True)
def _no_pulumi_cli(
    request: pytest.FixtureRequest, refusing_tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if _tier(request) == "unit":
        monkeypatch.setenv("PATH", str(refusing_tools), prepend=":")
        monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
