"""Unpack a source artifact from anywhere: a gzipped tar, read by rules of our own. Nothing is written outside the new folder.

It takes what `source_artifact.py` writes and no more: files, folders, relative links, and PAX headers that give a long path or link. It
counts bytes and entries while it reads, and refuses what is cut off, comes twice, leads through a link or unpacks to far more than it is.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from builder.errors import SourceError

BLOCK = 512
_CHUNK = 1 << 18
RATIO = 200  # bytes out of one byte in
RATIO_FLOOR = 16 << 20  # up to here a ratio says nothing: a small file of zeros is no attack
_PAX_BYTES = 16384
_DEPTH = 64
_PATH = 1024  # bytes
_FILE, _LINK, _FOLDER, _PAX = b"0", b"2", b"5", b"x"


class SourceUnsafe(SourceError):
    """The source artifact is refused."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`bytes` of all files together, `entries` of every kind."""

    bytes: int = 512_000_000
    entries: int = 100_000


@dataclass(frozen=True, slots=True)
class _Head:
    path: str
    size: int
    kind: bytes
    executable: bool
    link: str


def extract(source: BinaryIO, folder: Path, limits: Limits | None = None) -> None:
    """Write what `source` holds into `folder`, which must be new and empty. Blocks. Raises SourceUnsafe with the entry's name."""
    place = _Place(folder.resolve())
    stream = _Stream(source, limits or Limits())
    for head in _heads(stream):
        place.put(head, stream)
    stream.end()


class _Stream:
    """The unpacked bytes of one gzip member, counted. Never holds more than a chunk."""

    def __init__(self, source: BinaryIO, limits: Limits) -> None:
        self._source, self.limits = source, limits
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._ready = b""
        self._in = self._out = 0

    def exactly(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            piece = self.some(left)
            if not piece:
                raise SourceUnsafe("it ends in the middle")
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)

    def some(self, most: int) -> bytes:
        """At least one byte unless it is at its end."""
        while not self._ready and not self._inflate.eof:
            self._more()
        piece, self._ready = self._ready[:most], self._ready[most:]
        return piece

    def end(self) -> None:
        """Nothing but zeros may follow the end of a tar, and nothing at all the gzip member: it would be read by others and not by us."""
        while piece := self.some(_CHUNK):
            if piece.strip(b"\0"):
                raise SourceUnsafe("something follows the end of the tar")
        if self._inflate.unused_data or self._source.read(1):
            raise SourceUnsafe("something follows the compressed tar")

    def _more(self) -> None:
        packed = self._inflate.unconsumed_tail
        if not packed:
            packed = self._source.read(_CHUNK)
            self._in += len(packed)
        if not packed:
            raise SourceUnsafe("it ends in the middle")
        try:
            self._ready = self._inflate.decompress(packed, _CHUNK)
        except zlib.error as error:
            raise SourceUnsafe(f"it is no gzip: {error}") from None
        self._out += len(self._ready)
        # Heads, folders and padding are at most 2 KiB an entry beside the files' own bytes.
        if self._out > self.limits.bytes + self.limits.entries * 4 * BLOCK:
            raise SourceUnsafe(f"it has more than {self.limits.bytes / 1e6:.0f} MB")
        if self._out > RATIO_FLOOR and self._out > self._in * RATIO:
            raise SourceUnsafe(f"{self._in} bytes unpack to more than {RATIO} times as many")


@dataclass
class _Place:
    """The folder, and what lies in it so far."""

    root: Path
    folders: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def put(self, head: _Head, stream: _Stream) -> None:
        if head.path in self.others or head.path in self.folders:
            raise SourceUnsafe(f"{head.path!r} is in it twice")
        self._parents(head.path)
        path = self.root / head.path
        if head.kind == _FOLDER:
            path.mkdir(mode=0o755)
            self.folders.add(head.path)
            return
        self.others.add(head.path)
        if head.kind == _LINK:
            path.symlink_to(head.link)
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o755 if head.executable else 0o644)
        with open(fd, "wb") as file:
            left = head.size
            while left:
                piece = stream.some(min(left, _CHUNK))
                if not piece:
                    raise SourceUnsafe(f"{head.path!r} ends in the middle")
                file.write(piece)
                left -= len(piece)
        if stream.exactly(-head.size % BLOCK).strip(b"\0"):
            raise SourceUnsafe(f"{head.path!r} is followed by something that is no padding")

    def _parents(self, path: str) -> None:
        """Make the folders above, which must be folders: a link there could lead anywhere."""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above in self.others:
                raise SourceUnsafe(f"{path!r} lies in {above!r}, which is no folder")
            if above not in self.folders:
                (self.root / above).mkdir(mode=0o755)
                self.folders.add(above)


def _heads(stream: _Stream) -> Iterator[_Head]:
    """Entry by entry; the caller reads a file's bytes in between. Ends at the two empty blocks that a whole tar ends with."""
    entries, total, pax = 0, 0, dict[str, str]()
    while True:
        block = stream.exactly(BLOCK)
        if not block.strip(b"\0"):
            if stream.exactly(BLOCK).strip(b"\0") or pax:
                raise SourceUnsafe("it ends in the middle")
            return
        kind, size = _checked(block)
        entries += 1
        if entries > stream.limits.entries:
            raise SourceUnsafe(f"it has more than {stream.limits.entries} entries")
        if kind == _PAX:
            if pax or not 0 < size <= _PAX_BYTES:
                raise SourceUnsafe("its PAX headers are not such as kfn writes")
            pax = _pax(stream.exactly(size))
            stream.exactly(-size % BLOCK)
            continue
        head = _head(block, kind, size, pax)
        pax = {}
        total += head.size
        if total > stream.limits.bytes:
            raise SourceUnsafe(f"{head.path!r} makes it more than {stream.limits.bytes / 1e6:.0f} MB")
        yield head


def _checked(block: bytes) -> tuple[bytes, int]:
    """The type and size of a header block whose sum is right."""
    wanted = _octal(block[148:156], "checksum")
    if sum(block) - sum(block[148:156]) + 8 * 32 != wanted:
        raise SourceUnsafe("a header's checksum is wrong")
    if block[257:262] != b"ustar":
        raise SourceUnsafe("it is not a tar as POSIX has it")
    kind = block[156:157]
    if kind not in (_FILE, _LINK, _FOLDER, _PAX):
        name = _text(block[:100].rstrip(b"\0"))
        raise SourceUnsafe(f"{name!r} is neither a file, a folder nor a symbolic link (type {kind!r})")
    return kind, _octal(block[124:136], "size")


def _head(block: bytes, kind: bytes, size: int, pax: dict[str, str]) -> _Head:
    prefix, name = block[345:500].split(b"\0")[0], block[:100].split(b"\0")[0]
    path = pax.get("path") or _text(prefix + b"/" + name if prefix else name)
    link = pax.get("linkpath") or _text(block[157:257].split(b"\0")[0])
    path = path.removesuffix("/") if kind == _FOLDER else path
    _check_path(path)
    if kind != _FILE and size:
        raise SourceUnsafe(f"{path!r} is no file and has {size} bytes")
    if kind == _LINK:
        _check_link(path, link)
    elif link:
        raise SourceUnsafe(f"{path!r} is no link and names a target")
    mode = _octal(block[100:108], "mode")
    return _Head(path, size, kind, bool(mode & 0o100), link)


def _check_path(path: str) -> None:
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or any(part in ("", ".", "..") for part in parts)
        or len(parts) > _DEPTH
        or len(path.encode()) > _PATH
        or any(len(part.encode()) > 255 for part in parts)
        or any(ord(c) < 32 or ord(c) == 127 for c in path)
    ):
        raise SourceUnsafe(f"{path[:200]!r} is not a path inside the source")


def _check_link(path: str, target: str) -> None:
    """Where it points to must be inside, by the names alone; links above it are impossible, as `_parents` sees to."""
    leads = os.path.normpath(os.path.join(os.path.dirname(path), target))
    if not target or target.startswith("/") or leads == ".." or leads.startswith("../") or any(ord(c) < 32 for c in target):
        raise SourceUnsafe(f"{path!r} is a link to {target[:200]!r}, which is not inside the source")


def _pax(data: bytes) -> dict[str, str]:
    """`LENGTH KEY=VALUE\\n` records, of which a size or anything else that would contradict the header is refused."""
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 7 else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not space or length > len(data) or not equals or not record.endswith(b"\n"):
            raise SourceUnsafe("a PAX header is broken")
        name = _text(key)
        if name not in ("path", "linkpath") or name in found:
            raise SourceUnsafe(f"a PAX header has {name[:40]!r}, which a source does not need")
        found[name] = _text(value[:-1])
        data = data[length:]
    return found


def _octal(field_: bytes, what: str) -> int:
    digits = field_.strip(b" \0")
    if any(c not in b"01234567" for c in digits):
        raise SourceUnsafe(f"a header's {what} is not a number")
    return int(digits or b"0", 8)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SourceUnsafe(f"{data[:100]!r} is not UTF-8") from None
