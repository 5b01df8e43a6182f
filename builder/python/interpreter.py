"""Which Python the image is for. Its exact version is part of every layer's key: another patch release makes other bytecode."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import files, process
from builder.errors import BlobCorrupt, UsageError

SUMS = ".kfn-sums.json"  # in `Interpreter.root`: the digest of each file that is loaded to compile
_ASK = "import platform, sys; print(platform.python_version(), sys.implementation.cache_tag, platform.machine(), sys.platform)"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`command` starts it on this machine; for a base of another architecture that is its twin of this one, whose bytecode is the same."""

    command: tuple[str, ...]
    version: str  # 3.11.7
    tag: str  # cpython-311
    root: str = ""  # the folder in the cache that it was unpacked into; empty for one of the machine

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


def known(facts: Mapping[str, Any] | None) -> Interpreter | None:
    """One that a build remembered (`asdict`), if it is still there."""
    try:
        found = Interpreter(tuple(facts["command"]), facts["version"], facts["tag"], facts["root"]) if facts else None
    except (TypeError, KeyError):
        return None
    return found if found and Path(found.command[-1]).is_file() else None


def check(python: Interpreter) -> None:
    """That what was unpacked is still what it was, for a damaged interpreter may make other bytecode without a word. Blocks, some 20 ms.

    Raises BlobCorrupt, and removes it: its layers make it again."""
    if not python.root:
        return
    root = Path(python.root)
    try:
        wrong = next((path for path, digest in json.loads((root / SUMS).read_bytes()).items() if files.sha256(root / path) != digest), "")
    except (OSError, ValueError, AttributeError):
        wrong = SUMS
    if wrong:
        shutil.rmtree(root, ignore_errors=True)
        raise BlobCorrupt(f"{root.name[:12]}/{wrong}, of the base's Python in the cache, had changed on disk and was made again")


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
