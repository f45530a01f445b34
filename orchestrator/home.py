"""The project's one folder on this machine: the CLI, plugins, packages, state and the journals of runs."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from orchestrator.errors import UsageError


@dataclass(frozen=True)
class Home:
    """``$ORCHESTRATOR_HOME``, else the platform's folder for user data. Folders are made when first asked for."""

    root: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str]) -> "Home":
        """The home that this environment asks for; a UsageError when it cannot be written."""
        chosen = environ.get("ORCHESTRATOR_HOME")
        root = Path(chosen).expanduser().absolute() if chosen else platformdirs.user_data_path("cloud-hopping")
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The home folder {root} cannot be made",
                details=f"{error.strerror}. It keeps the Pulumi CLI, the state and the journals of runs.",
                resolution="set ORCHESTRATOR_HOME to a folder that you can write.",
            ) from error
        if not os.access(root, os.W_OK | os.X_OK):
            raise UsageError(
                f"The home folder {root} cannot be written",
                details="It keeps the Pulumi CLI, the state and the journals of runs.",
                resolution="set ORCHESTRATOR_HOME to a folder that you can write.",
            )
        return cls(root)

    def folder(self, name: str) -> Path:
        """``<home>/<name>``, made if need be, readable by its owner alone."""
        path = self.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def run_folder(self, run_id: str) -> Path:
        """The folder of one run: journal, engine's work folders and logs. Made by whoever writes into it first."""
        return self.root / "runs" / run_id

    def tidy(self, run_id: str) -> None:
        """Remove what a run that left nothing needs no more: all but its journal, if it had one."""
        folder = self.run_folder(run_id)
        for path in folder.glob("*/"):
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # The journal is in it.
            folder.rmdir()

    def passphrase(self, environ: Mapping[str, str]) -> str:
        """What the state's secrets are encrypted with: the caller's ``PULUMI_CONFIG_PASSPHRASE``, else our own.

        Ours is made once and kept in a file of mode 0600. A state shared between machines needs the caller's.
        """
        given = environ.get("PULUMI_CONFIG_PASSPHRASE")
        if given:
            return given
        path = self.root / "passphrase"
        draft = self.root / f"passphrase.{os.getpid()}"
        if not path.exists():
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
            with contextlib.suppress(FileExistsError):  # Another run was first: its passphrase is the one.
                os.link(draft, path)
            draft.unlink()
        return path.read_text()
