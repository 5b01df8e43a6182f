"""Where a finished image goes: this machine's image store, registries, archives. The name is the last thing that appears anywhere."""

import anyio.to_thread

from builder.cache import Cache
from builder.errors import BlobCorrupt, UsageError
from builder.language import Job
from builder.oci import Content
from builder.options import BuiltLayer, Step
from builder.reference import image_name
from builder.store import ImageStore


async def deliver(job: Job, content: Content, layers: tuple[BuiltLayer, ...], namespace: str, name: str) -> str:
    """Put the image where the options say; returns its reference, which ends in its digest."""
    reference = f"{image_name(namespace, name)}@{content.digest}"
    if job.options.dry_run:
        job.tell(Step("image", f"{reference} would be made"))
        return reference
    if job.options.store:
        await anyio.to_thread.run_sync(_store, ImageStore(job.options.store), job.cache, image_name(namespace, name), content, layers)
        job.tell(Step("image", reference, all(built.cached for built in layers)))
    if job.options.leaves:
        raise UsageError("--push and --output are not there yet")
    return reference


def _store(store: ImageStore, cache: Cache, name: str, content: Content, layers: tuple[BuiltLayer, ...]) -> None:
    """Everything into the store, the name last."""
    with store.writing():
        damaged = [f"{built.title} ({built.layer.digest[:19]})" for built in layers if not cache.give(built.layer, store)]
        if damaged:
            raise BlobCorrupt(f"{', '.join(damaged)} had changed on disk and was made again")
        for blob in content.blobs:
            if blob.data is not None:
                store.put(blob.data)
        store.add(name, content.data)
