"""An import that fails because the package was trimmed says which setting to change.

The package has, beside its libraries, the list of the modules that were left out (orchestrator/package/trimming.py).
"""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

_LIST = "left-out.txt"


def explain_missing_imports() -> None:
    """From here on. Asked last, after all that could find the module."""
    if not any(isinstance(finder, _LeftOut) for finder in sys.meta_path):
        sys.meta_path.append(_LeftOut())


def beside_libraries(name: str) -> Path | None:
    """A file or folder that stands where the libraries do; None when there is none."""
    return next((path for folder in sys.path if (path := Path(folder, name)).exists()), None)


class _LeftOut:
    """Finds nothing; refuses what was left out, in our words."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        keeps = _left_out().get(name)
        if keeps is not None:
            # Without its attribute name: by that, "from package import module" takes it for any missing module, and
            # raises words of its own.
            raise ModuleNotFoundError(
                f"No module named {name!r}: it was left out of the function's package; "
                f'set package.trim to "{keeps}", then run again'
            )


@cache
def _left_out() -> dict[str, str]:
    """The modules, each with the setting that keeps it."""
    path = beside_libraries(_LIST)
    if path is None:
        return {}
    return dict(line.split() for line in path.read_text(encoding="utf-8").splitlines())
