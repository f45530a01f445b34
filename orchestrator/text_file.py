"""Files: reading a text that a person wrote, and replacing one of ours so that nobody ever sees half of it."""

import errno
import os
import stat
import tempfile
from pathlib import Path

from orchestrator.errors import UsageError

KIB = 1024


class NoFileError(OSError):
    """What stands there is no regular file."""


def read_text(path: Path, *, what: str, most: int, resolution: str) -> str:
    """Return the text of ``path``, which must be UTF-8 (a byte order mark is dropped) of ``most`` bytes at most.

    ``what`` names the kind of file ("config", "query"); ``resolution`` is the next thing to do when there is none.

    Raises:
        UsageError: the file is missing, a directory or a device, not readable, too long, or not UTF-8.
    """
    try:
        content = read_bytes(path, most + 1)
        if len(content) > most:
            raise UsageError(
                f"{path} is longer than {most // KIB} KiB",
                details=f"No {what} is that long.",
                resolution=resolution,
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist", details=f"It was to be the {what}.", resolution=resolution) from None
    except IsADirectoryError:
        raise UsageError(
            f"{path} is a directory", details=f"It was to be the {what}, a file.", resolution=resolution
        ) from None
    except NoFileError:
        raise UsageError(
            f"{path} is no file", details=f"It was to be the {what}, a regular file.", resolution=resolution
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


def read_bytes(path: Path, most: int) -> bytes:
    """Return what a file begins with, ``most`` bytes of it, and wait for nobody.

    Raises:
        NoFileError: it is a FIFO, a device or the like, which may never end.
        OSError: it is not there, or not readable.
    """
    # A FIFO would wait for somebody who writes into it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NoFileError(errno.EINVAL, "It is no regular file", str(path))
        return file.read(most)


def replace_text(path: Path, text: str) -> None:
    """``replace_bytes`` in UTF-8."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` in one step, synced, readable by its owner alone; the old file stays until then.

    Raises:
        OSError: the disk is full or the folder not writable; it names the path. The old file, if any, is untouched.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # Mode 0600.
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
