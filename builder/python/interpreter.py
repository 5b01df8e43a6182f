"""Which Python the image is for. Its exact version is part of every layer's key: another patch release makes other bytecode."""

import os
import platform
import sys
from dataclasses import dataclass

from builder import process
from builder.errors import UsageError

_ASK = "import platform, sys; print(platform.python_version(), sys.implementation.cache_tag, platform.machine(), sys.platform)"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`command` starts it on this machine; for a base of another architecture that is its twin of this one, whose bytecode is the same."""

    command: tuple[str, ...]
    version: str  # 3.11.7
    tag: str  # cpython-311

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


def running() -> Interpreter:
    return Interpreter((sys.executable,), platform.python_version(), sys.implementation.cache_tag or "")


def environment() -> dict[str, str]:
    """All that a Python sees of this process's environment. It may be a base's, and so foreign code; secrets of a build are variables."""
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ} | {"LC_ALL": "C.UTF-8"}


async def find(path: str) -> Interpreter:
    """Ask the interpreter at `path` what it is. It must be the same minor version as kfn's own, whose compiled parts it will load."""
    own = running()
    if (path,) == own.command:
        return own
    ended = await process.run([path, "-I", "-S", "-c", _ASK], timeout=20)
    if ended.code:
        raise UsageError(f"{path} is not a Python interpreter: {ended.stderr.decode('utf-8', 'replace').strip()[-500:]}")
    version, tag, machine, system = ended.stdout.decode().split()
    if (tag, machine, system) != (own.tag, platform.machine(), sys.platform):
        kind = f"{path} is {tag} on {machine}, kfn runs on {own.tag} on {platform.machine()}"
        raise UsageError(f"{kind}; install kfn with that interpreter, or use Python {own.minor}")
    return Interpreter((path,), version, tag)
