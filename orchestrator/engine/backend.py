"""Where the state is kept, and what is to be known of it without the CLI."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.text_file import replace_bytes, replace_text

PROJECT = "cloud-hopping"
# A stack's file is in a folder of its project: https://github.com/pulumi/pulumi/blob/v3.250.0/pkg/backend/diy/meta.go
_LAYOUT = b"version: 1\n"


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

    def files(self, stack_name: str, ending: str) -> list[Path] | None:
        """A stack's files of that ending, if it is a folder."""
        return list(self.folder.glob(f".pulumi/stacks/*/{stack_name}.json{ending}")) if self.folder else None

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
