"""Puts one member of a layer's tar below a folder, or refuses it. Python's own filters do this from 3.11.4 on; Debian 12 has 3.11.2.

Regular files, directories and links that stay inside are all a layer may hold; owners and special mode bits are left out.
"""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Self

from builder.errors import LayerUnsafe

MOST_HEAD = 1 << 20  # bytes of one extended header; a path has 4096 at most


class Bounded(tarfile.TarInfo):
    """For `tarfile.open(tarinfo=...)`, which holds long names and PAX headers in memory, however long they say they are."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if self.type in _EXTENDED and not 0 <= self.size <= MOST_HEAD:
            raise LayerUnsafe(f"a header in it has {self.size} bytes, {MOST_HEAD} are allowed")
        made: Self = super()._proc_member(tar)  # type: ignore[misc]
        return made


_EXTENDED = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}


def place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Extract `member` of a stream that stands at it. `target` must be absolute and free of links. Raises LayerUnsafe."""
    path = _inside(target, member.name, member)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    if path == target:
        raise LayerUnsafe(f"{member.name!r} would replace the layer's own folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if member.isreg():
        source = tar.extractfile(member)
        assert source is not None  # it is a regular file
        with source, path.open("xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
    elif member.issym():
        leads = Path(os.path.realpath(path.parent / member.linkname))
        if PurePosixPath(member.linkname).is_absolute() or (leads != target and target not in leads.parents):
            raise LayerUnsafe(f"{member.name!r} links to {member.linkname!r}, outside the layer")
        path.symlink_to(member.linkname)
    elif member.islnk():
        there = _inside(target, member.linkname, member)
        if there.is_symlink():  # seen from another folder it may lead out
            raise LayerUnsafe(f"{member.name!r} is a hard link to {member.linkname!r}, which is a symbolic one")
        os.link(there, path, follow_symlinks=False)
    else:
        raise LayerUnsafe(f"{member.name!r} is neither a file, a folder nor a link")


def _inside(target: Path, name: str, member: tarfile.TarInfo) -> Path:
    """Where `name` leads, with the links above it followed; the last part is not. Raises LayerUnsafe if that is not below `target`."""
    parent, last = os.path.split(os.path.normpath(os.path.join(target, name.lstrip("/") or ".")))
    path = Path(os.path.realpath(parent)) / last
    if PurePosixPath(name).is_absolute() or (path != target and target not in path.parents):
        raise LayerUnsafe(f"{member.name!r} leads outside the layer")
    return path
