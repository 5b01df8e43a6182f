"""Decompress what an archive gives, piece by piece and with bounds. Knows xz, gzip, plain data, and zstd where `zstandard` is installed."""

import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from builder.errors import ToolMissing

Read = Callable[[int], bytes]  # at most so many bytes; none at the end

FREE = 64_000_000  # bytes up to which nothing is said about the ratio: an empty page compresses by 1000
MAX_RATIO = 200  # of unpacked to packed; Debian's packages and indices stay under 40
_CHUNK = 1 << 18
_MEMORY = 256 << 20  # for the dictionary: 64 MiB is what xz's highest preset needs


class Damaged(ValueError):
    """What is wrong with compressed data, without saying whose it is."""


def method(name: str) -> str:
    """By how a file's name ends."""
    suffix = name.rpartition(".")[2]
    if suffix not in ("tar", *_METHODS):
        raise Damaged(f"{name} is compressed in a way that kfn does not read (xz, gz, zst)")
    return "" if suffix == "tar" else suffix


def unpacked(read: Read, packed: int, method: str, limit: int) -> Iterator[bytes]:
    """The content, as it comes. `packed` is the compressed size, `limit` the most bytes it may have. Raises Damaged."""
    total = 0
    try:
        for piece in _METHODS[method](read) if method else iter(lambda: read(_CHUNK), b""):
            total += len(piece)
            if total > limit:
                raise Damaged(f"it unpacks to more than {limit} bytes")
            if total > FREE and total > packed * MAX_RATIO:
                raise Damaged(f"its {packed} bytes unpack to more than {MAX_RATIO} times as many, which no honest one does")
            yield piece
    except (lzma.LZMAError, zlib.error, EOFError) as error:
        raise Damaged(f"its {method} data is damaged ({str(error).rstrip('.') or 'cut off'})") from None


def _xz(read: Read) -> Iterator[bytes]:
    data = read(_CHUNK)
    while data:  # one stream after the other
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        while not decoder.eof:
            if decoder.needs_input and not data and not (data := read(_CHUNK)):
                raise EOFError("cut off")
            piece, data = decoder.decompress(data, _CHUNK), b""
            if piece:
                yield piece
        data = decoder.unused_data.lstrip(b"\0") or read(_CHUNK)  # streams are padded with zeros


def _gzip(read: Read) -> Iterator[bytes]:
    data = read(_CHUNK)
    while data:
        decoder = zlib.decompressobj(31)
        while not decoder.eof:
            if not data and not (data := read(_CHUNK)):
                raise EOFError("cut off")
            piece = decoder.decompress(data, _CHUNK)
            data = decoder.unconsumed_tail
            if piece:
                yield piece
        data = decoder.unused_data or read(_CHUNK)


def _zstd(read: Read) -> Iterator[bytes]:
    zstandard = _zstandard()
    decoder, whole = zstandard.ZstdDecompressor(max_window_size=1 << 27), True
    with decoder.stream_reader(_Readable(read), read_size=_CHUNK, read_across_frames=True) as reader:
        try:
            while piece := reader.read(_CHUNK):
                whole = False
                yield piece
        except zstandard.ZstdError as error:
            raise zlib.error(str(error)) from None
    if whole:
        raise EOFError("cut off")


class _Readable:
    """What zstandard calls a file."""

    def __init__(self, read: Read) -> None:
        self.read = read


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise ToolMissing(
            "this Debian package is compressed with zstd, which needs the package zstandard: pip install 'kfn[zstd]'"
        ) from None


_METHODS: dict[str, Callable[[Read], Iterator[bytes]]] = {"xz": _xz, "gz": _gzip, "zst": _zstd}


def reader(file: BinaryIO, offset: int, size: int) -> Read:
    """Reads `size` bytes of `file` from `offset`, and no more."""
    left = size
    file.seek(offset)

    def read(most: int) -> bytes:
        nonlocal left
        data = file.read(min(most, left))
        left -= len(data)
        return data

    return read
