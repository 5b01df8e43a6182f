"""Debian's packages as values: what is wanted, what an archive offers, what was chosen. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Origin = Literal["archive", "security"]  # which of the two mirrors has it

# What Debian's packages ask for and a function's root file system never calls: package management, maintainer scripts, shells' tools.
WITHOUT = frozenset({
    "adduser", "apt", "bash", "bsdutils", "coreutils", "dash", "debconf", "debianutils", "diffutils", "dpkg", "findutils", "gawk", "grep",
    "gzip", "hostname", "init-system-helpers", "login", "mawk", "media-types", "ncurses-bin", "openssl", "original-awk", "passwd", "perl",
    "perl-base", "sed", "sysvinit-utils", "tar", "ucf", "util-linux",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Package:
    """One version of one binary package, as its stanza in an archive's index says. A lock knows only the fields up to `path`.

    The relations are Debian's own text (`libc6 (>= 2.38), libssl3t64`); `builder/debian/relations.py` reads them.
    """

    name: str
    version: str
    architecture: str  # amd64, arm64 or all
    sha256: str  # hex, without a prefix
    size: int  # bytes of the .deb
    origin: Origin
    path: str  # below the mirror's address: pool/main/p/python3.13/python3.13_3.13.5-2_amd64.deb
    depends: str = ""
    pre_depends: str = ""
    provides: str = ""
    conflicts: str = ""
    breaks: str = ""
    multi_arch: str = ""
    source: str = ""  # `name` or `name (version)`; empty: as the package
    priority: str = ""

    @property
    def digest(self) -> str:
        """As blobs are named."""
        return f"sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a root file system is to hold: these packages and all they depend on, but for `without` (which does not hold for `packages`)."""

    suite: str  # a codename: trixie
    architecture: str  # amd64, arm64
    packages: tuple[str, ...]
    without: frozenset[str] = WITHOUT
    components: tuple[str, ...] = ("main",)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one suite that a choice was made from."""

    suite: str  # trixie-security
    date: str  # of its Release file, RFC 3339 in UTC


@dataclass(frozen=True, slots=True)
class Selection:
    """`packages` are sorted by name. `left_out` has the name of each package of `without` that was asked for, with who asked."""

    suite: str
    architecture: str
    roots: tuple[str, ...]  # what was wanted by name, sorted
    packages: tuple[Package, ...]
    snapshots: tuple[Snapshot, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(package.size for package in self.packages)

    def package(self, name: str) -> Package | None:
        return next((package for package in self.packages if package.name == name), None)


def purl(package: Package, distribution: str) -> str:
    """`pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12`, with `distribution` as `debian-12`."""
    from urllib.parse import quote

    version = quote(package.version, safe=".-~")  # the specification encodes + and :
    return f"pkg:deb/debian/{quote(package.name, safe='.-')}@{version}?arch={package.architecture}&distro={distribution}"


def by_name(packages: Sequence[Package]) -> tuple[Package, ...]:
    return tuple(sorted(packages, key=lambda package: package.name))
