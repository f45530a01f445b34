"""The table at the end of a contract run: what was held against what, and every difference."""

from collections import Counter
from collections.abc import Generator
from typing import Literal

import pytest

Outcome = Literal["passed", "differs", "skipped", "open"]
_ROW = "{:<28} {:>6} {:>8} {:>8} {:>8} {:>6}"


def side_of(item: pytest.Item) -> str:
    """Which of the two a test runs on: "ours" or "theirs"; "ours" for one that has no other side."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("side", "ours")) if callspec else "ours"


class Table:
    """Collects the outcome of every contract test, and prints one line a suite, one a difference, one a missing part.

    A difference that is explained ("differs") is theirs; one that is not ("open") has failed.
    """

    def __init__(self) -> None:
        self._suites: dict[str, Counter[tuple[str, Outcome]]] = {}
        self._differences: list[str] = []
        self._missing: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Count the test once: when it ran, or when its setup ended it.

        A setup that fails shows no difference: theirs did not run. To pytest it is as good as the failure it expects.
        """
        report = yield
        if report.when == "setup" and hasattr(report, "wasxfail"):
            report.outcome = "failed"
            del report.wasxfail
        if "contract" in item.path.parts and (report.when == "call" or not report.passed):
            counts = self._suites.setdefault(item.path.stem.removeprefix("test_").replace("_", " "), Counter())
            counts[side_of(item), self._outcome(report, item.name)] += 1
        return report

    def _outcome(self, report: pytest.TestReport, case: str) -> Outcome:
        if report.failed:
            return "open"
        if hasattr(report, "wasxfail"):
            self._differences.append(f"{case}: {report.wasxfail.removeprefix('reason: ')}")
            return "differs"
        if report.skipped:
            assert isinstance(report.longrepr, tuple)
            self._missing.add(report.longrepr[2].removeprefix("Skipped: "))
            return "skipped"
        return "passed"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        if not self._suites:
            return
        write = terminalreporter.write_line
        terminalreporter.section("side by side")
        write(_ROW.format("suite", "ours", "theirs", "differs", "skipped", "open"))
        for suite, counts in self._suites.items():
            both: Counter[Outcome] = Counter()
            for (_, outcome), number in counts.items():
                both[outcome] += number
            # A suite without sides holds ours against a schema, a document, or what others signed.
            has_sides = any(side == "theirs" for side, _ in counts)
            sides = counts["ours", "passed"], counts["theirs", "passed"] if has_sides else "-"
            write(_ROW.format(suite, *sides, both["differs"], both["skipped"], both["open"]))
        for title, lines in (("theirs differs", self._differences), ("missing", sorted(self._missing))):
            for line in lines:
                write(f"{title}: {line}")
