"""For whom dependencies are chosen and installed: a Python on a platform with its C library. Pure but for what a base without one is."""

import platform
import re
import sys
from dataclasses import dataclass

from builder.base.model import NONE, Base
from builder.errors import UsageError
from builder.platform import Platform
from builder.python.interpreter import Interpreter

_MANYLINUX = (17, 28, *range(31, 41))  # the minor versions of glibc for which uv has a name
PLAIN = 28  # what current Debian, Ubuntu and Red Hat all run


@dataclass(frozen=True, slots=True)
class Target:
    """`wheels` is uv's name of what the base can load; empty: this machine."""

    python: Interpreter
    platform: Platform
    wheels: str

    def __str__(self) -> str:
        return f"Python {self.python.minor} on {self.wheels or 'this machine'}"


def of(base: Base, python: Interpreter, wanted: str = "") -> Target:
    """`wanted` is what the user names instead (`--wheels`)."""
    return Target(python, base.platform, wanted or _wheels(base))


def _wheels(base: Base) -> str:
    if base.name == NONE and (sys.platform != "linux" or platform.libc_ver()[0] != "glibc"):
        return ""  # uv's own choice: this machine
    if base.libc.startswith("musl"):
        return f"{base.platform.machine}-unknown-linux-musl"
    found = re.match(r"glibc 2\.(\d+)", base.libc)
    minor = int(found[1]) if found else PLAIN
    fits = [known for known in _MANYLINUX if known <= minor]
    if not fits:
        raise UsageError(f"--base {base.name}: its C library is {base.libc}; wheels need glibc 2.{_MANYLINUX[0]} or later")
    return f"{base.platform.machine}-manylinux_2_{fits[-1]}"
