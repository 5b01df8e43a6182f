"""A source folder as an OCI artifact: what a build in the cluster is made of. The same source is the same artifact, so that uploading it
again is one question. Which files belong to it is `source.py`'s business; reading one back is `extract.py`'s.
"""

import gzip
import hashlib
import io
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from builder import oci, tar
from builder.cache import Cache, key
from builder.cluster.extract import SourceUnsafe
from builder.compress import library
from builder.errors import ImageMissing
from builder.options import FORMAT, BuildOptions, Progress
from builder.registry.client import Registries
from builder.registry.push import push
from builder.registry.reference import ImageRef
from builder.sources.source import Source, SourceFile, read_file, read_source
from kfn.api.validate_build import INLINE_BYTES

ARTIFACT = "application/vnd.kfn.source.v1"
LAYER = "application/vnd.kfn.source.v1.tar+gzip"
TAG = "src-"
CONTROL = ("func.yaml", "kfn.lock")  # what a build reads beside what goes into the image
RULES = (".kfnignore", ".funcignore")  # the same, in every folder: they may bring back what the defaults leave out


@dataclass(frozen=True, slots=True)
class Collected:
    """The files that go into an image, and by name those that only say how it is made."""

    source: Source
    control: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Assembled:
    """`content` has its one blob in the cache."""

    content: oci.Content
    files: int
    size: int  # of the files, unpacked

    @property
    def tag(self) -> str:
        return tag(self.content.digest)


def tag(digest: str) -> str:
    """The tag under which an artifact is kept: without one, a registry's own clean-up may take it."""
    return TAG + digest.removeprefix("sha256:")


def collect(root: Path, options: BuildOptions) -> Collected:
    """What a build of the folder reads. Blocks."""
    source = read_source(
        root.absolute(), options.max_source_bytes, options.max_source_files, options.warn_source_bytes, allow=options.allow_secret_files
    )
    folders = {""} | {one.path[: i + 1] for one in source.files for i, c in enumerate(one.path) if c == "/"}
    names = [*CONTROL, *(f"{folder}{name}" for folder in folders for name in RULES)]
    return Collected(source, {name: (source.root / name).read_bytes() for name in sorted(names) if _plain(source, name)})


def _plain(source: Source, name: str) -> bool:
    path = source.root / name
    return path.is_file() and not path.is_symlink() and not source.has(name)


def inline(collected: Collected) -> dict[str, str] | None:
    """The files as text, if they are few and small enough to travel in the Build itself."""
    source = collected.source
    if source.size > INLINE_BYTES or any(one.executable or one.link for one in source.files):
        return None
    try:
        files = {name: data.decode() for name, data in collected.control.items()}
        files |= {one.path: read_file(source.root, one).decode() for one in source.files}
    except UnicodeDecodeError:
        return None
    return files if len(json.dumps(files, ensure_ascii=False).encode()) <= INLINE_BYTES else None


def assemble(collected: Collected, cache: Cache) -> Assembled:
    """Make the artifact of what was collected, unless it is known. Blocks."""
    source, control = collected.source, collected.control
    name = key("source-artifact", FORMAT, library("gzip"), source.digest, {k: hashlib.sha256(v).hexdigest() for k, v in control.items()})
    found = cache.get(name) or cache.make(name, partial(_write, source, control), {})
    blob = oci.Blob(found.layer.digest, found.layer.size, LAYER, path=cache.blob(found.layer.digest))
    return Assembled(oci.artifact(ARTIFACT, None, (blob,), {}), len(source.files) + len(control), source.size)


async def upload(registries: Registries, assembled: Assembled, repository: ImageRef, tell: Progress) -> bool:
    """Have the artifact in a repository, under its tag; False if it was there, which is one question."""
    place = repository.tagged(assembled.tag)
    try:
        if (await registries.resolve(place)).digest == assembled.content.digest:
            return False
    except ImageMissing:
        pass
    await push(registries, assembled.content, [place], tell)
    return True


def layer_of(manifest: bytes) -> tuple[str, int]:
    """Digest and size of the blob that a source artifact's manifest names. Raises SourceUnsafe if it is none."""
    try:
        body = json.loads(manifest)
        (layer,) = body["layers"]
        if body["artifactType"] != ARTIFACT or layer["mediaType"] != LAYER:
            raise ValueError("another type")
        return str(layer["digest"]), int(layer["size"])
    except (ValueError, KeyError, TypeError):
        raise SourceUnsafe("it is not a source that `kfn build --remote` uploaded") from None


def _write(source: Source, control: dict[str, bytes], file: BinaryIO) -> oci.Layer:
    """A gzipped tar without times and owners, streamed through the disk."""
    out = _Digesting(file)
    members = [
        *(_member(source, one) for one in source.files),
        *(tar.Member(name, load=partial(bytes, data)) for name, data in control.items()),
    ]
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
        diff_id, _ = tar.write_tar(cast(BinaryIO, packed), members)
    return oci.Layer(f"sha256:{out.sha256.hexdigest()}", diff_id, out.size, LAYER, "source-artifact")


def _member(source: Source, one: SourceFile) -> tar.Member:
    if one.link:
        return tar.Member(one.path, link=one.link)
    return tar.Member(one.path, load=partial(read_file, source.root, one), executable=one.executable)


class _Digesting(io.RawIOBase):
    """Passes bytes on, counts and digests them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)
