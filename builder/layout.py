"""An image as files for others: an OCI image layout folder, or one tar of it that container tools load. Plain files, no store.

`oci:DIR[:NAME]` and `oci-archive:FILE[:NAME]` are what skopeo, umoci, podman and containerd read; `docker-archive:FILE[:NAME]` has
the same files and a `manifest.json` beside them, by which `docker load` and older tools find their way (one platform only).
Formats: OCI image-spec 1.1, image-layout.md; docker's image spec 1.2.
"""

import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from builder import files, tar
from builder.errors import BlobCorrupt, StoreError, UsageError
from builder.oci import INDEX, Blob, Content, canonical

KINDS = ("oci", "oci-archive", "docker-archive")
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"  # what `ctr images import` calls it
_FILES = {"oci-layout", "index.json", "blobs"}
_LAYOUT = canonical({"imageLayoutVersion": "1.0.0"})


@dataclass(frozen=True, slots=True)
class Output:
    """One `--output`. `name` is the reference it gets in there; empty: the image's own."""

    kind: str
    path: Path
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


def parse(text: str) -> Output:
    """`oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`, each with `:NAME` after it if wanted. Raises UsageError."""
    kind, colon, rest = text.partition(":")
    if kind not in KINDS or not colon or not rest:
        raise UsageError(f"--output {text!r} is none of {', '.join(f'{k}:PATH' for k in KINDS)}, text and json")
    path, _, name = rest.partition(":")
    if not path:
        raise UsageError(f"--output {text!r} names no file")
    return Output(kind, Path(path), name)


def check(output: Output, images: int) -> None:
    """Say what would fail at the end before anything is built. Raises UsageError."""
    if output.kind == "docker-archive" and images > 1:
        raise UsageError(f"--output {output}: a docker-archive holds one platform; use oci-archive:FILE, or name one --platform")
    parent = output.path.absolute().parent
    if output.kind == "oci":
        if output.path.is_file():
            raise UsageError(f"--output {output}: that is a file, and an OCI layout is a folder")
        if output.path.is_dir() and {path.name for path in output.path.iterdir()} - _FILES:
            raise UsageError(f"--output {output}: the folder holds other files and is no OCI layout; name an empty or a new one")
    elif output.path.is_dir():
        raise UsageError(f"--output {output}: that is a folder; name a file")
    elif not parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {parent}")


def write(output: Output, content: Content, attached: Iterable[Content], name: str) -> None:
    """Write the image and what is attached to it. A file appears whole; in a folder the index is the last to change.

    Every blob must have its bytes here (`path` or `data`). Raises BlobCorrupt for one that is not what its digest says.
    """
    attached = tuple(attached)
    blobs = _blobs((content, *attached))
    _verify(blobs)
    if output.kind == "oci":
        _folder(output.path, content, attached, blobs, output.name or name)
    else:
        _archive(output, content, attached, blobs, output.name or name)


def _folder(folder: Path, content: Content, attached: tuple[Content, ...], blobs: list[Blob], name: str) -> None:
    for blob in blobs:
        target = folder / _place(blob)
        if not target.is_file() or files.sha256(target) != blob.digest:
            with _source(blob) as source, files.writing(target) as file:
                shutil.copyfileobj(source, file, 1 << 20)
    files.write(folder / "oci-layout", _LAYOUT)
    old = [entry for entry in _entries(folder) if not _replaced(entry, name, content, attached)]
    files.write(folder / "index.json", _index([*old, *_named(content, name), *(one.descriptor for one in attached)]))


def _replaced(entry: dict[str, Any], name: str, content: Content, attached: tuple[Content, ...]) -> bool:
    """An older image of that name, or one of these."""
    same = {content.digest, *(one.digest for one in attached)}
    return entry.get("digest") in same or (entry.get("annotations") or {}).get(REF_NAME) == name


def _entries(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / "index.json").read_bytes())["manifests"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / 'index.json'} is not the index of an OCI layout ({error})") from None


def _archive(output: Output, content: Content, attached: tuple[Content, ...], blobs: list[Blob], name: str) -> None:
    members = [
        tar.Member("oci-layout", load=lambda: _LAYOUT),
        tar.Member("index.json", load=lambda: _index([*_named(content, name), *(one.descriptor for one in attached)])),
    ]
    members += [tar.Member(_place(blob), load=partial(_bytes, blob) if blob.data is not None else None, source=blob.path) for blob in blobs]
    if output.kind == "docker-archive":
        members.append(tar.Member("manifest.json", load=lambda: _docker(content, name)))
    with files.writing(output.path.absolute()) as file:
        tar.write_tar(file, members)


def _docker(content: Content, name: str) -> bytes:
    config, *layers = (_place(blob) for blob in content.blobs)
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    return canonical([{"Config": config, "RepoTags": [tagged.partition("@")[0]], "Layers": layers}])


def _named(content: Content, name: str) -> list[dict[str, Any]]:
    return [{**content.descriptor, "annotations": {REF_NAME: name, CONTAINERD_NAME: name}}]


def _index(entries: list[dict[str, Any]]) -> bytes:
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def _blobs(contents: Iterable[Content]) -> list[Blob]:
    """Every blob once, manifests after what they name."""
    found: dict[str, Blob] = {}

    def add(content: Content) -> None:
        for child in content.children:
            add(child)
        for blob in (*content.blobs, Blob(content.digest, len(content.data), content.media_type, data=content.data)):
            found.setdefault(blob.digest, blob)

    for content in contents:
        add(content)
    return list(found.values())


def _place(blob: Blob) -> str:
    return f"blobs/sha256/{blob.digest.removeprefix('sha256:')}"


def _bytes(blob: Blob) -> bytes:
    return blob.data or b""


def _source(blob: Blob) -> BinaryIO:
    if blob.data is not None:
        return io.BytesIO(blob.data)
    if blob.path is None:
        raise StoreError(f"{blob.digest} is in {blob.origin or 'another registry'} and was not downloaded")
    return blob.path.open("rb")


def _verify(blobs: Iterable[Blob]) -> None:
    """Remove what was damaged in the cache, so that it can be made anew."""
    damaged = [blob.path for blob in blobs if blob.path and files.sha256(blob.path) != blob.digest]
    for path in damaged:
        path.unlink(missing_ok=True)
    if damaged:
        raise BlobCorrupt(f"{', '.join(path.name[:12] for path in damaged)} had changed on disk and was made again")
