"""Tars that are the same bytes for the same content: sorted, no times, no owners, one mode for data and one for programs.

A base needs a little more: a folder for itself, with a mode or an owner of its own, and hard links.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Member:
    """One file: its content comes from `load`, called when its turn comes, from `stream`, or from the file `source`; or it
    is a link or a folder.

    A folder needs a member only if it is empty, or its mode is not 0755.
    """

    path: str  # in the image, without a leading slash
    load: Callable[[], bytes] | None = None
    source: Path | None = None
    stream: Callable[[], BinaryIO] | None = None  # as `load`, for what is too large for memory: `size` bytes
    size: int = 0
    executable: bool = False
    link: str = ""  # a symbolic link's target
    same: str = ""  # a hard link: the path of a member that sorts before this one
    folder: bool = False
    mode: int | None = None  # None: 0755 for folders and programs, else 0644
    owner: int = 0  # user and group


class _Hashing(io.RawIOBase):
    """Passes bytes on and digests them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)


def write_tar(file: BinaryIO, members: Iterable[Member]) -> tuple[str, int]:
    """Write an uncompressed tar with every parent folder in it; returns its digest and size."""
    out = _Hashing(file)
    folders: set[str] = set()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        for member in sorted(members, key=lambda m: m.path):
            _add_folders(tar, member.path, folders)
            if member.folder:
                folders.add(member.path)
            _add(tar, member)
    return f"sha256:{out.sha256.hexdigest()}", out.size


def _add_folders(tar: tarfile.TarFile, path: str, folders: set[str]) -> None:
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if folder not in folders:
            folders.add(folder)
            info = _info(folder, 0o755)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)


def _add(tar: tarfile.TarFile, member: Member) -> None:
    usual = 0o755 if member.executable or member.link or member.folder else 0o644
    info = _info(member.path, usual if member.mode is None else member.mode)
    info.uid = info.gid = member.owner
    if member.link or member.same or member.folder:
        info.type = tarfile.SYMTYPE if member.link else tarfile.LNKTYPE if member.same else tarfile.DIRTYPE
        info.linkname = member.link or member.same
        tar.addfile(info)
    elif member.load is not None:
        data = member.load()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    elif member.stream is not None:
        info.size = member.size
        with member.stream() as content:
            tar.addfile(info, content)
    else:
        assert member.source is not None
        with member.source.open("rb") as content:
            info.size = os.fstat(content.fileno()).st_size
            tar.addfile(info, content)


def _info(path: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname = mode, 0, 0, 0, "", ""
    return info
