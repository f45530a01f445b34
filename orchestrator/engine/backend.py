"""Where the state is kept, and what is to be known of it without the CLI."""

import json
import re
import shlex
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.errors import UsageError
from orchestrator.text_file import replace_bytes, replace_text

PROJECT = "cloud-hopping"
# A stack's file is in a folder of its project: https://github.com/pulumi/pulumi/blob/v3.250.0/pkg/backend/diy/meta.go
_LAYOUT = b"version: 1\n"
_KNOWN_LAYOUT = re.compile(rb"(?m)^version:\s*[01]\s*$")


@dataclass(frozen=True)
class Backend:
    """Where the state is kept (a Pulumi backend URL) and what its secrets are encrypted with."""

    url: str
    passphrase: str

    @property
    def folder(self) -> Path | None:
        """The backend, if it is a folder."""
        url = urlsplit(self.url)
        return Path(unquote(url.path)) if url.scheme == "file" else None

    def refuse_unusable(self) -> None:
        """A folder in which the engine could keep no state. Of other backends only the engine knows.

        Raises:
            UsageError: it is not there, is no folder, cannot be written, or is laid out in a way that nobody knows.
        """
        folder = self.folder
        if folder is None:
            return
        if not folder.is_dir():
            raise UsageError(
                f"The backend's folder {'is no folder' if folder.exists() else 'does not exist'}",
                details=str(folder),
                resolution=f"make it (mkdir -p {shlex.quote(str(folder))}), or set backend to another one.",
            )
        layout = folder / ".pulumi" / "meta.yaml"
        try:
            said = layout.read_bytes() if layout.exists() else _LAYOUT
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UsageError(
                "The backend's folder cannot be used",
                details=f"{folder}: {error.strerror}",
                resolution="make room or give the permission, or set backend to another one.",
            ) from error
        if not _KNOWN_LAYOUT.search(said):
            raise UsageError(
                "The backend's folder is laid out in a way that is not known",
                details=f"{layout} does not say version 0 or 1.",
                resolution="mend that file, or set backend to another folder.",
            )

    def files(self, stack_name: str, ending: str) -> list[Path] | None:
        """A stack's files of that ending, if it is a folder."""
        return list(self.folder.glob(f".pulumi/stacks/**/{stack_name}.json{ending}")) if self.folder else None

    def begin(self, stack_name: str) -> bool:
        """Make a stack with nothing in it, if it is a folder laid out as the CLI lays out a new one; whether it did.

        It is what ``pulumi stack init`` makes but for the key of the stack's secrets, which ``up`` then makes. That
        command is half a second of a process. Only for a CLI whose files the tests have seen: ``Cli.is_the_sdks``.
        """
        if self.folder is None:
            return False
        layout, stacks = self.folder / ".pulumi" / "meta.yaml", self.folder / ".pulumi" / "stacks"
        state = stacks / PROJECT / f"{stack_name}.json"
        checkpoint = {"version": 3, "checkpoint": {"stack": f"organization/{PROJECT}/{stack_name}"}}
        try:
            if not layout.exists() and not stacks.exists():
                layout.parent.mkdir(exist_ok=True)
                replace_bytes(layout, _LAYOUT)
            if layout.read_bytes() != _LAYOUT or state.exists():
                return False
            state.parent.mkdir(parents=True, exist_ok=True)
            replace_text(state, json.dumps(checkpoint, separators=(",", ":")))
        except OSError:
            return False  # No such folder, or no room in it: the CLI says it better.
        return True

    def is_settled(self, stack_name: str) -> bool:
        """Whether the state has no operation whose outcome is unknown; False where it cannot be read."""
        deployment = self.deployment(stack_name)
        return deployment is not None and not deployment.get("pending_operations")

    def deployment(self, stack_name: str) -> dict[str, Any] | None:
        """What the state holds, as ``pulumi stack export`` shows it; None where it cannot be read without the CLI."""
        for state in self.files(stack_name, "") or ():
            with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
                return dict(json.loads(state.read_bytes())["checkpoint"].get("latest", {}))
        return None

    def drop_torn_locks(self, stack_name: str) -> bool:
        """Remove lock files that a CLI which was killed had only begun to write; whether there were any.

        They name no holder, and the CLI takes them for locks that it cannot read.
        """
        folder = self.folder
        locks = folder.glob(f".pulumi/locks/*/*/{stack_name}/*") if folder else ()
        torn = [lock for lock in locks if not lock.stat().st_size]
        for lock in torn:
            lock.unlink(missing_ok=True)
        return bool(torn)

    def forget(self, stack_name: str, ending: str = "*") -> bool:
        """Remove a stack's files of that ending, all by default; whether it is a folder, where this can be done."""
        files = self.files(stack_name, ending)
        for file in files or ():
            file.unlink(missing_ok=True)
        return files is not None

    def tidy(self, stack_name: str) -> None:
        """Of a stack that was removed, remove what the CLI leaves: copies of its last state, and empty folders."""
        self.forget(stack_name, ".bak*")
        if self.folder:
            kept = self.folder / ".pulumi"
            for empty in (*kept.glob(f"history/**/{stack_name}"), *kept.glob(f"locks/**/{stack_name}")):
                with suppress(OSError):  # It is not empty.
                    empty.rmdir()
