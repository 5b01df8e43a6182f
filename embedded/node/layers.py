"""Unpacks image layers, each once, into a folder named by its digest. What is half unpacked is never visible under that name.

Which layers an image has is the store's business (`builder.store`); which are still needed is the caller's.
"""

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from builder import untar
from builder.errors import LayerUnsafe
from builder.oci import Layer
from builder.store import ImageStore
from embedded.node.errors import BadImage

CHUNK = 1 << 20
DIFF_ID = re.compile(r"sha256:([0-9a-f]{64})")
MEMBERS = 1_000_000  # files, folders and links in one layer


class _Hashing:
    """A file to read from that remembers the digest of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


class Layers:
    """The folder of unpacked layers. Methods block: call them from a thread."""

    def __init__(self, folder: Path, store: ImageStore, *, max_size: int) -> None:
        self.folder = folder
        self._store = store
        self._max_size = max_size

    def path(self, layer: Layer) -> Path:
        """Where it lies, or will. Raises BadImage for a diff id that is none: it would be a path of the image's choice."""
        found = DIFF_ID.fullmatch(layer.diff_id)
        if not found:
            raise BadImage(f"layer {layer.digest} has the diff id {layer.diff_id[:80]!r}, which is not a sha256 digest")
        return self.folder / found[1]

    def unpack(self, layer: Layer) -> Path:
        """The folder of an unpacked layer, unpacked now if need be. Raises BadImage if it is damaged or unsafe."""
        target = self.path(layer)
        if target.is_dir():
            return target
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            self._extract(layer, temporary)
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():  # else another unpacked it meanwhile
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def merged(self, folders: Sequence[Path]) -> Path:
        """One folder with the files of these, a later one's over an earlier one's: for what looks for files beside its own.

        Its files are hard links to theirs, so it costs names and no space. Nothing is linked for a single folder.
        """
        if len(folders) == 1:
            return folders[0]
        target = self.folder / f"merged-{hashlib.sha256(' '.join(folder.name for folder in folders).encode()).hexdigest()}"
        if target.is_dir():
            return target
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            for folder in folders:
                _link_tree(folder, temporary)
            temporary.rename(target)
        except OSError as error:
            raise BadImage(f"the image's layers cannot be put together: {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def keep(self, needed: Iterable[Path]) -> None:
        """Remove every layer that is not needed, and what a crash left half unpacked."""
        names = {path.name for path in needed}
        for entry in self.folder.glob("*"):
            if entry.name not in names:
                shutil.rmtree(entry, ignore_errors=True)

    def _extract(self, layer: Layer, target: Path) -> None:
        try:
            with self._store.blob_path(layer.digest).open("rb") as blob:
                stored = _Hashing(blob)
                if layer.media_type.endswith("gzip"):
                    with gzip.GzipFile(fileobj=stored) as plain:  # type: ignore[call-overload]
                        diff_id = self._untar(plain, target, layer)
                elif layer.media_type.endswith("tar"):
                    diff_id = self._untar(stored, target, layer)
                else:
                    raise BadImage(f"layer {layer.digest} is {layer.media_type}; the local node unpacks tar and tar+gzip layers")
                while stored.read(CHUNK):
                    pass
        except LayerUnsafe as error:
            raise BadImage(str(error)) from None
        except (OSError, tarfile.TarError, EOFError) as error:
            raise BadImage(f"layer {layer.digest} cannot be unpacked: {error}") from error
        for what, wanted, got in (("digest", layer.digest, stored.digest.hexdigest()), ("diff id", layer.diff_id, diff_id)):
            if got and wanted != f"sha256:{got}":
                raise BadImage(f"layer {layer.digest} is damaged: its {what} is sha256:{got}. Build the function again")

    def _untar(self, source: IO[bytes] | _Hashing | gzip.GzipFile, target: Path, layer: Layer) -> str:
        plain = _Hashing(source)  # type: ignore[arg-type]
        target = target.resolve()
        size = count = 0
        with tarfile.open(fileobj=plain, mode="r|", tarinfo=untar.Bounded) as tar:  # type: ignore[call-overload]
            for member in tar:
                size, count = size + member.size, count + 1
                if count > MEMBERS:
                    raise BadImage(f"layer {layer.digest} has more than {MEMBERS} members")
                if size > self._max_size:
                    raise BadImage(f"layer {layer.digest} is larger than {self._max_size} bytes when unpacked")
                if os.path.basename(member.name).startswith(".wh."):
                    continue  # a whiteout: layers are not stacked here
                untar.place(tar, member, target)
        while plain.read(CHUNK):
            pass
        return plain.digest.hexdigest()


def _link_tree(source: Path, target: Path) -> None:
    for folder, folders, files in os.walk(source):
        into = target / os.path.relpath(folder, source)
        into.mkdir(exist_ok=True)
        for name in (*files, *(name for name in folders if os.path.islink(os.path.join(folder, name)))):
            place = into / name
            if place.is_symlink() or place.is_file():
                place.unlink()
            os.link(os.path.join(folder, name), place, follow_symlinks=False)
