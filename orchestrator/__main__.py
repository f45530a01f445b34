"""``python -m orchestrator``: runs a command, turns an error into its message and exit code."""

import gc
import os
import sys
from contextlib import suppress


def main() -> int:
    """The exit code; README.md lists them."""
    if sys.platform == "win32":
        sys.stderr.write(
            "The orchestrator runs on Linux and macOS. On Windows, use WSL: https://learn.microsoft.com/windows/wsl/\n"
        )
        return 2
    # Some 100,000 objects are imported, and stay: searching them for garbage, again and again and once more at the end,
    # took a third of the time of the imports.
    gc.set_threshold(100_000)
    os.umask(0o077)  # Whatever we or our children write is the caller's alone: results, logs, state.
    try:
        return _main()
    except KeyboardInterrupt:  # While we import: nothing has begun.
        _say("Interrupted: nothing was begun.")
        return 130
    finally:
        gc.freeze()


def _main() -> int:
    # Only now: the commands need fcntl and signals that Windows does not have.
    from orchestrator.cli import app  # noqa: PLC0415
    from orchestrator.errors import OrchestratorError  # noqa: PLC0415
    from orchestrator.report import visible  # noqa: PLC0415

    try:
        app()
    except OrchestratorError as error:
        _say(visible(str(error)))
        return error.exit_code
    return 0


def _say(text: str) -> None:
    """To standard error; where nobody can read it, the exit code has to do."""
    with suppress(OSError, AttributeError):  # Closed before we began, it is None.
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
