"""Images to push, a client without anything of this machine in it, and what was told."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from builder import oci
from builder.options import Step
from builder.platform import Platform
from builder.registry.client import Registries
from builder.registry.settings import RegistrySettings

AMD64, ARM64 = Platform("amd64"), Platform("arm64")
Client = Callable[..., AbstractAsyncContextManager[Registries]]


def quiet(step: Step) -> None:
    """Nobody is told."""


def blob_file(folder: Path, size: int, seed: bytes = b"1", *, name: str = "") -> oci.Blob:
    """Bytes that do not compress, in a file named by its digest as in the cache."""
    data = hashlib.shake_256(seed).digest(size)
    digest = oci.sha256(data)
    path = folder / (name or digest.removeprefix("sha256:"))
    path.write_bytes(data)
    return oci.Blob(digest, size, oci.LAYER_TAR, path=path)


def an_image(*blobs: oci.Blob, platform: Platform = AMD64, note: str = "") -> oci.Content:
    layers = tuple(oci.Layer(blob.digest, blob.digest, blob.size, blob.media_type, "deps") for blob in blobs)
    config = oci.canonical({**platform.oci, "config": {}, "rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in blobs]}})
    return oci.image(config, layers, blobs, platform, {"note": note} if note else {})


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """`async with client(retries=1) as registries`: with an empty home and quick pauses."""

    @asynccontextmanager
    async def made(environ: dict[str, str] | None = None, **settings: Any) -> AsyncIterator[Registries]:
        env = {"HOME": str(tmp_path / "nobody"), "PATH": os.environ["PATH"], **(environ or {})}
        given = {"backoff": 0.01, "connect_timeout": 5.0, "read_timeout": 5.0, **settings}
        async with Registries(RegistrySettings(environ=env, **given)) as registries:
            yield registries

    return made
