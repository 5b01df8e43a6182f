"""What a runner makes sure of before it touches a source: that it has no privileges that it does not need, and can get none.

A mistake in a manifest, or a cluster that ignores a field, would otherwise be found by whoever misuses it.
"""

import ctypes
import os
import resource
from pathlib import Path

from builder.errors import BuildError

TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_PR_SET_NO_NEW_PRIVS = 38
FILE_BYTES = 32 << 30  # a layer of GPU wheels has several gigabytes
OPEN_FILES = 4096
CORES = 8  # processor seconds allowed for each second of the build's own timeout


class TooPrivileged(BuildError):
    """The builder refuses to run with more than it needs."""


def check(token: Path = TOKEN, status: Path = Path("/proc/self/status")) -> None:
    """Raises TooPrivileged for root, capabilities or a service account's token."""
    if 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()):
        raise TooPrivileged("it is root (uid or gid 0); run it as another user, as runAsNonRoot and runAsUser say")
    if token.exists():
        raise TooPrivileged(f"a service account's token is mounted at {token}; set automountServiceAccountToken: false")
    fields = dict(line.partition(":\t")[::2] for line in status.read_text().splitlines())
    held = [name for name in ("CapEff", "CapPrm", "CapAmb") if int(fields.get(name, "0"), 16)]
    if held:
        raise TooPrivileged(f"it has capabilities ({', '.join(f'{name} {fields[name]}' for name in held)}); drop ALL of them")


def limit(timeout: float) -> None:
    """From here on nothing that this process starts gains privileges, dumps core, or goes on for ever."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise TooPrivileged(f"no_new_privs cannot be set: {os.strerror(ctypes.get_errno())}")
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CPU, int(timeout * CORES) + 60),
    ):
        hard = resource.getrlimit(what)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (value, value))
