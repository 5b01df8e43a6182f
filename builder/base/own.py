"""One of kfn's own bases for a build: the lock that holds, its composing, and what happens when the mirror has moved on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder.base import locks
from builder.base.composed import Composer
from builder.base.locks import Chosen
from builder.base.model import Base
from builder.base.recipes import Recipe
from builder.cache import Cache
from builder.debian.app import Debian
from builder.errors import LockStale, PackageGone
from builder.options import BuildOptions
from builder.platform import Platform, host


async def own(recipe: Recipe, platform: Platform, extra: Sequence[str], project: Path | None, options: BuildOptions) -> Base:
    """The base, with the packages `extra` in a layer above it."""
    architectures = {platform.architecture} | ({host().architecture} if recipe.python else set())
    cache = Cache(options.cache, read=not options.no_cache)
    chosen = locks.choose(recipe, extra, architectures, project, options.cache)
    async with Debian(options.cache, offline=options.offline) as debian:
        told: tuple[str, ...] = ()
        if chosen is None:
            chosen = await _first(recipe, extra, project, options, debian)
        try:
            base = await _composer(cache, debian, recipe, chosen, extra).base(platform)
        except PackageGone as gone:
            if options.locked:
                raise PackageGone(f"{gone.detail}. {chosen.file} names it; without --locked the newest versions are taken") from None
            file = chosen.file if chosen.file.parent != locks.SHIPPED else locks.instead_file(recipe, options.cache)
            newer = Chosen(await locks.newest(debian, recipe, extra, locks.ARCHITECTURES), file)
            base = await _composer(cache, debian, recipe, newer, extra).base(platform)
            locks.write(file, newer.locks.values(), keep=file.name == locks.PROJECT)
            told = (
                f"base {recipe.name}: the mirror no longer has what {chosen.file.name} names ({gone.detail}); took the newest versions",
            )
    return replace(base, warnings=(*base.warnings, *told))


def _composer(cache: Cache, debian: Debian, recipe: Recipe, chosen: Chosen, extra: Sequence[str]) -> Composer:
    return Composer(cache, debian, recipe, chosen.locks, locks.own_packages(recipe, chosen.locks, extra))


async def _first(recipe: Recipe, extra: Sequence[str], project: Path | None, options: BuildOptions, debian: Debian) -> Chosen:
    """A lock for packages that no lock has yet."""
    file = project / locks.PROJECT if project and extra else locks.instead_file(recipe, options.cache)
    if options.locked:
        names = ", ".join(extra) or recipe.name
        raise LockStale(f"{file.name} does not have {names} for {recipe.name}; build once without --locked and commit it")
    made = await locks.newest(debian, recipe, extra, locks.ARCHITECTURES)
    locks.write(file, made.values(), keep=True)
    return Chosen(made, file)
