"""Other processes: alive or not, and what they run."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from orchestrator.processes import command_line_of, is_alive


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits until its standard input ends."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "a word"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_and_its_end(child: "subprocess.Popen[bytes]") -> None:
    assert is_alive(child.pid)
    assert command_line_of(child.pid) == f"{sys.executable} -c import sys; sys.stdin.read() a word"
    child.kill()
    # It has ended, and stays in the list of processes until it is waited for.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid)
    child.wait()
    assert not is_alive(child.pid)
    assert command_line_of(child.pid) == ""


def test_ourselves_and_nobody() -> None:
    assert is_alive(os.getpid())
    assert not is_alive(2**31 - 1)
    assert command_line_of(2**31 - 1) == ""


def test_a_process_that_is_not_ours_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "status", refuse)
    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    assert is_alive(os.getpid())
    assert command_line_of(os.getpid()) == ""
