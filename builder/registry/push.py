"""A whole image or artifact into repositories: the bytes first, the tag last, and nothing sent that is there already."""

from collections.abc import Sequence
from dataclasses import dataclass

from builder.oci import Content
from builder.options import Progress
from builder.registry.client import Registries
from builder.registry.reference import ImageRef


@dataclass(frozen=True, slots=True)
class Pushed:
    """Bytes that were sent, that the registry linked from another of its repositories, and that were there."""

    digest: str
    uploaded: int = 0
    mounted: int = 0
    present: int = 0


async def push(registries: Registries, content: Content, refs: Sequence[ImageRef], tell: Progress) -> Pushed:
    """Put `content` under each of `refs` (a tag, or only a repository). `tell` gets one step for each repository."""
    raise NotImplementedError


async def attach(registries: Registries, artifact: Content, repository: ImageRef) -> Pushed:
    """Put an artifact with a `subject` (`oci.artifact`) beside it, so that `Registries.referrers` finds it."""
    raise NotImplementedError
