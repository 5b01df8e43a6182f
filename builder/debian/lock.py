"""A base's lock file: exactly these packages, in a text with one form only. Pure.

The hashes in it are the trust: with a lock no index and no signature is read, and any mirror that still has the files will do.
"""

import re
from dataclasses import dataclass, replace
from typing import get_args

from builder.debian.model import Origin, Package, Selection, Snapshot, by_name
from builder.errors import BaseLockInvalid

FORMAT = "kfn-base-lock 1"
_HEAD = f"""# {FORMAT}
# Exactly these packages make the base. Written by kfn; a line is: name version architecture sha256 bytes origin path
"""
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[A-Za-z0-9.+:~-]+")
_HASH = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"pool/(?:[A-Za-z0-9+._~%-]+/)+[A-Za-z0-9+._~%:-]+\.deb")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Lock:
    """`packages` are sorted by name; of their fields only those that name and prove the file are filled in."""

    suite: str
    architecture: str
    roots: tuple[str, ...]
    packages: tuple[Package, ...]
    snapshots: tuple[Snapshot, ...] = ()


def of(selection: Selection) -> Lock:
    bare = [Package(p.name, p.version, p.architecture, p.sha256, p.size, p.origin, p.path) for p in selection.packages]
    return Lock(selection.suite, selection.architecture, tuple(sorted(selection.roots)), by_name(bare), selection.snapshots)


def selection(lock: Lock) -> Selection:
    """What a lock chooses."""
    return Selection(lock.suite, lock.architecture, lock.roots, lock.packages, lock.snapshots)


def text(lock: Lock) -> str:
    """The file's text. The same lock gives the same text."""
    lines = [f"suite {lock.suite}", f"architecture {lock.architecture}"]
    lines += [f"snapshot {one.suite} {one.date}" for one in sorted(lock.snapshots, key=lambda one: one.suite)]
    lines += [f"wants {root}" for root in sorted(lock.roots)]
    lines += ["", *(_line(package) for package in by_name(lock.packages))]
    return _HEAD + "\n".join(lines) + "\n"


def _line(p: Package) -> str:
    return f"{p.name} {p.version} {p.architecture} {p.sha256} {p.size} {p.origin} {p.path}"


def parse(text: str, where: str) -> Lock:
    """`where` names the file in an error. Raises BaseLockInvalid with the line."""
    lock = Lock("", "", (), ())
    if not text.startswith(f"# {FORMAT}\n"):
        raise BaseLockInvalid(f"{where} does not begin with '# {FORMAT}'; make it again with this kfn")
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        try:
            lock = _read(lock, line)
        except ValueError as error:
            raise BaseLockInvalid(f"{where}, line {number}: {error}") from None
    names = [package.name for package in lock.packages]
    for what, missing in (("suite", not lock.suite), ("architecture", not lock.architecture), ("package", not names)):
        if missing:
            raise BaseLockInvalid(f"{where} names no {what}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BaseLockInvalid(f"{where} has {', '.join(twice)} more than once")
    if strange := [p for p in lock.packages if p.architecture not in ("all", lock.architecture)]:
        raise BaseLockInvalid(f"{where}: {strange[0].name} is for {strange[0].architecture}, the lock for {lock.architecture}")
    return replace(lock, packages=by_name(lock.packages))


def _read(lock: Lock, line: str) -> Lock:
    match line.split(" "):
        case ["suite", suite] if _WORD.fullmatch(suite) and not lock.suite:
            return replace(lock, suite=suite)
        case ["architecture", architecture] if _WORD.fullmatch(architecture) and not lock.architecture:
            return replace(lock, architecture=architecture)
        case ["snapshot", suite, date] if _WORD.fullmatch(suite):
            return replace(lock, snapshots=(*lock.snapshots, Snapshot(suite, date)))
        case ["wants", *root] if root:
            return replace(lock, roots=(*lock.roots, " ".join(root)))
        case [_, _, _, _, _, _, _] as fields:
            return replace(lock, packages=(*lock.packages, _package(fields)))
    raise ValueError(f"{line[:80]!r} is no line of a base's lock")


def _package(fields: list[str]) -> Package:
    name, version, architecture, sha256, size, origin, path = fields
    rules = (("name", name, _NAME), ("version", version, _VERSION), ("architecture", architecture, _WORD), ("sha256", sha256, _HASH))
    for what, value, rule in rules:
        if not rule.fullmatch(value):
            raise ValueError(f"{value[:80]!r} is no {what}")
    if not size.isascii() or not size.isdigit():
        raise ValueError(f"{size[:80]!r} is no number of bytes")
    if origin not in get_args(Origin):
        raise ValueError(f"the origin is {origin[:80]!r}, not {' or '.join(get_args(Origin))}")
    if not good_path(path):
        raise ValueError(f"{path[:80]!r} is no path below pool/")
    known: Origin = "security" if origin == "security" else "archive"
    return Package(name, version, architecture, sha256, int(size), known, path)


def good_path(path: str) -> bool:
    """Whether a package's path stays below the mirror's pool."""
    return _PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))
