"""What can go wrong, as a person reads it: what happened, why, what to do next.

Each class carries one exit code (README, "Exit codes"). A foreign exception is translated where it is
met (``clouds/`` for a cloud's client, ``engine.py`` for Pulumi) and shown in one place, ``__main__.py``.
"""


class OrchestratorError(Exception):
    """A failure that a person can read: exit code 1 unless a subclass says otherwise.

    ``brief`` is one line: what happened. ``details`` says why, often in the words of the cloud that
    refused. ``resolution`` is the next thing to do.
    """

    exit_code = 1

    def __init__(self, brief: str, *, details: str | None = None, resolution: str | None = None) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.resolution = resolution

    def __str__(self) -> str:
        """The whole message, as it is shown."""
        lines = [self.brief]
        if self.details:
            lines += [f"  {line}" for line in self.details.splitlines()]
        if self.resolution:
            lines += [f"To fix it: {self.resolution}"]
        return "\n".join(lines)


class UsageError(OrchestratorError):
    """The config, a query or the machine is not fit for a run. Nothing was created."""

    exit_code = 2


class OverCeilingError(OrchestratorError):
    """The run would cost more than the config allows. Nothing was created."""

    exit_code = 4


class ResourcesRemainError(OrchestratorError):
    """A cloud still holds something of this run, or could not be asked. Wins over every other failure."""

    exit_code = 3


class InterruptedRunError(OrchestratorError):
    """SIGINT or SIGTERM ended the run; everything was destroyed."""

    def __init__(self, signal_number: int, brief: str) -> None:
        super().__init__(brief)
        self.exit_code = 128 + signal_number  # As a shell reports it: 130 or 143.
