"""Starts a program with bounds on what it may take. Standard library only.

Started as `python -I -S limited.py SECONDS MEMORY -- PROGRAM ARGUMENT...` and becomes that program. It keeps an accident from taking the
machine; it is no sandbox.
"""

import os
import resource
import sys

FILE = 8 << 30  # bytes of one file


def main() -> None:
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    bounds = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, FILE))
    for limit, value in bounds:
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))
    os.umask(0o022)
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main()
