"""What kfn's own bases are made of: Debian packages by name, and how they are spread over layers. Pure.

Layers, bottom first, so that what bases share is pulled once by a node and what changes often is small:

    static   certificates, time zones, names: the base `static` is this layer alone, and the others of its suite begin with it
    libs     libc, TLS and zlib, which both Python and Node need (a third of either)
    own      the language
    extra    `kfn: {packages: [...]}` of one function
"""

from collections.abc import Iterable
from dataclasses import dataclass

STATIC = ("base-files", "ca-certificates", "netbase", "tzdata")
LIBS = frozenset({"libc6", "libgcc-s1", "libssl3", "libssl3t64", "libstdc++6", "libzstd1", "openssl-provider-legacy", "zlib1g"})
GROUPS = ("static", "libs", "own", "extra")


@dataclass(frozen=True, slots=True)
class Recipe:
    """`python` is the minor version of the interpreter, empty if there is none."""

    name: str
    suite: str
    release: str  # Debian's number: 13
    packages: tuple[str, ...]  # by name; what they depend on comes with them
    title: str
    python: str = ""


RECIPES = {
    one.name: one
    for one in (
        Recipe("python3.13", "trixie", "13", (*STATIC, "python3.13", "libgcc-s1", "libstdc++6"), "Python 3.13 on Debian 13", "3.13"),
        Recipe("python3.11", "bookworm", "12", (*STATIC, "python3.11", "libgcc-s1", "libstdc++6"), "Python 3.11 on Debian 12", "3.11"),
        Recipe("static", "trixie", "13", STATIC, "certificates, time zones and names, for a static binary"),
        Recipe("node", "trixie", "13", (*STATIC, "nodejs", "libgcc-s1", "libstdc++6"), "Node.js on Debian 13"),
    )
}
PYTHON = "python"  # the newest of those with Python that the project allows
PYTHONS = ("python3.13", "python3.11")  # the newest first


def group(package: str, base: Iterable[str]) -> str:
    """The layer of a package. `base` has the names of the base's own packages, without a function's extra ones."""
    if package in STATIC:
        return "static"
    if package in LIBS or (package.startswith("gcc-") and package.endswith("-base")):
        return "libs"
    return "own" if package in base else "extra"
