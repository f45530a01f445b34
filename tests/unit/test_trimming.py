"""What is left out of the libraries, what stays, and that the package says which modules are not there."""

from pathlib import Path

import pytest

from orchestrator.package import font_list, trimming
from orchestrator.package.trimming import Trim

TAG = "cpython-313-aarch64-linux-gnu.so"
KEPT_BY_ALL = (
    "PIL/Image.py",
    f"PIL/_imaging.{TAG}",
    "astropy/tests/runner.py",
    "fontTools/__init__.py",
    "fontTools/agl.py",
    "fontTools/misc/__init__.py",
    "fontTools/misc/loggingTools.py",
    "fontTools/misc/textTools.py",
    f"matplotlib/backends/_backend_agg.{TAG}",
    "matplotlib/backends/backend_agg.py",
    "matplotlib/mpl-data/fonts/ttf/DejaVuSans-Bold.ttf",
    "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf",
    "matplotlib/mpl-data/fonts/ttf/LICENSE_DEJAVU",
    "matplotlib/mpl-data/fonts/ttf/LastResortHE-Regular.ttf",
    "matplotlib/mpl-data/matplotlibrc",
    "matplotlib/pyplot.py",
    f"numpy/_core/_multiarray_umath.{TAG}",
    "numpy/testing/__init__.py",
    "pandas-3.1.1.dist-info/METADATA",
    "pandas-3.1.1.dist-info/entry_points.txt",
    "pandas-3.1.1.dist-info/licenses/LICENSE",
    "pandas/_testing/__init__.py",
    "pandas/testing.py",
    "pillow.libs/libtiff-0c352bdc.so.6.3.0",
    "skimage/__init__.pyi",
)
KEPT_BY_SAFE = (
    f"PIL/_avif.{TAG}",
    "contourpy/__init__.py",
    "contourpy-1.4.0.dist-info/METADATA",
    "fontTools/misc/eexec.py",
    "fontTools/ttLib/__init__.py",
    "matplotlib/backends/backend_pdf.py",
    "matplotlib/backends/web_backend/all_figures.html",
    f"matplotlib/_tri.{TAG}",
    "matplotlib/mpl-data/fonts/afm/cmr10.afm",
    "matplotlib/mpl-data/fonts/ttf/STIXGeneral.ttf",
    "matplotlib/mpl-data/images/home.svg",
    "mpl_toolkits/mplot3d/__init__.py",
    "numpy/f2py/__init__.py",
    "pillow.libs/libavif-ba04b566.so.16.4.2",
    "tzdata/__init__.py",
    "tzdata/zoneinfo/Europe/Paris",
)
KEPT_BY_NONE = (
    "contourpy/_contourpy.pyi",
    "matplotlib/mpl-data/sample_data/jacksboro_fault_dem.npz",
    "matplotlib/sphinxext/roles.py",
    "matplotlib/testing/__init__.py",
    "matplotlib/testing/compare.py",
    "mpl_toolkits/mplot3d/tests/__init__.py",
    "numpy/__init__.cython-30.pxd",
    f"numpy/_core/_simd.{TAG}",
    f"numpy/_core/_umath_tests.{TAG}",
    "numpy/_core/include/numpy/arrayobject.h",
    "numpy/_core/lib/libnpymath.a",
    "pandas/tests/__init__.py",
    "pandas/tests/io/tests/test_csv.py",
    "pandas-3.1.1.dist-info/INSTALLER",
    "pandas-3.1.1.dist-info/REQUESTED",
    "pandas-3.1.1.dist-info/WHEEL",
    "pillow-13.0.0.dist-info/sboms/auditwheel.cdx.json",
    "share/man/man1/ttx.1",
)
KEPT_BY_NO_ONE = (".lock", "bin/f2py", "pandas-3.1.1.dist-info/RECORD")

LEFT_OUT_BY_SAFE = """\
matplotlib.sphinxext none
matplotlib.testing none
mpl_toolkits.mplot3d.tests none
numpy._core._simd none
numpy._core._umath_tests none
pandas.tests none
"""
LEFT_OUT_BY_FULL = """\
PIL._avif safe
contourpy safe
fontTools.misc.eexec safe
fontTools.ttLib safe
matplotlib._tri safe
matplotlib.backends.backend_pdf safe
matplotlib.sphinxext none
matplotlib.testing none
mpl_toolkits safe
mpl_toolkits.mplot3d.tests none
numpy._core._simd none
numpy._core._umath_tests none
numpy.f2py safe
pandas.tests none
tzdata safe
"""


@pytest.mark.parametrize(
    ("how", "kept", "left_out"),
    [
        ("full", KEPT_BY_ALL, LEFT_OUT_BY_FULL),
        ("safe", KEPT_BY_ALL + KEPT_BY_SAFE, LEFT_OUT_BY_SAFE),
        ("none", KEPT_BY_ALL + KEPT_BY_SAFE + KEPT_BY_NONE, None),
    ],
)
def test_what_is_left_out_and_which_modules_are_said_to_be(
    tmp_path: Path, how: Trim, kept: tuple[str, ...], left_out: str | None
) -> None:
    for name in KEPT_BY_ALL + KEPT_BY_SAFE + KEPT_BY_NONE + KEPT_BY_NO_ONE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    trimming.trim(tmp_path, how)
    said = tmp_path / "left-out.txt"
    assert (said.read_text() if said.exists() else None) == left_out
    said.unlink(missing_ok=True)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        kept
    )


def test_libraries_of_which_nothing_is_reviewed_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").touch()
    trimming.trim(tmp_path, "full")
    assert [path.name for path in tmp_path.iterdir()] == ["flask"]


def test_the_cache_tells_one_trim_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    hows: tuple[Trim, ...] = ("full", "safe", "none")
    said = {how: trimming.described(how) for how in hows}
    assert len(set(said.values())) == 3
    monkeypatch.setattr(trimming, "SAFE", (*trimming.SAFE, "pandas/io/sas"))
    assert [how for how, text in said.items() if trimming.described(how) != text] == ["full", "safe"]
    monkeypatch.undo()
    monkeypatch.setattr(font_list, "FORMAT", "3.12.0")
    assert [how for how, text in said.items() if trimming.described(how) != text] == ["full"]
