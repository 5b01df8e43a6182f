"""Lines appended to a file, or to standard output, that nobody waits for: a thread writes them, in batches, and what it cannot keep
up with is dropped and counted.

The thread only writes. What a line says is made by the caller, in the event loop: a thread that computes would hold the
interpreter's lock for up to 5 ms at a time, and stop the loop that it is meant to spare.
"""

import logging
import os
import select
import stat
import threading
import time
from collections import deque

log = logging.getLogger(__name__)

STDOUT = "-"
BATCH = 64 * 1024  # bytes that wake the thread before its time, and at most as many in one write
ATOMIC = select.PIPE_BUF  # bytes that a pipe takes in one piece: several processes may share it
COMPLAIN = 60.0  # seconds between two warnings


class LinesError(Exception):
    """The file cannot be written. The message names it."""


class Lines:
    """`write` returns at once. A file that was renamed away (logrotate) is noticed before the next batch and made anew."""

    def __init__(self, path: str, *, pause: float = 1.0, most: int = 4 * 1024 * 1024) -> None:
        """`path` is a file or `-`; what has gathered is written every `pause` seconds; at most `most` bytes are held. Raises LinesError."""
        self.dropped = 0  # lines, because they came faster than they could be written, or could not be written at all
        self._path = path
        self._pause = pause
        self._most = most
        self._given = self._taken = 0  # bytes; each is written by one thread only
        self._waiting: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._torn = False  # the last write ended in the middle of a line
        self._complained = 0.0
        self._fd = self._opened()
        self.done = threading.Event()
        threading.Thread(target=self._run, name=f"lines {path}", daemon=True).start()

    def write(self, line: bytes) -> None:
        """`line` ends in a line feed and holds no other."""
        if self._given - self._taken + len(line) > self._most:
            self.dropped += 1
            return
        self._waiting.append(line)
        self._given += len(line)
        if self._given - self._taken >= BATCH and not self._wake.is_set():
            self._wake.set()

    def close(self) -> threading.Event:
        """Write what is left. Set when that is done, which may be never: the disk may be stuck."""
        self._closing = True
        self._wake.set()
        return self.done

    # The thread.

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._pause)
            self._wake.clear()
            self._flush()
        self._flush()
        os.close(self._fd)
        self.done.set()

    def _flush(self) -> None:
        if not self._waiting:
            return
        try:
            self._follow()
        except LinesError as error:
            self._complain(error)  # the old file is still there to be written
        most = ATOMIC if stat.S_ISFIFO(os.fstat(self._fd).st_mode) else BATCH
        while self._waiting:
            batch, size = [self._waiting.popleft()], 0
            size = len(batch[0])
            while self._waiting and size + len(self._waiting[0]) <= most:
                batch.append(self._waiting.popleft())
                size += len(batch[-1])
            try:
                self._write(b"".join(batch))
            except OSError as error:
                self.dropped += len(batch)
                self._complain(error)
            self._taken += size

    def _write(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:  # standard output that somebody else made so
                select.select([], [self._fd], [], 1.0)
            except OSError:
                self._torn = len(left) < len(data)
                raise
        self._torn = False

    def _follow(self) -> None:
        """The file may have been renamed or deleted meanwhile."""
        if self._path == STDOUT:
            return
        ours = os.fstat(self._fd)
        try:
            there = os.stat(self._path)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            fd = self._opened()
            os.close(self._fd)
            self._fd, self._torn = fd, False

    def _opened(self) -> int:
        try:
            if self._path == STDOUT:
                return os.dup(1)
            # Opening must not wait: a pipe without a reader would keep us here for ever. Writing may: that is what the thread is for.
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise LinesError(f"cannot write to {self._path}: {error.strerror or error}") from error
        os.set_blocking(fd, True)
        return fd

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN or not self._complained:
            self._complained = now
            log.warning("lines for %s are lost: %s (%d so far)", self._path, error, self.dropped)
