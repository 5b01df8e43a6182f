"""Read a .deb as what it would put into a root file system. Never writes a path: who composes a layer decides what becomes of an entry.

Everything in it is taken for hostile, signature or not: names, links, modes, sizes, counts and the compression ratio are checked.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from builder.debian import ar, control, untar
from builder.debian.unpack import Damaged, method, reader, unpacked
from builder.errors import BadPackage

Kind = Literal["file", "folder", "link"]

MAX_CONTROL = 32_000_000  # bytes of the control archive, which is held in memory
MAX_DATA = 4_000_000_000  # bytes of the data, on disk; Debian's largest packages have about 2 GB
MAX_ENTRIES = 200_000
MAX_PATH, MAX_PART = 4096, 255  # what Linux takes
_KINDS: dict[str, Kind] = {"0": "file", "1": "file", "2": "link", "5": "folder"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of the package's data.

    `path` is relative, without `./`, `..` or empty parts: `usr/bin/python3.13`. A hard link is a file with the content and mode of what
    it links to, whose path is `hard`. `open` gives the content (empty for what is no file); use it before the package is closed.
    """

    path: str
    kind: Kind
    mode: int  # permission bits; setuid, setgid and sticky as the package has them
    size: int
    link: str  # a symbolic link's target as it stands there; absolute ones point into the root file system
    hard: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Deb:
    """`control` has the fields of the control file, `md5sums` the file of that name (empty if there is none)."""

    control: Mapping[str, str]
    control_text: str
    md5sums: str
    entries: Callable[[], Iterator[Entry]]  # in the order of the package; folders may come again
    postinst: str = ""  # never run; `builder/base` reads what it would register as alternatives


@contextmanager
def opened(path: Path, scratch: Path | None = None) -> Iterator[Deb]:
    """`scratch` is the folder for the unpacked data (a file without a name), by default the system's. Raises BadPackage."""
    with path.open("rb") as file, tempfile.TemporaryFile(dir=scratch) as data:
        try:
            deb = _read(file, data, path.name)
        except (Damaged, UnicodeDecodeError) as error:
            raise BadPackage(f"{path.name}: {error}") from None
        yield deb


def _read(file: BinaryIO, data: BinaryIO, package: str) -> Deb:
    inner, outer = _members(file)
    files = _control(file, inner)
    text = files.get("control", b"").decode()
    fields = next(control.stanzas(text), {})
    if not fields.get("Package"):
        raise Damaged("its control file does not name the package")
    size = _unpack(file, outer, data)
    sums, postinst = files.get("md5sums", b"").decode(), files.get("postinst", b"").decode(errors="replace")
    return Deb(fields, text, sums, lambda: _entries(data, size, package), postinst)


def _members(file: BinaryIO) -> tuple[ar.Member, ar.Member]:
    """The archives of control and data, found as dpkg finds them."""
    found = [member for member in ar.members(file) if not member.name.startswith("_")]
    names = [member.name for member in found]
    if len(found) < 3 or names[0] != "debian-binary" or not names[1].startswith("control.tar") or not names[2].startswith("data.tar"):
        raise Damaged(f"it is no Debian package: its members are {', '.join(names) or 'none'}")
    if (version := reader(file, found[0].offset, min(found[0].size, 16))(16))[:2] != b"2.":
        raise Damaged(f"its format is {version!r}, not 2.0")
    return found[1], found[2]


def _unpack(file: BinaryIO, member: ar.Member, target: BinaryIO, limit: int = MAX_DATA) -> int:
    for piece in unpacked(reader(file, member.offset, member.size), member.size, method(member.name), limit):
        target.write(piece)
    target.flush()
    return target.tell()


def _control(file: BinaryIO, member: ar.Member) -> dict[str, bytes]:
    """The files of the control archive that are of use; the other maintainer scripts stay where they are."""
    target = io.BytesIO()
    size = _unpack(file, member, target, MAX_CONTROL)
    found = {}
    for header in untar.headers(target, size, MAX_ENTRIES):
        name = header.name.removeprefix("./")
        if header.kind == "0" and name in ("control", "md5sums", "postinst"):
            found[name] = target.getvalue()[header.offset : header.offset + header.size]
    return found


def _entries(data: BinaryIO, size: int, package: str) -> Iterator[Entry]:
    seen: dict[str, Entry] = {}
    try:
        for header in untar.headers(data, size, MAX_ENTRIES):
            path = clean(header.name)
            if not path:
                continue  # the root folder itself
            entry = _entry(header, path, data, seen)
            if (old := seen.get(path)) and not (old.kind == entry.kind == "folder"):
                raise Damaged(f"{path!r} is in it twice")
            if parent := next((p for p in _parents(path) if p in seen and seen[p].kind != "folder"), ""):
                raise Damaged(f"{path!r} is below {parent!r}, which is no folder")
            seen[path] = entry
            yield entry
    except Damaged as error:
        raise BadPackage(f"{package}: {error}") from None


def _entry(header: untar.Header, path: str, data: BinaryIO, seen: Mapping[str, Entry]) -> Entry:
    mode = header.mode & 0o7777
    if header.kind == "1":
        target = seen.get(clean(header.link))
        if target is None or target.kind != "file":
            raise Damaged(f"{path!r} is a hard link to {header.link!r}, which is no file before it in the package")
        return Entry(path, "file", target.mode, target.size, "", target.hard or target.path, target.open)
    if header.kind == "2":
        check_link(path, header.link)
        return Entry(path, "link", 0o777, 0, header.link, "", io.BytesIO)
    if header.kind == "5":
        return Entry(path, "folder", mode, 0, "", "", io.BytesIO)
    return Entry(path, "file", mode, header.size, "", "", lambda: _content(data, header.offset, header.size))


def clean(name: str) -> str:
    """A member's name as a path below the root. Raises Damaged for one that could lead elsewhere."""
    path = name.removeprefix("./").removesuffix("/")
    if path in ("", "."):
        return ""
    parts = path.split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise Damaged(f"the path {name!r} in it could lead out of the package")
    if len(path.encode()) > MAX_PATH or any(len(part.encode()) > MAX_PART for part in parts):
        raise Damaged(f"the path {name[:60]!r}... in it is longer than Linux takes")
    if not path.isprintable():
        raise Damaged(f"the path {name!r} in it has characters that cannot be printed")
    return path


def check_link(path: str, target: str) -> None:
    """A symbolic link may be absolute (then it means the image's root), but must not climb above the root."""
    if not target or len(target.encode()) >= MAX_PATH or not target.isprintable():
        raise Damaged(f"the link {path!r} leads to {target[:60]!r}")
    depth = 0 if target.startswith("/") else path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            raise Damaged(f"the link {path!r} leads to {target!r}, above the root")


def _parents(path: str) -> Iterator[str]:
    at = path.find("/")
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _content(data: BinaryIO, offset: int, size: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, _Slice(data.fileno(), offset, size)), 1 << 17))


class _Slice(io.RawIOBase):
    """A part of an open file, with a position of its own."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd, self._at, self._end = fd, offset, offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: max(0, self._end - self._at)]
        got = os.preadv(self._fd, [view], self._at) if view else 0
        self._at += got
        return got
