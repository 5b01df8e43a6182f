"""The outer form of a .deb: an `ar` archive of three members. Finds where they lie; reads none of them."""

import os
from dataclasses import dataclass
from typing import BinaryIO

from builder.debian.unpack import Damaged

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MAX_MEMBERS = 16  # a package has three; dpkg leaves room for others whose names start with _


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    offset: int
    size: int


def members(file: BinaryIO) -> tuple[Member, ...]:
    """All members, in their order. Raises Damaged for what is no `ar` or is cut off."""
    end = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise Damaged("it is not an ar archive")
    found: list[Member] = []
    at = len(_MAGIC)
    while at < end:
        if len(found) == _MAX_MEMBERS:
            raise Damaged(f"it has more than {_MAX_MEMBERS} members")
        file.seek(at)
        header = file.read(_HEADER)
        digits = header[48:58].strip()
        if len(header) < _HEADER or header[58:60] != b"`\n" or not digits.isdigit():
            raise Damaged(f"the ar header at byte {at} is damaged")
        name, size = header[:16].decode("ascii", "replace").rstrip().rstrip("/"), int(digits)
        at += _HEADER
        if at + size > end:
            raise Damaged(f"{name} is cut off: it should have {size} bytes, {end - at} are there")
        found.append(Member(name, at, size))
        at += size + size % 2
    return tuple(found)
