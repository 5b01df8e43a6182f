"""Keep the cache within its size: looks what is there, removes what `evict.py` chooses, forgets keys of what is gone.

A build holds a shared lock for as long as it runs (`using`). If nobody holds it, all that was not used for ten minutes may go; beside
running builds only what was not used for two hours, which is longer than a build takes between finding an entry and using it. Each entry
goes at once or not at all. Entries tell by their modification time when they were used (`files.used`).

What no build could make again stays: imported bases, images, locks of bases, and the Release files of Debian's archives, which keep a
mirror from going back to an older state. Scratch folders of builds that were killed go too (`files.sweep`).
"""

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder import files
from builder.caching.evict import Entry, plan
from builder.errors import Busy

KINDS = {  # folders whose entries go one by one; layers and Debian's packages lie together
    "layer": "blobs/sha256",
    "unpacked base": "rootfs",
    "unpacked layer": "unpacked",
    "Debian index": "debian/indices",
    "begun download": "debian/partial",
}
WHOLE = {"npm's packages": "npm", "Go's packages": "go-build", "Go's modules": "go"}  # of other programs, and gone at once
EVERY = 600.0  # seconds between two looks
GRACE, GRACE_BESIDE = 600.0, 7200.0
OLD = 30 * 86400.0  # seconds after which what is small and unused is forgotten
SMALL = ("keys", "stats", "projects")


@dataclass(frozen=True, slots=True)
class Freed:
    """What a look removed, and what is left in bytes."""

    entries: int = 0
    size: int = 0
    left: int = 0


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Hold this while a build uses the cache. Ends with the process, however that ends."""
    files.private(path)
    with files.locked(path / "locks" / "use", shared=True):
        yield


def keep(path: Path, most: int) -> None:
    """At the end of a build: look, if nobody did lately. Never fails a build."""
    stamp = path / "locks" / "bounded"
    try:
        if time.time() - stamp.stat().st_mtime < EVERY:
            return
    except OSError:
        pass
    try:
        stamp.touch()
        trim(path, most)
    except (OSError, Busy):
        pass


def trim(path: Path, most: int, *, grace: float | None = None) -> Freed:
    """Bring the cache within `most` bytes. Blocks. Raises Busy if another process is doing it.

    `grace` in seconds is for who knows better; it counts only if no build is running.
    """
    with files.locked(path / "locks" / "trim", timeout=0.0):
        try:
            with files.locked(path / "locks" / "use", timeout=0.0):
                return _trim(path, most, GRACE if grace is None else grace)
        except Busy:
            return _trim(path, most, GRACE_BESIDE)


def entries(path: Path) -> list[Entry]:
    found: list[Entry] = []
    for kind, folder in KINDS.items():
        try:
            scan = sorted(os.scandir(path / folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        for entry in scan:
            if not entry.name.startswith(files.TEMP_PREFIX):
                found.extend(_entry(kind, Path(entry.path)))
    for kind, folder in WHOLE.items():
        found.extend(_entry(kind, path / folder))
    return found


def _entry(kind: str, path: Path) -> tuple[Entry, ...]:
    try:
        info = path.lstat()
        return (Entry(kind, path, _size(path) if stat.S_ISDIR(info.st_mode) else info.st_size, info.st_mtime),)
    except OSError:
        return ()  # another process removed it


def _trim(path: Path, most: int, grace: float) -> Freed:
    for folder in ("tmp", *KINDS.values(), *SMALL):
        files.sweep(path / folder)
    there = entries(path)
    gone = plan(there, most, time.time(), grace)
    for one in gone:
        _remove(path, one.path)
    _forget(path)
    size = sum(one.size for one in gone)
    return Freed(len(gone), size, sum(one.size for one in there) - size)


def _remove(root: Path, path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            aside = root / "tmp" / f"{files.TEMP_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
            aside.parent.mkdir(exist_ok=True)
            path.rename(aside)
            files.remove(aside)
        else:
            path.unlink()
    except FileNotFoundError:
        pass


def _forget(path: Path) -> None:
    """Keys of blobs that are gone, and what is old."""
    before = time.time() - OLD
    for folder in SMALL:
        for entry in (path / folder).glob("*"):
            try:
                if entry.stat().st_mtime < before or (folder == "keys" and _lost(path, entry)):
                    entry.unlink()
            except OSError:
                continue


def _lost(path: Path, key: Path) -> bool:
    try:
        layer = json.loads(key.read_bytes())["facts"].get("layer")
        return bool(layer) and not layer.get("origin") and not (path / KINDS["layer"] / layer["digest"].removeprefix("sha256:")).exists()
    except (ValueError, TypeError, KeyError, AttributeError):
        return True


def _size(folder: Path) -> int:
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(here, name)).st_size
            except OSError:
                continue
    return total
