"""Other processes of this machine."""

import psutil


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs, ours or not; one that only waits to be buried does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def command_line_of(pid: int) -> str:
    """The command line of a process; empty if there is none, or it is not ours to see."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""
