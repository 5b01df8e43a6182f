"""Where an image that is to be checked lies: a registry, or an OCI layout folder (`oci:DIR[:NAME]`). Both answer the same questions.

A manifest is only given out once its bytes have the digest that it was asked for by. Sizes are bounded: who writes there is not trusted.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio.to_thread

from builder import files
from builder.errors import ImageMissing, ImageNotFound, NotVerified, UsageError
from builder.layout import REF_NAME
from builder.oci import INDEX, Blob, Content
from builder.registry import descriptor
from builder.registry.client import Registries
from builder.registry.descriptor import Descriptor
from builder.registry.reference import ImageRef, parse_ref
from builder.registry.settings import RegistrySettings

MOST_MANIFEST = 4 << 20  # bytes, as registries allow at least
MOST_BLOB = 32 << 20  # bytes of a bundle or an SBOM
MOST_REFERRERS = 200  # that are looked at for one image


class Place(Protocol):
    """Somewhere with one image in it. `name` is what was asked for."""

    name: str

    async def image(self, digest: str = "") -> Content:
        """The manifest or index that was asked for, or the one with this digest."""

    async def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What names that manifest as its subject."""

    async def tagged(self, tag: str) -> Content | None:
        """What has that tag beside the image."""

    async def blob(self, blob: Blob) -> bytes:
        """A small blob, verified."""

    async def file(self, blob: Blob, scratch: Path) -> Path:
        """A blob of any size, verified, in a file, which may lie in `scratch`."""


@asynccontextmanager
async def place(text: str, settings: RegistrySettings | None = None) -> AsyncIterator[Place]:
    """What `text` names: `oci:DIR[:NAME]` or an image reference. Raises UsageError."""
    if text.startswith("oci:"):
        folder, _, name = text.removeprefix("oci:").partition(":")
        yield LayoutPlace(Path(folder), name)
    else:
        reference = parse_ref(text)
        async with Registries(settings) as registries:
            yield RegistryPlace(registries, reference)


class LayoutPlace:
    """An OCI image layout. `name` chooses where it holds several images: the reference it was written under, or a digest."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder, self.wanted = folder, name
        self.name = f"oci:{folder}{f':{name}' if name else ''}"

    async def image(self, digest: str = "") -> Content:
        return await anyio.to_thread.run_sync(self._manifest, digest or self._named())

    async def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        return tuple([one for one in self._entries() if await anyio.to_thread.run_sync(self._subject, one.digest) == digest])

    async def tagged(self, tag: str) -> Content | None:
        found = [one.digest for one in self._entries() if one.annotations.get(REF_NAME, "").rpartition(":")[2] == tag]
        return await self.image(found[-1]) if found else None

    async def blob(self, blob: Blob) -> bytes:
        return await anyio.to_thread.run_sync(self._read, blob.digest, MOST_BLOB)

    async def file(self, blob: Blob, scratch: Path) -> Path:
        path = self._path(blob.digest)
        try:
            found = await anyio.to_thread.run_sync(files.sha256, path)
        except FileNotFoundError:
            raise ImageNotFound(f"{self.name}: {blob.digest} is missing") from None
        if found != blob.digest:
            raise NotVerified(f"{self.name}: the file {path.name} has changed: its digest is {found}")
        return path

    def _named(self) -> str:
        """The image that was asked for, or the only one."""
        images = [one for one in self._entries() if not self._subject(one.digest)]
        if self.wanted:
            images = [one for one in images if self.wanted in (one.annotations.get(REF_NAME), one.digest)]
        if not images:
            raise ImageNotFound(f"{self.name} holds no image{' of that name' if self.wanted else ''}")
        if len(images) > 1:
            names = ", ".join(one.annotations.get(REF_NAME) or one.digest for one in images)
            raise UsageError(f"{self.name} holds {len(images)} images; name one with oci:DIR:NAME: {names}")
        return images[0].digest

    def _entries(self) -> tuple[Descriptor, ...]:
        try:
            data = (self.folder / "index.json").read_bytes()
        except OSError:
            raise ImageNotFound(f"{self.name} is no OCI layout: it has no index.json that can be read") from None
        return descriptor.entries(Content(data, INDEX), f"{self.name}/index.json")

    def _subject(self, digest: str) -> str:
        """Of what a manifest speaks; empty for an image. One that is damaged speaks of nothing, and says so when it is read."""
        try:
            body = json.loads(self._path(digest).read_bytes())
            return str(body["subject"]["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _manifest(self, digest: str) -> Content:
        data = self._read(digest, MOST_MANIFEST)
        return descriptor.manifest(data, "", f"{self.name}@{digest}")

    def _read(self, digest: str, most: int) -> bytes:
        try:
            with self._path(digest).open("rb") as file:
                data = file.read(most + 1)
        except OSError:
            raise ImageNotFound(f"{self.name}: {digest} is missing") from None
        if len(data) > most:
            raise NotVerified(f"{self.name}: {digest} has more than {most} bytes")
        return checked(data, digest, self.name)

    def _path(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


class RegistryPlace:
    """A repository in a registry, and one reference in it."""

    def __init__(self, registries: Registries, reference: ImageRef) -> None:
        self._registries, self._reference = registries, reference
        self.name = str(reference)

    async def image(self, digest: str = "") -> Content:
        wanted = digest or self._reference.digest
        content = await self._registries.manifest(self._reference.at(wanted) if wanted else self._reference)
        checked(content.data, wanted or content.digest, self.name)
        return content

    async def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        return await self._registries.referrers(self._reference, digest)

    async def tagged(self, tag: str) -> Content | None:
        try:
            return await self._registries.manifest(self._reference.tagged(tag))
        except ImageMissing:
            return None

    async def blob(self, blob: Blob) -> bytes:
        return checked(await self._registries.blob(self._reference, blob, MOST_BLOB), blob.digest, self.name)

    async def file(self, blob: Blob, scratch: Path) -> Path:
        path = scratch / blob.digest.removeprefix("sha256:")
        await self._registries.download(self._reference, blob, path)
        return path


def checked(data: bytes, digest: str, name: str) -> bytes:
    """The same bytes. Raises NotVerified if they are not what the digest names."""
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise NotVerified(f"{name}: asked for {digest} and got other bytes, whose digest is {found}")
    return data
