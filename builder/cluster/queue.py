"""Who may start, who waits and why: limits for each namespace and in all, first come first served. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from builder.cluster.settings import Settings
from kfn.api import conditions
from kfn.api.build import Build


@dataclass(frozen=True, slots=True)
class Place:
    """`position` is 0 for a build that may start now. `refused` says why it will never start."""

    position: int = 0
    why: str = ""
    refused: str = ""  # a reason: Superseded, QueueFull


def over(build: Build) -> bool:
    """Whether it has ended, well or not."""
    found = conditions.find(build.status.conditions, "Succeeded")
    return found is not None and found.status in (conditions.TRUE, conditions.FALSE)


def waits(build: Build, running: Collection[str]) -> bool:
    """Whether it is one of those that contend for a place."""
    return build.metadata.uid not in running and not over(build) and not build.spec.cancel and not build.metadata.deletion_timestamp


def target(build: Build) -> tuple[str, str, tuple[str, ...]]:
    """What two builds must not write at the same time: a repository's tags."""
    return build.metadata.namespace, build.spec.image.repository, tuple(sorted(build.spec.image.tags))


def place(build: Build, builds: Sequence[Build], running: Collection[str], settings: Settings) -> Place:
    """`builds` are all that are known, `running` the uids of those that have a Job under way."""
    namespace = build.metadata.namespace
    waiting = sorted((b for b in builds if waits(b, running)), key=_order)
    active = [b for b in builds if b.metadata.uid in running]
    same = [b for b in waiting if target(b) == target(build) and b.metadata.creation_timestamp > build.metadata.creation_timestamp]
    if same and build.status.attempts == 0:
        return Place(refused="Superseded", why=f"Build {same[-1].metadata.name} of the same image came after it")
    ahead = [b for b in waiting if _order(b) < _order(build)]
    here = [b for b in ahead if b.metadata.namespace == namespace]
    if len(here) >= settings.queue:
        return Place(refused="QueueFull", why=f"{len(here)} builds wait in namespace {namespace} already; try again when some have ended")
    if writer := next((b for b in (*active, *ahead) if target(b) == target(build)), None):
        return Place(len(here) + 1, f"Build {writer.metadata.name} writes the same image before it")
    soon = _startable(ahead, active, settings)
    mine = [b for b in active if b.metadata.namespace == namespace]
    if len(mine) + sum(b.metadata.namespace == namespace for b in soon) >= settings.per_namespace:
        return Place(len(here) + 1, f"{len(mine)} builds run in namespace {namespace}, {settings.per_namespace} may at once")
    if len(active) + len(soon) >= settings.in_all:
        return Place(len(ahead) + 1, f"{len(active)} builds run, {settings.in_all} may at once")
    return Place()


def _startable(ahead: Sequence[Build], active: Sequence[Build], settings: Settings) -> list[Build]:
    """Those ahead that will take a place as soon as they are looked at: not held back by their own namespace's limit or image."""
    taken: dict[str, int] = {}
    writing = {target(b) for b in active}
    for build in active:
        taken[build.metadata.namespace] = taken.get(build.metadata.namespace, 0) + 1
    found = []
    for build in ahead:
        namespace = build.metadata.namespace
        if taken.get(namespace, 0) < settings.per_namespace and target(build) not in writing:
            taken[namespace] = taken.get(namespace, 0) + 1
            writing.add(target(build))
            found.append(build)
    return found


def _order(build: Build) -> tuple[str, str, str]:
    meta = build.metadata
    return meta.creation_timestamp, meta.namespace, meta.name
