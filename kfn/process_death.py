"""A child that ends with its parent, and a way to tell a process from a later one with the same pid. Linux; elsewhere thinner."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def follow_parent(parent: int) -> Callable[[], None] | None:
    """What the child runs before exec, so that the kernel kills it when its parent is gone, kill -9 included."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: nothing may be allocated after it

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the kernel was told
            os._exit(1)

    return before_exec


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which started it, is gone. For a child that is Python: nothing needs to run
    between fork and exec then, where a library's thread may hold a lock. A parent that is gone already ends it here."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def start_time(pid: int) -> str:
    """When a live process started, in the kernel's words; empty if there is none (a zombie counts as none)."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5)
    return done.stdout.strip()
