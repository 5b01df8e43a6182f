"""Layers in the form in which they leave this machine: gzip or zstd. The same tar gives the same bytes with the same library.

What a library makes depends on its version, so that is part of the key. Level 6 of zlib is what every reader understands and near
the smallest; zstd at level 3 is smaller still and takes a fifth of the time, and containerd reads it from 1.5 on. Diff ids, and
with them the config, are the same whatever the compression.
"""

import hashlib
import importlib
import os
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any, BinaryIO, Protocol

import anyio
import anyio.to_thread

from builder.cache import Cache, key
from builder.errors import BlobCorrupt, ToolMissing
from builder.oci import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Layer
from builder.together import single

GZIP_LEVEL, ZSTD_LEVEL = 6, 3
_CHUNK = 1 << 20


class Compressor(Protocol):
    """As `zlib.compressobj` has it."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Gzip:
    """A gzip member (RFC 1952) whose header says nothing of the machine: no name, no time, no operating system."""

    _HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF))

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._begin, self._crc, self._size = self._HEADER, 0, 0

    def compress(self, data: bytes) -> bytes:
        self._crc, self._size = zlib.crc32(data, self._crc), self._size + len(data)
        begin, self._begin = self._begin, b""
        return begin + self._deflate.compress(data)

    def flush(self) -> bytes:
        return self._begin + self._deflate.flush() + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")


async def compressed(cache: Cache, layers: Sequence[Layer], method: str) -> tuple[Layer, ...]:
    """The same layers, those that are plain tars in the cache compressed; made at most once, several at a time.

    Raises ToolMissing if the method's library is not installed, BlobCorrupt if a layer is not what it was.
    """
    if method == "none":
        return tuple(layers)
    done: dict[str, Layer] = {}
    free = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def one(layer: Layer) -> None:
        done[layer.digest] = await anyio.to_thread.run_sync(_compressed, cache, layer, method, limiter=free)

    with single():
        async with anyio.create_task_group() as tasks:
            for layer in {layer.digest: layer for layer in layers if layer.media_type == LAYER_TAR}.values():
                tasks.start_soon(one, layer)
    return tuple(done.get(layer.digest, layer) for layer in layers)


def library(method: str) -> str:
    """What decides about the bytes beside the content."""
    if method == "gzip":
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION} level {GZIP_LEVEL}"
    return f"zstd {'.'.join(map(str, zstandard().ZSTD_VERSION))} level {ZSTD_LEVEL}"


def compressed_key(method: str, layer: Layer) -> str:
    return key("compressed", method, library(method), layer.diff_id, layer.kind)


def _compressed(cache: Cache, layer: Layer, method: str) -> Layer:
    name = compressed_key(method, layer)
    if found := cache.get(name):
        return found.layer
    return cache.make(name, partial(_write, cache, layer, method), {}).layer


def _write(cache: Cache, layer: Layer, method: str, file: BinaryIO) -> Layer:
    compressor: Compressor = _Gzip() if method == "gzip" else zstandard().ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0

    def put(data: bytes) -> int:
        packed.update(data)
        return file.write(data)

    with cache.blob(layer.digest).open("rb") as source:
        while chunk := source.read(_CHUNK):
            plain.update(chunk)
            size += put(compressor.compress(chunk))
        size += put(compressor.flush())
    if f"sha256:{plain.hexdigest()}" != layer.diff_id:
        cache.blob(layer.digest).unlink(missing_ok=True)
        raise BlobCorrupt(f"{cache.blob(layer.digest)} had changed and was removed; build again")
    return Layer(f"sha256:{packed.hexdigest()}", layer.diff_id, size, LAYER_GZIP if method == "gzip" else LAYER_ZSTD, layer.kind)


def zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise ToolMissing("--compression zstd needs the package zstandard: pip install 'kfn[zstd]'") from None
