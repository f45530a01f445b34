"""What is left out of the function's libraries, and why that is safe: reviewed lists, one for each ``package.trim``.

``full``, the default, keeps what the shipped analysis needs: the function's own tests run on it, and its chart has the
same bytes as the untrimmed one's. An analysis of your own may need more: an import that fails says which setting to
change (function_code/left_out.py). ``safe`` keeps what any analysis could import, ``none`` keeps everything.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal

from orchestrator.package import font_list

Trim = Literal["full", "safe", "none"]

LEFT_OUT: Final = "left-out.txt"
"""Beside the libraries: a line for each module that is not there, with the ``package.trim`` that keeps it."""

UV_LEFTOVERS: Final = (
    ".lock",  # uv's lock on the folder.
    "bin",  # Scripts that start this machine's Python.
    "*.dist-info/RECORD",  # Has the hashes of those scripts.
)

REVIEWED: Final = (
    "PIL",
    "contourpy",
    "dateutil",
    "fontTools",
    "kiwisolver",
    "matplotlib",
    "mpl_toolkits",
    "numpy",
    "pandas",
)
"""The packages that lose their `NOT_RUN` files. A library that requirements.in gains keeps all of its own:
astropy imports its tests, scikit-image reads its stubs."""

NOT_RUN: Final = (
    "tests",  # 18 of pandas' 48 MB.
    "*.pyi",  # Stubs, for type checkers.
    "*.h",  # For compiling against the package: headers ...
    "*.a",  # ... static libraries,
    "*.c",  # ... sources,
    "*.pxd",  # ... and Cython's.
    "*.pyx",
)

SAFE: Final = (
    *(f"{package}/**/{what}" for package in REVIEWED for what in NOT_RUN),
    "matplotlib/mpl-data/sample_data",  # The gallery's examples.
    "matplotlib/testing",  # Image comparison for test suites. numpy.testing stays: pandas.testing imports it.
    "matplotlib/sphinxext",  # For building documentation.
    "numpy/_core/_*_tests.*.so",  # Extensions that only numpy's tests load ...
    "numpy/_core/_simd.*.so",  # ... as is this one.
    "share/man",  # Manual pages.
    "*.dist-info/INSTALLER",  # An installer's notes. METADATA, entry points and licences stay.
    "*.dist-info/REQUESTED",
    "*.dist-info/WHEEL",
    "*.dist-info/sboms",
)
"""Globs in the folder of packages: what no analysis needs. Every module that is left still imports.

numpy.f2py (1.4 MB) stays: without it ``from numpy import *`` fails, and pylab does that.
"""

FULL: Final = (
    # Drawing contours and triangulations (1.1, 1.1 and 0.8 MB): Matplotlib imports these when such a plot is drawn.
    "contourpy",
    "contourpy-*.dist-info",
    "matplotlib/_qhull.*.so",
    "matplotlib/_tri.*.so",
    # 3D axes and other helpers. Matplotlib warns that 3D is missing; function_code/cold_start.py keeps that quiet.
    "mpl_toolkits",
    # The icons of windows' toolbars: there is no window.
    "matplotlib/mpl-data/images",
    # A plug-in of a documentation builder.
    "matplotlib/mpl-data/plot_directive",
    # Wraps Fortran code, which takes a compiler. numpy imports it when somebody names it.
    "numpy/f2py",
    # Time zones by name (2.6 MB): the reports' times are local ones. UTC needs none of it.
    "tzdata",
    "tzdata-*.dist-info",
    # Pillow writes the chart's PNG with _imaging alone. AVIF, WebP, colour profiles, its own way to draw text, Tk: each
    # an extension that Pillow does without, and the libraries that only it is linked to (10 MB).
    "PIL/_avif.*.so",
    "PIL/_imagingcms.*.so",
    "PIL/_imagingft.*.so",
    "PIL/_imagingtk.*.so",
    "PIL/_webp.*.so",
    "pillow.libs/libavif*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*",
    "pillow.libs/liblcms2*",
    "pillow.libs/libpng16*",
    "pillow.libs/libsharpyuv*",
    "pillow.libs/libwebp*",
)
"""Globs, besides those of `SAFE`: what the shipped analysis does not need, and another may."""

ONLY: Final[Mapping[str, Sequence[str]]] = {
    # Matplotlib imports its table of glyph names; the rest reads and writes font files, for PDF and PostScript (22 MB).
    "fontTools": ("__init__.py", "agl.py", "misc"),
    "fontTools/misc": ("__init__.py", "loggingTools.py", "textTools.py"),
    # Agg draws the PNG. The others draw PDF, SVG and PostScript, or into windows and browsers.
    "matplotlib/backends": ("__init__.py", "_backend_agg.*.so", "backend_agg.py", "registry.py"),
    # The default font as the chart uses it, and the boxes for characters that it lacks, which Matplotlib always opens.
    # Without afm and pdfcorefonts, which are for PDF and PostScript (9 MB in all).
    "matplotlib/mpl-data/fonts": ("ttf",),
    "matplotlib/mpl-data/fonts/ttf": (*font_list.FONTS, "LastResortHE-Regular.ttf", "LICENSE*"),
}
"""Folders of which ``full`` keeps what is named here and nothing more."""


def trim(packages: Path, how: Trim) -> None:
    """Remove what ``how`` leaves out of the libraries in ``packages``, and write down there which modules that were."""
    left_out: dict[str, Trim] = {}
    _remove(packages, _matching(packages, UV_LEFTOVERS))
    if how != "none":
        left_out |= dict.fromkeys(_remove(packages, _matching(packages, SAFE)), "none")
    if how == "full":
        left_out |= dict.fromkeys(_remove(packages, [*_matching(packages, FULL), *_besides(packages, ONLY)]), "safe")
        font_list.write(packages)
    if left_out:
        lines = (f"{module} {keeps}\n" for module, keeps in sorted(left_out.items()))
        (packages / LEFT_OUT).write_text("".join(lines), encoding="utf-8")


def described(how: Trim) -> str:
    """All that decides what is left out, for the cache."""
    rules = {"none": (UV_LEFTOVERS,), "safe": (UV_LEFTOVERS, SAFE), "full": (UV_LEFTOVERS, SAFE, FULL, ONLY)}
    return f"{rules[how]} {font_list.FORMAT}" if how == "full" else str(rules[how])


def _matching(packages: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in packages.glob(pattern)]


def _besides(packages: Path, only: Mapping[str, Sequence[str]]) -> list[Path]:
    return [
        path
        for folder, kept in only.items()
        if (packages / folder).is_dir()
        for path in (packages / folder).iterdir()
        if not any(fnmatch(path.name, pattern) for pattern in kept)
    ]


def _remove(packages: Path, paths: Iterable[Path]) -> list[str]:
    """The modules that are gone with them, without those of a package that is gone itself."""
    modules = []
    for path in paths:
        name = _module(path.relative_to(packages), is_package=any(path.rglob("*.py")))
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():  # It may have gone with a folder that matched, too.
            path.unlink()
        else:
            continue
        if name is not None:
            modules.append(name)
    return modules


def _module(path: Path, *, is_package: bool) -> str | None:
    """As it is imported, None for what is no module: "PIL._avif" for PIL/_avif.cpython-313-aarch64-linux-gnu.so."""
    if not is_package and path.suffix not in {".py", ".so"}:
        return None
    names = [*path.parts[:-1], path.name.partition(".")[0]]
    return ".".join(names) if all(name.isidentifier() for name in names) else None
