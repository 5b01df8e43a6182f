"""Starts a program with bounds and, where the kernel lets an ordinary user, without a network. Standard library only.

Started as `python -I -S cage.py SECONDS MEMORY -- PROGRAM ARGUMENT...` and becomes that program; `KFN_SPAWNED_AT` tells it when (Unix
time). It is no sandbox against an attacker: it keeps an import from hanging for ever, from filling the memory, and from talking to
somebody's database because a function was built.
"""

import ctypes
import os
import resource
import sys
import time

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def main() -> None:
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, 1 << 30),
    ):
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))
    try:
        # Fails where user namespaces are forbidden; then the network stays, and the bounds hold all the same.
        ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except (OSError, AttributeError):
        pass
    os.environ["KFN_SPAWNED_AT"] = repr(time.time())
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main()
