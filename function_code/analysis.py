"""Hail reports -> counts per day of month -> chart: the part to replace for another question.

The handlers call `analyse` with the bytes of the CSV that the query extracted, and want an `Analysis` back;
everything else in this module is free. It runs in the compute cloud, so it may import what
``requirements.in`` names and nothing more.
"""

import calendar
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

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


def analyse(csv: bytes, *, title: str, source: str) -> Analysis:
    """Count and chart the reports in ``csv``, one a row in any order; ``source`` says on the chart whose they are.

    Columns: event_begin_time (ISO 8601, local time), magnitude (inches; may be empty), month (1 to 12).
    No row, or no byte at all, gives a chart that says so.

    Raises:
        ValueError: a column is missing or a value cannot be read; the text names the column.
    """
    reports = read(csv)
    counts = reports["event_begin_time"].dt.day.value_counts().sort_index()
    figure = draw(reports, counts, title) if len(reports) else draw_nothing(title)
    figure.text(0.97, 0.025, f"Data: {source}", ha="right", fontsize=14, color=FAINT, parse_math=False)
    return Analysis(len(reports), {str(day): int(count) for day, count in counts.items()}, figure)


COLUMNS: Final[dict[str, Callable[["pd.Series[str]"], "pd.Series[Any]"]]] = {
    "event_begin_time": lambda text: pd.to_datetime(text, format="ISO8601"),
    "magnitude": pd.to_numeric,
    "month": pd.to_numeric,
}


def read(csv: bytes) -> pd.DataFrame:
    """The reports in ``csv``, each column in its type; raises as `analyse` does."""
    reports = pd.read_csv(io.BytesIO(csv), dtype=str) if csv.strip() else pd.DataFrame(columns=list(COLUMNS), dtype=str)
    missing = [column for column in COLUMNS if column not in reports]
    if missing:
        raise ValueError(f"the CSV lacks the columns {', '.join(missing)}; it has {', '.join(reports.columns)}")
    for column, convert in COLUMNS.items():
        try:
            reports[column] = convert(reports[column])
        except ValueError as error:
            raise ValueError(f"the CSV's column {column} cannot be read: {error}") from error
        if column != "magnitude" and reports[column].isna().any():
            raise ValueError(f"the CSV's column {column} is empty in {reports[column].isna().sum()} rows")
    return reports


def draw(reports: pd.DataFrame, counts: "pd.Series[int]", title: str) -> Figure:
    """A bar for each day that has reports, on an axis with every day of the month."""
    figure, axes = _sheet(title)
    bars = axes.bar(counts.index, counts, width=0.8, color=BAR, zorder=2)
    axes.bar_label(bars, padding=5, fontsize=18, color=INK)
    # 2000 was a leap year, so February has its 29 days. Several months share the axis of the longest.
    days = max(calendar.monthrange(2000, int(month))[1] for month in reports["month"].unique())
    axes.set_xlim(0.4, days + 0.6)
    axes.set_xticks(range(1, days + 1))
    axes.set_ylim(0, counts.max() * 1.1)
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


def _summary(reports: pd.DataFrame) -> str:
    """One line under the title: "27 reports, 1957 to 1995, hail up to 3 inches"."""
    years = reports["event_begin_time"].dt.year
    parts = [f"{len(reports)} report{'s' if len(reports) > 1 else ''}", f"{years.min()} to {years.max()}"]
    if years.min() == years.max():
        parts[1] = str(years.min())
    if reports["magnitude"].notna().any():
        parts.append(f"hail up to {reports['magnitude'].max():g} inches")
    return ", ".join(parts)
