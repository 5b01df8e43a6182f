"""Read the headers of a tar in the forms that dpkg writes: ustar, and GNU's long names. Everything else is refused, as dpkg does.

Python's `tarfile` also reads sparse files, PAX headers and what it can guess; from an archive of somebody else that is too much.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from builder.debian.unpack import Damaged

_BLOCK = 512
_MAX_NAME = 4096
_REFUSED = {
    "3": "a character device", "4": "a block device", "6": "a named pipe", "7": "a contiguous file", "S": "a sparse file",
    "M": "a file in several volumes", "V": "a volume label", "D": "a GNU folder listing", "x": "a PAX header", "g": "a PAX header",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """`kind` is a tar's letter: 0 file, 1 hard link, 2 symbolic link, 5 folder. `offset` is where the content begins."""

    name: str
    kind: str
    mode: int
    size: int
    link: str
    offset: int


def headers(file: BinaryIO, end: int, most: int) -> Iterator[Header]:
    """`end` is the tar's size; more than `most` members are refused. Raises Damaged."""
    at, count, long = 0, 0, {"L": "", "K": ""}
    while at < end:
        block = _read(file, at, _BLOCK)
        if not block.strip(b"\0"):
            return  # what is behind the first empty block is padding
        kind, size = _check(block, at)
        at += _BLOCK
        if size > end - at:
            raise Damaged(f"its tar is cut off: {_text(block[:100])!r} should have {size} bytes, {end - at} are there")
        if kind in long:
            if size > _MAX_NAME:
                raise Damaged(f"a name in it has {size} bytes")
            long[kind] = _text(_read(file, at, size))
        else:
            count += 1
            if count > most:
                raise Damaged(f"it has more than {most} files")
            yield _header(block, kind, size, at, long)
            long = {"L": "", "K": ""}
        at += -(-size // _BLOCK) * _BLOCK
    raise Damaged("its tar is cut off: the end mark is missing")


def _header(block: bytes, kind: str, size: int, at: int, long: dict[str, str]) -> Header:
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    name = long["L"] or name
    if kind in _REFUSED:
        raise Damaged(f"{name!r} is {_REFUSED[kind]}")
    if kind not in "0125":
        raise Damaged(f"{name!r} is of the unknown kind {kind!r}")
    if size and kind != "0":
        raise Damaged(f"{name!r} has content, but is no file")
    return Header(name, kind, _number(block[100:108], at), size, long["K"] or _text(block[157:257]), at)


def _check(block: bytes, at: int) -> tuple[str, int]:
    if sum(block) - sum(block[148:156]) + 8 * 32 != _number(block[148:156], at):
        raise Damaged(f"the tar header at byte {at} is damaged")
    kind = chr(block[156])
    return "0" if kind == "\0" else kind, _number(block[124:136], at)


def _number(field: bytes, at: int) -> int:
    if field[0] == 0x80:  # GNU's form for more than the digits can hold; 0xff would be a negative one
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8) if digits.isdigit() or not digits else int("x")
    except ValueError:
        raise Damaged(f"the tar header before byte {at} has a number that is none") from None


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise Damaged(f"the name {field.partition(bytes(1))[0]!r} in it is not UTF-8") from None


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise Damaged("its tar is cut off")
    return data
