"""The image store: one OCI image layout directory. Who builds adds to it, who runs functions reads layers out of it.

Blobs are named by their digest and never change. `index.json` lists the images; an older image keeps its place under its
digest when a newer one takes its name. Safe between processes. Does not unpack (the node does) and does not push.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import files
from builder.errors import BlobCorrupt, ImageNotFound, StoreError
from builder.oci import INDEX, LAYER_KIND, MANIFEST, Content, Layer, canonical
from builder.reference import Reference, parse

IMAGE_NAME = "dev.kfn.image"  # on an index entry: the name it was added under
SUBJECT = "dev.kfn.subject"  # on an index entry: the digest of the image that it speaks of
REF_NAME = "org.opencontainers.image.ref.name"  # on the newest entry of a name
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest with its config. Layers are bottom first."""

    reference: str
    digest: str
    config: dict[str, Any]
    layers: tuple[Layer, ...]

    @property
    def labels(self) -> dict[str, str]:
        return dict((self.config.get("config") or {}).get("Labels") or {})

    @property
    def env(self) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in (self.config.get("config") or {}).get("Env") or ())
        return {key: value for key, _, value in pairs}


class ImageStore:
    """An OCI layout at `path`; made when first written to. Methods block on the disk: call them from a thread if that matters."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies, whether or not it is there."""
        found = _SHA256.fullmatch(digest)
        if not found:
            raise StoreError(f"{digest!r} is not a sha256 digest")
        return self.path / "blobs" / "sha256" / found[1]

    def has(self, digest: str) -> bool:
        return self.blob_path(digest).is_file()

    def resolve(self, reference: str) -> Image:
        """The image that a reference names. Manifest and config are checked against their digests, layers are only looked for."""
        wanted = parse(reference)
        digest = wanted.digest or self._newest(wanted.name)
        manifest = self._read_json(digest, reference)
        config = self._read_json(manifest["config"]["digest"], reference)
        diff_ids = config["rootfs"]["diff_ids"]
        layers = tuple(
            Layer(d["digest"], diff_id, d["size"], d["mediaType"], (d.get("annotations") or {}).get(LAYER_KIND, ""))
            for d, diff_id in zip(manifest["layers"], diff_ids, strict=True)
        )
        for layer in layers:
            if not self.has(layer.digest):
                raise ImageNotFound(f"{reference}: its layer {layer.digest} is missing from {self.path}; build it again")
        return Image(str(Reference(wanted.name, digest)), digest, config, layers)

    def references(self) -> tuple[str, ...]:
        """Every image in the store, oldest first, each with its digest."""
        return tuple(_reference(entry) for entry in self._entries())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold this from the first `put` to `add`, so that `gc` in another process does not take blobs that no image names yet."""
        with files.locked(self.path / "gc.lock", shared=True):
            yield

    def put(self, data: bytes) -> str:
        """Store a small blob; returns its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            files.write(self.blob_path(digest), data)
        return digest

    def put_file(self, source: Path, digest: str) -> None:
        """Store a file whose digest is known, as a hard link where possible."""
        target = self.blob_path(digest)
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            return
        target.unlink(missing_ok=True)
        files.link_or_copy(source, target)

    def add(self, name: str, manifest: bytes) -> Image:
        """Make a complete image visible under `name`, as the last step: an interrupted build leaves nothing half-written."""
        digest = self.put(manifest)
        os.utime(self.blob_path(digest))  # for `prune` it is as new as this build, even if it was there before
        image = self.resolve(str(Reference(parse(name).name, digest)))
        files.write(self.path / "oci-layout", canonical({"imageLayoutVersion": "1.0.0"}))
        with files.locked(self.path / "index.lock"):
            entries = [e for e in self._entries() if (_name(e), e["digest"]) != (name, digest)]
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(manifest), "annotations": {IMAGE_NAME: name}})
            self._write_index(entries)
        return image

    def attach(self, artifact: Content, subject: str) -> None:
        """Keep something about the image with the digest `subject`, as long as that is here. A newer one of its kind replaces it."""
        for blob in artifact.blobs:
            if blob.data is None:
                raise StoreError(f"{artifact.artifact_type}: its blobs must be in memory")
            self.put(blob.data)
        self.put(artifact.data)
        entry = {**artifact.descriptor, "annotations": {SUBJECT: subject}}
        with files.locked(self.path / "index.lock"):
            images, attached = self._index()
            kept = [e for e in attached if (e["artifactType"], e["annotations"][SUBJECT]) != (artifact.artifact_type, subject)]
            self._write_index(images, [*kept, entry])

    def attached(self, subject: str, kind: str) -> bytes | None:
        """The first blob of what is attached to an image under that artifactType. Raises BlobCorrupt."""
        for entry in self._index()[1]:
            if (entry["artifactType"], entry["annotations"][SUBJECT]) == (kind, subject):
                manifest = self._read_json(entry["digest"], subject)
                return self._read(manifest["layers"][0]["digest"], subject)
        return None

    def remove(self, reference: str) -> None:
        """Forget one image (with a digest) or every image of a name (without). `gc` frees the space."""
        wanted = parse(reference)
        with files.locked(self.path / "index.lock"):
            entries = self._entries()
            kept = [e for e in entries if _name(e) != wanted.name or wanted.digest not in ("", e["digest"])]
            if len(kept) == len(entries):
                raise ImageNotFound(f"{reference} is not in {self.path}")
            self._write_index(kept)

    def gc(self) -> int:
        """Delete the blobs that no listed image needs; returns the bytes freed. Waits for builds that are writing."""
        if not self.path.is_dir():
            return 0
        with files.locked(self.path / "gc.lock"):
            return self._free()

    def prune(self, used: Set[str], seconds: float) -> tuple[str, ...]:
        """Forget the images whose reference is not in `used`, neither with its digest nor by its bare name, and that were not
        added in the last `seconds`; free their blobs. Returns what was forgotten. Waits for builds that are writing."""
        if not self.path.is_dir():
            return ()
        before = time.time() - seconds
        with files.locked(self.path / "gc.lock"), files.locked(self.path / "index.lock"):
            entries = self._entries()
            old = [e for e in entries if not {_name(e), _reference(e)} & used and self._added(e["digest"]) < before]
            if old:
                self._write_index([e for e in entries if e not in old])
                self._free()
            return tuple(_reference(entry) for entry in old)

    def _added(self, digest: str) -> float:
        try:
            return self.blob_path(digest).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _free(self) -> int:
        needed: set[str] = set()
        images, attached = self._index()
        for entry in (*images, *attached):
            manifest = self._read_json(entry["digest"], _name(entry))
            needed |= {entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])}
        freed = 0
        for path in (self.path / "blobs" / "sha256").glob("*"):
            if f"sha256:{path.name}" not in needed:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def _newest(self, name: str) -> str:
        for entry in reversed(self._entries()):
            if _name(entry) == name:
                return str(entry["digest"])
        known = sorted({_name(entry) for entry in self._entries()})
        raise ImageNotFound(f"{name} is not in {self.path}" + (f"; there are {', '.join(known)}" if known else ", which is empty"))

    def _entries(self) -> list[dict[str, Any]]:
        return self._index()[0]

    def _index(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The images, and what is attached to them."""
        try:
            entries = list(json.loads((self.path / "index.json").read_bytes())["manifests"])
        except FileNotFoundError:
            return [], []
        attached = [entry for entry in entries if SUBJECT in (entry.get("annotations") or {})]
        return [entry for entry in entries if entry not in attached], attached

    def _write_index(self, entries: list[dict[str, Any]], attached: list[dict[str, Any]] | None = None) -> None:
        """`attached` is what is there unless given; of images that are gone it goes too."""
        there = {entry["digest"] for entry in entries}
        about = [entry for entry in (self._index()[1] if attached is None else attached) if entry["annotations"][SUBJECT] in there]
        newest = {_name(entry): entry["digest"] for entry in entries}
        for entry in entries:
            name = _name(entry)
            entry["annotations"] = {IMAGE_NAME: name} | ({REF_NAME: name} if newest[name] == entry["digest"] else {})
        files.write(self.path / "index.json", canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, *about]}))

    def _read_json(self, digest: str, reference: str) -> dict[str, Any]:
        return dict(json.loads(self._read(digest, reference)))

    def _read(self, digest: str, reference: str) -> bytes:
        try:
            data = self.blob_path(digest).read_bytes()
        except FileNotFoundError:
            raise ImageNotFound(f"{reference}: blob {digest} is not in {self.path}; build it again") from None
        if hashlib.sha256(data).hexdigest() != digest.removeprefix("sha256:"):
            raise BlobCorrupt(f"{self.blob_path(digest)}; remove it and build again")
        return data


def _reference(entry: dict[str, Any]) -> str:
    return str(Reference(_name(entry), entry["digest"]))


def _name(entry: dict[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(IMAGE_NAME, ""))
