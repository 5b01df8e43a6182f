"""An image out of a registry: for one platform, whole with all platforms, as files, or into the image store."""

from pathlib import Path

from builder.oci import Content
from builder.platform import Platform
from builder.registry.client import Registries
from builder.registry.reference import ImageRef
from builder.store import Image, ImageStore


async def image(registries: Registries, ref: ImageRef, platform: Platform) -> Content:
    """The image that `ref` names for `platform`. Its blobs stay where they are: they have `origin`, not `path`."""
    raise NotImplementedError


async def everything(registries: Registries, ref: ImageRef) -> Content:
    """The manifest with, for an index, all its children. Blobs have `origin`."""
    raise NotImplementedError


async def local(registries: Registries, content: Content, folder: Path) -> Content:
    """The same content with every blob that had only an `origin` in `folder/sha256/<hex>`, verified."""
    raise NotImplementedError


async def into_store(registries: Registries, ref: ImageRef, platform: Platform, store: ImageStore, name: str) -> Image:
    """Download an image into the image store under `name`."""
    raise NotImplementedError
