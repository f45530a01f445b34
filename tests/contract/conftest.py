"""Contract tests: one suite a subject, on our stand-in ("ours") and on a part that we did not write ("theirs").

A test that takes the fixture ``side`` runs on both. Where theirs is known to differ from the real cloud, the test is
marked ``differs`` with what it does and the source that says what is right; it must then fail on theirs, and passing
is an error. A difference without a mark is a failure: ours is wrong until shown otherwise.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.home import Home
from tests.contract import side_by_side
from tests.contract.aws.aws_runtimes import aws_runtime, start_function
from tests.contract.azure.blob_stores import azurite_reader, blob_cloud, our_reader, reader

# What the shipped configs make is made once.
from tests.contract.engine.shipped_configs import live, recorder, rehearsed

# All three clouds behind one engine.
from tests.contract.engine.three_clouds import engine, name, ports, three
from tests.contract.google.google_sides import google, google_side
from tests.contract.parts import PARTS, MissingPartError

# The stand-ins are set up as the rehearsal's tests do it.
from tests.rehearsal.conftest import (
    backend,
    call_google,
    cli,
    compute_clouds,
    environment,
    host_of_functions,
    in_force,
    make_bucket,
    make_function,
    make_service,
    names,
    new_stack,
    pack,
    packages,
    packed,
    provide_azure,
    provide_google,
    refused,
    serve_provider,
    session_folder,
    standing_amazon,
    start_azure,
    start_google,
    up,
)

__all__ = [
    "amazon",
    "aws_runtime",
    "azurite_reader",
    "backend",
    "blob_cloud",
    "call_google",
    "cli",
    "compute_clouds",
    "engine",
    "environment",
    "functions",
    "google",
    "google_side",
    "in_force",
    "live",
    "make_bucket",
    "make_function",
    "make_service",
    "name",
    "names",
    "new_stack",
    "our_reader",
    "pack",
    "packages",
    "packed",
    "ports",
    "provide_azure",
    "provide_google",
    "reader",
    "recorder",
    "refused",
    "rehearsed",
    "serve_provider",
    "session_folder",
    "start_azure",
    "start_function",
    "start_google",
    "three",
    "up",
]

# What is made once stays for all these tests, and so does the AWS in which it is.
amazon = pytest.fixture(scope="session", name="amazon")(standing_amazon)
functions = pytest.fixture(scope="session", name="functions")(host_of_functions)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "differs(what, source): theirs does ``what`` instead, and ``source`` says that it is theirs to mend."
    )
    config.pluginmanager.register(side_by_side.Table(), "side by side")


@pytest.fixture(params=["ours", "theirs"], scope="session")
def side(request: pytest.FixtureRequest) -> str:
    """Which of the two this test runs on."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("differs")
        if mark is not None and side_by_side.side_of(item) == "theirs":
            item.add_marker(pytest.mark.xfail(reason=f"{mark.args[0]} ({mark.args[1]})", strict=True))


@pytest.fixture(scope="session")
def part() -> Callable[[str], Path]:
    """The folder of a part; the test is skipped when it cannot be had, or fails where ``CI`` is set."""
    home = Home.locate(os.environ).root

    def get(name: str) -> Path:
        try:
            return PARTS[name].installed(home)
        except MissingPartError as missing:
            if os.environ.get("CI"):
                pytest.fail(str(missing), pytrace=False)
            pytest.skip(str(missing))

    return get
