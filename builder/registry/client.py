"""Everything that can be asked of a registry, one method each. Read this first.

    async with Registries(RegistrySettings.from_environment()) as registries:
        found = await registries.resolve(parse_ref("registry.example/app:1"))

One HTTP client serves all registries; httpx is imported when the block is entered. What a request meets on its way (login, retries,
redirects) is in transport.py and auth.py, uploads in upload.py, downloads in download.py; whole images in push.py and pull.py.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.oci import Blob, Content
from builder.registry.descriptor import Descriptor
from builder.registry.reference import ImageRef
from builder.registry.settings import RegistrySettings


class Moved(Enum):
    """How a blob came to be in a repository."""

    PRESENT = "present"  # it was there
    MOUNTED = "mounted"  # from another repository of the registry, no bytes sent
    UPLOADED = "uploaded"


@dataclass(frozen=True, slots=True)
class Put:
    """`subject`: the registry said that it lists this manifest among the referrers of its subject."""

    digest: str
    subject: bool


class Registries:
    """An async context manager. Methods raise RegistryRefused, RegistryUnreachable, RegistryError, ImageMissing, DigestMismatch."""

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self.settings = settings or RegistrySettings.from_environment()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    async def resolve(self, ref: ImageRef) -> Descriptor:
        """What a tag or digest names now."""
        raise NotImplementedError

    async def manifest(self, ref: ImageRef) -> Content:
        """A manifest or an index, its digest verified. Blobs have `origin`; the children of an index are not fetched (pull.py does)."""
        raise NotImplementedError

    async def blob(self, ref: ImageRef, blob: Blob, limit: int = 4 << 20) -> bytes:
        """A small blob, verified, in memory: a config, an SBOM."""
        raise NotImplementedError

    async def download(self, ref: ImageRef, blob: Blob, path: Path) -> None:
        """A blob of any size into a file, which appears whole and verified or not at all."""
        raise NotImplementedError

    async def has_blob(self, ref: ImageRef, digest: str) -> bool:
        """Whether the repository has it. An odd answer counts as no."""
        raise NotImplementedError

    async def push_blob(self, ref: ImageRef, blob: Blob) -> Moved:
        """Make the repository have this blob, with as few bytes as possible."""
        raise NotImplementedError

    async def put_manifest(self, ref: ImageRef, content: Content) -> Put:
        """Put a manifest under `ref`'s tag or digest. All it refers to must be there."""
        raise NotImplementedError

    async def check_push(self, ref: ImageRef) -> None:
        """Raise now what a push would raise in the end: begins an upload and gives it up."""
        raise NotImplementedError

    async def tags(self, ref: ImageRef, limit: int = 10_000) -> tuple[str, ...]:
        """The tags of a repository, at most `limit`; none if it does not exist."""
        raise NotImplementedError

    async def referrers(self, ref: ImageRef, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """What was attached to the manifest `digest`, of one artifactType or all."""
        raise NotImplementedError

    async def delete(self, ref: ImageRef) -> None:
        """Delete a manifest by digest, or a tag."""
        raise NotImplementedError
