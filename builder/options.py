"""What a build is asked for, what it tells while it runs, and what it gives back."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import UsageError
from builder.oci import Content, Layer
from builder.platform import Platform
from builder.project import Project
from builder.registry.settings import RegistrySettings
from builder.sources.origin import UNKNOWN, Origin
from builder.supply.model import Described

FORMAT = "1"  # of layers and cache entries: raise it when their bytes change for the same input


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/kfn`, by default `~/.cache/kfn`. A relative one does not count, as the XDG specification says: it would
    be another cache in each folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache").absolute() / "kfn"


def default_cache_bytes() -> int:
    """`$KFN_CACHE_BYTES`, by default 5 GB."""
    text = os.environ.get("KFN_CACHE_BYTES", "")
    return parse_size(text, "KFN_CACHE_BYTES") if text else 5_000_000_000


def parse_size(text: str, name: str) -> int:
    """`5GB`, `500M`, `1024`. Raises UsageError, which begins with `name`."""
    found = re.fullmatch(r"(\d{1,15})\s*([kmgt]?)b?", text.strip().lower())
    if not found:
        raise UsageError(f"{name}: {text!r} is not a size such as 5GB or 500MB")
    return int(found[1]) * int(1000 ** " kmgt".index(found[2] or " "))


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a build is asked for. `store` is the image store's directory: None if the image does not go into one.

    `tags` are the names under which it is pushed, `outputs` the archives and folders it is written to (`oci:DIR`, ...).
    """

    store: Path | None
    name: str = ""
    namespace: str = ""
    tags: tuple[str, ...] = ()
    push: bool = False
    outputs: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()  # empty: this machine's
    base: str = ""  # empty: func.yaml's, else the language's
    builder: str = ""  # dockerfile: build the container file, which runs foreign code; empty: func.yaml's, else the language
    binary: str = ""  # a ready program that is all of the source; `{arch}` in it stands for the platform's
    plain_http: tuple[str, ...] = ()  # registries spoken to without TLS, beside loopback
    registry_ca: Path | None = None  # certificates to trust beside the system's
    registry_auth: tuple[Path, ...] = ()  # docker configurations or pull secrets, before the user's own
    compression: str = "gzip"  # of the layers of what leaves this machine: gzip, zstd or none
    python: str = sys.executable  # without a base: the interpreter that will run the function
    wheels: str = ""  # uv's name of a wheel platform; empty: what the base can run
    cache: Path = field(default_factory=default_cache)
    cache_bytes: int = field(default_factory=default_cache_bytes)
    registry_cache: str = ""  # a repository that holds layers of other machines' builds
    registry_cache_write: bool = False  # add to it what this build made: who may write there can put code into every function
    offline: bool = False  # never ask a package index
    locked: bool = False  # fail rather than change kfn.lock
    no_cache: bool = False  # make every layer anew
    explain: bool = False  # tell what changed for each layer that is made anew
    strict: bool = False  # what would be a warning about the function's own budget is an error
    extras: tuple[str, ...] = ()  # of pyproject.toml's optional dependencies, beside those that func.yaml names
    allow_sdists: bool = False  # run the builds of source distributions, which are foreign code
    foreign: bool = False  # the source is somebody else's, though a folder: func.yaml alone gives it no right to run code
    profile: bool | None = None  # import the handler once, to see what its start costs; None: unless it was fetched from elsewhere
    timestamp: str = "epoch"  # what the image says when it was created: epoch, commit or now
    git_annotations: bool = False  # name repository and commit in the image, which is then another one in each commit
    attest: bool | None = None  # attach SBOM and provenance to what leaves; None: to what is pushed or signed
    sbom_format: str = "cyclonedx"  # or spdx
    sign: Path | None = None  # a private key, with which image, SBOM and provenance are signed
    sign_old: bool = False  # also as cosign did before 2025, under a tag
    builder_id: str = ""  # who builds, for provenance; empty: somebody's own machine
    dry_run: bool = False  # everything but writing the result
    max_source_bytes: int = 512_000_000
    max_source_files: int = 50_000
    warn_source_bytes: int = 50_000_000
    allow_secret_files: tuple[str, ...] = ()  # files of the source that may look like a secret
    git_http: tuple[str, ...] = ()  # hosts whose git repositories are read without TLS
    check_timeout: float = 60.0  # seconds of processor time to compile the source
    clone_timeout: float = 300.0  # seconds to fetch a git repository
    resolve_timeout: float = 300.0  # seconds for uv to choose versions
    install_timeout: float = 1800.0  # seconds for uv to download and unpack, and for bytecode; GPU wheels are gigabytes

    @property
    def leaves(self) -> bool:
        """Whether the image goes somewhere else than into this machine's store."""
        return bool(self.push or self.outputs)

    def registry_settings(self) -> RegistrySettings:
        return RegistrySettings.from_environment(plain_http=self.plain_http, ca_file=self.registry_ca, auth_files=self.registry_auth)


@dataclass(frozen=True, slots=True)
class Step:
    """One finished phase, good for one line: `deps    18 packages, 5 layers    cached    0.7s`."""

    name: str  # project, base, source, deps, runtime, image, push, ...
    detail: str
    cached: bool = False
    seconds: float = 0.0  # since the step before; filled in by `builder.app`


Progress = Callable[[Step], None]


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer with what to tell about it. `title` is for people: `numpy 2.1.0`, `12 files`."""

    layer: Layer
    title: str
    cached: bool


@dataclass(frozen=True, slots=True)
class BuildResult:
    """`reference` ends in the digest. `content` is the image, or the index of several, with the form its layers have there."""

    reference: str
    digest: str
    handler: str
    layers: tuple[BuiltLayer, ...]  # of the first platform, the base's first
    seconds: float
    warnings: tuple[str, ...]
    project: Project
    name: str
    namespace: str
    content: Content
    origin: Origin = UNKNOWN
    described: tuple[Described, ...] = ()  # what an SBOM says of the image for each platform
    changes: tuple[str, ...] = ()  # one for each layer: what it depends on that changed since the last build

    @property
    def size(self) -> int:
        return sum(built.layer.size for built in self.layers)
