"""The list of fonts in the package is what Matplotlib itself would write for these fonts."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib import font_manager

from orchestrator.package import font_list


def packed(folder: Path, version: str) -> Path:
    source = f'class FontManager:\n    """The fonts."""\n\n    __version__ = {version!r}\n'
    (folder / "matplotlib").mkdir()
    (folder / "matplotlib" / "font_manager.py").write_text(source)
    font_list.write(folder)
    return folder / "matplotlib-config"


def test_it_is_what_matplotlib_writes_for_the_fonts_of_the_chart(tmp_path: Path) -> None:
    written = packed(tmp_path, font_manager.FontManager.__version__) / f"fontlist-v{font_list.FORMAT}.json"
    font_manager.json_dump(font_manager.FontManager(), tmp_path / "own.json")
    own: dict[str, Any] = json.loads((tmp_path / "own.json").read_text())
    in_package = [f"fonts/ttf/{name}" for name in font_list.FONTS]
    own["ttflist"] = [font for name in in_package for font in own["ttflist"] if font["fname"] == name]
    assert json.loads(written.read_text()) == own | {"afmlist": []}


def test_matplotlib_finds_the_fonts_with_it(tmp_path: Path) -> None:
    written = packed(tmp_path, font_list.FORMAT) / f"fontlist-v{font_list.FORMAT}.json"
    fonts = font_manager.json_load(written)
    data = Path(mpl.get_data_path())
    for weight, name in (("normal", "DejaVuSans.ttf"), ("bold", "DejaVuSans-Bold.ttf")):
        found = fonts.findfont(font_manager.FontProperties(family="sans-serif", weight=weight))
        assert Path(str(found)).relative_to(data) == Path("fonts", "ttf", name)


@pytest.mark.parametrize("version", ["3.12.0", "390"])
def test_a_matplotlib_of_another_format_gets_none(tmp_path: Path, version: str) -> None:
    assert not packed(tmp_path, version).exists()


def test_without_matplotlib_there_is_none(tmp_path: Path) -> None:
    font_list.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
