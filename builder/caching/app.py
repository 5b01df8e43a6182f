"""The cache of one build, with its second level if one was named; and what is shared when the build is done."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from builder.cache import Cache
from builder.options import BuildOptions, BuiltLayer, Progress, Step, count


@asynccontextmanager
async def opened(options: BuildOptions) -> AsyncIterator[Cache]:
    """Raises UsageError for a repository that is none."""
    if not options.registry_cache:
        yield Cache(options.cache, read=not options.no_cache)
        return
    # Imported where they are used: without a registry they would take a third of a build of nothing.
    from builder.caching.forms import Form
    from builder.caching.shared import Shared
    from builder.registry.client import Registries
    from builder.registry.reference import parse_repository

    form = Form(options.compression if options.leaves else "gzip")
    registries = Registries(options.registry_settings())
    async with Shared(parse_repository(options.registry_cache), form, registries, plain=not options.leaves) as second:
        yield Cache(options.cache, read=not options.no_cache, second=second)


async def share(cache: Cache, options: BuildOptions, layers: Sequence[BuiltLayer], repository: str, tell: Progress) -> tuple[str, ...]:
    """Write what others may use, if that was asked for. `repository` has the `layers` by now. Returns warnings."""
    second = cache.second
    if second is None:
        return ()
    from builder.caching.shared import Shared

    if not isinstance(second, Shared):
        return ()
    if options.registry_cache_write and not options.dry_run:
        there = {one.layer.digest: repository for one in layers} if options.push else {}
        if added := await second.write(cache, there):
            tell(Step("share", f"{count(added, 'entry') if added == 1 else f'{added} entries'} into {second.repository.name}"))
    return tuple(second.warnings)
