"""An image out of a registry: for one platform, whole with all platforms, as files, or into the image store."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from builder import files
from builder.errors import ImageMissing, RegistryError
from builder.oci import Blob, Content
from builder.platform import Platform
from builder.registry.client import Registries
from builder.registry.descriptor import IMAGES, entries, platform_of
from builder.registry.reference import ImageRef, parse_repository
from builder.store import Image, ImageStore
from builder.together import each

DEPTH = 3  # indexes in indexes
_ELSEWHERE = ("foreign", "nondistributable")  # in the media type of layers that no registry has


async def image(registries: Registries, ref: ImageRef, platform: Platform) -> Content:
    """The image that `ref` names for `platform`. Its blobs stay where they are: they have `origin`, not `path`."""
    found = await registries.manifest(ref)
    for _ in range(DEPTH):
        if found.media_type in IMAGES:
            return _checked(ref, replace(found, platform=platform))
        listed = entries(found, str(ref))
        fitting = next((one for one in listed if platform_of(one) == platform), None)
        if not fitting:
            there = ", ".join(dict.fromkeys(one.platform for one in listed if one.platform and "unknown" not in one.platform))
            raise ImageMissing(f"{ref} is not there for {platform}, only for {there or 'no platform'}")
        found = await registries.manifest(ref.at(fitting.digest))
    raise _nested(ref)


async def everything(registries: Registries, ref: ImageRef, depth: int = DEPTH) -> Content:
    """The manifest with, for an index, all its children. Blobs have `origin`."""
    found = await registries.manifest(ref)
    if found.media_type in IMAGES:
        return _checked(ref, found)
    if not depth:
        raise _nested(ref)
    children = []
    for one in entries(found, str(ref)):
        child = await everything(registries, ref.at(one.digest), depth - 1)
        children.append(replace(child, platform=platform_of(one)))
    return replace(found, children=tuple(children))


async def local(registries: Registries, content: Content, folder: Path) -> Content:
    """The same content with every blob that had only an `origin` in `folder/sha256/<hex>`, verified. What lies there is not fetched."""
    await _fetch(registries, (blob for one in content.images() for blob in one.blobs), folder)
    return _here(content, folder)


async def into_store(registries: Registries, ref: ImageRef, platform: Platform, store: ImageStore, name: str) -> Image:
    """Download an image into the image store under `name`."""
    content = await image(registries, ref, platform)
    with store.writing():
        await _fetch(registries, content.blobs, store.path / "blobs")
        return await anyio.to_thread.run_sync(store.add, name, content.data)


async def _fetch(registries: Registries, blobs: Iterable[Blob], folder: Path) -> None:
    """The blobs that are only elsewhere, each once."""

    async def one(blob: Blob) -> None:
        path = _path(folder, blob)
        if path.is_file() and path.stat().st_size == blob.size:
            files.used(path)
        else:
            await registries.download(parse_repository(blob.origin), blob, path)

    await each(one, {blob.digest: blob for blob in blobs if _remote(blob)}.values())


def _here(content: Content, folder: Path) -> Content:
    blobs = tuple(replace(blob, path=_path(folder, blob)) if _remote(blob) else blob for blob in content.blobs)
    return replace(content, blobs=blobs, children=tuple(_here(child, folder) for child in content.children))


def _remote(blob: Blob) -> bool:
    return blob.data is None and blob.path is None


def _path(folder: Path, blob: Blob) -> Path:
    return folder / "sha256" / blob.digest.removeprefix("sha256:")


def _checked(ref: ImageRef, found: Content) -> Content:
    for blob in found.blobs:
        if any(word in blob.media_type for word in _ELSEWHERE):
            raise RegistryError(f"{ref}: its layer {blob.digest[:19]} is a foreign one ({blob.media_type}), which kfn does not fetch")
        if "+encrypted" in blob.media_type:
            raise RegistryError(f"{ref}: its layer {blob.digest[:19]} is encrypted, which kfn does not undo")
    return found


def _nested(ref: ImageRef) -> RegistryError:
    return RegistryError(f"{ref} is an index of indexes, more than {DEPTH} deep")
