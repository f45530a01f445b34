"""What can go wrong, as a person reads it: what happened, why, what to do next.

Each class carries one exit code (README, "Exit codes"). A foreign exception is translated where it is
met (``clouds/`` for a cloud's client, ``engine/`` for Pulumi) and shown in one place, ``__main__.py``.
"""

import re

_NAMES = r"(?:secret|token|passw(?:or)?d|passphrase|credential|connectionstring|\w[_-]?key)"
_IN_QUERIES = (
    r"(?:sig|signature|code|key|token|(?:access|id|refresh)_token|client_(?:secret|assertion)|password"
    r"|x-(?:amz|goog)-signature|x-amz-security-token)"
)
# How a secret stands in a foreign text: what is before it, which is kept, and it itself. Repeats are bounded, so that
# no text takes long.
_SECRETS = [
    re.compile(f"({before}){secret}")
    for before, secret in (
        # The query of a URL, signed or with a key or a token; encoded, where it is within another URL.
        (rf"(?i:(?:[?&;]|%3F|%26){_IN_QUERIES}(?:=|%3D))", r"[^&\s'\"<>]+"),
        # The user and the password of a URL.
        (r"//", r"[^/@\s'\"]{1,400}(?=@)"),
        # Headers, and a token by itself.
        (r"(?i:\b(?:bearer|basic|sharedkey(?:lite)?)\s+)", r"[\w.~+/=:-]{16,}"),
        (r"(?i:\b(?:x-functions-key|x-api-key|authorization)['\"]?\s?[:=]\s?['\"]?)", r"[^\s'\"]+"),
        (r"\b", r"eyJ[\w-]{10,}\.[\w-]{4,}\.[\w-]*"),
        # A connection string.
        (r"(?i:\b(?:accountkey|sharedaccesskey|sharedaccesssignature|signature)=)", r"[^&;,\s'\"]+"),
        # An environment: as a shell prints it, and as Python does.
        (r"\b(?:[A-Z0-9]{1,40}_){1,9}(?:SECRET|TOKEN|PASSWORD|PASSPHRASE|KEY)[A-Z0-9_]{0,40}=", r"\S+"),
        (
            rf"(?i:['\"][\w-]{{0,60}}{_NAMES}[\w-]{{0,60}}['\"]\s?:\s?b?(?P<quote>['\"]))",
            r"(?:\\.|(?!(?P=quote))[^\n])+",
        ),
    )
]


def without_secrets(text: str) -> str:
    """A text of others, such as a client's exception that quotes a signed URL, without what it should not have said."""
    for secret in _SECRETS:
        text = secret.sub(r"\1...", text)
    return text


class OrchestratorError(Exception):
    """A failure that a person can read: exit code 1 unless a subclass says otherwise.

    ``brief`` is one line: what happened. ``details`` says why, often in the words of the cloud that
    refused, without the secrets in them. ``resolution`` is the next thing to do.
    """

    exit_code = 1

    def __init__(self, brief: str, *, details: str | None = None, resolution: str | None = None) -> None:
        super().__init__(without_secrets(brief))
        self.brief = without_secrets(brief)
        self.details = without_secrets(details) if details else None
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
