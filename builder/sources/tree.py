"""A commit's tree to files: parse what `git ls-tree` and `git cat-file` say, check every name, write. Talks to no git itself.

Folders are made here, regular files next, links last, each only where nothing is: no entry is ever written through another one.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from builder.errors import GitError, SourceTooLarge

LINK, SUBMODULE, PROGRAM = "120000", "160000", "100755"
_LFS = b"version https://git-lfs.github.com/spec/"
_LARGEST = 10
_LONGEST_LINK = 4096
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """`path` is relative to the folder, with `/`."""

    mode: str
    oid: str
    path: str

    @property
    def submodule(self) -> bool:
        return self.mode == SUBMODULE


def parse(listing: bytes) -> tuple[Entry, ...]:
    """What `git ls-tree -r -z` lists. Raises GitError for a name that would lead out of the folder or into a git folder."""
    found = []
    for line in listing.split(b"\0"):
        if line:
            head, _, name = line.partition(b"\t")
            mode, _, oid = head.decode().split()
            path = os.fsdecode(name)
            if any(part in ("", ".", "..") or part.lower() == ".git" for part in path.split("/")):
                raise GitError(f"{path!r}: the repository has an entry of a name that no checkout can have; it is damaged, or an attack")
            found.append(Entry(mode, oid, path))
    return tuple(found)


def wanted(entries: Sequence[Entry]) -> bytes:
    """The blobs to ask for, each once, one a line."""
    return "".join(f"{oid}\n" for oid in dict.fromkeys(entry.oid for entry in entries if not entry.submodule)).encode()


def check_size(name: str, entries: Sequence[Entry], sizes: Mapping[str, int], most: int) -> None:
    total = sum(sizes.get(entry.oid, 0) for entry in entries)
    if total > most:
        top = sorted(entries, key=lambda entry: -sizes.get(entry.oid, 0))[:_LARGEST]
        lines = "".join(f"\n  {sizes.get(entry.oid, 0) / 1e6:9.1f} MB  {entry.path}" for entry in top)
        raise SourceTooLarge(
            f"{name} has {total / 1e6:.0f} MB, {most / 1e6:.0f} MB are allowed; name a folder with #REF:FOLDER. The largest:{lines}"
        )


def write(folder: Path, entries: Sequence[Entry], content: Path) -> tuple[str, ...]:
    """Write the entries whose blobs `git cat-file --batch` wrote to `content`. Returns those that are Git LFS pointers."""
    places: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.submodule:
            places.setdefault(entry.oid, []).append(entry)
    folder.mkdir()
    links: list[tuple[str, str]] = []
    pointers: list[str] = []
    with content.open("rb") as blobs:
        while head := blobs.readline():
            oid, kind, size = head.decode().split()
            if kind != "blob" or oid not in places:
                raise GitError(f"object {oid} is no file")
            begin = blobs.tell()
            for entry in places[oid]:
                blobs.seek(begin)
                if entry.mode == LINK:
                    links.append((entry.path, os.fsdecode(blobs.read(min(int(size), _LONGEST_LINK)))))
                elif _file(folder, entry, blobs, int(size)):
                    pointers.append(entry.path)
            blobs.seek(begin + int(size) + 1)
    for path, target in links:
        _make(folder, path)
        try:
            os.symlink(target, folder / path)
        except (OSError, ValueError):
            raise GitError(f"{path!r} is a link that cannot be made") from None
    return tuple(sorted(pointers))


def _file(folder: Path, entry: Entry, blobs: BinaryIO, size: int) -> bool:
    """Whether it is a Git LFS pointer."""
    _make(folder, entry.path)
    try:
        fd = os.open(
            folder / entry.path,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o755 if entry.mode == PROGRAM else 0o644,
        )
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise GitError(f"{entry.path!r} is in the repository twice; it is damaged, or an attack") from None
    pointer = False
    with open(fd, "wb") as file:
        left = size
        while left:
            chunk = blobs.read(min(left, _CHUNK))
            if not chunk:
                raise GitError(f"{entry.path!r} did not come whole")
            pointer = pointer or (left == size and size < 1024 and chunk.startswith(_LFS))
            left -= len(chunk)
            file.write(chunk)
    return pointer


def _make(folder: Path, path: str) -> None:
    parent = folder / path.rpartition("/")[0]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise GitError(f"{path!r}: the repository has a file where it has a folder too; it is damaged, or an attack") from None
