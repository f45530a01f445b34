"""The table of the contract tests: what failed before it could differ is no difference."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.side_by_side import Table


class Screen:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def report(when: str, outcome: str, **more: Any) -> Any:
    made = pytest.TestReport("tests/contract/x/test_some_blobs.py::t", ("", 0, ""), {}, outcome, None, when)  # type: ignore[arg-type]
    vars(made).update(more)
    return made


def tell(table: Table, reported: Any, side: str | None = None) -> Any:
    params = {} if side is None else {"side": side}
    item: Any = SimpleNamespace(
        path=Path("tests/contract/x/test_some_blobs.py"), name=f"a/b[{side}]", callspec=SimpleNamespace(params=params)
    )
    hook = table.pytest_runtest_makereport(item)
    next(hook)
    with pytest.raises(StopIteration) as stopped:
        hook.send(reported)
    return stopped.value.value


def shown(table: Table) -> list[str]:
    screen: Any = Screen()
    table.pytest_terminal_summary(screen)
    return [line.rstrip() for line in screen.lines]


def test_one_line_a_suite_and_one_a_difference() -> None:
    table = Table()
    tell(table, report("setup", "passed"), "ours")
    tell(table, report("call", "passed"), "ours")
    tell(table, report("call", "skipped", wasxfail="reason: it says 412 (https://example.org)"), "theirs")
    tell(table, report("setup", "skipped", longrepr=("file", 1, "Skipped: azurite: there is no npm on PATH")), "theirs")
    assert shown(table) == [
        "side by side",
        "suite                          ours   theirs  differs  skipped   open",
        "some blobs                        1        0        1        1      0",
        "theirs differs: a/b[theirs]: it says 412 (https://example.org)",
        "missing: azurite: there is no npm on PATH",
    ]


def test_a_setup_that_fails_is_open_and_shows_no_difference() -> None:
    table = Table()
    told = tell(table, report("setup", "skipped", wasxfail="reason: it says 412 (https://example.org)"), "theirs")
    assert (told.outcome, hasattr(told, "wasxfail")) == ("failed", False)
    assert shown(table)[2:] == ["some blobs                        0        0        0        0      1"]


def test_a_suite_without_sides_has_no_theirs() -> None:
    table = Table()
    tell(table, report("call", "passed"))
    assert shown(table)[2:] == ["some blobs                        1        -        0        0      0"]


def test_nothing_is_said_when_no_contract_test_ran() -> None:
    assert shown(Table()) == []
