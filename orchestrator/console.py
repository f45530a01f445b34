"""What a person sees while a run goes on, on standard error.

On a terminal each phase that runs has a live line at the bottom; whatever is finished is printed above it and stays.
Elsewhere (a file, a CI job's log, ``TERM=dumb``) a phase is one plain line at its start and one at its end.
Nothing here can fail a run: what a closed or full standard error does not take is dropped.
"""

import io
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO, cast

import rich.console
from rich.console import ConsoleDimensions, ConsoleOptions, OverflowMethod, RenderResult
from rich.live import Live
from rich.text import Text

from orchestrator.report import Phase, Result, banners, count_bars, headline, leftover, removal_command, visible

_NAME_WIDTH = 21
_FRAMES_PER_SECOND = 10
_SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class _Signs:
    """The characters that not every locale has."""

    ended: Mapping[str, tuple[str, str]]  # By the status of a phase: sign and style.
    bar: str
    spinner: str
    overflow: OverflowMethod  # How a live line wider than the window is cut.


_UNICODE = _Signs(
    ended={"done": ("✓", "green"), "failed": ("✗", "red"), "interrupted": ("✗", "yellow"), "skipped": ("-", "dim")},
    bar="█",
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    overflow="ellipsis",
)
_ASCII = _Signs(
    ended={"done": ("+", "green"), "failed": ("x", "red"), "interrupted": ("x", "yellow"), "skipped": ("-", "dim")},
    bar="#",
    spinner="|/-\\",
    overflow="crop",
)


class Console:
    """Progress and outcome of one run, written to ``stream``; a context manager that restores the terminal.

    Worker threads may call it at any time, a signal handler may not: Python's text streams are not reentrant.

    Args:
        stream: Where to write. None, which is what ``sys.stderr`` is when it was closed at start, drops everything.
        clock: Seconds that only grow.
    """

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        tolerant = _TolerantStream(stream)
        on_terminal = tolerant.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}
        # Decided here and not by rich, whose FORCE_COLOR and TTY_INTERACTIVE would animate a log file.
        self._rich = _Terminal(file=cast("TextIO", tolerant), force_terminal=on_terminal, force_interactive=on_terminal)
        self._signs = _UNICODE if tolerant.can_write("✓✗█…" + _UNICODE.spinner) else _ASCII
        self._running = _RunningPhases(self._signs, clock)
        self._clock = clock
        self._last_lines: dict[str, float] = {}  # By phase, where there is no terminal: when it last said something.
        self._live: Live | None = None
        if on_terminal:
            self._live = Live(
                self._running,
                console=self._rich,
                refresh_per_second=_FRAMES_PER_SECOND,
                transient=True,
                redirect_stdout=False,  # Standard output is the caller's (``--json``).
                redirect_stderr=False,
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def heading(self, run_id: str, settings: Sequence[tuple[str, str]], notes: Sequence[str]) -> None:
        """Say what is about to run: the effective settings, and notes such as "synthetic sample"."""
        self._print(f"Run {run_id}", "bold")
        self._pairs(settings)
        for note in notes:
            self._print(f"  {note}", "yellow")

    def phase_started(self, name: str) -> None:
        """Begin a phase; several may run side by side."""
        self._running.start(visible(name))
        if self._live:
            self._live.refresh()
        else:
            self._last_lines[name] = self._clock()
            self._print(f"{name}: started")

    def phase_detail(self, name: str, detail: str) -> None:
        """Say how far a phase is ("5 of 9 resources"); nothing when it has ended.

        On its live line; where there is no terminal, as a line of its own at most every half minute: a log that stands
        still for the minutes of a build looks dead.
        """
        self._running.detail(visible(name), _one_line(detail))
        if self._live:
            self._live.refresh()
        elif self._clock() - self._last_lines.get(name, self._clock()) >= _SECONDS_BETWEEN_LINES:
            self._last_lines[name] = self._clock()
            self._print(f"{name}: {_one_line(detail)}")

    def phase_ended(self, phase: Phase) -> None:
        """End a phase, or say of one that never started that it was skipped."""
        self._running.end(phase.name)
        self._last_lines.pop(phase.name, None)
        reason = _one_line(phase.reason or "")
        if self._live:
            sign, style = self._signs.ended[phase.status]
            spent = "skipped" if phase.status == "skipped" else f"{phase.seconds:.1f} s"
            self._print_text(_phase_line(sign, style, phase.name, spent, reason))
        else:
            took = {"done": "in", "failed": "after", "interrupted": "after"}.get(phase.status)
            end = f"{phase.status} {took} {phase.seconds:.1f} s" if took else phase.status
            self._print(f"{phase.name}: {end}{': ' if reason else ''}{reason}")

    def note(self, text: str) -> None:
        """Print a line of its own, above the live lines."""
        self._print(text, "yellow")

    def outcome(self, result: Result, directory: Path) -> None:
        """Print the closing lines: the counts as bars, the numbers, the files in ``directory``, what is left."""
        self._print("")
        for name, text in banners(result):
            self._print(f"{name}: {text}", "yellow")
        if result.counts:
            self._print(result.title, "bold")
            for line in count_bars(result.counts, width=self._rich.width, sign=self._signs.bar):
                self._print(line)
        files = [("Chart", directory / "chart.png"), ("Report", directory / "report.html")]
        self._pairs([*headline(result), *((name, str(path)) for name, path in files if path.exists())])
        if result.error:
            self._print(result.error, "red")
        self._print(leftover(result), "green" if result.status == "done" else "bold")
        self._pairs([(f"{left.cloud} {left.kind}", left.id) for left in result.remaining])
        command = removal_command(result)
        if command and command not in (result.error or ""):
            self._print(f"Remove it: {command}", "bold")

    def _pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            self._print(f"  {name:<{width}}  {value}")

    def _print(self, line: str, style: str = "") -> None:
        self._print_text(Text(visible(line), style))

    def _print_text(self, text: Text) -> None:
        # soft_wrap: the terminal wraps, so that a path or a command is copied without line ends in it.
        self._rich.print(text, soft_wrap=True)


class _RunningPhases:
    """The phases that run now; rich asks it for the live lines at every frame."""

    def __init__(self, signs: _Signs, clock: Callable[[], float]) -> None:
        self._signs = signs
        self._clock = clock
        self._phases: dict[str, tuple[float, str]] = {}  # By name: when it began, its detail.
        self._lock = threading.Lock()  # Never held while rich prints: rich comes here under a lock of its own.

    def start(self, name: str) -> None:
        with self._lock:
            self._phases[name] = (self._clock(), "")

    def detail(self, name: str, detail: str) -> None:
        with self._lock:
            if name in self._phases:
                self._phases[name] = (self._phases[name][0], detail)

    def end(self, name: str) -> None:
        with self._lock:
            self._phases.pop(name, None)

    def __rich_console__(self, console: rich.console.Console, options: ConsoleOptions) -> RenderResult:
        now = self._clock()
        with self._lock:
            running = list(self._phases.items())
        frame = self._signs.spinner[int(now * _FRAMES_PER_SECOND) % len(self._signs.spinner)]
        for name, (began, detail) in running:
            line = _phase_line(frame, "cyan", name, f"{now - began:.1f} s", detail)
            line.truncate(options.max_width, overflow=self._signs.overflow)
            yield line


def _phase_line(sign: str, style: str, name: str, spent: str, remark: str) -> Text:
    line = Text.assemble((sign, style), f" {name:<{_NAME_WIDTH}} {spent:>8}  ", (remark, "dim"))
    line.rstrip()
    return line


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


class _Terminal(rich.console.Console):
    """Rich's console as wide as the terminal it writes to; rich itself measures standard input first."""

    @property  # type: ignore[misc]  # Rich's has a setter, of no use here.
    def size(self) -> ConsoleDimensions:
        try:
            columns, lines = os.get_terminal_size(self.file.fileno())
        except (OSError, ValueError):
            return super().size
        return ConsoleDimensions(columns, lines) if columns and lines else super().size


class _TolerantStream:
    """A stream whose writes never raise: what the locale lacks is spelled out, what cannot be written is dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None else io.StringIO()
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def can_write(self, text: str) -> bool:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def write(self, text: str) -> int:
        encodable = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        try:
            self._stream.write(encodable)
            self._stream.flush()
        except BlockingIOError:
            pass  # A non-blocking pipe that is full now may take the next line.
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def _give_up(self) -> None:
        """Drop all that comes. The buffer under the stream would fail again, and change the exit code, at exit.

        https://docs.python.org/3/library/signal.html#note-on-sigpipe
        """
        try:
            descriptor = self._stream.fileno()
            with Path(os.devnull).open("wb") as devnull:
                os.dup2(devnull.fileno(), descriptor)
        except (OSError, ValueError):
            self._stream = io.StringIO()

    def flush(self) -> None:
        """Nothing to do: ``write`` has flushed."""

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except ValueError:  # Closed.
            return False

    def fileno(self) -> int:
        return self._stream.fileno()
