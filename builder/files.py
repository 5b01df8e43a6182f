"""Files that are either whole or absent: written beside their place, flushed, renamed. And locks that end with the process.

A killed build leaves at most a temporary file, which `sweep` removes once it is old.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder.errors import Busy, DiskFull, StoreError

TEMP_PREFIX = ".tmp-"
STALE_SECONDS = 3600.0  # no single file takes an hour to write
LOCK_POLL = 0.02
USED_SECONDS = 300.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXTS = tuple(os.strerror(number) for number in _FULL)


def disk_full(error: OSError, folder: Path) -> DiskFull | None:
    """The error to show if `error` means that the disk (or a quota) is full."""
    return _full(error.strerror or str(error), folder) if error.errno in _FULL else None


def said_full(text: str, folder: Path) -> DiskFull | None:
    """The same for what a child process wrote."""
    return next((_full(words, folder) for words in _FULL_TEXTS if words in text), None)


def _full(words: str, folder: Path) -> DiskFull:
    try:
        free = f", {shutil.disk_usage(folder).free // 1_000_000} MB are free there"
    except OSError:
        free = ""
    return DiskFull(
        f"writing in {folder} failed ({words}){free}; free some space, or point XDG_CACHE_HOME and the data directory elsewhere"
    )


def private(folder: Path) -> None:
    """Make the folder, for this user only: what is in it is run, and a source or a secret in it is nobody else's. Raises StoreError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info, user = folder.stat(), os.geteuid()
    if info.st_uid == user and info.st_mode & 0o077:
        folder.chmod(0o700)
    elif user and info.st_uid not in (user, 0):
        raise StoreError(
            f"{folder} belongs to another user (uid {info.st_uid}), who could change what builds run; point XDG_CACHE_HOME elsewhere"
        )


@contextmanager
def writing(path: Path, *, lasting: bool = True) -> Iterator[BinaryIO]:
    """A temporary file that takes `path`'s place, flushed to disk, when the block ends without an error.

    Not `lasting`: not flushed, so after a power cut it may be empty or cut; for what its reader checks and can make again.
    """
    temp = path.parent / f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temp.open("wb") as file:
            yield file
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temp.chmod(0o644)
        temp.replace(path)
        if lasting:
            sync_folder(path.parent)
    except OSError as error:
        raise disk_full(error, path.parent) or error from error
    finally:
        temp.unlink(missing_ok=True)


def write(path: Path, data: bytes, *, lasting: bool = True) -> None:
    with writing(path, lasting=lasting) as file:
        file.write(data)


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source`'s content at `target` without a second copy where the file system allows it. Blobs are never changed in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
        sync_folder(target.parent)
    except FileExistsError:
        return
    except OSError:
        with source.open("rb") as read, writing(target) as file:
            shutil.copyfileobj(read, file, 1 << 20)


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def used(path: Path) -> None:
    """Note that an entry of the cache is being used, by its modification time, at most every `USED_SECONDS`. Raises FileNotFoundError."""
    if time.time() - path.stat().st_mtime > USED_SECONDS:
        try:
            os.utime(path)
        except PermissionError:
            pass  # of another user: then it is theirs to keep


def in_use(folder: Path) -> Path:
    """The same for a folder of the cache in which another program keeps what it likes; made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    used(folder)
    return folder


def sweep(folder: Path) -> None:
    """Remove what killed builds left behind."""
    before = time.time() - STALE_SECONDS
    for path in folder.glob(f"{TEMP_PREFIX}*"):
        try:
            if path.stat().st_mtime < before:
                if path.is_dir():
                    with locked(path, timeout=0.0):
                        remove(path)
                else:
                    path.unlink()
        except (OSError, Busy):
            continue  # another build removed it, or uses it


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder of this process, gone afterwards. It is locked, so that `sweep` leaves it however old it gets."""
    made = Path(tempfile.mkdtemp(prefix=TEMP_PREFIX, dir=parent))
    try:
        with locked(made, shared=True):
            yield made
    finally:
        remove(made)


def remove(folder: Path) -> None:
    """A whole tree, with folders that nobody may write to, as Go's modules are. What cannot be removed stays."""
    for here, names, _ in os.walk(folder):
        for name in (here, *(os.path.join(here, one) for one in names)):
            try:
                if not os.path.islink(name) and os.lstat(name).st_mode & 0o700 != 0o700:
                    os.chmod(name, 0o700)
            except OSError:
                continue
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(path: Path, *, shared: bool = False, timeout: float = 60.0) -> Iterator[None]:
    """Hold an flock of a file, made if need be, or of a folder. The kernel drops it when the process dies.

    Waits at most `timeout` seconds. Blocks its thread.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_CLOEXEC | (os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT), 0o644)
    try:
        deadline, pause = time.monotonic() + timeout, threading.Event()
        while True:
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(f"{path} was held for {timeout:g} s by another kfn process") from None
                pause.wait(LOCK_POLL)
        yield
    finally:
        os.close(fd)
