"""An archive's index of packages, in a form that answers at once: 68,000 stanzas of trixie are read once, and a warm run reads ten blocks.

The file is blocks of stanzas, sorted by name and compressed, then the same for who provides what, then a directory of the blocks' first
names. A block proves itself by zlib's checksum. Only the fields that a choice needs are kept: 57 MB become 8.
"""

import json
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from builder import files
from builder.debian.lock import good_path
from builder.debian.model import Origin, Package
from builder.debian.unpack import Damaged

FORMAT = "1"  # part of the file's name
_MAGIC = b"kfnindex"
_TAIL = struct.Struct(">QI8s")
_BLOCK = 1 << 16
_STANZA = 4_000_000  # bytes; trixie's longest has 76,000
_KEPT = (
    "Package",
    "Version",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Priority",
    "Provides",
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
)
_LINES = re.compile(rb"^(?:" + "|".join((*_KEPT, "Filename", "Size", "SHA256")).encode() + rb"): .*\n|^\n", re.MULTILINE)
_VIRTUAL = re.compile(rb"[a-z0-9][a-z0-9+.-]+")  # the first word of each part of a Provides
_HASH = re.compile(r"[0-9a-f]{64}")


def write(target: Path, pieces: Iterable[bytes]) -> None:
    """Make the file out of an unpacked Packages file. Raises Damaged for one that is none."""
    found: list[tuple[str, bytes]] = []
    provided: dict[bytes, set[str]] = {}
    for stanza in _stanzas(pieces):
        if not stanza.startswith(b"Package: ") or b"\nSHA256: " not in stanza:
            raise Damaged(f"it has a stanza without a package or a hash: {stanza[:80]!r}")
        name = stanza[9 : stanza.index(b"\n")].decode()
        found.append((name, stanza))
        at = stanza.find(b"\nProvides: ")
        if at >= 0:
            for part in stanza[at + 11 : stanza.index(b"\n", at + 1)].split(b","):
                if word := _VIRTUAL.match(part.strip()):
                    provided.setdefault(word[0], set()).add(name)
    found.sort()
    lines = ((name.decode(), name + f" {' '.join(sorted(by))}".encode()) for name, by in sorted(provided.items()))
    with files.writing(target) as file:
        directory: dict[str, list[tuple[str, int, int]]] = {}
        for kind, records in (("packages", iter(found)), ("provided", lines)):
            directory[kind] = []
            for first, block in _blocks(records):
                packed = zlib.compress(block, 1)
                directory[kind].append((first, file.tell(), len(packed)))
                file.write(packed)
        packed = zlib.compress(json.dumps(directory).encode())
        file.write(packed + _TAIL.pack(len(packed), zlib.crc32(packed), _MAGIC))


def _stanzas(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Only the lines that are of use."""
    rest = b""
    for piece in chain(pieces, (b"\n\n",)):
        whole, cut, rest = (rest + piece).rpartition(b"\n\n")
        if len(rest) > _STANZA:
            raise Damaged(f"it has a stanza of more than {_STANZA} bytes")
        if cut:
            for stanza in b"".join(_LINES.findall(whole + b"\n\n")).split(b"\n\n"):
                if stanza.strip():
                    yield stanza.lstrip(b"\n").rstrip(b"\n") + b"\n"
    if rest.strip():
        raise Damaged("it is cut off")


def _blocks(records: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """First name and content. A name's records are never spread over two blocks."""
    first, last, size = "", "", 0
    held: list[bytes] = []
    for name, record in records:
        if size > _BLOCK and name != last:
            yield first, b"\n".join(held)
            held, size = [], 0
        if not held:
            first = name
        held.append(record)
        last, size = name, size + len(record)
    if held:
        yield first, b"\n".join(held)


@dataclass
class Index:
    """An open index. `versions`, `providers` and `names` are a `closure.Universe` of one suite."""

    path: Path
    origin: Origin
    _directory: dict[str, list[tuple[str, int, int]]] = field(init=False)
    _blocks: dict[tuple[str, int], dict[str, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises Damaged (also for a file that is not there)."""
        try:
            with self.path.open("rb") as file:
                file.seek(-_TAIL.size, 2)
                end = file.tell()
                size, crc, magic = _TAIL.unpack(file.read(_TAIL.size))
                if magic != _MAGIC or size > end:
                    raise Damaged("it is no index")
                file.seek(end - size)
                packed = file.read(size)
            if zlib.crc32(packed) != crc:
                raise Damaged("its directory is damaged")
            self._directory = json.loads(zlib.decompress(packed))
        except (OSError, ValueError, zlib.error) as error:
            raise Damaged(f"{self.path}: {error}") from None

    def versions(self, name: str) -> list[Package]:
        return [package(stanza, self.origin) for stanza in self._find("packages", name).get(name, [])]

    def providers(self, name: str) -> list[Package]:
        return [one for line in self._find("provided", name).get(name, []) for by in line.split(" ")[1:] for one in self.versions(by)]

    def names(self, start: str) -> Iterator[str]:
        firsts = [first for first, _, _ in self._directory["packages"]]
        for at in range(max(0, bisect_right(firsts, start) - 1), len(firsts)):
            if firsts[at] > start and not firsts[at].startswith(start):
                return
            yield from (name for name in self._block("packages", at) if name.startswith(start))

    def _find(self, kind: str, name: str) -> dict[str, list[str]]:
        at = bisect_right(self._directory[kind], name, key=lambda entry: entry[0]) - 1
        return self._block(kind, at) if at >= 0 else {}

    def _block(self, kind: str, at: int) -> dict[str, list[str]]:
        if (kind, at) not in self._blocks:
            _, offset, size = self._directory[kind][at]
            try:
                with self.path.open("rb") as file:
                    file.seek(offset)
                    text = zlib.decompress(file.read(size)).decode()
            except (OSError, ValueError, zlib.error) as error:
                raise Damaged(f"{self.path}: {error}") from None
            named: dict[str, list[str]] = {}
            for record in text.split("\n\n") if kind == "packages" else text.split("\n"):
                head = record.partition("\n")[0]
                named.setdefault(head.removeprefix("Package: ") if kind == "packages" else head.partition(" ")[0], []).append(record)
            self._blocks[kind, at] = named
        return self._blocks[kind, at]


def package(stanza: str, origin: Origin) -> Package:
    """Raises Damaged for a stanza that does not say what it must, or whose file is not below the archive's pool."""
    fields = dict(line.split(": ", 1) for line in stanza.strip("\n").split("\n"))

    def get(field: str) -> str:
        return fields.get(field, "")

    name, path, size = fields["Package"], get("Filename"), get("Size")
    if not (good_path(path) and size.isascii() and size.isdigit() and _HASH.fullmatch(get("SHA256")) and get("Version")):
        raise Damaged(f"the stanza of {name} in the index is damaged")
    return Package(
        name=name,
        version=fields["Version"],
        architecture=get("Architecture"),
        sha256=fields["SHA256"],
        size=int(size),
        origin=origin,
        path=path,
        depends=get("Depends"),
        pre_depends=get("Pre-Depends"),
        provides=get("Provides"),
        conflicts=get("Conflicts"),
        breaks=get("Breaks"),
        multi_arch=get("Multi-Arch"),
        source=get("Source"),
        priority=get("Priority"),
    )


@dataclass(frozen=True, slots=True)
class Joined:
    """Several indices as one."""

    indices: tuple[Index, ...]

    def versions(self, name: str) -> list[Package]:
        return [one for index in self.indices for one in index.versions(name)]

    def providers(self, name: str) -> list[Package]:
        return [one for index in self.indices for one in index.providers(name)]

    def names(self, start: str) -> Iterator[str]:
        yield from dict.fromkeys(name for index in self.indices for name in index.names(start))
