"""``python -m tests.bench [--turns N] [--json FILE] [PART ...]``: one table of all measurements, and JSON beside it.

Figures without a verdict: machines are noisy, and differ. Ratios are of measurements side by side.
"""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import cold_function, engine, growth, runs

Rows = list[dict[str, Any]]
PARTS: dict[str, Callable[[int], Rows]] = {
    "runs": runs.rows,
    "engine": engine.rows,
    "function": cold_function.rows,
    "growth": growth.rows,
}


def main() -> None:
    """Measure what is asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all by default")
    parser.add_argument("--turns", type=int, default=5, help="turns of each measurement (5)")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the figures go (bench.json)")
    chosen = parser.parse_args()
    measured = {part: PARTS[part](chosen.turns) for part in chosen.parts or PARTS}
    chosen.json.write_text(json.dumps({"machine": platform.platform(), "parts": measured}, indent=2) + "\n")
    for part, rows in measured.items():
        Console().print(_table(part, rows))


def _table(title: str, rows: Rows) -> Table:
    table = Table(title=title)
    shown = [name for name, value in rows[0].items() if not isinstance(value, list)]
    for name in shown:
        table.add_column(name)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in shown))
    return table


if __name__ == "__main__":
    main()
