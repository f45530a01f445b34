"""The chart as the 2022 workshop's Lambda function drew it, for comparison: pyplot, one cell at a time.

Kept as it would be written by hand in a lesson, with the smallest changes for pandas 3; its chart has what ours has.
"""

import base64
import io
import json
from datetime import datetime

import matplotlib.pyplot as plt
import pandas as pd


def lambda_handler(csv: bytes) -> str:
    """The counts and the chart as JSON, for the bytes of a CSV."""
    df = pd.read_csv(io.BytesIO(csv))
    df["event_begin_time"] = df["event_begin_time"].apply(lambda cell: datetime.strptime(cell, "%Y-%m-%dT%H:%M:%S"))  # noqa: DTZ007
    df["event_begin_time"] = pd.to_datetime(df["event_begin_time"])
    df["day"] = df["event_begin_time"].dt.day
    counts = df.groupby("day")["event_begin_time"].count()

    fig, ax = plt.subplots(figsize=(20, 10))
    fig.set_facecolor("#eeeeee")
    ax.set_facecolor("#eeeeee")
    counts.reindex(range(1, 32), fill_value=0).plot(kind="bar", ax=ax, color="#805ac3", width=0.8, rot=0, fontsize=17)
    for day, count in zip(counts.index, counts, strict=True):
        ax.text(day - 1, count + 0.02, str(count), ha="center", fontsize=18)
    ax.set_xlabel("Day of month", fontsize=20)
    ax.set_ylabel("Hail reports", fontsize=20)
    ax.set_title("Hail in March", fontsize=34)
    ax.grid(axis="y", color="white", linewidth=2)
    ax.set_axisbelow(True)
    plt.draw()

    buffer = io.BytesIO()
    plt.savefig(buffer, format="png")
    plt.close()
    chart = base64.b64encode(buffer.getvalue()).decode()
    return json.dumps({"counts": {str(day): int(count) for day, count in counts.items()}, "chart_png": chart})
