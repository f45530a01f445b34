"""What makes a cold start short. Every handler imports it before anything else.

Importing pandas and Matplotlib is most of a cold start. They are told here what the function wants of them, before they
are imported. What the stack has set stays as it is.
"""

import gc
import io
import os
import queue
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import left_out

left_out.explain_missing_imports()

# numpy would start a thread for each processor, and the chart has no matrices for them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# For an analysis that uses pyplot: otherwise that tries one kind of window after the other.
os.environ.setdefault("MPLBACKEND", "Agg")
# The package may come without 3D axes: orchestrator/package/trimming.py.
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


BLOCK_BYTES = 1 << 20
"""What a handler reads at once."""
_BLOCKS_AHEAD = 8


class Download(io.RawIOBase):
    """The CSV, fetched in blocks while the libraries are imported: the network takes no processor.

    Some blocks are fetched before they are asked for, and no more than some: the function's memory may be smaller than
    the CSV. Who leaves it closes it, or its thread would wait for ever; a fetch that goes on ends with its next block.
    """

    def __init__(self, fetch: Callable[[], Generator[bytes, None, None]]) -> None:
        super().__init__()
        # After the blocks, and for ever: b"", or what went wrong.
        self._blocks: queue.Queue[bytes | BaseException] = queue.Queue(_BLOCKS_AHEAD)
        self._rest = memoryview(b"")
        threading.Thread(target=self._run, args=(fetch,), daemon=True).start()

    def _run(self, fetch: Callable[[], Generator[bytes, None, None]]) -> None:
        end: bytes | BaseException = b""
        try:
            with closing(fetch()) as blocks:
                for block in blocks:
                    if self.closed:
                        return
                    if block:
                        self._blocks.put(block)
        except BaseException as error:  # noqa: BLE001 - raised again where the content is wanted
            end = error
        self._blocks.put(end)

    def stream(self) -> BinaryIO:
        """The CSV, once there is something to read; raises what the fetch raised before."""
        self._rest = self._next()
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is of a block; raises, in its place, what the fetch raised."""
        if not self._rest:
            self._rest = self._next()
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _next(self) -> memoryview:
        block = self._blocks.get()
        if isinstance(block, bytes) and block:
            return memoryview(block)
        self._blocks.put(block)  # Who asks again gets it again.
        if isinstance(block, BaseException):
            raise block
        return memoryview(b"")

    def close(self) -> None:
        """Fetch no more."""
        super().close()
        with suppress(queue.Empty):
            while True:  # Makes room: the thread puts what it has, and then looks whether this is closed.
                self._blocks.get_nowait()
