"""Everything that can be asked of a registry, one method each. Read this first.

    async with Registries(RegistrySettings.from_environment()) as registries:
        found = await registries.resolve(parse_ref("registry.example/app:1"))

One client serves all registries; httpx is imported when the block is entered. What a request meets on its way (login, retries,
redirects) is in transport.py and auth.py, uploads in upload.py, downloads in download.py; whole images in push.py and pull.py.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urljoin

import anyio

from builder.errors import DigestMismatch, ImageMissing, RegistryError
from builder.oci import EMPTY, INDEX, Blob, Content, sha256
from builder.reference import is_digest
from builder.registry import answers, descriptor
from builder.registry.answers import Answer
from builder.registry.bodies import Memory
from builder.registry.challenge import scope
from builder.registry.descriptor import ACCEPT, IMAGES, INDEXES, MOST_ENTRIES, Descriptor
from builder.registry.download import PULLING, download, small
from builder.registry.reference import ImageRef, parse_repository
from builder.registry.settings import RegistrySettings
from builder.registry.transport import SMALL, Call, Transport
from builder.registry.upload import PUSHING, Upload, has

DELETING = "delete from"
MOST_PAGES = 100


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


class BlobsMissing(RegistryError):
    """The registry lacks what the manifest refers to."""

    def __init__(self, detail: str, digests: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.digests = digests


class Registries:
    """An async context manager. Methods raise RegistryRefused, RegistryUnreachable, RegistryError, ImageMissing, DigestMismatch."""

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self.settings = settings or RegistrySettings.from_environment()
        self._transport = Transport(self.settings)
        self._locks: dict[str, anyio.Lock] = {}
        self._limiter = anyio.CapacityLimiter(self.settings.parallel)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.__aexit__(kind, error, trace)

    def lock(self, name: str) -> anyio.Lock:
        """For what a registry cannot do atomically and this process does twice at once."""
        return self._locks.setdefault(name, anyio.Lock())

    @property
    def requests(self) -> int:
        """How many were sent so far."""
        return self._transport.requests

    async def resolve(self, ref: ImageRef) -> Descriptor:
        """What a tag or digest names now."""
        answer = await self._ask("HEAD", ref, f"manifests/{ref.reference}", "pull", PULLING, {"Accept": ACCEPT})
        digest, length = answer.header("docker-content-digest"), answer.header("content-length")
        kind = answer.header("content-type").partition(";")[0].strip()
        whole = answer.status == 200 and is_digest(digest) and length.isascii() and length.isdigit() and kind in (*INDEXES, *IMAGES)
        if whole and ref.digest in ("", digest):
            return Descriptor(digest, int(length[:15]), kind)
        found = await self.manifest(ref)
        return Descriptor(found.digest, len(found.data), found.media_type, found.artifact_type)

    async def manifest(self, ref: ImageRef) -> Content:
        """A manifest or an index, its digest verified. Blobs have `origin`; the children of an index are not fetched (pull.py does)."""
        answer = await self._get(ref, f"manifests/{ref.reference}", {"Accept": ACCEPT})
        found = sha256(answer.body)
        for promised in (ref.digest, answer.header("docker-content-digest")):
            if is_digest(promised) and promised != found:
                raise DigestMismatch(f"{ref}: the manifest is {found}, not {promised}; do not use this registry before you know why")
        return descriptor.manifest(answer.body, answer.header("content-type"), ref.name)

    async def blob(self, ref: ImageRef, blob: Blob, limit: int = 4 << 20) -> bytes:
        """A small blob, verified, in memory: a config, an SBOM."""
        if blob.data is not None:
            return blob.data
        return await small(self._transport, ref, blob, limit)

    async def download(self, ref: ImageRef, blob: Blob, path: Path) -> None:
        """A blob of any size into a file, which appears whole and verified or not at all."""
        async with self._limiter:
            await download(self._transport, ref, blob, path)

    async def has_blob(self, ref: ImageRef, digest: str) -> bool:
        """Whether the repository has it. An odd answer counts as no."""
        return await has(self._transport, ref, digest, (scope(ref.repository, "pull"),), PULLING)

    async def push_blob(self, ref: ImageRef, blob: Blob, *, again: bool = False) -> Moved:
        """Make the repository have this blob, with as few bytes as possible. `again`: the registry lacks it, whatever HEAD says."""
        upload = Upload(self._transport, ref.bare, blob)
        async with self._limiter:
            if not again and await upload.exists():
                return Moved.PRESENT
            session = None
            origin = parse_repository(blob.origin) if blob.origin else None
            if origin and origin.registry == ref.registry and origin.repository != ref.repository:
                mounted, session = await upload.mount()
                if mounted:
                    return Moved.MOUNTED
            if origin == ref.bare and blob.data is None and blob.path is None:
                raise ImageMissing(f"{ref.name} has no longer {blob.digest}; the registry may have collected it: push that image again")
            await upload.send(session)
            return Moved.UPLOADED

    async def has_manifest(self, ref: ImageRef) -> bool:
        """Whether a manifest is there, for one who wants to push it. An odd answer counts as no."""
        headers = {"Accept": ACCEPT}
        return (await self._ask("HEAD", ref, f"manifests/{ref.reference}", "pull,push", PUSHING, headers)).status == 200

    async def is_tagged(self, ref: ImageRef, digest: str) -> bool:
        """Whether the tag names this manifest now, for one who wants to push it there. An odd answer counts as no."""
        answer = await self._ask("HEAD", ref, f"manifests/{ref.tag}", "pull,push", PUSHING, {"Accept": ACCEPT})
        return answer.status == 200 and answer.header("docker-content-digest") == digest

    async def put_manifest(self, ref: ImageRef, content: Content) -> Put:
        """Put a manifest under `ref`'s tag or digest. All it refers to must be there: BlobsMissing says what is not."""
        where = ref.digest or ref.tag or content.digest
        headers, body = {"Content-Type": content.media_type}, Memory(content.data, 0, len(content.data))
        answer = await self._ask("PUT", ref, f"manifests/{where}", "pull,push", PUSHING, headers, body)
        if answer.blobs or "MANIFEST_BLOB_UNKNOWN" in answer.codes:
            raise BlobsMissing(f"{ref.registry} lacks what {ref.repository} needs ({answer.words})", answer.blobs)
        if answer.status not in (200, 201, 202):
            raise answers.unexpected(ref, PUSHING, answer)
        told = answer.header("docker-content-digest")
        if told and told != content.digest:
            raise DigestMismatch(f"{ref} was put as {content.digest}, the registry calls it {told[:80]}")
        return Put(content.digest, bool(answer.header("oci-subject")))

    async def check_push(self, ref: ImageRef) -> None:
        """Raise now what a push would raise in the end: begins an upload and gives it up."""
        upload = Upload(self._transport, ref.bare, EMPTY)
        await upload.abandon(await upload.begin())

    async def tags(self, ref: ImageRef, limit: int = 10_000) -> tuple[str, ...]:
        """The tags of a repository, at most `limit`; none if it does not exist."""
        found: list[str] = []
        async for page in self._pages(ref, f"tags/list?n={min(limit, 1000)}"):
            if page is None:
                break
            tags = page.get("tags")
            found += [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
            if len(found) >= limit:
                break
        return tuple(found[:limit])

    async def referrers(self, ref: ImageRef, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """What was attached to the manifest `digest`, of one artifactType or all."""
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        found: list[Descriptor] = []
        async for page in self._pages(ref, f"referrers/{digest}{query}"):
            if page is None:
                index = await self.fallback(ref, digest)
                found += descriptor.entries(index, ref.name) if index else ()
                break
            found += descriptor.listed(page, ref.name)
            if len(found) >= MOST_ENTRIES:
                break
        return tuple(one for one in found if artifact_type in ("", one.artifact_type))

    async def fallback(self, ref: ImageRef, digest: str) -> Content | None:
        """The index that lists the referrers where the registry does not: under the tag `sha256-<hex>`."""
        try:
            found = await self.manifest(ref.tagged(digest.replace(":", "-")))
        except ImageMissing:
            return None
        return found if found.media_type in INDEXES else None

    async def delete(self, ref: ImageRef) -> None:
        """Delete a manifest by digest, or a tag. One that is not there is fine."""
        answer = await self._ask("DELETE", ref, f"manifests/{ref.reference}", "pull,push,delete", DELETING)
        if answer.status == 405 or "UNSUPPORTED" in answer.codes:
            raise RegistryError(f"{ref.registry} does not delete (docker-registry: storage.delete.enabled)")
        if answer.status not in (200, 202, 204, 404):
            raise answers.unexpected(ref, DELETING, answer)

    async def _pages(self, ref: ImageRef, path: str) -> AsyncIterator[dict[str, Any] | None]:
        """A list with its further pages; None if there is no such thing."""
        for _ in range(MOST_PAGES):
            answer = await self._ask("GET", ref, path, "pull", PULLING, {"Accept": INDEX}, limit=self.settings.max_manifest)
            if answer.status != 200:
                if answer.status not in (400, 404, 405, 406, 501) and not path.startswith("referrers/"):
                    raise answers.unexpected(ref, PULLING, answer)
                yield None
                return
            try:
                page = json.loads(answer.body)
            except (ValueError, RecursionError):
                page = None
            yield page if isinstance(page, dict) else None
            following = _next(answer.header("link"), self._transport.url(ref, path), self._transport.url(ref, ""))
            if not following:
                return
            path = following

    async def _get(self, ref: ImageRef, path: str, headers: Mapping[str, str]) -> Answer:
        answer = await self._ask("GET", ref, path, "pull", PULLING, headers, limit=self.settings.max_manifest)
        if answer.status != 200:
            raise answers.unexpected(ref, PULLING, answer)
        return answer

    async def _ask(
        self,
        method: str,
        ref: ImageRef,
        path: str,
        actions: str,
        doing: str,
        headers: Mapping[str, str] | None = None,
        body: Memory | None = None,
        limit: int = SMALL,
    ) -> Answer:
        scopes = (scope(ref.repository, actions),)
        return await self._transport.send(
            Call(method, ref, self._transport.url(ref, path), scopes, doing, headers or {}, body, limit=limit)
        )


def _next(link: str, at: str, under: str) -> str:
    """The path of the next page below the repository's address; empty at the last, or if it leads elsewhere."""
    found = re.match(r'\s*<([^>]*)>\s*;\s*rel="?next"?', link)
    url = urljoin(at, found[1]) if found else ""
    return url.removeprefix(under) if url.startswith(under) else ""
