"""Text files: reading one that a person wrote, and replacing one of ours so that nobody ever sees half of it."""

import os
import tempfile
from pathlib import Path

from orchestrator.errors import UsageError


def read_text(path: Path, *, what: str, resolution: str) -> str:
    """Return the text of ``path``, which must be UTF-8 (a byte order mark is dropped).

    ``what`` names the kind of file ("config", "query"); ``resolution`` is the next thing to do when there is none.

    Raises:
        UsageError: the file is missing, a directory, not readable, or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist", details=f"It was to be the {what}.", resolution=resolution) from None
    except IsADirectoryError:
        raise UsageError(
            f"{path} is a directory", details=f"It was to be the {what}, a file.", resolution=resolution
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read",
            details=f"The system says: {error.strerror}.",
            resolution="make the file readable for you, or name another one.",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path} is not UTF-8 text",
            details=f"line {line}: the byte 0x{error.object[error.start]:02x} does not belong there",
            resolution="save the file as UTF-8.",
        ) from None


def replace_text(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one step, synced, readable by its owner alone; the old file stays until then.

    Raises:
        OSError: the disk is full or the folder not writable; the old file, if any, is untouched.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # Mode 0600.
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
