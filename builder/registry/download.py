"""Blobs out of a registry: streamed, continued where a connection broke, and not there before every byte is checked."""

import hashlib
import os
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread

from builder import files
from builder.errors import DigestMismatch, ImageMissing, RegistryError, RegistryUnreachable
from builder.oci import Blob
from builder.registry import answers, retry
from builder.registry.challenge import scope
from builder.registry.reference import ImageRef
from builder.registry.transport import SMALL, Call, GivenUp, Transport

PIECE = 1 << 20  # written and hashed at a time
PULLING = "pull from"


async def part(transport: Transport, ref: ImageRef, blob: Blob, offset: int, length: int) -> AsyncIterator[bytes]:
    """`length` bytes from `offset` on, exactly. A registry that knows no ranges sends all of it, and the beginning is skipped."""
    whole = offset == 0 and length == blob.size
    headers = {} if whole else {"Range": f"bytes={offset}-{offset + length - 1}"}
    call = Call("GET", ref, transport.url(ref, f"blobs/{blob.digest}"), (scope(ref.repository, "pull"),), PULLING, headers)
    async with transport.stream(call) as response:
        status = response.status_code
        if status == 404:
            raise ImageMissing(
                f"{ref.name} has no longer the layer {blob.digest}; the registry may have collected it: push that image again"
            )
        if status not in (200, 206):
            data = b"".join([chunk async for chunk in _bounded(response.aiter_raw())])
            raise answers.unexpected(ref, PULLING, answers.Answer(status, {}, data))
        skip = offset
        if status == 206:
            begin = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
            if begin != str(offset):
                raise RegistryError(
                    f"{ref.registry} was asked for {blob.digest[:19]} from byte {offset} on and sent it from {begin or '?'} on"
                )
            skip = 0
        left = length
        async for chunk in response.aiter_raw():
            data = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if len(data) > left and offset + length == blob.size:
                raise DigestMismatch(f"{ref.name}: {blob.digest} goes on after the {blob.size} bytes that the manifest gives it")
            data = data[:left]
            left -= len(data)
            if data:
                yield data
            if not left and offset + length < blob.size:
                return
        if left:
            raise RegistryUnreachable(f"{ref.registry} ended {blob.digest[:19]} {left} bytes too early")


async def _bounded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > SMALL:
            return
        yield chunk


async def small(transport: Transport, ref: ImageRef, blob: Blob, limit: int) -> bytes:
    """A blob in memory."""
    if blob.size > limit:
        raise RegistryError(f"{ref.name}: {blob.digest[:19]} has {blob.size} bytes, at most {limit} are read at once")
    failures = 0
    while True:
        try:
            data = b"".join([chunk async for chunk in part(transport, ref, blob, 0, blob.size)]) if blob.size else b""
            break
        except RegistryUnreachable as error:
            failures += 1
            await _rest(transport, failures, error)
    _check(ref, blob, hashlib.sha256(data).hexdigest())
    return data


async def download(transport: Transport, ref: ImageRef, blob: Blob, path: Path) -> None:
    """Into `path`, which appears when the digest is right."""
    temp = path.parent / f"{files.TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temp.open("wb") as file:
            await _fill(transport, ref, blob, file)
            await anyio.to_thread.run_sync(_flush, file)
        temp.chmod(0o644)
        temp.replace(path)
        await anyio.to_thread.run_sync(files.sync_folder, path.parent)
    except OSError as error:
        raise files.disk_full(error, path.parent) or error from error
    finally:
        temp.unlink(missing_ok=True)


async def _fill(transport: Transport, ref: ImageRef, blob: Blob, file: BinaryIO) -> None:
    hashed, offset, failures, broken = hashlib.sha256(), 0, 0, False

    def keep(data: bytes) -> None:
        hashed.update(data)
        file.write(data)

    while True:
        piece = bytearray()
        try:
            async for chunk in part(transport, ref, blob, offset, blob.size - offset) if offset < blob.size else _nothing():
                piece += chunk
                if len(piece) >= PIECE:
                    await anyio.to_thread.run_sync(keep, bytes(piece))
                    offset, failures = offset + len(piece), 0
                    piece.clear()
            await anyio.to_thread.run_sync(keep, bytes(piece))
            offset += len(piece)
        except RegistryUnreachable as error:
            await anyio.to_thread.run_sync(keep, bytes(piece))
            failures, offset, broken = 0 if piece else failures, offset + len(piece), True
            failures += 1
            await _rest(transport, failures, error)
            continue
        if broken and hashed.hexdigest() != blob.digest.removeprefix("sha256:"):
            # The parts do not fit together; the whole in one piece may be right.
            hashed, offset, broken = hashlib.sha256(), 0, False
            file.seek(0)
            file.truncate()
            continue
        _check(ref, blob, hashed.hexdigest())
        return


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _rest(transport: Transport, failures: int, error: RegistryUnreachable) -> None:
    """Wait before going on, or give up with what went wrong."""
    wait = retry.pause(transport.settings, failures, random.random(), None)  # noqa: S311
    if wait is None or isinstance(error, GivenUp):
        raise error
    await anyio.sleep(wait)


def _check(ref: ImageRef, blob: Blob, found: str) -> None:
    if found != blob.digest.removeprefix("sha256:"):
        raise DigestMismatch(f"{ref.name} sent sha256:{found} for {blob.digest}; do not use this registry before you know why")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
