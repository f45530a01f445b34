"""Physical names and tags, deterministic from the run id, so that a lost resource can be found by name."""

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MANAGED_BY = "cloud-hopping"
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9]{6}")
_LIFETIME = timedelta(hours=1)
# Without g: Cloud Storage takes no bucket with "google", or something like it, in its name.
# https://cloud.google.com/storage/docs/buckets#naming
_ALPHABET = "abcdefhijklmnopqrstuvwxyz0123456789"


def new_run_id(now: datetime) -> str:
    """A run id such as ``20261123-174205-k3x9qz``: sorts by time, valid in every cloud's names.

    The six random characters keep two runs of the same second, and other people's buckets, apart.
    """
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-" + "".join(secrets.choice(_ALPHABET) for _ in range(6))


def is_run_id(text: str) -> bool:
    """Whether it has a run id's form, and begins with a time that there is."""
    named = names_in(text)
    return named is not None and named.run_id == text


def names_in(text: str) -> "Names | None":
    """The names of the run whose id a text has, with hyphens or, as in a dataset, underscores.

    None without one, or when the id is of no time. Whether the text is one of these names is for the caller to compare.
    """
    found = _RUN_ID.search(text.replace("_", "-"))
    with suppress(ValueError):
        return Names(found[0]) if found else None
    return None


@dataclass(frozen=True)
class Names:
    """What a run's resources are called, and the tags that they carry.

    ``run_id`` is 22 characters, so ``hop-<run id>-<suffix>`` stays within the 63 characters of a bucket
    and the 64 of a role or function.
    """

    run_id: str

    def __post_init__(self) -> None:
        if not (_RUN_ID.fullmatch(self.run_id) and self.started):
            raise ValueError(f"not a run id: {self.run_id!r}")

    @property
    def prefix(self) -> str:
        """``hop-<run id>``: a prefix of every physical name that allows a hyphen."""
        return f"hop-{self.run_id}"

    @property
    def dataset(self) -> str:
        """The BigQuery dataset: letters, digits and underscores only."""
        return self.prefix.replace("-", "_")

    @property
    def account(self) -> str:
        """The Azure storage account: at most 24 lower-case letters and digits, unique in all of Azure."""
        return self.prefix.replace("-", "")

    @property
    def started(self) -> datetime:
        """When the run id was made, UTC."""
        return datetime.strptime(self.run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)

    @property
    def expires(self) -> datetime:
        """When nothing of the run should be of use any more, UTC: its tag says so, its signatures end then."""
        return self.started + _LIFETIME

    @property
    def tags(self) -> dict[str, str]:
        """Tags (AWS, Azure) and labels (Google): lower case, digits and hyphens, which all three allow."""
        return {"run-id": self.run_id, "managed-by": MANAGED_BY, "expires-at": f"{self.expires:%Y%m%dt%H%M%Sz}"}
