"""Hail reports -> counts per day of month -> chart: the part to replace for another question.

The handlers call `analyse` with the CSV that the query extracted, as a stream, and want an `Analysis` back; everything
else in this module is free. An extract may be larger than the function's memory: no more than some rows of it should be
there at once. It runs in the compute cloud, so it may import what ``requirements.in`` names and nothing more.
"""

import calendar
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # Not pyplot, which keeps figures for ever and makes a cold start 0.2 s longer.
from matplotlib.ticker import MaxNLocator

BAR, PAPER, INK, FAINT = "#805ac3", "#eeeeee", "#2b2b2b", "#666666"


@dataclass(frozen=True)
class Analysis:
    """What one CSV says.

    ``rows`` is the number of reports; ``counts`` the number for each day of the month that has any, days
    in order (``{"25": 11}``); ``figure`` the chart, not yet drawn.
    """

    rows: int
    counts: dict[str, int]
    figure: Figure


def analyse(csv: BinaryIO, *, title: str, source: str) -> Analysis:
    """Count and chart the reports in ``csv``, one a row in any order; ``source`` says on the chart whose they are.

    Columns: event_begin_time (ISO 8601, local time), magnitude (inches; may be empty), month (1 to 12).
    No row, or no byte at all, gives a chart that says so.

    Raises:
        ValueError: a column is missing or a value cannot be read; the text names the column.
    """
    reports = read(csv)
    figure = draw(reports, title) if reports.rows else draw_nothing(title)
    figure.text(0.97, 0.025, f"Data: {source}", ha="right", fontsize=14, color=FAINT, parse_math=False)
    return Analysis(reports.rows, {str(day): count for day, count in sorted(reports.days.items())}, figure)


@dataclass
class Reports:
    """What the chart says of all reports; it does not grow with them. ``days`` counts by day, ``largest`` in inches."""

    rows: int = 0
    days: Counter[int] = field(default_factory=Counter)
    months: set[int] = field(default_factory=set)
    years: set[int] = field(default_factory=set)
    largest: float = -math.inf


ROWS_AT_ONCE = 10_000

COLUMNS: Final[dict[str, Callable[["pd.Series[str]"], "pd.Series[Any]"]]] = {
    "event_begin_time": lambda text: pd.to_datetime(text, format="ISO8601"),
    "magnitude": pd.to_numeric,
    "month": pd.to_numeric,
}


def read(csv: BinaryIO) -> Reports:
    """What ``csv`` says, to its end; raises as `analyse` does, and what the stream raises."""
    reports, empty = Reports(), Counter[str]()
    for rows in _some_at_a_time(csv):
        for column, convert in COLUMNS.items():
            try:
                rows[column] = convert(rows[column])
            except ValueError as error:
                where = f", counted from row {reports.rows + 1}" if reports.rows else ""
                raise ValueError(f"the CSV's column {column} cannot be read: {error}{where}") from error
            empty[column] += int(rows[column].isna().sum())
        times = rows["event_begin_time"].dt
        reports.rows += len(rows)
        reports.days.update(times.day.value_counts().to_dict())
        reports.months.update(rows["month"].unique())
        reports.years.update(times.year.unique())
        reports.largest = max(reports.largest, rows["magnitude"].max())  # NaN is not larger.
    for column in ("event_begin_time", "month"):
        if empty[column]:
            raise ValueError(f"the CSV's column {column} is empty in {empty[column]} rows")
    return reports


def _some_at_a_time(csv: BinaryIO) -> Iterator[pd.DataFrame]:
    """The columns that are needed, as text."""
    names: list[str] = []

    def is_needed(name: str) -> bool:
        names.append(name)
        return name in COLUMNS

    try:
        chunks = pd.read_csv(csv, dtype=str, usecols=is_needed, chunksize=ROWS_AT_ONCE)
    except pd.errors.EmptyDataError:  # Not even a header.
        return
    with chunks:
        missing = [column for column in COLUMNS if column not in names]
        if missing:
            raise ValueError(f"the CSV lacks the columns {', '.join(missing)}; it has {', '.join(names)}")
        yield from chunks


def draw(reports: Reports, title: str) -> Figure:
    """A bar for each day that has reports, on an axis with every day of the month."""
    figure, axes = _sheet(title)
    days, counts = zip(*sorted(reports.days.items()), strict=True)
    bars = axes.bar(days, counts, width=0.8, color=BAR, zorder=2)
    axes.bar_label(bars, padding=5, fontsize=18, color=INK)
    # 2000 was a leap year, so February has its 29 days. Several months share the axis of the longest.
    longest = max(calendar.monthrange(2000, int(month))[1] for month in reports.months)
    axes.set_xlim(0.4, longest + 0.6)
    axes.set_xticks(range(1, longest + 1))
    axes.set_ylim(0, max(counts) * 1.1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Day of month", fontsize=20, color=INK, labelpad=14)
    axes.set_ylabel("Hail reports", fontsize=20, color=INK, labelpad=14)
    axes.tick_params(labelsize=17, length=0, pad=8, labelcolor=INK)
    axes.grid(axis="y", color="white", linewidth=2)
    axes.set_title(_summary(reports), loc="left", fontsize=20, color=FAINT, pad=18)
    return figure


def draw_nothing(title: str) -> Figure:
    """The same sheet for a CSV without rows."""
    figure, axes = _sheet(title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, "No hail reports in this extract", ha="center", va="center", fontsize=30, color=FAINT)
    return figure


def _sheet(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(20, 10), facecolor=PAPER)
    axes = figure.add_axes((0.06, 0.11, 0.91, 0.73), facecolor=PAPER)
    axes.spines[:].set_visible(False)
    # The title is anyone's text: a "$" in it is a dollar, not the start of a formula.
    size = min(34.0, 34 * 66 / max(len(title), 1))  # About 66 characters fit at 34 points.
    figure.text(0.06, 0.92, title, fontsize=size, fontweight="bold", color=INK, parse_math=False)
    return figure, axes


def _summary(reports: Reports) -> str:
    """One line under the title: "27 reports, 1957 to 1995, hail up to 3 inches"."""
    first, last = min(reports.years), max(reports.years)
    parts = [f"{reports.rows} report{'s' if reports.rows > 1 else ''}", f"{first} to {last}"]
    if first == last:
        parts[1] = str(first)
    if reports.largest > -math.inf:
        parts.append(f"hail up to {reports.largest:g} inches")
    return ", ".join(parts)
