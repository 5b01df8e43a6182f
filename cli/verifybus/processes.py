"""Processes from the outside, by /proc: who lives below whom, and an end of every TCP connection of one of them. Linux."""

import ctypes
import os
import socket
from contextlib import suppress
from pathlib import Path

from kfn import process_death

_PIDFD_GETFD = 438  # the same number on every architecture


class CannotCut(Exception):
    """The kernel does not let one process take another's sockets here."""


def below(pid: int) -> set[int]:
    """Every live process below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        more = children.get(todo.pop(), [])
        found.update(more)
        todo += more
    return found


def is_alive(pid: int) -> bool:
    return bool(process_death.start_time(pid))


def cut(pid: int) -> int:
    """Shut down every TCP connection of a process, as a network would that is gone; its listening sockets stay. How many there were.
    Raises `CannotCut`, and `ProcessLookupError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        count = 0
        for entry in list(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(OSError):  # closed since
                if os.readlink(entry).startswith("socket:"):
                    taken = libc.syscall(_PIDFD_GETFD, process, int(entry.name), 0)
                    if taken < 0 and ctypes.get_errno() in (1, 38):  # EPERM, ENOSYS
                        raise CannotCut("this machine does not let a process take a socket of another (pidfd_getfd)")
                    if taken >= 0:
                        count += _shut(taken)
        return count
    finally:
        os.close(process)


def _shut(fd: int) -> bool:
    with socket.socket(fileno=fd) as sock:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            return False
        try:
            sock.getpeername()
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it listens, or is at its end
            return False
        return True
