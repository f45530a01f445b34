"""Removing something from a cloud that is busy, or has not settled what was asked of it before."""

import time
from collections.abc import Callable

from orchestrator import deadlines

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 4.0


def patiently(remove: Callable[[], None], *, passes: Callable[[Exception], bool]) -> None:
    """Remove something; again, for as long as a call may take with its retries, when a refusal ``passes``.

    The clients try again by themselves where the cloud is not to be reached. What they do not know is that a conflict
    passes here: a function that is still being made, a bucket that somebody is still writing to.
    """
    deadline = time.monotonic() + deadlines.CALL_WITH_RETRIES
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            remove()
        except Exception as error:
            if not passes(error) or time.monotonic() + pause > deadline:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
