"""How two images differ, in words: their layers file by file, their config key by key. Reads blobs, unpacks nothing."""

import gzip
import hashlib
import importlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from builder.errors import NotVerified
from builder.oci import LAYER_KIND, LAYER_TAR, LAYER_ZSTD
from builder.untar import Bounded

SHOWN = 20  # paths for a layer
MOST_ENTRIES = 1_000_000  # of one layer
RATIO, SMALL = 400, 64 << 20  # a layer may unpack to so many times its size, and so many bytes beside


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A layer as it lies in a file."""

    path: Path
    media_type: str


def paths(theirs: LayerFile, ours: LayerFile) -> tuple[str, ...]:
    """Each path that is not the same in both, with how. Sorted."""
    a, b = _entries(theirs), _entries(ours)
    only_a = [f"{name} (only in the image)" for name in a.keys() - b.keys()]
    only_b = [f"{name} (only in the rebuild)" for name in b.keys() - a.keys()]
    both = [f"{name} ({_how(a[name], b[name])})" for name in a.keys() & b.keys() if a[name] != b[name]]
    found = tuple(sorted((*only_a, *only_b, *both)))
    return found or ("the same files, in another order or form",)


def shown(found: tuple[str, ...]) -> str:
    """The first ones, for people."""
    more = f"\n    and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "".join(f"\n    {one}" for one in found[:SHOWN]) + more


def configs(theirs: dict[str, Any], ours: dict[str, Any]) -> tuple[str, ...]:
    """The keys whose values differ: `config.Env`. Not the layers', which are compared by themselves."""
    left, right = dict(_flat(theirs)), dict(_flat(ours))
    skipped = ("rootfs", "history")
    names = sorted(
        name for name in left.keys() | right.keys() if left.get(name) != right.get(name) and name.partition(".")[0] not in skipped
    )
    return tuple(f"{name}: {_text(left.get(name))} in the image, {_text(right.get(name))} in the rebuild" for name in names)


def kinds(manifest: bytes) -> list[str]:
    """What each layer is for, as the manifest annotates it."""
    layers = json.loads(manifest).get("layers") or []
    return [str((one.get("annotations") or {}).get(LAYER_KIND) or "layer") for one in layers]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _text(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)[:200]


_FIELDS = ("kind", "mode", "owner", "time", "link", "content")


def _how(a: tuple[object, ...], b: tuple[object, ...]) -> str:
    return ", ".join(name for name, x, y in zip(_FIELDS, a, b, strict=True) if x != y)


def _entries(layer: LayerFile) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    try:
        with _plain(layer) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=Bounded) as tar:
            for member in tar:
                body = tar.extractfile(member) if member.isreg() else None
                digest = hashlib.file_digest(cast(Any, body), "sha256").hexdigest() if body else ""
                owner = (member.uid, member.gid, member.uname, member.gname)
                found[member.name] = (member.type, member.mode, owner, member.mtime, member.linkname, digest)
                if len(found) > MOST_ENTRIES:
                    raise NotVerified(f"a layer holds more than {MOST_ENTRIES} files")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise NotVerified(f"{layer.path.name[:12]}: the layer cannot be read: {error}") from None
    return found


class _Bounded:
    """Reads at most `most` bytes of what is unpacked: a few kilobytes may hold gigabytes of zeros."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._left = file, most

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise NotVerified("a layer unpacks to far more than it should")
        return data


@contextmanager
def _plain(layer: LayerFile) -> Iterator[BinaryIO]:
    most = layer.path.stat().st_size * RATIO + SMALL
    with layer.path.open("rb") as file:
        if layer.media_type == LAYER_TAR or layer.media_type.endswith(".tar"):
            yield file
        elif layer.media_type == LAYER_ZSTD or layer.media_type.endswith("zstd"):
            zstandard: Any = importlib.import_module("zstandard")
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as unpacked:
                yield cast(BinaryIO, _Bounded(unpacked, most))
        else:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, _Bounded(cast(BinaryIO, unpacked), most))
