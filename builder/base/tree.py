"""Layers of an image to one root file system in a folder, without root and without trust: nothing in it leads out of the folder.

Links are made relative and are kept below the root, so that the host may follow them. Owners, special bits, devices and pipes are left
out; whiteouts are obeyed. Only for looking at an image and running its interpreter: the function's image keeps its layers as they are.
"""

import gzip
import os
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from builder.errors import LayerUnsafe
from builder.untar import Bounded

MOST_ENTRIES = 500_000
MOST_BYTES = 20_000_000_000
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Tree:
    """`root` must be an empty folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self._entries = self._bytes = 0
        self._closed: set[str] = set()  # what its own mode keeps from all but its owner, and with it from a function

    def add(self, layer: BinaryIO) -> None:
        """Lay an uncompressed tar over what is there. Raises LayerUnsafe."""
        own: set[str] = set()
        try:
            with tarfile.open(fileobj=layer, mode="r|", tarinfo=Bounded) as tar:
                for member in tar:
                    self._count(member)
                    self._place(tar, member, own)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise LayerUnsafe(f"a layer is no tar: {error}") from None

    def find(self, path: str) -> Path | None:
        """Where a path of the image lies, every link followed; None if there is nothing."""
        try:
            found = Path(os.path.realpath(os.path.join(self.root, path.lstrip("/")), strict=True))
        except OSError:
            return None
        return found if found.is_relative_to(self.root) else None

    def closed_to_others(self, path: Path) -> str:
        """The first folder on the way to `path`, or itself, that only root may read; empty if everybody may."""
        parts = path.relative_to(self.root).parts
        steps = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        return next((f"/{step}" for step in steps if os.path.join(self.root, step) in self._closed), "")

    def _count(self, member: tarfile.TarInfo) -> None:
        self._entries += 1
        self._bytes += member.size
        if self._entries > MOST_ENTRIES or self._bytes > MOST_BYTES:
            raise LayerUnsafe(f"the layers hold more than {MOST_ENTRIES} entries or {MOST_BYTES // 10**9} GB")

    def _place(self, tar: tarfile.TarFile, member: tarfile.TarInfo, own: set[str]) -> None:
        parts = _parts(member.name)
        if not parts:
            return
        folder = self._folder(parts[:-1])
        name, path = parts[-1], os.path.join(folder, parts[-1])
        if name == _OPAQUE:
            for entry in os.scandir(folder):
                if entry.path not in own:
                    _remove(entry.path)
            return
        if name.startswith(_WHITEOUT):
            if name in (f"{_WHITEOUT}.", f"{_WHITEOUT}.."):
                raise LayerUnsafe(f"{member.name!r} would remove the folder that it is in")
            _remove(os.path.join(folder, name.removeprefix(_WHITEOUT)))
            return
        own.add(path)
        if not member.issym():
            needed = 0o001 if member.isdir() else 0o004
            (self._closed.discard if member.mode & needed == needed else self._closed.add)(path)
        if member.isdir():
            if not os.path.isdir(path) or os.path.islink(path):
                _remove(path)
                os.mkdir(path)
            return
        if member.isreg():
            _remove(path)
            source = tar.extractfile(member)
            assert source is not None  # it is a regular file
            with source, open(path, "xb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
                os.fchmod(file.fileno(), 0o755 if member.mode & 0o111 else 0o644)
        elif member.issym():
            _remove(path)
            os.symlink(self._target(folder, member.linkname), path)
        elif member.islnk():
            self._hard(member, path)

    def _hard(self, member: tarfile.TarInfo, path: str) -> None:
        parts = _parts(member.linkname)
        there = os.path.join(self._folder(parts[:-1]), parts[-1]) if parts else self.root
        if not os.path.islink(there) and not os.path.isfile(there):
            raise LayerUnsafe(f"{member.name!r} is a hard link to {member.linkname!r}, which is not there")
        if there == path:
            return
        _remove(path)
        if os.path.islink(there):  # it is relative to its own folder; as it stands it could lead out of the root from another one
            target = os.path.join(os.path.dirname(there), os.readlink(there))
            os.symlink(os.path.relpath(os.path.normpath(target), os.path.dirname(path)), path)
        else:
            os.link(there, path)

    def _folder(self, parts: list[str]) -> str:
        """The real folder of these parts, made if it is not there. Links below the root are followed, as a container would."""
        path = self.root
        for part in parts:
            path = os.path.realpath(os.path.join(path, part))
            if path != self.root and not path.startswith(f"{self.root}/"):
                raise LayerUnsafe(f"{'/'.join(parts)!r} leads outside the image")
            if not os.path.isdir(path):
                _remove(path)
                os.makedirs(path)
        return path

    def _target(self, folder: str, link: str) -> str:
        """`link`, seen from `folder`, as ups and then downs that end below the root: by themselves such links cannot lead out."""
        here = os.path.relpath(folder, self.root)
        inside = posixpath.normpath(posixpath.join("/", "" if here == "." else here, link)).lstrip("/")
        return os.path.relpath(os.path.join(self.root, inside), folder)


def unpack(layers: Iterable[BinaryIO], root: Path) -> Tree:
    tree = Tree(root)
    for layer in layers:
        tree.add(layer)
    return tree


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise LayerUnsafe(f"{name!r} leads outside the image")
    return parts


def _remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)
