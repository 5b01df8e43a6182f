"""Where a finished image goes: this machine's image store, registries, archives. The name is the last thing that appears anywhere."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from builder import layout
from builder.cache import Cache
from builder.errors import BlobCorrupt, ImageMissing, UsageError
from builder.language import Job
from builder.layout import Output
from builder.oci import Content
from builder.options import BuildOptions, BuiltLayer, Step, count, size
from builder.platform import host
from builder.profile.app import ARTIFACT as PROFILE
from builder.project import Project
from builder.reference import image_name
from builder.registry.client import Registries
from builder.registry.descriptor import subject
from builder.registry.reference import ImageRef, parse_ref
from builder.store import ImageStore
from builder.supply.attach import new
from builder.supply.model import BUNDLE
from builder.supply.sign import Tagged, joined
from builder.together import each, single


@dataclass(slots=True)
class Delivery:
    """Where one build's image goes. `name` is its name in this machine's store, and in archives if no tag says otherwise."""

    options: BuildOptions
    name: str
    outputs: tuple[Output, ...]
    refs: tuple[ImageRef, ...]
    registries: Registries
    _allowed: anyio.Event = field(default_factory=anyio.Event)  # every registry would take a push

    @asynccontextmanager
    async def checking(self) -> AsyncIterator[None]:
        """Say what would fail at the end while the build goes on in the block, and end it then.

        Raises UsageError, or what the registry refuses the push with.
        """
        for output in self.outputs:
            await anyio.to_thread.run_sync(layout.check, output, len(self.options.platforms))
        if not self.options.push or self.options.dry_run:
            yield
            return
        with single():
            async with self.registries, anyio.create_task_group() as tasks:
                tasks.start_soon(self._check_push)
                yield

    async def _check_push(self) -> None:
        for ref in {ref.bare for ref in self.refs}:
            await self.registries.check_push(ref)
        self._allowed.set()

    @property
    def repository(self) -> str:
        """The first that it is pushed to; empty: none."""
        return self.refs[0].name if self.refs else ""

    async def deliver(
        self, job: Job, content: Content, attached: tuple[Content, ...], layers: tuple[BuiltLayer, ...], tagged: tuple[Tagged, ...]
    ) -> str:
        """Put the image there, with what is attached to it; returns its reference, which ends in its digest."""
        reference = f"{self.repository or self.name}@{content.digest}"
        total = size(sum(built.layer.size for built in layers))
        if self.options.dry_run:
            job.tell(Step("image", f"{reference}, {total}; a dry run: written to the cache only"))
            return reference
        if self.outputs or self.options.store:
            content = await self._local(job.cache, content)
        # Not the profile, which nobody asked for: with a second entry in its index a layout has to be read by name.
        asked = tuple(one for one in attached if one.artifact_type != PROFILE and (self.options.attest or self.options.sign))
        named = str(self.refs[0]) if self.refs else self.name
        for output in self.outputs:
            await anyio.to_thread.run_sync(layout.write, output, content, asked, named)
            job.tell(Step("output", f"{output}, {total}"))
        if self.options.store:
            own = tuple(one for one in attached if one.artifact_type != BUNDLE)  # signatures are for whom it leaves this machine to
            await anyio.to_thread.run_sync(_store, self.options.store, job.cache, self.name, content, own, layers)
            job.tell(Step("image", f"{reference}, {total}", all(built.cached for built in layers)))
        if self.options.push:
            await self._push(job, content, attached, tagged)
        return reference

    async def _push(self, job: Job, content: Content, attached: tuple[Content, ...], tagged: tuple[Tagged, ...]) -> None:
        from builder.registry.push import attach, push

        await self._allowed.wait()
        await push(self.registries, content, self.refs, job.tell)
        for ref in {ref.bare for ref in self.refs}:
            await attach(self.registries, new(attached, await self._attached(ref, {subject(one) for one in attached})), ref)
            for old in tagged:
                joint = joined(await self._there(ref.tagged(old.tag)), old.content)
                await push(self.registries, joint, (ref.tagged(old.tag),), lambda step: None)
        if supply := [one for one in attached if one.artifact_type != PROFILE]:
            how = "signed" if self.options.sign else "not signed"
            job.tell(Step("attest", f"{count(len(supply) + len(tagged), 'artifact')} beside the image, {how}"))

    async def _attached(self, ref: ImageRef, subjects: set[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        async def one(about: str) -> None:
            found.extend(there.oci for there in await self.registries.referrers(ref, about))

        await each(one, subjects)
        return found

    async def _there(self, ref: ImageRef) -> Content | None:
        try:
            return await self.registries.manifest(ref)
        except ImageMissing:
            return None

    async def _local(self, cache: Cache, content: Content) -> Content:
        """With the bytes of every blob on this machine."""
        if not any(blob.origin for image in content.images() for blob in image.blobs):
            return content
        from builder.registry.pull import local

        async with Registries(self.registries.settings) as registries:
            return await local(registries, content, cache.path / "blobs")


def delivery(options: BuildOptions, project: Project, namespace: str, name: str) -> Delivery:
    """What the options ask for. Raises UsageError for what cannot be together."""
    outputs = tuple(layout.parse(text) for text in options.outputs)
    tags = options.tags or (_own_tags(project, name) if options.push else ())
    if options.push and not tags:
        raise UsageError("--push: where to? Give -t REGISTRY/NAME, or write `image:` or `registry:` in func.yaml, or set KFN_REGISTRY")
    if options.store and set(options.platforms) - {host()}:
        wanted = ", ".join(map(str, options.platforms))
        raise UsageError(
            f"--platform {wanted}: this machine's image store is for {host()}; add --push or --output, or leave --platform out"
        )
    refs = tuple(parse_ref(tag) for tag in tags)
    if digested := next((ref for ref in refs if ref.digest), None):
        raise UsageError(f"-t {digested}: an image cannot be pushed under a digest of your choice; leave it out")
    return Delivery(options, image_name(namespace, name), outputs, refs, Registries(options.registry_settings()))


def _own_tags(project: Project, name: str) -> tuple[str, ...]:
    """As Knative's func names images: func.yaml's `image`, else the registry's path and the function's name."""
    if project.image:
        return (project.image,)
    registry = project.registry or os.environ.get("KFN_REGISTRY", "")
    return (f"{registry.rstrip('/')}/{name}:latest",) if registry else ()


def _store(path: Path, cache: Cache, name: str, content: Content, attached: tuple[Content, ...], layers: tuple[BuiltLayer, ...]) -> None:
    """Everything into the store, the name last."""
    store = ImageStore(path)
    with store.writing():
        damaged = [f"{built.title} ({built.layer.digest[:19]})" for built in layers if not cache.give(built.layer, store)]
        if damaged:
            raise BlobCorrupt(f"{', '.join(damaged)} had changed on disk and was made again")
        for blob in content.blobs:
            if blob.data is not None:
                store.put(blob.data)
        store.add(name, content.data)
        for one in attached:
            store.attach(one, content.digest)
