"""The bytes of a blob, from memory, a file or another registry: any part, as often as a request needs it. Nothing is held whole."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread

from builder.errors import BlobCorrupt
from builder.oci import Blob
from builder.registry.download import part
from builder.registry.reference import ImageRef, parse_repository
from builder.registry.transport import Body, Transport

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    data: bytes
    offset: int
    length: int

    async def open(self) -> AsyncIterator[bytes]:
        view = memoryview(self.data)[self.offset : self.offset + self.length]
        for start in range(0, self.length, PIECE):
            yield bytes(view[start : start + PIECE])


@dataclass(frozen=True, slots=True)
class File:
    path: Path
    offset: int
    length: int

    async def open(self) -> AsyncIterator[bytes]:
        file = await anyio.to_thread.run_sync(self._open)
        try:
            left = self.length
            while left:
                data = await anyio.to_thread.run_sync(file.read, min(PIECE, left))
                if not data:
                    raise BlobCorrupt(f"{self.path} is shorter than the layer that it was; build again")
                left -= len(data)
                yield data
        finally:
            file.close()

    def _open(self) -> BinaryIO:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            raise BlobCorrupt(f"{self.path} is gone; build again") from None
        file.seek(self.offset)
        return file


@dataclass(frozen=True, slots=True)
class Remote:
    transport: Transport
    ref: ImageRef
    blob: Blob
    offset: int
    length: int

    def open(self) -> AsyncIterator[bytes]:
        return part(self.transport, self.ref, self.blob, self.offset, self.length)


def body(transport: Transport, blob: Blob, offset: int, length: int) -> Body:
    """A part of a blob, from the nearest place that has it."""
    if blob.data is not None:
        return Memory(blob.data, offset, length)
    if blob.path:
        return File(blob.path, offset, length)
    return Remote(transport, parse_repository(blob.origin), blob, offset, length)
