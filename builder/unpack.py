"""Layers of the cache as folders, each unpacked once: for what has to be run or looked at in a build. Never visible half unpacked.

The folders are the build's own and may be removed at any time between builds; the layers they came from make them again.
"""

import tarfile
from pathlib import Path

from builder import files, untar
from builder.cache import Cache
from builder.errors import BlobCorrupt
from builder.oci import LAYER_TAR, Layer

FOLDER = "unpacked"


def unpacked(cache: Cache, layer: Layer) -> Path:
    """The folder of an uncompressed layer. Blocks. Raises LayerUnsafe, or BlobCorrupt if it is not what it was: build again."""
    assert layer.media_type == LAYER_TAR, layer.media_type
    target = cache.path / FOLDER / layer.diff_id.removeprefix("sha256:")
    if target.is_dir():
        files.used(target)
        return target
    blob = cache.blob(layer.digest)
    if files.sha256(blob) != layer.digest:
        blob.unlink(missing_ok=True)
        raise BlobCorrupt(f"{blob.name[:12]} had changed on disk and was made again")
    target.parent.mkdir(parents=True, exist_ok=True)
    with cache.folder() as scratch:
        root = (scratch / "root").resolve()
        root.mkdir()
        with tarfile.open(blob, mode="r:", tarinfo=untar.Bounded) as tar:
            for member in tar:
                untar.place(tar, member, root)
        try:
            root.rename(target)
        except OSError:
            if not target.is_dir():  # else another build unpacked it meanwhile
                raise
    return target
