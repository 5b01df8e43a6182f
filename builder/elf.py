"""A small reader of ELF files: for which machine a program is, and what it needs to start.

It runs nothing and trusts no number in the file.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x7fELF"
_MACHINES = {62: "amd64", 183: "arm64", 3: "386", 40: "arm", 243: "riscv64", 21: "ppc64", 22: "s390x", 258: "loong64", 8: "mips"}
_EXEC, _DYN = 2, 3  # e_type: a program at a fixed place; a program that can be anywhere, or a library
_LOAD, _DYNAMIC, _INTERP = 1, 2, 3  # p_type
_NEEDED, _STRTAB, _STRSZ, _FLAGS_1 = 1, 5, 10, 0x6FFFFFFB  # d_tag
_PIE = 0x08000000  # in DT_FLAGS_1
_MOST_HEADERS = 256
_MOST_ENTRIES = 10_000  # of the dynamic section
_MOST_STRINGS = 16 << 20
_SEGMENT, _ENTRY = struct.Struct("<IIQQQQQQ"), struct.Struct("<QQ")


class NotElf(ValueError):
    """The file is not an ELF program that this reads; the message says why."""


@dataclass(frozen=True, slots=True)
class Elf:
    """`architecture` is OCI's name where there is one. A static program has no `interpreter` and needs nothing."""

    architecture: str
    interpreter: str  # /lib64/ld-linux-x86-64.so.2
    needed: tuple[str, ...]  # libraries, as the file names them
    library: bool  # it is not a program


def is_program(path: Path) -> bool:
    """Whether it is an ELF file that could be started, for whatever machine."""
    try:
        return not read(path).library
    except (OSError, NotElf):
        return False


def read(path: Path) -> Elf:
    """Raises NotElf, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make it wait
    with open(fd, "rb") as file:
        return parse(file, os.fstat(fd).st_size)


def parse(file: BinaryIO, size: int) -> Elf:
    """The file is read at the places that its headers name, each checked against `size`. Raises NotElf."""
    head = file.read(64)
    if head[:4] != MAGIC:
        raise NotElf("it is a script; the base may have nothing to run it" if head[:2] == b"#!" else "it is not an ELF file")
    if len(head) < 64 or head[4] not in (1, 2):
        raise NotElf("its ELF header is cut off or broken")
    order = {1: "<", 2: ">"}.get(head[5])
    if order is None:
        raise NotElf("its ELF header names no byte order")
    kind, machine = struct.unpack_from(f"{order}HH", head, 16)
    name = _MACHINES.get(machine, f"machine {machine}")
    if (head[4], order) != (2, "<"):
        return Elf(f"{name}, {'64' if head[4] == 2 else '32'} bits", "", (), kind not in (_EXEC, _DYN))
    offset, length, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    if kind not in (_EXEC, _DYN):
        raise NotElf("it is an object file or a core dump, not a program; link it first")
    if length != _SEGMENT.size or not 0 < count <= _MOST_HEADERS:
        raise NotElf("its program headers are broken")
    segments = [_SEGMENT.unpack_from(_at(file, offset, length * count, size), n * length) for n in range(count)]
    interpreter = next((_text(_at(file, s[2], s[5], size)) for s in segments if s[0] == _INTERP), "")
    needed, pie = _dynamic(file, segments, size)
    return Elf(name, interpreter, needed, library=kind == _DYN and not interpreter and not pie)


def _dynamic(file: BinaryIO, segments: list[tuple[int, ...]], size: int) -> tuple[tuple[str, ...], bool]:
    """The libraries that it needs, and whether it says of itself that it is a program."""
    section = next((s for s in segments if s[0] == _DYNAMIC), None)
    if section is None:
        return (), False
    data = _at(file, section[2], min(section[5], _MOST_ENTRIES * _ENTRY.size), size)
    entries = []
    for tag, value in _ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]):
        if tag == 0:
            break
        entries.append((tag, value))
    values = dict(entries)
    wanted = [value for tag, value in entries if tag == _NEEDED]
    if not wanted:
        return (), bool(values.get(_FLAGS_1, 0) & _PIE)
    address, length = values.get(_STRTAB, 0), min(values.get(_STRSZ, 0), _MOST_STRINGS)
    place = next((address - s[3] + s[2] for s in segments if s[0] == _LOAD and s[3] <= address < s[3] + s[5]), None)
    if place is None:
        raise NotElf("its table of names lies outside of it")
    strings = _at(file, place, length, size)
    if any(value >= length for value in wanted):
        raise NotElf("it names a library outside of its table of names")
    return tuple(_text(strings[value : value + 256]) for value in wanted), bool(values.get(_FLAGS_1, 0) & _PIE)


def _at(file: BinaryIO, offset: int, length: int, size: int) -> bytes:
    if length > _MOST_STRINGS or offset + length > size:
        raise NotElf("a header points outside of the file; it is cut off or broken")
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise NotElf("it is cut off")
    return data


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
