"""One container's log on disk: lines with the time they came, rotated by size. Writing only; `logread.py` reads.

A line is `<RFC 3339> F <text>`, or `P` for a part of a longer line. A full disk loses log lines, never the instance.
"""

import logging
import os
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import anyio

log = logging.getLogger(__name__)

LONGEST_LINE = 16 * 1024
TAIL_BYTES = 2048  # of the last lines, for a termination message


class LogFile:
    """Takes what a container writes, in pieces. `changed` is set and replaced at every write, for followers."""

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        self.path = path
        self.closed = False
        self.changed = anyio.Event()
        self._max = max_bytes
        self._files = files
        self._part = b""
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._file: int | None = None
        self._size = 0
        self._complained = False

    def feed(self, data: bytes) -> None:
        lines = (self._part + data).split(b"\n")
        self._part = lines.pop()
        stamp = _now()
        out = [b"%s F %s\n" % (stamp, piece) for line in lines for piece in self._pieces(line, stamp)]
        while len(self._part) >= LONGEST_LINE:
            out.append(b"%s P %s\n" % (stamp, self._part[:LONGEST_LINE]))
            self._part = self._part[LONGEST_LINE:]
        for line in lines:
            self._remember(line)
        if out:
            self._write(b"".join(out))

    def close(self) -> None:
        if self._part:
            self.feed(b"\n")
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.closed = True
        self._tell()

    def tail(self) -> str:
        """The last lines, at most 2 KiB."""
        return b"\n".join(self._tail)[-TAIL_BYTES:].decode(errors="replace")

    def _pieces(self, line: bytes, stamp: bytes) -> list[bytes]:
        if len(line) <= LONGEST_LINE:
            return [line]
        cuts = [line[i : i + LONGEST_LINE] for i in range(0, len(line), LONGEST_LINE)]
        self._write(b"".join(b"%s P %s\n" % (stamp, cut) for cut in cuts[:-1]))
        return cuts[-1:]

    def _remember(self, line: bytes) -> None:
        self._tail.append(line[-TAIL_BYTES:])
        self._tail_size += len(self._tail[-1]) + 1
        while self._tail_size > 2 * TAIL_BYTES and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft()) + 1

    def _write(self, data: bytes) -> None:
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                self._size = os.fstat(self._file).st_size
            os.write(self._file, data)
            self._size += len(data)
            if self._size >= self._max:
                os.close(self._file)
                self._file = None
                rotate(self.path, self._files)
        except OSError as error:
            if not self._complained:
                log.error("log lines are lost: %s cannot be written: %s", self.path, error)
            self._complained = True
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


def rotate(path: Path, files: int) -> None:
    """Move `x.log` to `x.log.1` and so on, keeping `files` of them in all."""
    for number in range(files - 1, 0, -1):
        older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    if files <= 1:
        path.unlink(missing_ok=True)


def set_aside(path: Path, files: int) -> None:
    """At a restart: the log so far becomes the previous one."""
    for number in range(files):
        name = path.name if number == 0 else f"{path.name}.{number}"
        target = path.with_name(name.replace(".log", ".previous.log", 1))
        source = path.with_name(name)
        if source.exists():
            source.replace(target)
        else:
            target.unlink(missing_ok=True)


def _now() -> bytes:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
