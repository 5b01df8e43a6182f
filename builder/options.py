"""What a build is asked for, what it tells while it runs, and what it gives back."""

import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

from builder.project import Project
from builder.store import Layer

FORMAT = "1"  # of layers and cache entries: raise it when their bytes change for the same input


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/kfn`, by default `~/.cache/kfn`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kfn"


def default_platform() -> str:
    """Wheels are chosen for this. manylinux_2_28 is what current Debian, Ubuntu and Red Hat bases all run."""
    libc, _ = platform.libc_ver()
    if sys.platform == "linux" and libc == "glibc":
        return f"{platform.machine()}-manylinux_2_28"
    return ""  # uv's own choice: this machine


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """`store` is the image store's directory. Empty `name` and `namespace` are taken from the project."""

    store: Path
    name: str = ""
    namespace: str = ""
    python: str = sys.executable  # the interpreter that will run the function
    platform: str = field(default_factory=default_platform)  # uv's name of a wheel platform; empty: this machine
    cache: Path = field(default_factory=default_cache)
    offline: bool = False  # never ask a package index
    locked: bool = False  # fail rather than change kfn.lock
    no_cache: bool = False  # make every layer anew
    max_source_bytes: int = 512_000_000
    max_source_files: int = 50_000
    warn_source_bytes: int = 50_000_000
    check_timeout: float = 60.0  # seconds of processor time to compile the source
    resolve_timeout: float = 300.0  # seconds for uv to choose versions
    install_timeout: float = 1800.0  # seconds for uv to download and unpack, and for bytecode; GPU wheels are gigabytes


@dataclass(frozen=True, slots=True)
class Step:
    """One finished phase, good for one line: `deps    18 packages, 5 layers    cached    0.7s`."""

    name: str  # project, source, deps, runtime, image
    detail: str
    cached: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer with what to tell about it. `title` is for people: `numpy 2.1.0`, `12 files`."""

    layer: Layer
    title: str
    cached: bool


@dataclass(frozen=True, slots=True)
class BuildResult:
    """`reference` ends in the digest."""

    reference: str
    digest: str
    handler: str
    layers: tuple[BuiltLayer, ...]
    seconds: float
    warnings: tuple[str, ...]
    project: Project
    name: str
    namespace: str

    @property
    def size(self) -> int:
        return sum(built.layer.size for built in self.layers)
