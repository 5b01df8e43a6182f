"""package-lock.json: which packages it pins, whether it fits package.json, and which of them a platform gets. Pure.

Formats 2 and 3, which npm 7 and later write; npm itself reads it again and has the last word.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from builder.components import Component
from builder.errors import BadEntry, LockMissing, PackageLockStale, ProjectInvalid
from builder.node.package import Package

FILES = ("npm-shrinkwrap.json", "package-lock.json")  # the first that is there counts, as with npm
OTHERS = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "Yarn", "bun.lock": "Bun", "bun.lockb": "Bun"}
REMEDY = "npm install --package-lock-only"
_HEX = {"sha512": 128, "sha384": 96, "sha256": 64, "sha1": 40}  # digits of each
_CPU = {"amd64": "x64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One package at one place. `path` is where it lies: `node_modules/a/node_modules/b`, or a folder of the source."""

    path: str
    name: str
    version: str
    integrity: str = ""
    resolved: str = ""
    link: bool = False
    dev: bool = False
    scripts: bool = False  # it has an install script
    bins: tuple[str, ...] = ()
    bin_files: tuple[str, ...] = ()
    license: str = ""

    @property
    def pin(self) -> tuple[str, ...]:
        """What decides about its files. Without a hash its origin has to do: a git commit, a folder of the source."""
        return (self.path, self.version, self.integrity or self.resolved)


@dataclass(frozen=True, slots=True)
class Lock:
    file: str
    root: Mapping[str, Any]
    entries: tuple[Entry, ...]  # by path

    @property
    def wanted(self) -> tuple[Entry, ...]:
        """Without what only development needs."""
        return tuple(entry for entry in self.entries if not entry.dev)


def choose(package: Package, names: Iterable[str]) -> str:
    """The lock file to use, empty if there is nothing to install. Raises LockMissing."""
    there = set(names)
    found = next((name for name in FILES if name in there), "")
    if found or not package.needs_install:
        return found
    other = next((name for name in OTHERS if name in there), None)
    if other:
        raise LockMissing(
            f"{other} is {OTHERS[other]}'s; kfn installs with npm, from package-lock.json. Make one with `{REMEDY}`, "
            f"or build an image with {OTHERS[other]} yourself: kfn build --builder dockerfile"
        )
    raise LockMissing(
        f"package.json has {_dependencies(package)} and there is no package-lock.json; make one with `{REMEDY}` and commit it"
    )


def _dependencies(package: Package) -> str:
    number = len(package.wanted)
    return f"{number} dependenc{'y' if number == 1 else 'ies'}"


def parse(text: str, file: str) -> Lock:
    """Raises ProjectInvalid, PackageLockStale, BadEntry."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProjectInvalid(f"{file}:{error.lineno}:{error.colno}: {error.msg}; make it again with `{REMEDY}`") from None
    except RecursionError:
        raise ProjectInvalid(f"{file} is nested too deeply") from None
    packages = content.get("packages") if isinstance(content, dict) else None
    if not isinstance(packages, dict):
        version = content.get("lockfileVersion") if isinstance(content, dict) else None
        raise PackageLockStale(f"{file} has format {version}, kfn needs 2 or 3; make it again with npm 7 or later: `{REMEDY}`")
    entries = [_entry(file, str(path), one) for path, one in packages.items() if path and isinstance(one, dict)]
    root = packages.get("")
    return Lock(file, root if isinstance(root, dict) else {}, tuple(sorted(entries, key=lambda entry: entry.path)))


def check(lock: Lock, package: Package) -> None:
    """Whether it was made for this package.json. Raises PackageLockStale, which names what differs."""
    locked, wanted = Package(lock.root).wanted, package.wanted
    for name in sorted({*locked, *wanted}):
        if locked.get(name) != wanted.get(name):
            told = f"{name} {wanted[name]}" if name in wanted else f"no {name}"
            has = f"{name} {locked[name]}" if name in locked else f"no {name}"
            raise PackageLockStale(f"package.json asks for {told}, {lock.file} has {has}; bring it up to date with `{REMEDY}`")


def flags(architecture: str, libc: str) -> tuple[str, ...]:
    """npm's options for a platform. `libc` as a base names it: `glibc 2.36`, `musl`, or nothing."""
    return ("--os=linux", f"--cpu={_CPU[architecture]}", f"--libc={'musl' if libc.startswith('musl') else 'glibc'}")


def unit(path: str) -> str:
    """The top-level package that a path in node_modules belongs to, empty for one elsewhere."""
    parts = path.split("/")
    if parts[0] != "node_modules" or len(parts) < 2 or parts[1].startswith("."):
        return ""
    count = 3 if parts[1].startswith("@") else 2
    return "/".join(parts[:count]) if len(parts) >= count else ""


def component(entry: Entry) -> Component:
    algorithm, _, rest = entry.integrity.split(" ")[0].partition("-")
    try:
        digest = base64.b64decode(rest, validate=True).hex()
    except (binascii.Error, ValueError):
        digest = ""
    good = digest if len(digest) == _HEX.get(algorithm, -1) else ""
    return Component(
        f"pkg:npm/{quote(entry.name, safe='/')}@{quote(entry.version, safe='')}",
        entry.name,
        entry.version,
        sha256=(good,) if good and algorithm == "sha256" else (),
        licenses=(entry.license,) if entry.license else (),
        hashes=(f"{algorithm}:{good}",) if good and algorithm != "sha256" else (),
    )


def _entry(file: str, path: str, one: Mapping[str, Any]) -> Entry:
    def text(name: str) -> str:
        value = one.get(name)
        return value if isinstance(value, str) else ""

    name = text("name") or path.rpartition("node_modules/")[2]
    resolved, link = text("resolved"), bool(one.get("link"))
    local = resolved.removeprefix("file:") if link or resolved.startswith("file:") else ""
    for part in (path, local):
        if part.startswith("/") or ".." in PurePosixPath(part).parts or any(ord(c) < 32 for c in part):
            raise BadEntry(f"{file}: {name or path!r} lies at {part!r}, outside of the folder, so it cannot go into an image; move it in")
    bins = one.get("bin")
    named = {str(key): str(value) for key, value in bins.items()} if isinstance(bins, dict) else {}
    return Entry(
        path,
        name,
        text("version"),
        text("integrity"),
        resolved,
        link,
        bool(one.get("dev")),
        bool(one.get("hasInstallScript")),
        tuple(sorted(named)),
        tuple(sorted(str(PurePosixPath(value)) for value in named.values())),
        text("license"),
    )
