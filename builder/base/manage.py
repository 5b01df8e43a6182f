"""What `kfn base` does: list, make, show, renew and push kfn's own bases, each as an image of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread

from builder import image, oci
from builder.base import images, locks
from builder.base.model import Base
from builder.base.own import own
from builder.base.recipes import RECIPES, Recipe
from builder.cache import Cache
from builder.compress import compressed
from builder.debian.app import Debian
from builder.debian.lock import Lock
from builder.errors import UsageError
from builder.language import Parts
from builder.oci import Content
from builder.options import BuildOptions
from builder.platform import Platform, host
from builder.registry.client import Registries
from builder.registry.reference import parse_ref


@dataclass(frozen=True, slots=True)
class Known:
    """One of kfn's own bases, and the lock that holds now; `lock` is None if there is none yet."""

    recipe: Recipe
    lock: Lock | None
    file: Path | None
    architectures: tuple[str, ...]

    @property
    def date(self) -> str:
        return max((one.date for one in self.lock.snapshots), default="") if self.lock else ""


@dataclass(frozen=True, slots=True)
class Change:
    """A package whose version differs between two locks; empty: it is not in that one."""

    base: str
    package: str
    old: str
    new: str


def recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(f"{name!r} is not one of kfn's own bases: {', '.join(RECIPES)}")
    return RECIPES[name]


def known(options: BuildOptions, names: Sequence[str] = (), architecture: str = "") -> tuple[Known, ...]:
    """kfn's bases with their locks. Nothing is made and nothing asked for."""
    found = []
    for one in map(recipe, names or tuple(RECIPES)):
        wanted = architecture or host().architecture
        chosen = locks.choose(one, (), (wanted,), None, options.cache)
        everywhere = tuple(a for a in locks.ARCHITECTURES if locks.choose(one, (), (a,), None, options.cache))
        found.append(Known(one, chosen.locks[wanted] if chosen else None, chosen.file if chosen else None, everywhere))
    return tuple(found)


async def make(name: str, platforms: Sequence[Platform], options: BuildOptions) -> tuple[Content, tuple[Base, ...]]:
    """The base as an image, or an index of several, its layers compressed as the options say."""
    cache = Cache(options.cache)
    bases, contents = [], []
    for platform in platforms or (host(),):
        base = await own(recipe(name), platform, (), None, options)
        layers = await compressed(cache, base.layers, options.compression)
        blobs = tuple(oci.Blob(one.digest, one.size, one.media_type, path=cache.blob(one.digest)) for one in layers)
        start = ("python3",) if base.python else ("node",) if name == "node" else ()
        contents.append(image.make(base, Parts((), start, folder="/"), layers, blobs, {}))
        bases.append(replace(base, layers=layers))
    return (contents[0] if len(contents) == 1 else oci.index(tuple(contents), {})), tuple(bases)


async def push(name: str, repository: str, platforms: Sequence[Platform], options: BuildOptions) -> str:
    """Push the base; returns its reference by digest."""
    from builder.registry.push import push as work

    ref = parse_ref(repository)
    async with Registries() as registries:
        await registries.check_push(ref)
        content, _bases = await make(name, platforms, options)
        await work(registries, content, (ref,), lambda step: None)
    return str(ref.at(content.digest))


async def update(names: Sequence[str], project: Path | None, options: BuildOptions) -> tuple[tuple[Path, ...], tuple[Change, ...]]:
    """Newer locks: in the project (its packages with them), else in the user's folder. What they changed."""
    written: list[Path] = []
    changes: list[Change] = []
    extra = await anyio.to_thread.run_sync(_extra, project) if project else ()
    async with Debian(options.cache, offline=options.offline) as debian:
        for one in map(recipe, names):
            old = locks.choose(one, extra, (host().architecture,), project, options.cache)
            fresh = await locks.newest(debian, one, extra, locks.ARCHITECTURES)
            file = project / locks.PROJECT if project else locks.user_file(one)
            locks.write(file, fresh.values(), keep=project is not None)
            written.append(file)
            changes += _changes(one.name, old.locks[host().architecture] if old else None, fresh[host().architecture])
    return tuple(dict.fromkeys(written)), tuple(changes)


async def renew_images(project: Path) -> tuple[Change, ...]:
    """Ask anew what the names in the project's kfn-images.lock mean."""
    file = project / images.FILE
    old = images.read(file)
    if not old:
        return ()
    async with Registries() as registries:
        new = {name: (await registries.resolve(parse_ref(name))).digest for name in old}
    images.write(file, new)
    return tuple(Change(name, "", old[name], new[name]) for name in sorted(old) if old[name] != new[name])


def _extra(project: Path) -> tuple[str, ...]:
    from builder.project import load_project

    return load_project(project).packages


def _changes(base: str, old: Lock | None, new: Lock) -> list[Change]:
    before = {package.name: package.version for package in old.packages} if old else {}
    after = {package.name: package.version for package in new.packages}
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [Change(base, name, before.get(name, ""), after.get(name, "")) for name in names]
