"""What makes a cold start short. Every handler imports it before anything else.

Importing pandas and Matplotlib is most of a cold start. They are told here what the function wants of them, before they
are imported. What the stack has set stays as it is.
"""

import gc
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import left_out

left_out.explain_missing_imports()

# numpy would start a thread for each processor, and the chart has no matrices for them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# For an analysis that uses pyplot: otherwise that tries one kind of window after the other.
os.environ.setdefault("MPLBACKEND", "Agg")
# The package may come without 3D axes: orchestrator/trimming.py.
warnings.filterwarnings("ignore", message="Unable to import Axes3D", category=UserWarning)


def _give_matplotlib_its_folder() -> None:
    """Point Matplotlib to a folder that it may write to, with the list of fonts that came with the package.

    Of a read-only folder it would not even read the list, and nothing but the temporary folder can be written.
    """
    if "MPLCONFIGDIR" in os.environ:
        return
    folder = Path(tempfile.gettempdir(), "matplotlib")
    folder.mkdir(exist_ok=True)
    os.environ["MPLCONFIGDIR"] = str(folder)
    packed = left_out.beside_libraries("matplotlib-config")
    for list_of_fonts in packed.iterdir() if packed else ():
        (folder / list_of_fonts.name).write_bytes(list_of_fonts.read_bytes())


_give_matplotlib_its_folder()


@contextmanager
def importing() -> Iterator[None]:
    """Import the libraries in this block without the garbage collector: it would search what stays in any case."""
    if "chart" in sys.modules:  # They are imported.
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Download(threading.Thread):
    """Fetches the CSV while the libraries are imported: the network takes no processor."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        super().__init__(daemon=True)
        self._fetch = fetch
        self._content = b""
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Fetch, in the thread."""
        try:
            self._content = self._fetch()
        except BaseException as error:  # noqa: BLE001 - raised again where the content is wanted
            self._error = error

    def content(self) -> bytes:
        """Wait for the CSV; raises what the fetch raised."""
        self.join()
        error, self._error = self._error, None  # Its traceback leads back here: a circle, which would keep all in it.
        if error is not None:
            raise error
        return self._content
