"""Manifests that came from a registry, read and checked: nothing in them is believed before its type and size are right. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.errors import RegistryError
from builder.oci import DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST, Blob, Content
from builder.platform import Platform

SCHEMA1 = ("application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws")
INDEXES, IMAGES = (INDEX, DOCKER_LIST), (MANIFEST, DOCKER_MANIFEST)
ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST))
MOST_LAYERS = 100  # containerd's overlay stops at about 127
MOST_ENTRIES = 1000  # of an index
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a registry says a reference or an entry of an index is. `platform` as `os/architecture[/variant]`."""

    digest: str
    size: int
    media_type: str
    artifact_type: str = ""
    platform: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def oci(self) -> dict[str, Any]:
        """As an index has it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


def manifest(data: bytes, media_type: str, origin: str) -> Content:
    """An image, an artifact or an index. Its blobs have `origin`; the children of an index are not there yet: `entries` names them."""
    body = _object(data, origin)
    kind = str(body.get("mediaType") or media_type).partition(";")[0].strip()
    if kind in SCHEMA1 or body.get("schemaVersion") == 1:
        raise RegistryError(f"{origin}: this is a docker schema 1 image, which nothing pushes any more; push it again with a newer tool")
    if kind not in (*INDEXES, *IMAGES):
        if "manifests" in body or "layers" in body:
            kind = INDEX if "manifests" in body else MANIFEST
        else:
            raise RegistryError(f"{origin}: {kind or 'no media type'} is neither an image nor an index")
    notes = _notes(body, origin)
    if kind in INDEXES:
        _list(body, "manifests", MOST_ENTRIES, origin)
        return Content(data, kind, annotations=notes)
    config = _descriptor(body.get("config"), origin)
    layers = [_descriptor(one, origin) for one in _list(body, "layers", MOST_LAYERS, origin)]
    blobs = tuple(Blob(one.digest, one.size, one.media_type, origin=origin) for one in (config, *layers))
    return Content(data, kind, blobs, artifact_type=str(body.get("artifactType") or ""), annotations=notes)


def entries(index: Content, origin: str) -> tuple[Descriptor, ...]:
    """What an index lists."""
    return tuple(_descriptor(one, origin) for one in _list(_object(index.data, origin), "manifests", MOST_ENTRIES, origin))


def subject(artifact: Content) -> str:
    """The digest of what an artifact speaks of; empty if it is about nothing."""
    about = _object(artifact.data, "the artifact").get("subject")
    return _descriptor(about, "the artifact").digest if about else ""


def listed(page: dict[str, Any], origin: str) -> tuple[Descriptor, ...]:
    """One page of the referrers API."""
    return tuple(_descriptor(one, origin) for one in _list(page, "manifests", MOST_ENTRIES, origin))


def platform_of(one: Descriptor) -> Platform | None:
    """The platform of an entry if it is one that kfn knows."""
    os, _, rest = one.platform.partition("/")
    architecture, _, variant = rest.partition("/")
    known = os == "linux" and ((architecture == "amd64" and variant in ("", "v1")) or (architecture == "arm64" and variant in ("", "v8")))
    return Platform(architecture) if known else None


def _object(data: bytes, origin: str) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{origin}: the manifest is not JSON ({error})") from None
    if not isinstance(body, dict):
        raise RegistryError(f"{origin}: the manifest is not a JSON object")
    return body


def _list(body: dict[str, Any], name: str, most: int, origin: str) -> list[Any]:
    found = body.get(name) or []
    if not isinstance(found, list):
        raise RegistryError(f"{origin}: {name} of the manifest is not a list")
    if len(found) > most:
        raise RegistryError(f"{origin}: {len(found)} {name}, at most {most} are taken")
    return found


def _descriptor(value: Any, origin: str) -> Descriptor:
    if not isinstance(value, dict):
        raise RegistryError(f"{origin}: the manifest has no proper descriptor where one must be")
    digest, size, kind = value.get("digest"), value.get("size"), value.get("mediaType", "")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise RegistryError(f"{origin}: the manifest names a digest {str(digest)[:80]!r}, which is not sha256: and 64 hexadecimal digits")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise RegistryError(f"{origin}: the manifest gives {digest[:19]} the size {str(size)[:40]!r}")
    if not isinstance(kind, str):
        raise RegistryError(f"{origin}: the media type of {digest[:19]} is no text")
    where = value.get("platform")
    text = "/".join(str(where[key]) for key in ("os", "architecture", "variant") if where.get(key)) if isinstance(where, dict) else ""
    return Descriptor(digest, size, kind, str(value.get("artifactType") or ""), text, _notes(value, origin))


def _notes(value: dict[str, Any], origin: str) -> dict[str, str]:
    notes = value.get("annotations") or {}
    if not isinstance(notes, dict) or not all(isinstance(text, str) for text in notes.values()):
        raise RegistryError(f"{origin}: annotations of the manifest are not texts")
    return notes
