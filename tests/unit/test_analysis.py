"""Counting and charting: exact numbers, every part of the sheet, and the texts of what cannot be read."""

import io
import itertools
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import analysis
import pytest
from analysis import Analysis
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

HEADER = b"event_begin_time,magnitude,month\n"
MARCH = HEADER + (
    b"1993-03-25T16:10:00,1.75,3\n"
    b"1957-03-04 18:30:00,0.75,3\n"  # BigQuery writes a T or a space, as its export options say.
    b"1985-03-25T17:00:00.5,3.0,3\n"
    b"1985-03-25T17:00:00,,3\n"
    b"1981-03-10T00:00:00,2,3\n"
)


def analyse(csv: bytes, *, title: str = "", source: str = "a test") -> Analysis:
    return analysis.analyse(io.BytesIO(csv), title=title, source=source)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts] + [text.get_text() for text in figure.axes[0].texts]


def test_reports_are_counted_per_day_in_the_order_of_days() -> None:
    result = analyse(MARCH, title="Hail in March", source="a test")
    assert result.rows == 5
    assert list(result.counts.items()) == [("4", 1), ("10", 1), ("25", 3)]


def test_more_columns_in_another_order_change_nothing() -> None:
    result = analyse(b"month,county,magnitude,event_begin_time\n3,TRAVIS,1,1993-03-25\n", title="", source="a test")
    assert result.counts == {"25": 1}


def test_the_chart_is_the_labs() -> None:
    figure = analyse(MARCH, title="Hail in March", source="a test").figure
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert tuple(figure.get_size_inches()) == (20, 10)
    assert {to_hex(figure.get_facecolor()), to_hex(axes.get_facecolor())} == {"#eeeeee"}
    (bars,) = axes.containers
    assert isinstance(bars, BarContainer)
    assert {to_hex(bar.get_facecolor()) for bar in bars} == {"#805ac3"}
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars] == [(4, 1), (10, 1), (25, 3)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Day of month", "Hail reports")
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(day) for day in range(1, 32)]
    assert [tick for tick in axes.get_yticks() if tick <= axes.get_ylim()[1]] == [0, 1, 2, 3]
    assert axes.get_title(loc="left") == "5 reports, 1957 to 1993, hail up to 3 inches"
    assert texts(figure) == ["Hail in March", "Data: a test", "1", "1", "3"]


def test_february_has_29_days_and_one_report_has_no_plural() -> None:
    axes = analyse(HEADER + b"1996-02-29T12:00:00,,2\n", title="Hail in February", source="a test").figure.axes[0]
    assert axes.get_xticks().tolist() == list(range(1, 30))
    assert axes.get_title(loc="left") == "1 report, 1996"


def test_day_labels_do_not_touch() -> None:
    figure = analyse(MARCH, title="Hail in March", source="a test").figure
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 + 5 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("csv", [HEADER, HEADER.rstrip(), b"", b"\n"])
def test_a_csv_without_rows_gives_a_chart_that_says_so(csv: bytes) -> None:
    result = analyse(csv, title="Hail in March", source="a test")
    assert (result.rows, result.counts) == (0, {})
    assert texts(result.figure) == ["Hail in March", "Data: a test", "No hail reports in this extract"]
    assert tuple(result.figure.get_size_inches()) == (20, 10)


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        (b"day,month\n1,3\n", "the CSV lacks the columns event_begin_time, magnitude; it has day, month"),
        (
            HEADER + b",1,3\n1993-03-25,1,3\n",
            "the CSV's column event_begin_time is empty in 1 rows",
        ),
        (HEADER + b"1993-03-25,1,\n", "the CSV's column month is empty in 1 rows"),
        (
            HEADER + b"1993-03-25,big,3\n",
            "the CSV's column magnitude cannot be read: Unable to parse string 'big' at position 0",
        ),
    ],
)
def test_a_csv_that_cannot_be_read_says_which_column(csv: bytes, message: str) -> None:
    with pytest.raises(ValueError, match="CSV") as raised:
        analyse(csv, title="Hail in March", source="a test")
    assert str(raised.value) == message


def test_a_time_that_is_none_names_its_column() -> None:
    with pytest.raises(ValueError, match=r"^the CSV's column event_begin_time cannot be read: .*yesterday"):
        analyse(HEADER + b"yesterday,1,3\n", title="", source="a test")


@pytest.mark.parametrize("csv", [MARCH, HEADER])
def test_the_chart_says_whose_data_it_shows(csv: bytes) -> None:
    figure = analyse(csv, title="Hail in March", source="synthetic sample, in $rehearsal$").figure
    assert [text.get_text() for text in figure.texts] == ["Hail in March", "Data: synthetic sample, in $rehearsal$"]


@pytest.mark.parametrize(("length", "points"), [(13, 34.0), (66, 34.0), (200, 34 * 66 / 200)])
def test_a_long_title_is_drawn_smaller_and_stays_on_the_sheet(length: int, points: float) -> None:
    figure = analyse(HEADER, title=("hail in March " * 20)[:length], source="a test").figure
    assert figure.texts[0].get_fontsize() == points
    assert figure.texts[0].get_window_extent().x1 < figure.bbox.x1


class Stream(io.RawIOBase):
    """A CSV that is made as it is read; raises ``error`` at its end."""

    def __init__(self, blocks: Iterator[bytes], error: Exception | None = None) -> None:
        super().__init__()
        self.given = 0
        self._blocks, self._error, self._rest = blocks, error, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        if not self._rest and self._error is not None:
            raise self._error
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self.given += size
        return size

    def analyse(self) -> Analysis:
        return analysis.analyse(io.BufferedReader(self), title="", source="a test")


def test_a_csv_larger_than_memory_is_read_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(itertools.chain([HEADER], itertools.repeat(b"1993-03-25T16:10:00,1.75,3\n", 200_000)))
    row_bytes, read, ahead = 27, 0, []
    convert = analysis.COLUMNS["month"]

    def look(months: Any) -> Any:
        nonlocal read
        ahead.append(stream.given - read * row_bytes)
        read += len(months)
        return convert(months)

    monkeypatch.setitem(analysis.COLUMNS, "month", look)
    assert stream.analyse().counts == {"25": 200_000}
    assert stream.given > 5_000_000
    assert max(ahead) < (analysis.ROWS_AT_ONCE * row_bytes + 2 * 262_144)  # And what pandas has ahead.


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_where_the_parts_end_that_it_is_read_in_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int, block: int
) -> None:
    monkeypatch.setattr(analysis, "ROWS_AT_ONCE", rows_at_once)
    csv = HEADER.replace(b"month", b"month,place") + (
        b'1993-03-25T16:10:00,1.75,3,"Austin\nTexas"\n'
        b'1957-03-04 18:30:00,0.75,3,"""Waco"",\r\n"\n'
        b"1985-02-25T17:00:00.5,3.0,2,\n"
        b'1985-02-25T17:00:00,,2,"\n\n"\n'
    )
    result = Stream(iter([csv[first : first + block] for first in range(0, len(csv), block)])).analyse()
    assert (result.rows, list(result.counts.items())) == (4, [("4", 1), ("25", 3)])
    axes = result.figure.axes[0]
    assert axes.get_title(loc="left") == "4 reports, 1957 to 1993, hail up to 3 inches"
    assert axes.get_xticks().tolist() == list(range(1, 32))


def test_what_cannot_be_read_further_on_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "ROWS_AT_ONCE", 2)
    with pytest.raises(ValueError, match="CSV") as raised:
        analyse(MARCH + b"1993-03-25,big,3\n")
    assert str(raised.value) == (
        "the CSV's column magnitude cannot be read: Unable to parse string 'big' at position 1, counted from row 5"
    )


def test_empty_values_are_counted_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "ROWS_AT_ONCE", 2)
    with pytest.raises(ValueError, match=r"^the CSV's column month is empty in 3 rows$"):
        analyse(MARCH + b"1993-03-25,,\n" * 3)


@pytest.mark.parametrize("csv", [[], [HEADER], [HEADER, b"1993-03-25,1,3\n"], [HEADER, b"1993-03-25,1,3\n" * 30_000]])
@pytest.mark.parametrize(
    "error", [RuntimeError("it is damaged"), OSError("it is damaged"), ValueError("it is damaged")]
)
def test_what_the_stream_raises_at_its_end_is_raised(csv: list[bytes], error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        Stream(iter(csv), error).analyse()
    assert raised.value is error
