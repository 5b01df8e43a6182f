"""The hashes of a source's files, remembered by what the file system says of each file, so that unchanged files are not read again.

Content decides, never a time: an entry is used only if size, both times, inode and device are what they were, and it is not kept if the
file was touched so shortly before it was read that a later write could carry the same times (git calls such an entry racily clean).
"""

import hashlib
import os
import time
from pathlib import Path

from builder import files
from builder.errors import BuildError

RACY = 2_500_000_000  # ns; the coarsest times in use are FAT's, of 2 s
_FORMAT = 1
_Entry = tuple[int, int, int, int, int, str, str]  # size, mtime, ctime, inode, device, hash, what secret its content looks like


class Stats:
    """Of one folder. `folder=None` remembers nothing. A damaged or unwritable file counts as none."""

    def __init__(self, folder: Path | None, root: Path) -> None:
        self._path = folder / hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:40] if folder else None
        self._old = self._read()
        self._new: dict[str, _Entry] = {}

    def get(self, path: str, info: os.stat_result) -> tuple[str, str] | None:
        """Hash and secret of the file, if it is the one that was hashed."""
        found = self._old.get(path)
        if found is None or found[:5] != (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev):
            return None
        self._new[path] = found
        return found[5], found[6]

    def put(self, path: str, info: os.stat_result, digest: str, secret: str, since: int) -> None:
        """`info` is of the opened file, taken after it was read; `since` is the wall clock in ns before that."""
        if self._path and max(info.st_mtime_ns, info.st_ctime_ns) < since - RACY:
            self._new[path] = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev, digest, secret)

    def save(self) -> None:
        if self._path is None or self._new == self._old:
            return
        import msgspec

        try:
            files.write(self._path, msgspec.msgpack.encode((_FORMAT, self._new)))
        except (OSError, BuildError):
            pass  # it only saves time

    def _read(self) -> dict[str, _Entry]:
        if self._path is None:
            return {}
        import msgspec

        try:
            data = self._path.read_bytes()
            format_, entries = msgspec.msgpack.decode(data, type=tuple[int, dict[str, _Entry]])
        except (OSError, msgspec.MsgspecError):
            return {}
        return entries if format_ == _FORMAT else {}


def now() -> int:
    return time.time_ns()
