"""What the faults of one worker share: stand-in clouds, what is packed for them, and how a command is run there."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil

from orchestrator import package, rehearsal, settings
from orchestrator.clouds.by_name import compute_cloud
from orchestrator.drill import child, function
from orchestrator.drill.child import Child
from orchestrator.home import Home
from orchestrator.rehearsal.control import Control
from orchestrator.rehearsal.faults import Cloud
from orchestrator.settings import Settings
from stacks.naming import Names, new_run_id

# No healthy run may meet one of these, on a machine that has much else to do; nor may a fault wait for long.
LIMITS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "CONNECT": 2,
        "CALL": 5,
        "CALL_WITH_RETRIES": 21,  # Three attempts, by boto3's arithmetic.
        "JOB": 20,
        "PUBLISH": 20,
        "FUNCTION_START": 30,
        "FUNCTION_READY": 10,
        "REMOVE": 20,
        "UP": 40,
        "DESTROY": 40,
        "COMMAND": 30,
        "GRACE": 4,
        "LOCK": 8,
        "SETTLE": 8,
    }
)
# A function that counts without pandas answers in a second or two.
_FUNCTION_SECONDS = 10


@dataclass
class Stage:
    """``folder`` is for what faults leave behind; ``usual`` has the seconds that an undisturbed run takes."""

    folder: Path
    home: Home
    clouds: Path
    control: Control
    clouds_pid: int
    usual: dict[Cloud, float] = field(default_factory=dict)

    def new_home(self, folder: Path) -> Path:
        """A home that holds nothing of any run."""
        home = folder / "home"
        home.mkdir(mode=0o700, parents=True)
        # Of its own, without being copied: a run may come to think that its CLI is broken, and remove it.
        shutil.copytree(self.home.folder("pulumi"), home / "pulumi", copy_function=os.link)
        (home / "pulumi-home").symlink_to(self.home.folder("pulumi-home"))
        (home / "packages").symlink_to(self._packages)
        return home

    def start(
        self, name: str, *arguments: str, folder: Path, home: Path, limits: Mapping[str, float] = MappingProxyType({})
    ) -> Child:
        """Start a command of the program."""
        return Child(name, arguments, folder=folder, home=home, limits={**LIMITS, **limits})

    def pack(self, cloud: Cloud) -> None:
        """Pack the function for that cloud, or find it packed: no fault is to wait for it."""
        chosen = _settings(cloud)
        with rehearsal.environment_of(self.clouds).in_force():
            target = compute_cloud(chosen, Names(new_run_id(datetime.now(UTC))), source="").package_target()
        package.build(
            target.on_this_machine(), trim=chosen.package.trim, cache=self._packages, progress=lambda _line: None
        )

    def settings_for(self, cloud: Cloud, *more: str) -> list[str]:
        """The options with which a command finds these clouds, and ``more`` such as ``compute.plan=flex``."""
        chosen = (
            f"compute.cloud={cloud}",
            f"compute.timeout={_FUNCTION_SECONDS} s",
            f"rehearsal.clouds={self.clouds}",
        )
        return [word for setting in (*chosen, *more) for word in ("--set", setting)]

    @property
    def _packages(self) -> Path:
        return self.home.folder("drill/packages")

    def clis(self, home: Path) -> list[psutil.Process]:
        """The CLIs of runs of that home."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("ORCHESTRATOR_HOME") == str(home):
                    found.append(process)
        return found

    def functions(self) -> list[psutil.Process]:
        """The processes of the functions that run in the clouds."""
        return psutil.Process(self.clouds_pid).children(recursive=True)


@contextmanager
def stage(folder: Path, home: Home, number: int) -> Iterator[Stage]:
    """Start stand-in clouds, and import what a run needs; the clouds end with the block, or with this process.

    From then on this process packs the drill's function, and so do those that are forked from it.
    """
    clouds, function_code = folder / f"clouds-{number}", folder / f"function-{number}"
    clouds.mkdir(mode=0o700, parents=True)
    function.write(function_code)
    with rehearsal.started(clouds, _settings("aws"), stay_seconds=0) as process:
        try:
            # Numpy would start a thread for each processor, and a fork would lose them.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            with rehearsal.environment_of(clouds).in_force():
                child.preload()
            vars(package)["FUNCTION_CODE"] = function_code
            yield Stage(folder, home, clouds, Control.of(clouds), process.pid)
        finally:
            rehearsal.end(process)
            for made in (clouds, function_code):
                shutil.rmtree(made, ignore_errors=True)


def _settings(cloud: Cloud) -> Settings:
    return settings.load(settings.DEFAULT_CONFIG, overrides=[f"compute.cloud={cloud}"], environ={})
