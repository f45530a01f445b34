"""The function as a compute cloud takes it: an archive of its own modules and a layer with its libraries.

Both are zips, cached by content under the home: the name of a cached file carries the hash of what went in
and the sha256 of what came out, so a file that does not match its name is built again. The same input
gives the same bytes (files sorted, dates and permissions fixed). One build runs at a time; a killed one
leaves a ``.building-`` folder, which the next removes.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import uv

from orchestrator.errors import OrchestratorError, UsageError

FUNCTION_CODE: Final = Path(__file__).parent.parent / "function_code"
REQUIREMENTS: Final = FUNCTION_CODE / "requirements.txt"

UNZIPPED_LIMIT: Final = 262_144_000
"""Bytes of function and layers together, "250 MB".
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

MB: Final = 1024 * 1024
"""Lambda's megabyte."""

NO_SPACE: Final = "free 500 MB or more on this disk, then run again."

ARCHIVE_FORMAT: Final = 1
"""Raise it when this module zips or installs the same input differently, so that older archives are not used."""

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

SAFE_TRIM: Final = (
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

Trim = Literal["safe", "none"]


@dataclass(frozen=True)
class Target:
    """Where the package will run.

    ``python`` is the version ("3.13"), ``platform`` uv's name for a platform ("aarch64-manylinux_2_28"),
    or None for this machine, where the rehearsal's function host runs.
    https://docs.astral.sh/uv/reference/cli/#uv-pip-install--python-platform
    """

    python: str
    platform: str | None

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
    """What a compute stack uploads."""

    function: Archive
    layer: Archive


def build(target: Target, *, trim: Trim, cache: Path, progress: Callable[[str], None]) -> Package:
    """Build both archives, or take them from ``cache``.

    The function's modules stand at the root of theirs, the libraries under ``python/`` of the layer:
    https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html. ``progress`` gets short lines, from
    this thread.

    Raises:
        UsageError: the two are larger than a function may be, with the largest folders.
        OrchestratorError: the libraries could not be fetched, or the disk is full.
    """
    cache = cache.absolute()  # uv runs in another folder.
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache, progress):
            package = Package(_function(FUNCTION_CODE, cache), _layer(REQUIREMENTS, target, trim, cache, progress))
    except OSError as error:
        raise OrchestratorError(
            "The function's package could not be written.",
            details=str(error),
            resolution=NO_SPACE if error.errno == errno.ENOSPC else f"see that {cache} can be written, then run again.",
        ) from error
    refuse_over_limit((package.function, package.layer), UNZIPPED_LIMIT)
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


def _function(sources: Path, cache: Path) -> Archive:
    not_packed = (".", "__pycache__", "requirements.")
    files = {
        file.relative_to(sources).as_posix(): file.read_bytes()
        for file in sources.rglob("*")
        if file.is_file() and not any(part.startswith(not_packed) for part in file.relative_to(sources).parts)
    }

    def copy(tree: Path) -> None:
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)

    what_goes_in = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return _archive("function", what_goes_in, cache, copy)


def _layer(requirements: Path, target: Target, trim: Trim, cache: Path, progress: Callable[[str], None]) -> Archive:
    left_out = UV_LEFTOVERS + SAFE_TRIM if trim == "safe" else UV_LEFTOVERS

    def install(tree: Path) -> None:
        try:
            uv_bin = uv.find_uv_bin()
        except FileNotFoundError as error:
            raise OrchestratorError(
                "uv, which fetches the function's libraries, is not in this Python environment.",
                details=str(error),
                resolution="install this project's dependencies again.",
            ) from error
        progress(f"package: fetching the libraries for {target}")
        run_uv(install_command(uv_bin, requirements, target, tree / "python"), target, cwd=tree)
        remove(tree / "python", left_out)
        progress("package: zipping the libraries")

    what_goes_in = {
        "requirements": requirements.read_text(encoding="utf-8"),
        "python": target.python,
        "platform": target.platform or sysconfig.get_platform(),
        "left out": " ".join(left_out),
        "uv": version("uv"),
    }
    return _archive("layer", what_goes_in, cache, install)


def _archive(name: str, what_goes_in: dict[str, str], cache: Path, fill: Callable[[Path], None]) -> Archive:
    """The zip cached for ``what_goes_in``, or else of the folder that ``fill`` fills, moved into place in one step."""
    text = json.dumps({"format": ARCHIVE_FORMAT, **what_goes_in}, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    for path in cache.glob(f"{name}-{key}-*.zip"):
        if path.stem == f"{name}-{key}-{_sha256(path)}":
            return _described(path)
        path.unlink()  # A disk that lost bytes, or someone's edit.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as building:
        tree = Path(building, "tree")
        tree.mkdir()
        fill(tree)
        zipped = Path(building, "archive.zip")
        zip_folder(tree, zipped)
        return _described(zipped.replace(cache / f"{name}-{key}-{_sha256(zipped)}.zip"))


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


def remove(packages: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders under ``packages`` that match one of the globs."""
    for pattern in patterns:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # It went with a folder that matched, too.


def install_command(uv_bin: str, requirements: Path, target: Target, into: Path) -> list[str]:
    """Uv's command that unpacks the locked wheels for ``target``: nothing built, nothing compiled or run."""
    platform = ["--python-platform", target.platform] if target.platform else []
    return [
        *(uv_bin, "pip", "install", "--quiet", "--color", "never"),
        *("--python", sys.executable, "--python-version", target.python, *platform),
        *("--only-binary", ":all:", "--no-compile-bytecode", "--require-hashes"),
        *("--target", str(into), "--requirements", str(requirements)),
    ]


def run_uv(command: Sequence[str], target: Target, cwd: Path) -> None:
    """Run uv away from any project, whose settings it would read; raise what it says as one error."""
    unwrapped = {**os.environ, "COLUMNS": "10000"}  # uv breaks its lines to fit, if a terminal's width is exported.
    done = subprocess.run(command, cwd=cwd, env=unwrapped, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    lines = (line.strip() for line in done.stderr.splitlines())
    said = "\n".join(line for line in lines if line and not line.startswith("hint:"))  # Hints name uv's own options.
    if "os error 28" in said:
        resolution = NO_SPACE
    elif "Request failed" in said or "Failed to fetch" in said:
        resolution = "check the network (and the proxy or package index that uv is set up with), then run again."
    elif "wheels" in said:
        resolution = "choose versions in function_code/requirements.in that have wheels for it, and lock them again."
    else:
        resolution = "lock function_code/requirements.in again; its first lines have the command."
    raise OrchestratorError(
        f"The function's libraries for {target} could not be installed.",
        details=said,
        resolution=resolution,
    )


def refuse_over_limit(archives: Sequence[Archive], limit: int) -> None:
    """Raise a UsageError with the five largest folders when the archives unzip to over ``limit`` bytes."""
    unzipped = sum(archive.unzipped_bytes for archive in archives)
    if unzipped <= limit:
        return
    folders: Counter[str] = Counter()
    for archive in archives:
        with zipfile.ZipFile(archive.path) as zipped:
            for entry in zipped.infolist():
                parts = entry.filename.removeprefix("python/").split("/")
                folders[parts[0]] += entry.file_size
    largest = "\n".join(f"{size / MB:7.1f} MB  {name}" for name, size in folders.most_common(5))
    raise UsageError(
        f"The function and its libraries unzip to {unzipped / MB:.1f} MB; Lambda takes {limit / MB:.1f} MB.",
        details=f"The largest folders:\n{largest}",
        resolution="set package.trim to safe, or take what the analysis can do without out of "
        "function_code/requirements.in and lock it again; its first lines have the command.",
    )
