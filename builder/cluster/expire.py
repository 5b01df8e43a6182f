"""Which finished Builds go, and which source artifacts nothing needs any more. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from builder.cluster.plan import parse_time
from builder.cluster.queue import over
from builder.cluster.settings import Settings
from kfn.api.build import Build


@dataclass(frozen=True, slots=True)
class Expiry:
    """`gone` is true for a Build that is to go; `sweep` says that its source artifact is to go first. `again_after` in seconds."""

    gone: bool = False
    sweep: bool = False
    again_after: float | None = None


def expiry(build: Build, builds: Sequence[Build], settings: Settings, now: datetime) -> Expiry:
    """`keep` finished Builds of each image stay, and of those only the newest beyond `keep_seconds`."""
    if not over(build) or build.metadata.deletion_timestamp:
        return Expiry()
    image = (build.metadata.namespace, build.spec.image.repository)
    finished = sorted((b for b in builds if over(b) and (b.metadata.namespace, b.spec.image.repository) == image), key=_age, reverse=True)
    rank = next((i for i, b in enumerate(finished) if b.metadata.uid == build.metadata.uid), 0)
    if rank < settings.keep:
        if rank == 0:
            return Expiry()
        ended = parse_time(build.status.completion_time) or now
        left = settings.keep_seconds - (now - ended).total_seconds()
        if left > 0:
            return Expiry(again_after=left)
    return Expiry(gone=True, sweep=bool(build.spec.source.artifact) and not _used(build, builds))


def _used(build: Build, builds: Sequence[Build]) -> bool:
    """By any other Build, in whatever state: one that is kept can be read to see what was built."""
    return any(b.spec.source.artifact == build.spec.source.artifact for b in builds if b.metadata.uid != build.metadata.uid)


def _age(build: Build) -> tuple[str, str]:
    return build.metadata.creation_timestamp, build.metadata.name
