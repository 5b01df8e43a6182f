"""Reads a container's log as `kubectl logs` asks for it: tail, since, timestamps, follow, previous."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio

from embedded.node.errors import NoLog
from embedded.node.logfile import LogFile
from kfn.clock import micro_timestamp, utcnow

CHUNK = 64 * 1024
IDLE = 1.0  # seconds after which a follower looks again even if nothing told it to


@dataclass(frozen=True, slots=True)
class Wanted:
    """`tail` lines and `since` seconds; None is all."""

    follow: bool = False
    tail: int | None = None
    since: int | None = None
    timestamps: bool = False


async def read(path: Path, wanted: Wanted, current: Callable[[], LogFile | None]) -> AsyncIterator[bytes]:
    """What the log holds, and with `follow` what comes. `current` answers who writes it now; None: the container is gone for good."""
    if current() is None and not _files(path):
        raise NoLog("it wrote nothing, or has not been started")
    since = micro_timestamp(utcnow() - timedelta(seconds=wanted.since)).encode() if wanted.since is not None else b""
    lines: Iterator[bytes] = (line for file in _files(path) for line in _lines(file) if line >= since)
    if wanted.tail is not None:
        lines = iter(deque(lines, maxlen=max(0, wanted.tail)))
    position = _position(path)
    for block in _blocks(lines, wanted.timestamps):
        yield block
        await anyio.lowlevel.checkpoint()
    while wanted.follow and (writer := current()):
        changed = writer.changed
        fresh, position = _fresh(path, position)
        for block in _blocks(iter(fresh), wanted.timestamps):
            yield block
        if not fresh:
            if writer.closed and current() is writer:
                return
            with anyio.move_on_after(IDLE):
                await changed.wait()


def _fresh(path: Path, position: tuple[int, int]) -> tuple[list[bytes], tuple[int, int]]:
    """Whole lines after `position`, which is the file's inode and an offset; a new inode means rotated or restarted."""
    inode, offset = position
    found: list[bytes] = []
    for file in [*_files(path)]:
        if file.stat().st_ino == inode or (not inode and file == path):
            lines, end = _from(file, offset)
            found += lines
            offset = end
            if file == path:
                return found, (path.stat().st_ino, end)
    if not path.exists():
        return found, (inode, offset)
    lines, end = _from(path, 0)
    return found + lines, (path.stat().st_ino, end)


def _from(file: Path, offset: int) -> tuple[list[bytes], int]:
    with file.open("rb") as opened:
        opened.seek(offset)
        data = opened.read()
    whole = data[: data.rfind(b"\n") + 1]
    return whole.splitlines(keepends=True), offset + len(whole)


def _position(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_ino, stat.st_size


def _files(path: Path) -> list[Path]:
    """Oldest first."""
    rotated = sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: -int(p.suffix[1:]) if p.suffix[1:].isdigit() else 0)
    return [*rotated, path] if path.exists() else rotated


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        yield from opened


def _blocks(lines: Iterator[bytes], timestamps: bool) -> Iterator[bytes]:
    """Stored lines as the reader wants them, several at a time. A part of a long line has no line end."""
    out: list[bytes] = []
    size = 0
    for line in lines:
        stamp, _, rest = line.partition(b" ")
        kind, _, text = rest.partition(b" ")
        if kind not in (b"F", b"P"):
            continue  # torn by a crash or a full disk
        text = text if kind == b"F" else text[:-1]
        out.append(stamp + b" " + text if timestamps else text)
        size += len(text)
        if size >= CHUNK:
            yield b"".join(out)
            out, size = [], 0
    if out:
        yield b"".join(out)
