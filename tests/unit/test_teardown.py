"""Undo: every step to its end, each once, and what failed is told."""

import threading

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.teardown import Teardown


def fail(error: BaseException) -> None:
    raise error


def nothing() -> None:
    pytest.fail("it was settled")


def test_every_step_is_walked_and_the_failures_are_returned() -> None:
    done: list[str] = []
    refused = OrchestratorError("The bucket is not empty")
    teardown = Teardown()
    teardown.register("data", lambda: fail(refused), nothing)
    teardown.register("compute", lambda: done.append("compute"), nothing)
    teardown.register("other", lambda: fail(KeyError("urn")), nothing)
    teardown.register("exiting", lambda: fail(SystemExit(1)), nothing)
    failures = teardown.walk()
    assert failures[0] is refused
    assert [str(failure) for failure in failures] == [
        "The bucket is not empty",
        "Undo failed\n  KeyError: 'urn'",
        "Undo failed\n  SystemExit: 1",
    ]
    assert done == ["compute"]


def test_nothing_to_undo() -> None:
    assert Teardown().walk() == []


def test_a_step_is_undone_once() -> None:
    done: list[str] = []
    teardown = Teardown()
    teardown.register("data", lambda: done.append("data"), nothing)
    teardown.undo("data")
    teardown.undo("data")
    assert teardown.walk() == []
    assert done == ["data"]


def test_an_early_failure_is_raised_and_told_again_by_the_walk() -> None:
    tried: list[str] = []
    refused = OrchestratorError("The bucket is not empty")

    def undo() -> None:
        tried.append("data")
        raise refused

    teardown = Teardown()
    teardown.register("data", undo, nothing)
    with pytest.raises(OrchestratorError) as raised:
        teardown.undo("data")
    assert raised.value is refused
    assert teardown.walk() == [refused]
    assert tried == ["data"]


def test_steps_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)

    def undo() -> None:
        both.wait()

    teardown = Teardown()
    teardown.register("data", undo, nothing)
    teardown.register("compute", undo, nothing)
    assert teardown.walk() == []


def test_the_walk_waits_for_an_undo_that_is_under_way() -> None:
    begun, allowed = threading.Event(), threading.Event()
    ended: list[str] = []

    def undo() -> None:
        begun.set()
        assert allowed.wait(10)
        ended.append("undo")

    teardown = Teardown()
    teardown.register("data", undo, nothing)
    early = threading.Thread(target=teardown.undo, args=("data",))
    early.start()
    assert begun.wait(10)
    walk = threading.Thread(target=lambda: ended.append(f"walk: {teardown.walk()}"))
    walk.start()
    allowed.set()
    walk.join(10)
    early.join(10)
    assert ended == ["undo", "walk: []"]


def test_what_could_not_be_undone_is_settled_and_nothing_else() -> None:
    done: list[str] = []
    refused, unknown = OrchestratorError("The bucket is not empty"), OrchestratorError("It is there")
    teardown = Teardown()
    teardown.register("undone", lambda: done.append("undone"), nothing)
    teardown.register("data", lambda: fail(refused), lambda: done.append("data settled"))
    teardown.register("compute", lambda: fail(KeyError("urn")), lambda: fail(unknown))
    teardown.register("broken", lambda: fail(refused), lambda: fail(KeyError("urn")))
    assert len(teardown.walk()) == 3
    assert done == ["undone"]
    failures = teardown.settle()
    assert failures[0] is unknown
    assert [str(failure) for failure in failures] == ["It is there", "Undo failed\n  KeyError: 'urn'"]
    assert done == ["undone", "data settled"]


def test_what_was_not_tried_is_not_settled() -> None:
    teardown = Teardown()
    teardown.register("data", lambda: None, nothing)
    assert teardown.settle() == []


def test_steps_are_settled_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet() -> None:
        both.wait()

    teardown = Teardown()
    for name in ("data", "compute"):
        teardown.register(name, lambda: fail(OrchestratorError("no")), meet)
    teardown.walk()
    assert teardown.settle() == []
