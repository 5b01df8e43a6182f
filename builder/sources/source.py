"""Read a source folder once: which files go into the image, with the hash of their content. Modification times count for nothing.

`sources/walk.py` finds what is there; here it is hashed, links are followed to see where they lead, and what is odd is told. What was
hashed is what `read_file` and `open_file` give, or they fail.
"""

import errno
import hashlib
import io
import os
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, cast

from builder.caching.stats import Stats, now
from builder.errors import BadEntry
from builder.sources import leftout, names, secrets, walk
from builder.sources.leftout import LeftOut
from builder.sources.walk import Found, Walk

_SHOWN = 10
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`path` is relative, with `/`. `sha256` is of the content; for a link, `link` is its target."""

    path: str
    size: int
    executable: bool
    sha256: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """`digest` names the whole content."""

    root: Path
    files: tuple[SourceFile, ...]
    digest: str
    secrets: tuple[str, ...]  # left out
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()  # by a .gitignore

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def has(self, path: str) -> bool:
        return any(file.path == path for file in self.files)


def read_source(
    root: Path, max_bytes: int, max_files: int, warn_bytes: int, *, allow: tuple[str, ...] = (), stats: Path | None = None
) -> Source:
    """Walk, check, then hash. Limits are checked before any content is read.

    `allow` names files that may look like secrets. In the folder `stats` hashes of unchanged files are remembered.
    """
    root = root.absolute()
    found = Walk(root, max_bytes, max_files)
    found.run()
    found.found.sort(key=lambda one: one.path)
    links = _links(root, found)
    files, suspects = _hashed(root, found.found, Stats(stats, root))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.path}\0{file.executable:d}\0{file.link}\0{file.sha256}\n".encode())
    left_out = tuple(sorted(found.left_out, key=lambda one: one.path))
    warnings = [*links, *names.warnings(file.path for file in files), *leftout.large(left_out)]
    if found.bytes > warn_bytes:
        warnings.append(f"the source has {found.bytes / 1e6:.0f} MB. {found.largest()}")
    warnings += _secrets(found, suspects, allow)
    return Source(root, files, total.hexdigest(), tuple(sorted(found.secrets)), tuple(warnings), left_out)


def read_file(root: Path, file: SourceFile) -> bytes:
    """The content of a file. It never follows a link, and what was hashed is what is returned."""
    with open_file(root, file) as opened:
        return opened.read()


def open_file(root: Path, file: SourceFile) -> BinaryIO:
    """The same for a large one: its last bytes are given only if all of them are what was hashed."""
    folder, _, name = file.path.rpartition("/")
    with walk.opened_root(root) as top, walk.opened_folder(top, folder) as inner:
        return cast("BinaryIO", _Checked(walk.open_file(inner, name, file.path), file))


class _Checked(io.RawIOBase):
    """Reads a file and digests it on the way."""

    def __init__(self, fd: int, file: SourceFile) -> None:
        self._raw = open(fd, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._file, self._left, self._seen = file, file.size, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            parts = []
            while chunk := self.read(_CHUNK):
                parts.append(chunk)
            return b"".join(parts)
        data = self._raw.read(min(size, self._left)) or b""
        self._seen.update(data)
        self._left -= len(data)
        at_end = self._left == 0
        if (at_end and (self._raw.read(1) or self._seen.hexdigest() != self._file.sha256)) or (size and not data and not at_end):
            raise _changed(self._file.path)
        return data

    def close(self) -> None:
        self._raw.close()
        super().close()


def _changed(path: str) -> BadEntry:
    return BadEntry(f"{path} changed while it was read; build again")


def _hashed(root: Path, found: list[Found], stats: Stats) -> tuple[tuple[SourceFile, ...], dict[str, str]]:
    """The files, and what secret the content of each suspicious one looks like."""
    files: dict[str, SourceFile] = {}
    suspects: dict[str, str] = {}
    unread: list[Found] = []
    for one in found:
        file = SourceFile(one.path, one.info.st_size, bool(one.info.st_mode & 0o111), link=one.link)
        if one.link:
            files[one.path] = SourceFile(one.path, 0, False, link=one.link)
        elif known := stats.get(one.path, one.info):
            files[one.path] = SourceFile(file.path, file.size, file.executable, known[0])
            if known[1]:
                suspects[one.path] = known[1]
        else:
            unread.append(one)
    with walk.opened_root(root) as top:
        for folder, some in groupby(unread, key=lambda one: one.path.rpartition("/")[0]):
            with walk.opened_folder(top, folder) as inner:
                for one in some:
                    since = now()
                    digest, secret, info = _hash(inner, one)
                    if secret:
                        suspects[one.path] = secret
                    stats.put(one.path, info, digest, secret, since)
                    files[one.path] = SourceFile(one.path, info.st_size, bool(info.st_mode & 0o111), digest)
    stats.save()
    return tuple(files[one.path] for one in found), suspects


def _hash(folder: int, one: Found) -> tuple[str, str, os.stat_result]:
    fd = walk.open_file(folder, one.path.rpartition("/")[2], one.path)
    with open(fd, "rb", buffering=0) as file:
        seen, size, secret = hashlib.sha256(), 0, ""
        try:
            while chunk := file.read(_CHUNK):
                seen.update(chunk)
                size += len(chunk)
                if size > one.info.st_size:
                    break
                if size == one.info.st_size and size <= secrets.MAX_BYTES and size == len(chunk):
                    secret = secrets.kind(one.path, chunk)
        except OSError as error:
            raise BadEntry(f"{one.path} cannot be read: {error.strerror}") from None
        info = os.fstat(fd)
    if size != one.info.st_size or info.st_size != size:
        raise _changed(one.path)
    return seen.hexdigest(), secret, info


def _links(root: Path, found: Walk) -> list[str]:
    """Refuses links that lead out of the source; tells of those that will lead nowhere."""
    there = found.folders | {one.path for one in found.found}
    return [told for one in found.found if one.link and (told := _link(root, one.path, one.link, there))]


def _link(root: Path, path: str, target: str, there: set[str]) -> str:
    if target.startswith("/"):
        raise BadEntry(f"{path} is a link to {target}; a link in an image must be relative. Copy the file, or add {path} to .kfnignore")
    inside = os.path.normpath(os.path.join(os.path.dirname(path), target))
    if inside == ".." or inside.startswith("../"):
        raise BadEntry(f"{path} is a link to {target}, which is outside {root}. Copy the file, or add {path} to .kfnignore")
    top = os.path.realpath(root)
    try:
        real = os.path.realpath(root / path, strict=True)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadEntry(f"{path} is a link that leads back to itself") from None
        return f"{path} is a link to {target}, which does not exist"
    if os.path.commonpath([real, top]) != top:
        raise BadEntry(f"{path} is a link to {target}, which leads outside {root}. Copy the file, or add {path} to .kfnignore")
    inner = os.path.relpath(real, top)
    return "" if inner == "." or inner in there else f"{path} is a link to {target}, which is left out of the image"


def _secrets(found: Walk, suspects: dict[str, str], allow: tuple[str, ...]) -> list[str]:
    told = []
    allowed = {os.path.normpath(path) for path in allow}
    if left := sorted(set(found.secrets) - allowed):
        told.append(
            f"left out, for they look like secrets: {', '.join(left[:_SHOWN])}. If one belongs in the image, write !{left[0]} in .kfnignore"
        )
    going = {path: suspects.get(path, "") or "its name says so" for path in found.asked} | suspects
    going = {path: why for path, why in going.items() if path not in allowed and not (path.endswith(".pem") and path not in suspects)}
    if going:
        some = [f"{path} ({why})" for path, why in sorted(going.items())[:_SHOWN]]
        told.append(
            f"{', '.join(some)} {'look' if len(going) > 1 else 'looks'} like a secret and will be in the image, for everybody who can pull "
            f"it. Take it out with .kfnignore and give it as a Secret; if it is none, build with --allow-secret-file {min(going)}"
        )
    if unknown := sorted(path for path in allowed if path not in {one.path for one in found.found}):
        told.append(f"--allow-secret-file {unknown[0]}: no such file goes into the image")
    return told
