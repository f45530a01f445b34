"""What a person sees: plain lines in a file, live lines on a pseudo-terminal, and nothing that can fail a run."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import pytest

from orchestrator.clouds import Remaining
from orchestrator.console import Console
from orchestrator.journal import recovery_command
from orchestrator.report import Phase, Resources, Result

COUNTS = {"4": 1, "10": 1, "11": 1, "12": 3, "16": 1, "20": 3, "21": 1, "23": 1, "25": 11, "27": 2, "28": 1, "30": 1}


@pytest.fixture(autouse=True)
def a_usual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def phase(
    name: str, seconds: float = 3.21, status: Literal["done", "failed", "skipped"] = "done", reason: str | None = None
) -> Phase:
    started = None if status == "skipped" else datetime(2026, 11, 23, tzinfo=UTC)
    return Phase(name=name, started=started, seconds=seconds, status=status, reason=reason)


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "run_id": "r1",
        "status": "done",
        "exit_code": 0,
        "mode": "rehearsal",
        "data_source": "bigquery-public-data, stand-in over synthetic sample",
        "data_cloud": "gcp",
        "compute_cloud": "aws",
        "title": "Hail in March",
        "query": "SELECT @county",
        "parameters": {"county": "TRAVIS"},
        "rows": 27,
        "counts": COUNTS,
        "bytes_processed": 12_900_000,
        "bytes_billed": 20_971_520,
        "extract_sha256": None,
        "chart_sha256": None,
        "cost_usd": 0.0,
        "package_bytes": None,
        "phases": [phase("data stack")],
        "critical_path": None,
        "resources": Resources(created=14, destroyed=14),
        "remaining": [],
        "error": None,
        "versions": {},
    }
    return Result.model_validate(values | changes)


def a_whole_run(console: Console) -> None:
    console.heading("r1", [("mode", "rehearsal"), ("data", "gcp, US")], ["synthetic sample"])
    console.phase_started("data stack")
    console.phase_started("compute stack")
    console.phase_detail("compute stack", "5 of 9 resources")
    console.phase_ended(phase("data stack"))
    console.note("Interrupted: destroying what was made. Press Ctrl-C again to leave now.")
    console.phase_ended(phase("compute stack", 9, "failed", "AccessDenied:\n  no role"))
    console.phase_ended(phase("invoke", 0, "skipped", "compute stack failed"))


A_WHOLE_RUN = """\
Run r1
  mode  rehearsal
  data  gcp, US
  synthetic sample
data stack: started
compute stack: started
data stack: done in 3.2 s
Interrupted: destroying what was made. Press Ctrl-C again to leave now.
compute stack: failed after 9.0 s: AccessDenied: no role
invoke: skipped: compute stack failed
"""


def plain(act: Callable[[Console], None]) -> str:
    stream = io.StringIO()
    with Console(stream) as console:
        act(console)
    return stream.getvalue()


@pytest.mark.parametrize("forced", ["FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_a_file_gets_plain_lines_whatever_the_environment_forces(monkeypatch: pytest.MonkeyPatch, forced: str) -> None:
    monkeypatch.setenv(forced, "1")
    assert plain(a_whole_run) == A_WHOLE_RUN


def test_every_plain_line_is_flushed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream, Console(stream) as console:
        console.phase_started("query")
        assert path.read_text(encoding="utf-8") == "query: started\n"


def test_long_plain_lines_are_not_wrapped() -> None:
    assert plain(lambda console: console.note("word " * 60)) == "word " * 60 + "\n"


def test_rich_markup_and_escape_sequences_are_text() -> None:
    def act(console: Console) -> None:
        console.heading("[red]r[/red]", [("[b]", ":smile:")], ["\x1b[2J"])
        console.phase_started("[b]p")
        console.phase_ended(phase("[b]p", 1, "failed", "\x1b]0;title\x07 [link=http://x]y[/link]"))

    assert plain(act) == (
        "Run [red]r[/red]\n  [b]  :smile:\n  \\x1b[2J\n[b]p: started\n"
        "[b]p: failed after 1.0 s: \\x1b]0;title\\x07 [link=http://x]y[/link]\n"
    )


def test_the_outcome_of_a_good_run(tmp_path: Path) -> None:
    (tmp_path / "chart.png").touch()
    (tmp_path / "report.html").touch()
    few = {"4": 1, "12": 3, "25": 11}
    assert plain(lambda console: console.outcome(result(counts=few), tmp_path)) == (
        f"""
Synthetic sample: this program made the data up; it says nothing about the real world.
Rehearsal: the clouds were stand-ins on this machine; nothing left it, nothing was charged.
Hail in March
 4 {"█" * 7} 1
12 {"█" * 20} 3
25 {"█" * 74} 11
  Rows            27
  Most            11 at 25
  Scanned         12.3 MiB
  Billed          20.0 MiB
  Estimated cost  $0.00
  Took            3.2 s
  Chart           {tmp_path}/chart.png
  Report          {tmp_path}/report.html
0 left: 14 created, 14 destroyed, and the clouds list nothing of this run.
"""
    )


def test_the_outcome_of_a_run_that_left_something(tmp_path: Path) -> None:
    unknown = dict.fromkeys(("rows", "counts", "bytes_processed", "bytes_billed", "cost_usd"))
    left = result(
        **unknown,
        status="resources remain",
        mode="live",
        data_source="bigquery-public-data",
        phases=[],
        error="The bucket could not be removed.\n  AccessDenied\nTo fix it: log in again.",
        remaining=[Remaining("aws", "s3:bucket", "b-1"), Remaining("gcp", "bigquery:dataset", "d[1]")],
    )
    assert plain(lambda console: console.outcome(left, tmp_path)) == (
        """
The bucket could not be removed.
  AccessDenied
To fix it: log in again.
2 left in the clouds; it may cost money until it is removed.
  aws s3:bucket         b-1
  gcp bigquery:dataset  d[1]
Remove it: {COMMAND}
""".replace("{COMMAND}", recovery_command("r1"))
    )
    told = left.model_copy(update={"error": f"2 resources remain\nTo fix it: run `{recovery_command('r1')}`."})
    assert plain(lambda console: console.outcome(told, tmp_path)).count(recovery_command("r1")) == 1


def test_a_locale_without_these_signs_gets_ascii_ones(tmp_path: Path) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with Console(stream) as console:
        console.note("é ✓")
        console.outcome(result(counts={"25": 2}, title="Grêle"), tmp_path)
    text = raw.getvalue().decode("ascii")
    assert text.startswith("\\xe9 \\u2713\n\nSynthetic sample")
    assert f"\nGr\\xeale\n25 {'#' * 75} 2\n" in text


def test_standard_error_closed_at_start_or_later_drops_everything(tmp_path: Path) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        with Console(stream) as console:
            a_whole_run(console)
            console.outcome(result(), tmp_path)


def test_a_broken_pipe_drops_everything_and_does_not_fail_at_exit(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    with Console(stream) as console:
        a_whole_run(console)
        console.outcome(result(), tmp_path)
    stream.close()  # Flushes what the buffer still has, as the interpreter does at exit.


def test_a_full_pipe_that_does_not_block_loses_lines_but_not_the_later_ones() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "w", encoding="utf-8") as stream, Console(stream) as console:
        console.note("x" * 200_000)
        os.read(reader, 200_000)
        console.note("later")
        assert os.read(reader, 200_000).endswith(b"later\n")
    os.close(reader)


def test_worker_threads_may_all_talk_at_once() -> None:
    stream = io.StringIO()
    with Console(stream) as console:

        def work(name: str) -> None:
            for n in range(50):
                console.phase_started(f"{name}{n}")
                console.phase_detail(f"{name}{n}", "x")
                console.phase_ended(phase(f"{name}{n}", 1))

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [f"{name}{n}: {end}" for name in "abcd" for n in range(50) for end in ("started", "done in 1.0 s")]
    assert sorted(stream.getvalue().splitlines()) == sorted(lines)


class Terminal:
    """A pseudo-terminal and the screen that a person would see; a control sequence it does not know is an error."""

    def __init__(self, columns: int) -> None:
        self._main, worker = pty.openpty()
        fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream: TextIO = os.fdopen(worker, "w", encoding="utf-8")
        self.columns = columns
        self.raw = ""
        self._bytes = b""

    def close(self) -> None:
        self.stream.close()
        os.close(self._main)

    def until(self, *lines: str) -> None:
        """Read until the screen is exactly ``lines``."""
        deadline = time.monotonic() + 5
        while self.screen() != list(lines):
            ready, _, _ = select.select([self._main], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"the screen never became {list(lines)}; it is {self.screen()}"
            self._bytes += os.read(self._main, 65536)
            self.raw = self._bytes.decode("utf-8", "ignore")

    def screen(self) -> list[str]:
        rows, row, column = [""], 0, 0
        for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|.", self.raw, re.DOTALL):
            if token == "\r":
                column = 0
            elif token == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif token == "\x1b[2K":
                rows[row] = ""
            elif token == "\x1b[1A":
                row -= 1
            elif re.fullmatch(r"\x1b\[[\d;]*m|\x1b\[\?25[lh]", token):
                pass
            else:
                assert token.isprintable(), repr(token)
                rows[row] = rows[row].ljust(column)[:column] + token + rows[row][column + 1 :]
                column += 1
        while rows and not rows[-1]:
            rows.pop()
        return rows


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal(columns=60)
    yield opened
    opened.close()


def test_phases_live_side_by_side_and_stay_when_they_end(terminal: Terminal) -> None:
    now = [100.0]
    with Console(terminal.stream, clock=lambda: now[0]) as console:
        console.phase_started("data stack")
        terminal.until("⠋ data stack               0.0 s")
        now[0] = 102.1
        console.phase_started("compute stack")
        console.phase_detail("compute stack", "5 of 9 resources")
        terminal.until("⠙ data stack               2.1 s", "⠙ compute stack            0.0 s  5 of 9 resources")
        now[0] = 103.2
        console.phase_ended(phase("data stack", 3.2))
        console.phase_detail("data stack", "too late")
        terminal.until("✓ data stack               3.2 s", "⠹ compute stack            1.1 s  5 of 9 resources")
        console.note("Interrupted: destroying what was made.")
        console.phase_ended(phase("compute stack", 9, "failed", "AccessDenied"))
        console.phase_ended(phase("invoke", 0, "skipped", "no function"))
        ended = (
            "✓ data stack               3.2 s",
            "Interrupted: destroying what was made.",
            "✗ compute stack            9.0 s  AccessDenied",
            "- invoke                 skipped  no function",
        )
        terminal.until(*ended)
    terminal.stream.write("next\n")
    terminal.stream.flush()
    terminal.until(*ended, "next")


def test_the_spinner_and_the_seconds_move_without_a_call(terminal: Terminal) -> None:
    now = [0.0]
    with Console(terminal.stream, clock=lambda: now[0]) as console:
        console.phase_started("query")
        terminal.until("⠋ query                    0.0 s")
        now[0] = 0.3
        terminal.until("⠸ query                    0.3 s")


def test_a_narrow_window_cuts_the_live_lines_and_wraps_none() -> None:
    terminal = Terminal(columns=40)
    with Console(terminal.stream, clock=lambda: 0.0) as console:
        console.phase_started("compute stack")
        console.phase_detail("compute stack", "5 of 9 resources")
        terminal.until("⠋ compute stack            0.0 s  5 of …")
    terminal.close()


def test_an_ascii_terminal(terminal: Terminal) -> None:
    stream = os.fdopen(os.dup(terminal.stream.fileno()), "w", encoding="ascii")
    with stream, Console(stream, clock=lambda: 0.0) as console:
        console.phase_started("compute stack")
        console.phase_detail("compute stack", "5 of 9 resources, and the next ones are on their way")
        terminal.until("| compute stack            0.0 s  5 of 9 resources, and the ")
        console.phase_ended(phase("compute stack", 1))
        console.phase_ended(phase("invoke", 1, "failed"))
        terminal.until("+ compute stack            1.0 s", "x invoke                   1.0 s")


def test_an_exception_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.stream.fileno()), sys.stdout, sys.stderr

    def interrupted_run() -> None:
        with Console(terminal.stream, clock=lambda: 0.0) as console:
            console.phase_started("query")
            assert sys.stdout is before[1]
            terminal.until("⠋ query                    0.0 s")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()
    terminal.until()
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h") == 1  # The cursor hidden, and back.
    assert (termios.tcgetattr(terminal.stream.fileno()), sys.stdout, sys.stderr) == before


def test_no_color_keeps_the_live_lines_without_colours(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with Console(terminal.stream, clock=lambda: 0.0) as console:
        console.phase_ended(phase("query", 1))
        terminal.until("✓ query                    1.0 s")
    assert not re.search(r"\x1b\[[\d;]*3\d[\d;]*m", terminal.raw)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Console(terminal.stream) as console:
        a_whole_run(console)
    terminal.until(*A_WHOLE_RUN.splitlines())
    assert "\x1b" not in terminal.raw


def test_a_terminal_that_went_away_fails_nothing(tmp_path: Path) -> None:
    main, worker = pty.openpty()
    stream = os.fdopen(worker, "w", encoding="utf-8")
    with Console(stream) as console:
        console.phase_started("query")
        os.close(main)
        a_whole_run(console)
        console.outcome(result(), tmp_path)
    stream.close()


def test_a_long_phase_says_how_far_it_is_every_half_minute_in_a_log() -> None:
    stream, now = io.StringIO(), [0.0]
    with Console(stream, clock=lambda: now[0]) as console:
        console.phase_started("Pulumi CLI")
        for second in range(1, 95):
            now[0] = float(second)
            console.phase_detail("Pulumi CLI", f"{second} packages")
        console.phase_ended(phase("Pulumi CLI", 95))
        now[0] = 200.0
        console.phase_detail("Pulumi CLI", "too late")
    assert stream.getvalue().splitlines() == [
        "Pulumi CLI: started",
        "Pulumi CLI: 30 packages",
        "Pulumi CLI: 60 packages",
        "Pulumi CLI: 90 packages",
        "Pulumi CLI: done in 95.0 s",
    ]
