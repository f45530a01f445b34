"""The stand-ins' own clock: what signatures, tokens and their ends are held against.

It is this machine's, until it is put forward or back: then the clouds and their callers do not agree on the time.
"""

import time
from datetime import UTC, datetime, timedelta


class _Clock:
    shift = timedelta(0)


def shift(seconds: float) -> None:
    """Let the clock go wrong by so many seconds from now on, forward or (below 0) back; 0 sets it right."""
    _Clock.shift = timedelta(seconds=seconds)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC) + _Clock.shift


def seconds() -> float:
    """The time in seconds since 1970."""
    return time.time() + _Clock.shift.total_seconds()
