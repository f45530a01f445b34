"""Errors as a person reads them, and the exit code of each class."""

import signal

import pytest

from orchestrator.errors import (
    InterruptedRunError,
    OrchestratorError,
    OverCeilingError,
    ResourcesRemainError,
    UsageError,
)


def test_the_whole_message() -> None:
    error = OrchestratorError("The query failed", details="Syntax error\nat [3:7]", resolution="mend the query.")
    assert str(error) == "The query failed\n  Syntax error\n  at [3:7]\nTo fix it: mend the query."
    assert (error.brief, error.details, error.resolution) == (
        "The query failed",
        "Syntax error\nat [3:7]",
        "mend the query.",
    )


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_is_not_known_takes_no_line(nothing: str | None) -> None:
    assert str(OrchestratorError("It failed", details=nothing, resolution=nothing)) == "It failed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OrchestratorError("x"), 1),
        (UsageError("x"), 2),
        (ResourcesRemainError("x"), 3),
        (OverCeilingError("x"), 4),
        (InterruptedRunError(signal.SIGINT, "x"), 130),
        (InterruptedRunError(signal.SIGTERM, "x"), 143),
    ],
)
def test_each_class_has_its_exit_code(error: OrchestratorError, code: int) -> None:
    assert error.exit_code == code
