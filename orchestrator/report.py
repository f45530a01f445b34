"""What stays of a run: ``result.json`` for programs, ``report.html`` for people, ``summary.md`` for a CI job's page.

``result.json`` is exactly the model ``Result``. What a cloud, a query or a config file said (titles, error texts,
resource ids, labels of the counts) is only ever text in these files, never markup.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from orchestrator.clouds import Remaining
from orchestrator.errors import OrchestratorError, without_secrets
from orchestrator.journal import recovery_command
from orchestrator.text_file import replace_text

# Control characters but tab and newline, other ends of a line, what turns the direction of writing, halves of surrogate
# pairs.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST_BARS = 40
_HOME_UPLOAD_BITS = 20_000_000
"""A second, as a home connection has them."""


def visible(text: str) -> str:
    r"""Spell out what would steer a terminal or cannot be encoded: an escape character becomes ``\x1b``."""
    lines = text.replace("\r\n", "\n")
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), lines)


# BeforeValidator: pydantic itself refuses half a surrogate pair, and a path in an error text may have one.
Text = Annotated[str, BeforeValidator(visible)]
Left = Annotated[
    Remaining, AfterValidator(lambda left: Remaining(visible(left.cloud), visible(left.kind), visible(left.id)))
]
Utc = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(_Model):
    """One phase of a run. ``started`` is None and ``seconds`` 0 when it never started."""

    name: Text
    started: Utc | None
    seconds: float
    status: Literal["done", "failed", "interrupted", "skipped"]
    reason: Annotated[Text, BeforeValidator(without_secrets)] | None


class Resources(_Model):
    """How many resources the engine made and destroyed."""

    created: int
    destroyed: int


class PathStep(_Model):
    """A step of the critical path: how many ``seconds`` the clouds take for it, and when it was and how long it took.

    None where it was not seen.
    """

    name: Text
    seconds: float
    started: Utc | None
    took: float | None


class CriticalPath(_Model):
    """The longest way through what had to happen one after the other: its ``seconds``, the run's ``ratio`` to it."""

    seconds: float
    ratio: float
    steps: list[PathStep]


class Result(_Model):
    """How a run ended. None where the run did not get far enough to know."""

    run_id: Text
    status: Literal["done", "failed", "refused", "interrupted", "resources remain"]
    exit_code: int
    mode: Literal["rehearsal", "live"]
    data_source: Text
    data_cloud: Text
    compute_cloud: Text
    title: Text
    query: Text  # The SQL as it was sent.
    parameters: dict[Text, Text]  # As text, by name.
    rows: int | None
    counts: dict[Text, int] | None
    bytes_processed: int | None
    bytes_billed: int | None
    extract_sha256: str | None
    chart_sha256: str | None
    cost_usd: float | None  # An estimate at list prices.
    package_bytes: int | None  # As it is uploaded: zipped.
    phases: list[Phase]
    critical_path: CriticalPath | None  # Where it is known how long the clouds take, of a run that is done.
    resources: Resources
    remaining: list[Left]
    error: Text | None  # The whole message, as it was shown.
    versions: dict[str, Text]  # By the names of the packages and programs.


@dataclass(frozen=True)
class PathRow:
    """A step of the critical path, and how many seconds passed between the one before (or the run's start) and it."""

    step: PathStep
    waited: float | None


@dataclass(frozen=True)
class Bar:
    """A phase on the timeline: where its bar starts and how long it is, in percent of the whole run."""

    phase: Phase
    left: float
    width: float


def write(result: Result, directory: Path) -> None:
    """Write the three files into ``directory``, each whole or not at all and readable by its owner alone.

    The chart is inlined from ``directory/chart.png`` when it is there.

    Raises:
        OrchestratorError: a file cannot be written (the disk is full, the directory not writable).
    """
    path = directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "chart.png"
        chart = path.read_bytes() if path.exists() else None
        texts = {
            "result.json": result.model_dump_json(indent=2) + "\n",
            "report.html": html(result, chart),
            "summary.md": markdown(result),
        }
        for name, text in texts.items():
            path = directory / name
            replace_text(path, text)
    except OSError as error:
        raise OrchestratorError(
            f"The report of run {result.run_id} could not be written: {path}.",
            details=error.strerror,
            resolution=f"make room, and make {directory} a folder that you may write to. "
            f"The run itself ended: {result.status}.",
        ) from error


def html(result: Result, chart_png: bytes | None) -> str:
    """The report as one self-contained page. Its policy forbids scripts and every load, whatever the text says."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("report.html.j2").render(
        result=result,
        banners=banners(result),
        chart=base64.b64encode(chart_png).decode("ascii") if chart_png is not None else None,
        headline=headline(result),
        timeline=timeline(result.phases),
        path=path_rows(result),
        seconds=seconds(result.phases),
        leftover=leftover(result),
        removal=removal_command(result),
    )


def markdown(result: Result) -> str:
    """The summary in GitHub's Markdown. Foreign text stands in code spans and fenced blocks, where it is literal."""
    blocks = [f"## {_code(result.title)}: {result.status}"]
    blocks += [f"**{name}**: {text}" for name, text in banners(result)]
    blocks += ["\n".join(f"- {name}: {_code(value)}" for name, value in headline(result))]
    if result.counts:
        blocks.append(_fenced(count_bars(result.counts, width=60)))
    if result.error:
        blocks.append(_fenced(result.error.splitlines()))
    blocks.append(_fenced([_phase_line(phase) for phase in result.phases]))
    blocks.append(leftover(result))
    if result.remaining:
        blocks.append(_fenced([f"{left.cloud} {left.kind} {left.id}" for left in result.remaining]))
    if command := removal_command(result):
        blocks.append(f"Remove it: {_code(command)}")
    blocks.append(_fenced(result.query.splitlines()))
    facts = {_code(f"@{name}"): value for name, value in result.parameters.items()}
    facts |= {"Run": result.run_id, "Mode": result.mode, "Data": f"{result.data_cloud}: {result.data_source}"}
    facts |= {"Compute": result.compute_cloud, **result.versions}
    blocks.append("\n".join(f"- {name}: {_code(value)}" for name, value in facts.items()))
    return "\n\n".join(blocks) + "\n"


def _phase_line(phase: Phase) -> str:
    reason = f"  {' '.join(phase.reason.split())}" if phase.reason else ""
    return f"{phase.name:<21} {phase.status:<7} {phase.seconds:8.1f} s{reason}"


def _code(text: str) -> str:
    """A code span: https://spec.commonmark.org/0.31.2/#code-spans."""
    line = " ".join(text.split())
    ticks = "`" * (_longest_ticks(line) + 1)
    return f"{ticks} {line} {ticks}"


def _fenced(lines: Sequence[str]) -> str:
    """A fenced block: https://spec.commonmark.org/0.31.2/#fenced-code-blocks."""
    fence = "`" * max(3, _longest_ticks("\n".join(lines)) + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def banners(result: Result) -> list[tuple[str, str]]:
    """What a reader must not mistake: (name, sentence) pairs, in our own words."""
    found = []
    if "synthetic sample" in result.data_source:
        found.append(("Synthetic sample", "this program made the data up; it says nothing about the real world."))
    if result.mode == "rehearsal":
        found.append(("Rehearsal", "the clouds were stand-ins on this machine; nothing left it, nothing was charged."))
    return found


def headline(result: Result) -> list[tuple[str, str]]:
    """The numbers that matter, as far as they are known: (name, value with unit) pairs."""
    found = []
    if result.rows is not None:
        found.append(("Rows", f"{result.rows:,}"))
    if result.counts:
        peak = max(result.counts, key=result.counts.__getitem__)
        found.append(("Most", f"{result.counts[peak]:,} at {peak}"))
    if result.bytes_processed is not None:
        found.append(("Scanned", size(result.bytes_processed)))
    if result.bytes_billed is not None:
        found.append(("Billed", size(result.bytes_billed)))
    if result.cost_usd is not None:
        found.append(("Estimated cost", dollars(result.cost_usd)))
    if result.package_bytes is not None:
        found.append(("Package", upload(result.package_bytes)))
    if result.phases:
        found.append(("Took", f"{seconds(result.phases):.1f} s"))
    if path := result.critical_path:
        found.append(("Critical path", f"{path.seconds:.1f} s; the run took {path.ratio:.2f} times that"))
    return found


def size(count: int) -> str:
    """Bytes as people read them, in powers of 1024."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:  # noqa: PLR2004  The 1024 of the units.
            break
        value, unit = value / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def upload(count: int) -> str:
    """A package of so many bytes, and how long it takes to upload: it is on the critical path of a home connection."""
    takes = count * 8 / _HOME_UPLOAD_BITS
    return f"{size(count)}, {takes:.1f} s to upload at {_HOME_UPLOAD_BITS // 1_000_000} Mbit/s"


def dollars(amount: float) -> str:
    """US dollars: to the cent, and a fraction of a cent with two digits that say something."""
    cent = 0.01
    return f"${amount:,.2f}" if amount >= cent or amount == 0 else f"${Decimal(f'{amount:.2g}'):f}"


def leftover(result: Result) -> str:
    """One sentence on what is left. "0 left" stands only where the clouds were asked and said so."""
    if result.remaining:
        return f"{len(result.remaining)} left in the clouds; it may cost money until it is removed."
    if result.status == "resources remain":
        return "Something may be left: the clouds could not be asked."
    if result.resources.created == 0:
        return "Nothing was created."
    made = f"{result.resources.created} created, {result.resources.destroyed} destroyed"
    return f"0 left: {made}, and the clouds list nothing of this run."


def removal_command(result: Result) -> str | None:
    """The command that removes what this run left, None when it left nothing."""
    return recovery_command(result.run_id) if result.status == "resources remain" else None


def timeline(phases: Sequence[Phase]) -> list[Bar]:
    """The phases to scale, those that never started with an empty bar at 0."""
    whole, first = seconds(phases) or 1.0, _first(phases)
    return [
        Bar(
            phase,
            left=0.0 if phase.started is None else (phase.started - first).total_seconds() / whole * 100,
            width=0.0 if phase.started is None else phase.seconds / whole * 100,
        )
        for phase in phases
    ]


def path_rows(result: Result) -> list[PathRow]:
    """The critical path's steps in order; none where it is not known."""
    rows, free = [], _first(result.phases)
    for step in result.critical_path.steps if result.critical_path else ():
        waited = None if step.started is None else (step.started - free).total_seconds()
        rows.append(PathRow(step, waited))
        if step.started is not None:
            free = step.started + timedelta(seconds=step.took or 0)
    return rows


def seconds(phases: Sequence[Phase]) -> float:
    """Seconds from the first start to the last end."""
    first = _first(phases)
    return max(((p.started - first).total_seconds() + p.seconds for p in phases if p.started), default=0.0)


def _first(phases: Sequence[Phase]) -> datetime:
    return min((phase.started for phase in phases if phase.started), default=datetime.min.replace(tzinfo=UTC))


def count_bars(counts: Mapping[str, int], *, width: int, sign: str = "█") -> list[str]:
    """The counts as text, one line a label in the order given, each at most ``width`` characters."""
    shown = dict(list(counts.items())[:_MOST_BARS])
    label_width = min(max(map(len, shown), default=0), width // 3)
    number_width = max((len(str(number)) for number in shown.values()), default=0)
    room, most = max(width - label_width - number_width - 2, 1), max([1, *shown.values()])
    lines = []
    for label, number in shown.items():
        bar = sign * max(round(number / most * room), number > 0)
        lines.append(f"{label[:label_width]:>{label_width}} {bar} {number}")
    if len(counts) > _MOST_BARS:
        lines.append(f"and {len(counts) - _MOST_BARS} more, all in result.json"[:width])
    return lines
