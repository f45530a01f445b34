"""What every handler does first: settings for the libraries, Matplotlib's folder, the download, words for a trim."""

import gc
import importlib.util
import io
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import cold_start
import left_out
import pytest

LEFT_OUT = "it was left out of the function's package; set package.trim to"
FUNCTION_CODE = Path(cold_start.__file__).parent


def say(code: str, *, libraries: Path, **environment: str) -> str:
    """What a fresh process prints that has the function's modules and these libraries."""
    program = f"import sys; sys.path[:0] = sys.argv[1:]; import os, cold_start\n{code}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program, str(FUNCTION_CODE), str(libraries)],
        env={"TMPDIR": str(libraries.parent / "tmp"), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "libraries" / "matplotlib-config").mkdir(parents=True)
    (tmp_path / "libraries" / "matplotlib-config" / "fontlist-v1.json").write_text("{}")
    return tmp_path / "libraries"


def test_matplotlib_gets_a_folder_with_the_packed_list_of_fonts(libraries: Path) -> None:
    folder = libraries.parent / "tmp" / "matplotlib"
    for _ in range(2):  # A second process may find the first one's.
        assert say("print(os.environ['MPLCONFIGDIR'])", libraries=libraries) == f"{folder}\n"
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("fontlist-v1.json", "{}")]


def test_without_a_packed_list_the_folder_is_empty(libraries: Path) -> None:
    (libraries / "matplotlib-config" / "fontlist-v1.json").unlink()
    (libraries / "matplotlib-config").rmdir()
    say("", libraries=libraries)
    assert list((libraries.parent / "tmp" / "matplotlib").iterdir()) == []


SHOW = "print(*(os.environ[name] for name in ('OPENBLAS_NUM_THREADS', 'MPLBACKEND', 'MPLCONFIGDIR')))"


def test_the_libraries_are_told_what_is_wanted_and_a_stack_may_say_otherwise(libraries: Path) -> None:
    assert say(SHOW, libraries=libraries) == f"1 Agg {libraries.parent}/tmp/matplotlib\n"
    other = {"OPENBLAS_NUM_THREADS": "2", "MPLBACKEND": "svg", "MPLCONFIGDIR": "/elsewhere"}
    assert say(SHOW, libraries=libraries, **other) == "2 svg /elsewhere\n"


@pytest.fixture
def gc_of_a_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is called of the garbage collector; this process's own stays as it is."""
    calls: list[str] = []
    for name in ("disable", "freeze", "enable"):
        monkeypatch.setattr(gc, name, lambda name=name: calls.append(name))
    return calls


def test_the_collector_rests_while_the_libraries_are_imported(
    gc_of_a_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "chart", raising=False)
    with cold_start.importing():
        gc_of_a_process.append("import")
    assert gc_of_a_process == ["disable", "import", "freeze", "enable"]
    gc_of_a_process.clear()
    with pytest.raises(ImportError), cold_start.importing():
        raise ImportError
    assert gc_of_a_process == ["disable", "freeze", "enable"]


def test_it_rests_once(gc_of_a_process: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chart", sys)
    with cold_start.importing():
        gc_of_a_process.append("import")
    assert gc_of_a_process == ["import"]


def test_a_download_goes_on_beside_its_caller() -> None:
    started, go_on = threading.Event(), threading.Event()

    def fetch() -> Generator[bytes, None, None]:
        started.set()
        assert go_on.wait(10)
        yield from (b"day,", b"", b"hail\n")  # One that is empty is not the end.

    with cold_start.Download(fetch) as download:
        assert started.wait(10)
        go_on.set()
        stream = download.stream()
        assert [stream.read(3), stream.read(), stream.read(), stream.read(1)] == [b"day", b",hail\n", b"", b""]


def test_a_download_that_does_not_begin_raises_before_there_is_a_stream() -> None:
    def fetch() -> Generator[bytes, None, None]:
        raise RuntimeError("cannot read s3://data/extract.csv")
        yield b""

    with (
        cold_start.Download(fetch) as download,
        pytest.raises(RuntimeError, match=r"^cannot read s3://data/extract\.csv$"),
    ):
        download.stream()


def test_a_download_that_breaks_off_raises_where_it_did_and_from_there_on() -> None:
    def fetch() -> Generator[bytes, None, None]:
        yield b"day,hail\n25,"
        raise RuntimeError("it is damaged")

    with cold_start.Download(fetch) as download:
        stream = download.stream()
        assert stream.readline() == b"day,hail\n"
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"^it is damaged$"):
                stream.read()


def test_no_more_than_some_blocks_are_ahead_of_the_reader() -> None:
    fetched = 0
    nine = threading.Event()

    def fetch() -> Generator[bytes, None, None]:
        nonlocal fetched
        for fetched in range(1, 1001):
            if fetched == 9:  # Eight wait, and one is in the fetch's hand.
                nine.set()
            yield b"12345678"

    with cold_start.Download(fetch) as download:
        assert nine.wait(10)
        stream = io.BufferedReader(download, 8)
        for taken in range(1000):
            assert fetched <= taken + 9
            assert stream.read(8) == b"12345678"
        assert stream.read(8) == b""


@pytest.mark.parametrize("blocks", [1, 9, 10, 100])
def test_a_fetch_ends_when_nobody_reads_on(blocks: int) -> None:
    last, ended = threading.Event(), threading.Event()

    def fetch() -> Generator[bytes, None, None]:
        try:
            for number in range(1, blocks + 1):
                if number == min(blocks, 10):  # One is taken, eight wait: there is no room for the tenth.
                    last.set()
                yield b"25,1\n"
        finally:
            ended.set()

    before = set(threading.enumerate())
    with cold_start.Download(fetch) as download:
        assert download.stream().read(1) == b"2"
        assert last.wait(10)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert ended.is_set()
    assert set(threading.enumerate()) <= before


@pytest.fixture
def trimmed(libraries: Path) -> Path:
    (libraries / "left-out.txt").write_text("contourpy safe\nmatplotlib.testing none\n")
    (libraries / "matplotlib").mkdir()
    (libraries / "matplotlib" / "__init__.py").touch()
    return libraries


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (
            "import contourpy.util",
            f"No module named 'contourpy': {LEFT_OUT} \"safe\", then run again",
        ),
        (
            "from matplotlib import testing",
            f"No module named 'matplotlib.testing': {LEFT_OUT} \"none\", then run again",
        ),
        ("import seaborn", "No module named 'seaborn'"),
        ("import matplotlib.seaborn", "No module named 'matplotlib.seaborn'"),
    ],
)
def test_a_missing_import_says_which_setting_keeps_it(trimmed: Path, statement: str, text: str) -> None:
    code = f"try:\n    {statement}\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert say(code, libraries=trimmed) == f"{text}\n"


def test_a_module_that_is_there_after_all_is_imported(trimmed: Path) -> None:
    (trimmed / "contourpy.py").touch()
    assert say("import contourpy; print(contourpy.__file__)", libraries=trimmed) == f"{trimmed}/contourpy.py\n"


def test_there_is_one_finder_however_often_it_is_asked_for() -> None:
    before = len(sys.meta_path)
    left_out.explain_missing_imports()
    assert len(sys.meta_path) == before
    assert importlib.util.find_spec("no_such_module") is None
    assert os.environ["OPENBLAS_NUM_THREADS"]
