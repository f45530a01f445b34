"""The function as a compute cloud takes it: its own modules and its libraries, in one zip or in two.

They are zips, cached by content under the home: the name of a cached file carries the hash of what went in
and the sha256 of what came out, so a file that does not match its name is built again. The same input
gives the same bytes (files sorted, dates and permissions fixed). What the clouds would compile at each cold
start is compiled here (`bytecode`). One build runs at a time; a killed one
leaves a ``.building-`` folder, which the next removes.
"""

import errno
import fcntl
import hashlib
import json
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.package import bytecode, libraries, trimming

FUNCTION_CODE: Final = Path(__file__).parents[2] / "function_code"

MB: Final = 1024 * 1024
"""The clouds' megabyte."""

_KEPT = 5

ARCHIVE_FORMAT: Final = 3
"""Raise it when this module zips or installs the same input differently, so that older archives are not used."""


@dataclass(frozen=True)
class Layout:
    """How a service wants its zips.

    ``handler`` is the module that the service imports, ``requirements`` the lock file in function_code; the libraries
    go into the folder ``libraries`` of the zip with the function's modules, or of a zip of their own if that is to be
    a ``layer``. ``most_bytes`` is what all may unzip to; None: no limit that a function comes near.
    """

    service: str
    handler: str
    requirements: str
    libraries: str
    layer: bool = False
    most_bytes: int | None = None


@dataclass(frozen=True)
class Target:
    """Where the package will run, and how it is to look.

    ``python`` is the version ("3.13"), ``platform`` uv's name for a platform ("aarch64-manylinux_2_28"),
    or None for this machine, where the rehearsal's function host runs.
    https://docs.astral.sh/uv/reference/cli/#uv-pip-install--python-platform
    """

    python: str
    platform: str | None
    layout: Layout

    def on_this_machine(self) -> "Target":
        """The same package for the Python and the processor that run this program."""
        return replace(self, python=f"{sys.version_info.major}.{sys.version_info.minor}", platform=None)

    def __str__(self) -> str:
        """As messages name it."""
        return f"Python {self.python} on {self.platform or sysconfig.get_platform()}"


@dataclass(frozen=True)
class Archive:
    """A zip on disk; ``sha256`` in hex."""

    path: Path
    sha256: str
    zipped_bytes: int
    unzipped_bytes: int


@dataclass(frozen=True)
class Package:
    """What a compute stack uploads; ``layer`` is None where the libraries are in the function's archive."""

    function: Archive
    layer: Archive | None

    @property
    def zipped_bytes(self) -> int:
        """What is uploaded."""
        return self.function.zipped_bytes + (self.layer.zipped_bytes if self.layer else 0)


def build(target: Target, *, trim: trimming.Trim, cache: Path, progress: Callable[[str], None]) -> Package:
    """Build what the target's layout asks for, or take it from ``cache``.

    The function's modules stand at the root of its archive. ``progress`` gets short lines, from this thread.

    Raises:
        UsageError: it is larger than the service takes, with the largest folders.
        OrchestratorError: the libraries could not be fetched, or the disk is full.
    """
    cache = cache.absolute()  # uv runs in another folder.
    compiler = bytecode.find_python(target.python, progress)
    modules, imported = _modules(FUNCTION_CODE, target), _libraries(target, trim, progress)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache, progress):
            if target.layout.layer:
                function = _archive("function", [modules], compiler, cache)
                package = Package(function, _archive("layer", [imported], compiler, cache))
            else:
                package = Package(_archive("function", [modules, imported], compiler, cache), None)
    except OSError as error:
        raise OrchestratorError(
            "The function's package could not be written.",
            details=str(error),
            resolution=libraries.NO_SPACE
            if error.errno == errno.ENOSPC
            else f"see that {cache} can be written, then run again.",
        ) from error
    refuse_over_limit(package, target.layout)
    return package


@contextmanager
def _alone(cache: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the cache, and clear away what killed builds left; the system lets go when a process dies."""
    with (cache / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("package: waiting for another run that builds")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(".building-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@dataclass(frozen=True)
class _Part:
    """Files of an archive: what they are made of, for the cache, and how they get into its folder."""

    made_of: Mapping[str, str]
    fill: Callable[[Path], object]


def _modules(sources: Path, target: Target) -> _Part:
    not_packed = (".", "__pycache__", "requirements")
    files = {
        file.relative_to(sources).as_posix(): file.read_bytes()
        for file in sources.rglob("*")
        if file.is_file() and not any(part.startswith(not_packed) for part in file.relative_to(sources).parts)
    }

    if target.layout.handler not in files:
        raise UsageError(
            f"function_code has no {target.layout.handler}",
            resolution="put it back: it is what the cloud calls, and calls chart.py.",
        )
    if target == target.on_this_machine():  # Another Python may know more.
        for name, content in files.items():
            if name.endswith(".py"):
                _compile(name, content)

    def copy(tree: Path) -> None:
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)

    return _Part({name: hashlib.sha256(content).hexdigest() for name, content in files.items()}, copy)


def _compile(name: str, content: bytes) -> None:
    """Refuse what is no Python here: a cloud would only say that the function does not start, if it says anything."""
    try:
        compile(content, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UsageError(
            f"function_code/{name}{line}: {error.args[0]}", resolution="mend it, then run again."
        ) from error


def _libraries(target: Target, trim: trimming.Trim, progress: Callable[[str], None]) -> _Part:
    requirements, folder = FUNCTION_CODE / target.layout.requirements, target.layout.libraries

    def install(tree: Path) -> None:
        uv_bin, into = libraries.find_uv(), tree / folder
        progress(f"package: fetching the libraries for {target}")
        command = libraries.install_command(uv_bin, requirements, target.python, target.platform, into)
        libraries.run_uv(command, str(target), cwd=tree)
        trimming.trim(into, trim)
        progress("package: compiling and zipping the libraries")

    made_of = {
        "requirements": requirements.read_text(encoding="utf-8"),
        "folder": folder,
        "python": target.python,
        "platform": target.platform or sysconfig.get_platform(),
        "left out": trimming.described(trim),
        "uv": version("uv"),
    }
    return _Part(made_of, install)


def _archive(name: str, parts: Sequence[_Part], compiler: bytecode.Python | None, cache: Path) -> Archive:
    """The zip cached for these parts, or else of a folder that they fill, moved into place in one step.

    Its modules have the bytecode of ``compiler``, or none.
    """
    made_of = {
        "format": ARCHIVE_FORMAT,
        "bytecode": compiler and compiler.version,
        "parts": [dict(part.made_of) for part in parts],
    }
    text = json.dumps(made_of, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    for path in cache.glob(f"{name}-{key}-*.zip"):
        if path.stem == f"{name}-{key}-{_sha256(path)}":
            path.touch()  # The last to go, see _forget_oldest.
            return _described(path)
        path.unlink()  # A disk that lost bytes, or someone's edit.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as building:
        tree = Path(building, "tree")
        tree.mkdir()
        for part in parts:
            part.fill(tree)
        if compiler is not None:
            bytecode.compile_tree(compiler, tree)
        zipped = Path(building, "archive.zip")
        zip_folder(tree, zipped)
        kept = zipped.replace(cache / f"{name}-{key}-{_sha256(zipped)}.zip")
    _forget_oldest(cache, name)
    return _described(kept)


def _forget_oldest(cache: Path, name: str) -> None:
    """Keep the archives that were used last: each edit of the function makes another one."""
    by_use = sorted(cache.glob(f"{name}-*.zip"), key=lambda path: path.stat().st_mtime)
    for path in by_use[:-_KEPT]:
        path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(path: Path) -> Archive:
    with zipfile.ZipFile(path) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist())
    return Archive(path, path.stem.rpartition("-")[2], path.stat().st_size, unzipped)


def zip_folder(tree: Path, zipped: Path) -> None:
    """Zip the files under ``tree`` so that the same files give the same bytes.

    Every file is dated 1980-01-01, a zip's first day, and readable by all, as Lambda wants it. Level 6:
    level 9 takes three times as long for half a per cent.
    """
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in sorted(path for path in tree.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(tree).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, whatever built it: what follows are its permissions.
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=6)


def refuse_over_limit(package: Package, layout: Layout) -> None:
    """Raise a UsageError with the five largest folders when the package unzips to more than the service takes."""
    archives = [archive for archive in (package.function, package.layer) if archive is not None]
    unzipped = sum(archive.unzipped_bytes for archive in archives)
    if layout.most_bytes is None or unzipped <= layout.most_bytes:
        return
    folders: Counter[str] = Counter()
    for archive in archives:
        with zipfile.ZipFile(archive.path) as zipped:
            for entry in zipped.infolist():
                parts = entry.filename.removeprefix(f"{layout.libraries}/").split("/")
                folders[parts[0]] += entry.file_size
    largest = "\n".join(f"{size / MB:7.1f} MB  {name}" for name, size in folders.most_common(5))
    raise UsageError(
        f"The function and its libraries unzip to {unzipped / MB:.1f} MB; "
        f"{layout.service} takes {layout.most_bytes / MB:.1f} MB.",
        details=f"The largest folders:\n{largest}",
        resolution="set package.trim to full, or take what the analysis can do without out of "
        "function_code/requirements.in and run `make lock`.",
    )
