"""Where a finished image goes: this machine's image store, registries, archives. The name is the last thing that appears anywhere."""

import os
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from builder import layout
from builder.cache import Cache
from builder.errors import BlobCorrupt, UsageError
from builder.language import Job
from builder.layout import Output
from builder.oci import Content
from builder.options import BuildOptions, BuiltLayer, Step, size
from builder.platform import host
from builder.profile.app import ARTIFACT as PROFILE
from builder.project import Project
from builder.reference import image_name
from builder.store import ImageStore


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where one build's image goes. `name` is its name in this machine's store, and in archives if no tag says otherwise."""

    options: BuildOptions
    name: str
    outputs: tuple[Output, ...]

    async def check(self) -> None:
        """Say now what would fail at the end: that a place cannot be written to. Raises UsageError or a registry's refusal."""
        for output in self.outputs:
            await anyio.to_thread.run_sync(layout.check, output, len(self.options.platforms))

    async def deliver(self, job: Job, content: Content, attached: tuple[Content, ...], layers: tuple[BuiltLayer, ...]) -> str:
        """Put the image there; with what is attached to it; returns its reference, which ends in its digest."""
        reference = f"{self.name}@{content.digest}"
        if self.options.dry_run:
            job.tell(Step("image", f"{reference} would be made; nothing was written but the cache"))
            return reference
        # Not the profile, which nobody asked for: with a second entry in its index a layout has to be read by name.
        asked = tuple(one for one in attached if one.artifact_type != PROFILE)
        for output in self.outputs:
            await anyio.to_thread.run_sync(layout.write, output, content, asked, self.name)
            job.tell(Step("output", str(output)))
        if self.options.store:
            await anyio.to_thread.run_sync(_store, self.options.store, job.cache, self.name, content, attached, layers)
            job.tell(Step("image", f"{reference}, {size(sum(built.layer.size for built in layers))}", all(b.cached for b in layers)))
        return reference


def delivery(options: BuildOptions, project: Project, namespace: str, name: str) -> Delivery:
    """What the options ask for. Raises UsageError for what cannot be together."""
    tags = options.tags or _own_tags(project, name)
    if options.push and not tags:
        raise UsageError(
            "--push: into which registry? Give -t REGISTRY/NAME, or write `image:` or `registry:` in func.yaml, or set KFN_REGISTRY"
        )
    outputs = tuple(layout.parse(text) for text in options.outputs)
    if options.store and set(options.platforms) - {host()}:
        wanted = ", ".join(map(str, options.platforms))
        raise UsageError(
            f"--platform {wanted}: this machine's image store is for {host()}; add --push or --output, or leave --platform out"
        )
    return Delivery(options, image_name(namespace, name), outputs)


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
