"""What only real clouds can show; docs/fidelity.md has the whole table. All of these ask about one run:

- That it ends well: the caller's credentials and permissions, the real providers' plugins, new roles and names that
  take a while to be known, quotas, the wheels on the cloud's own processor and Python, its own host of the function.
- What it costs: BigQuery's own bytes.
- The reports: BigQuery's own dialect, tables and CSV.
- The chart: the same libraries on another processor, with that machine's fonts.
- Nothing left: how long the real listings lag, and what the real services leave behind by themselves.
"""

import io
from typing import Any

import analysis
import chart
import numpy as np
import pytest
from PIL import Image

from tests.live import facts, runs

MARCH = {
    "4": 1, "10": 1, "11": 1, "12": 3, "16": 1, "20": 3, "21": 1, "23": 1, "25": 11, "27": 2, "28": 1, "30": 1
}  # fmt: skip
_MOST_OTHER_PIXELS = 0.001  # Antialiasing may round differently on another processor.


def ended_well(live: runs.Run) -> dict[str, Any]:
    if live.code or live.result is None:
        pytest.skip(f"the run ended with exit code {live.code}")
    return live.result


def test_the_run_ends_well(live: runs.Run) -> None:
    if live.code:
        pytest.fail(f"exit code {live.code}\n{live.said}", pytrace=False)
    assert live.result is not None
    assert (live.result["mode"], live.result["status"]) == ("live", "done")
    assert {phase["status"] for phase in live.result["phases"]} == {"done"}


def test_it_costs_at_most_a_cent(live: runs.Run) -> None:
    result = ended_well(live)
    assert result["cost_usd"] <= runs.MOST_USD
    assert result["bytes_billed"] <= runs.MOST_BYTES


def test_the_reports_are_the_known_ones(live: runs.Run) -> None:
    result = ended_well(live)
    header, *reports = (live.directory / "extract.csv").read_text().splitlines()
    assert [header, *sorted(reports)] == facts.REPORTS.read_text().splitlines()
    assert (result["rows"], result["counts"]) == (27, MARCH)


def test_the_chart_is_the_one_that_is_drawn_here(live: runs.Run) -> None:
    result = ended_well(live)
    with (live.directory / "extract.csv").open("rb") as extract:
        here = analysis.analyse(extract, title=result["title"], source=result["data_source"])
    theirs, ours = (
        np.asarray(Image.open(io.BytesIO(png), formats=["PNG"]).convert("L"), dtype=int)
        for png in ((live.directory / "chart.png").read_bytes(), chart.png(here.figure))
    )
    assert theirs.shape == ours.shape
    assert (abs(theirs - ours) > 32).mean() < _MOST_OTHER_PIXELS


def test_the_clouds_list_nothing_of_the_run(live: runs.Run) -> None:
    if live.asked is None:
        pytest.skip(f"nothing was made: the run ended with exit code {live.code}")
    if live.asked["left"]:
        pytest.fail("\n".join([f"left of run {live.run_id}:", *live.asked["left"]]), pytrace=False)
    code, said = live.recovered or (None, "")
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("destroy")] == []  # It asked the clouds, and had no more to do.
    assert (code, lines[-1:]) == (0, [f"0 left of run {live.run_id}."])
