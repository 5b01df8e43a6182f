"""A whole image or artifact into repositories: the bytes first, the tag last, and nothing sent that is there already.

A push that is cut anywhere leaves no tag on something incomplete, and the next one goes on where it was: what arrived is found by HEAD.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from builder.errors import RegistryError
from builder.oci import INDEX, Blob, Content, canonical
from builder.options import Progress, Step, size
from builder.registry.client import BlobsMissing, Moved, Registries
from builder.registry.descriptor import Descriptor, entries, subject
from builder.registry.reference import ImageRef
from builder.together import each

TURNS = 5  # to win a race for the fallback tag
LOOK_AGAIN = 1.0  # seconds at most until what was written is looked at


@dataclass(frozen=True, slots=True)
class Pushed:
    """Bytes that were sent, that the registry linked from another of its repositories, and that were there."""

    digest: str
    uploaded: int = 0
    mounted: int = 0
    present: int = 0

    def __add__(self, other: "Pushed") -> "Pushed":
        return Pushed(self.digest, self.uploaded + other.uploaded, self.mounted + other.mounted, self.present + other.present)

    def __str__(self) -> str:
        total = self.uploaded + self.mounted + self.present
        rest = ", ".join(f"{size(number)} {word}" for number, word in ((self.mounted, "mounted"), (self.present, "present")) if number)
        return f"{size(self.uploaded)} of {size(total)}{f' ({rest})' if rest else ''}"


async def push(registries: Registries, content: Content, refs: Sequence[ImageRef], tell: Progress) -> Pushed:
    """Put `content` under each of `refs` (a tag, or only a repository). `tell` gets one step for each repository."""
    done = Pushed(content.digest)
    for repository in dict.fromkeys(ref.bare for ref in refs):
        tags = dict.fromkeys(ref.tag for ref in refs if ref.bare == repository and ref.tag)
        missing = [tag for tag in tags if not await registries.is_tagged(repository.tagged(tag), content.digest)]
        one = await _one(registries, content, repository) if missing or not tags else Pushed(content.digest, present=_total(content))
        for tag in missing:
            try:
                await registries.put_manifest(repository.tagged(tag), content)
            except BlobsMissing:  # the manifest was there, but the registry has collected something that it needs
                one = await _one(registries, content, repository, look=False)
                await registries.put_manifest(repository.tagged(tag), content)
        name, names = repository.name, ", ".join(tags)
        tell(Step("push", f"{name}{f':{names}' if names else ''} {one}", cached=not one.uploaded))
        done += one
    return done


async def _one(registries: Registries, content: Content, repository: ImageRef, *, look: bool = True) -> Pushed:
    """All but the tags into one repository. Two requests less if the whole is there: it is not looked into, unless `look` is False."""
    there = _total(content)
    if look and await registries.has_manifest(repository.at(content.digest)):
        return Pushed(content.digest, present=there)
    done = Pushed(content.digest)
    for child in content.children:
        done += await _one(registries, child, repository, look=look)
    blobs = tuple({blob.digest: blob for blob in content.blobs}.values())
    done += await _blobs(registries, blobs, repository, content.digest)
    await _put(registries, content, repository)
    return done


async def _blobs(registries: Registries, blobs: tuple[Blob, ...], repository: ImageRef, digest: str) -> Pushed:
    """At most `parallel` at once, which `Registries` sees to. The first error ends the others."""
    sums = dict.fromkeys(Moved, 0)

    async def one(blob: Blob) -> None:
        sums[await registries.push_blob(repository, blob)] += blob.size

    await each(one, blobs)
    return Pushed(digest, sums[Moved.UPLOADED], sums[Moved.MOUNTED], sums[Moved.PRESENT])


async def _put(registries: Registries, content: Content, repository: ImageRef) -> bool:
    """The manifest by its digest. A blob that the registry has lost since HEAD saw it is sent again, once."""
    ref = repository.at(content.digest)
    try:
        return (await registries.put_manifest(ref, content)).subject
    except BlobsMissing as error:
        lost = [blob for blob in content.blobs if blob.digest in error.digests or not error.digests]
        for blob in lost:
            await registries.push_blob(repository, blob, again=True)
        return (await registries.put_manifest(ref, content)).subject


async def attach(registries: Registries, artifacts: Sequence[Content], repository: ImageRef) -> Pushed:
    """Put artifacts with a `subject` (`oci.artifact`) beside it, so that `Registries.referrers` finds them."""
    repository, done = repository.bare, Pushed("")
    unlisted: dict[str, list[Content]] = {}

    async def one(artifact: Content) -> None:
        nonlocal done
        about = subject(artifact)
        if not about:
            raise RegistryError(f"{artifact.digest[:19]} has no subject, so there is nothing to attach it to")
        moved = await _blobs(registries, artifact.blobs, repository, artifact.digest)
        done += moved
        if not await _put(registries, artifact, repository):
            unlisted.setdefault(about, []).append(artifact)

    async def listed(about: str) -> None:
        async with registries.lock(f"{repository.name} {about}"):
            await _list(registries, unlisted[about], about, repository)

    await each(one, artifacts)
    await each(listed, tuple(unlisted))
    return done


async def _list(registries: Registries, artifacts: Sequence[Content], about: str, repository: ImageRef) -> None:
    """Keep the index of referrers ourselves, under the tag `sha256-<hex>`. Another may write it meanwhile, and nothing
    in the protocol prevents that: look afterwards, when one who read before our PUT will have written."""
    tag = repository.tagged(about.replace(":", "-"))
    ordered = sorted(artifacts, key=lambda one: one.digest)
    own = [Descriptor(one.digest, len(one.data), one.media_type, one.artifact_type, "", one.annotations) for one in ordered]
    for turn in range(TURNS):
        began = anyio.current_time()
        found = await registries.fallback(repository, about)
        listed = entries(found, repository.name) if found else ()
        missing = [one for one in own if one.digest not in {there.digest for there in listed}]
        if not missing:
            return
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.oci for one in (*listed, *missing)]}
        await registries.put_manifest(tag, Content(canonical(body), INDEX))
        took = anyio.current_time() - began
        await anyio.sleep(min(LOOK_AGAIN, (2 + turn + random.random()) * took))  # noqa: S311
    there = {one.digest for one in await registries.referrers(repository, about)}
    if not there.issuperset(one.digest for one in own):
        raise RegistryError(f"{tag}: others changed the list of referrers {TURNS} times while this was added; try again")


def _total(content: Content) -> int:
    return sum(blob.size for blob in content.blobs) + sum(_total(child) for child in content.children)
