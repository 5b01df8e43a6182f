"""Reads an image back from an OCI layout that another program wrote: its config, and its layers as plain tars in the cache.

Every blob is checked against its digest, every layer against its diff id.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from builder.cache import Cache, key
from builder.errors import StepFailed
from builder.oci import LAYER_GZIP, LAYER_TAR, Layer
from builder.options import FORMAT, BuiltLayer

MOST_LAYERS = 127  # what runtimes can stack
MOST_BYTES = 64 << 30  # of one layer, unpacked
_MOST_JSON = 8 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """`config` is the section of that name in the image's config."""

    config: Mapping[str, Any]
    architecture: str
    layers: tuple[BuiltLayer, ...]


def read(cache: Cache, layout: Path) -> Found:
    """The only image in the layout. Blocks. Raises StepFailed if it is not what it says."""
    manifests = json.loads((layout / "index.json").read_bytes())["manifests"]
    if len(manifests) != 1:
        raise StepFailed(f"buildah wrote {len(manifests)} images, 1 was expected")
    manifest = _json(layout, manifests[0]["digest"])
    config = _json(layout, manifest["config"]["digest"])
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest["layers"]) or len(diff_ids) > MOST_LAYERS:
        raise StepFailed(f"the image has {len(manifest['layers'])} layers and {len(diff_ids)} diff ids; at most {MOST_LAYERS} can be run")
    layers = tuple(_layer(cache, layout, one, diff_id) for one, diff_id in zip(manifest["layers"], diff_ids, strict=True))
    return Found(config.get("config") or {}, str(config.get("architecture", "")), layers)


def _layer(cache: Cache, layout: Path, described: Mapping[str, Any], diff_id: str) -> BuiltLayer:
    name = key("dockerfile layer", FORMAT, diff_id)
    found = cache.get(name)
    made = found or cache.make(name, partial(_write, layout, described, diff_id), {})
    return BuiltLayer(made.layer, f"layer {diff_id[7:19]}", found is not None)


def _write(layout: Path, described: Mapping[str, Any], diff_id: str, file: BinaryIO) -> Layer:
    digest, size = hashlib.sha256(), 0
    with _plain(_blob(layout, described["digest"]), described["mediaType"]) as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
            if size > MOST_BYTES:
                raise StepFailed(f"layer {diff_id} has more than {MOST_BYTES >> 30} GiB")
    if f"sha256:{digest.hexdigest()}" != diff_id:
        raise StepFailed(f"layer {described['digest']} is not what its diff id promises; is the disk full or damaged?")
    return Layer(diff_id, diff_id, size, LAYER_TAR, "base")


@contextmanager
def _plain(blob: Path, media_type: str) -> Iterator[BinaryIO]:
    if media_type not in (LAYER_TAR, LAYER_GZIP):
        raise StepFailed(f"a layer is {media_type}, which is not known here")
    with blob.open("rb") as packed:
        if media_type == LAYER_TAR:
            yield packed
        else:
            with gzip.GzipFile(fileobj=packed) as plain:
                yield cast("BinaryIO", plain)


def _blob(layout: Path, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise StepFailed(f"{digest!r} is not a sha256 digest")
    return layout / "blobs/sha256" / name


def _json(layout: Path, digest: str) -> dict[str, Any]:
    path = _blob(layout, digest)
    data = path.read_bytes() if path.stat().st_size <= _MOST_JSON else b""
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise StepFailed(f"{digest} is not what its digest promises; is the disk full or damaged?")
    return dict(json.loads(data))
