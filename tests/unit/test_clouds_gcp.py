"""Errors of Google's libraries, and of the machine they run on, as ours."""

import errno
import os

import pytest

from orchestrator.clouds.gcp_clients import google_errors
from orchestrator.errors import OrchestratorError


def test_a_full_disk_says_what_to_do() -> None:
    with pytest.raises(OrchestratorError) as full, google_errors("The download failed"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(full.value) == (
        "The download failed\n  [Errno 28] No space left on device\nTo fix it: make room on this disk, and run again."
    )


def test_another_failure_of_the_system_is_told_as_it_is() -> None:
    with pytest.raises(OrchestratorError) as refused, google_errors("The download failed"):
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    assert str(refused.value) == f"The download failed\n  [Errno {errno.ECONNREFUSED}] Connection refused"
