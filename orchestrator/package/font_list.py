"""The list of fonts that Matplotlib reads at its start, made with the package, for the fonts that are in it.

Without one, Matplotlib opens every font file that it finds at each cold start, which takes 0.2 s, and writes its own.
"""

import json
import re
from pathlib import Path
from typing import Final

FORMAT: Final = "3.11.0"
"""The `FontManager.__version__` whose list this module writes: Matplotlib reads only the list of its own format."""

FOLDER: Final = "matplotlib-config"
"""Where it stands, beside the libraries: what function_code/cold_start.py puts into Matplotlib's folder."""

FONTS: Final = {"DejaVuSans.ttf": 400, "DejaVuSans-Bold.ttf": 700}
"""Matplotlib's default font, as far as the chart uses it: files in its fonts/ttf, and their weights."""

_ALIKE: Final = {
    "name": "DejaVu Sans",
    "style": "normal",
    "variant": "normal",
    "stretch": "normal",
    "size": "scalable",
    "__class__": "FontEntry",
}


def write(packages: Path) -> None:
    """Write the list beside the libraries in ``packages``; not for a Matplotlib whose format is another, or none.

    That one makes a list of its own when it starts.
    """
    font_manager = packages / "matplotlib" / "font_manager.py"
    if not font_manager.exists():
        return
    found = re.search(r"^ +__version__ = '(.+)'$", font_manager.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None or found[1] != FORMAT:
        return
    # As Matplotlib's own json_dump does, with paths relative to its data.
    fonts = [{"fname": f"fonts/ttf/{name}", "index": 0, "weight": weight, **_ALIKE} for name, weight in FONTS.items()]
    listed = {
        "_version": FORMAT,
        "_FontManager__default_weight": "normal",
        "default_size": None,
        "defaultFamily": {"ttf": "DejaVu Sans", "afm": "Helvetica"},
        "afmlist": [],
        "ttflist": fonts,
        "__class__": "FontManager",
    }
    (packages / FOLDER).mkdir()
    (packages / FOLDER / f"fontlist-v{FORMAT}.json").write_text(json.dumps(listed, indent=2), encoding="utf-8")
