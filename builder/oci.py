"""What an OCI image is made of, as values: descriptors, blobs, and a manifest with all that it refers to. Pure.

Everything that leaves the builder is a `Content`: an image, an index of images, or an artifact that speaks of one (a signature, an
SBOM). The image store, a registry and an archive each take a Content and decide for themselves how its bytes get there.
Formats: OCI image-spec 1.1.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.platform import Platform

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER_TAR}+gzip"
LAYER_ZSTD = f"{LAYER_TAR}+zstd"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

LAYER_KIND = "dev.kfn.layer"  # on a layer: base, runtime, deps or source
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Layer:
    """One tar of an image. For an uncompressed layer `digest` equals `diff_id`. `size` in bytes, as stored.

    Its bytes lie in the build's cache. If they do not, `origin` names the repository (`registry/path`) that has them, from which
    they are mounted or copied when they are needed elsewhere.
    """

    digest: str
    diff_id: str
    size: int
    media_type: str
    kind: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that a manifest refers to: in memory (`data`), in a file (`path`), or in another repository (`origin`)."""

    digest: str
    size: int
    media_type: str
    data: bytes | None = None
    path: Path | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """A manifest or an index, `data`, with what it refers to. `platform` is set on an image, not on an index or an artifact."""

    data: bytes
    media_type: str
    blobs: tuple[Blob, ...] = ()  # config first, then layers, bottom first
    children: tuple["Content", ...] = ()  # of an index
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)  # as in `data`

    @property
    def digest(self) -> str:
        return sha256(self.data)

    @property
    def descriptor(self) -> dict[str, Any]:
        """How an index or a subject field names it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}
        if self.platform:
            found["platform"] = self.platform.oci
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        return found

    def images(self) -> Iterator["Content"]:
        """The images in it: itself, or its children."""
        if self.media_type in (INDEX, DOCKER_LIST):
            for child in self.children:
                yield from child.images()
        else:
            yield self


def canonical(value: Any) -> bytes:
    """JSON with one possible spelling: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob(data: bytes, media_type: str) -> Blob:
    """A small blob from memory."""
    return Blob(sha256(data), len(data), media_type, data=data)


EMPTY = blob(b"{}", EMPTY_TYPE)


def image(config: bytes, layers: tuple[Layer, ...], blobs: tuple[Blob, ...], platform: Platform, annotations: Mapping[str, str]) -> Content:
    """An image's manifest. `blobs` has one for each layer, in the same order."""
    first = blob(config, CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(first),
        "layers": [
            {**_descriptor(one), **({"annotations": {LAYER_KIND: layer.kind}} if layer.kind else {})}
            for one, layer in zip(blobs, layers, strict=True)
        ],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    return Content(canonical(manifest), MANIFEST, (first, *blobs), platform=platform, annotations=annotations)


def index(images: tuple[Content, ...], annotations: Mapping[str, str]) -> Content:
    """A multi-platform image: the images sorted by platform."""
    ordered = tuple(sorted(images, key=lambda one: str(one.platform)))
    body: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.descriptor for one in ordered]}
    if annotations:
        body["annotations"] = dict(annotations)
    return Content(canonical(body), INDEX, children=ordered, annotations=annotations)


def artifact(kind: str, subject: Content | None, blobs: tuple[Blob, ...], annotations: Mapping[str, str]) -> Content:
    """Something that is no image, attached to `subject` if there is one. `kind` is its artifactType. Its config is the empty one."""
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": _descriptor(EMPTY),
        "layers": [_descriptor(one) for one in blobs],
    }
    if annotations:
        body["annotations"] = dict(annotations)
    if subject:
        body["subject"] = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.data)}
    return Content(canonical(body), MANIFEST, (EMPTY, *blobs), artifact_type=kind, annotations=annotations)


def _descriptor(one: Blob) -> dict[str, Any]:
    return {"mediaType": one.media_type, "digest": one.digest, "size": one.size}
