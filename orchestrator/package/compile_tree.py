"""Compiles every module under a folder. Run as ``python -I -S compile_tree.py FOLDER``, by the function's Python.

The bytecode says that it is not to be compared with its source (an unchecked hash, https://peps.python.org/pep-0552/).
Otherwise Python looks at the source's date, which is another one once it comes out of a zip: the module would be
compiled again at each cold start, as there is nowhere to keep the result.
"""

import os
import py_compile
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path


def main(folder: Path) -> None:
    """Compile with all processors; an OSError (a full disk) ends it with a traceback."""
    modules = sorted(folder.rglob("*.py"))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # Read to the end: an error in a worker is raised here.
        for _ in pool.map(partial(compile_module, folder), modules, chunksize=16):
            pass


def compile_module(folder: Path, module: Path) -> None:
    """Write ``__pycache__/<name>.<tag>.pyc``. What does not compile stays without: a template, or another Python's."""
    try:
        py_compile.compile(
            str(module),
            # Named as in the zip, so that the bytes do not say where they were made; tracebacks have the real path.
            dfile=module.relative_to(folder).as_posix(),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except py_compile.PyCompileError:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
