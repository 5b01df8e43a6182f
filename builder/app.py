"""Source folder to image: the whole path, top to bottom. Read this first.

project -> source -> base -> what the language makes -> image -> where it goes. What is wrong with the source is said before any
network is used. Nothing becomes visible before the last step.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from builder import files, image, oci
from builder.base import app as bases
from builder.base.model import NONE, Base
from builder.caching import app as caches
from builder.caching import bound
from builder.caching.explain import remembered
from builder.compress import compressed
from builder.deliver import delivery
from builder.errors import BlobCorrupt, StoreError, UsageError
from builder.language import Given, Job, Language, Parts
from builder.languages.choose import language
from builder.languages.programs import read_programs
from builder.oci import Content, Layer
from builder.options import BuildOptions, BuildResult, BuiltLayer, Progress, Step, size
from builder.platform import Platform, host
from builder.profile.app import Told, artifact, profiled
from builder.project import NAME_RULE, Project, load_project, name_from, valid_name
from builder.sources import app as sources
from builder.sources import rights
from builder.sources.git import Checkout
from builder.sources.giturl import GitUrl
from builder.sources.source import Source, read_source
from builder.supply import app as supply
from builder.supply.model import Described
from builder.supply.stamp import stamped
from builder.together import single
from kfn.clock import utcnow

DEFAULT_NAMESPACE = "default"
_REPAIRS = 4  # times that a build begins anew because something in the cache was damaged
HEAVY = 500_000_000  # bytes of layers from which the build warns


@dataclass(slots=True)
class _Clock:
    """Puts into each step the seconds since the one before."""

    progress: Progress
    since: float

    def __call__(self, step: Step) -> None:
        now = anyio.current_time()
        self.progress(replace(step, seconds=now - self.since))
        self.since = now


@dataclass(frozen=True, slots=True)
class Made:
    """The image for one platform. `layers` in the form in which it has them, the base's first."""

    content: Content
    base: Base
    parts: Parts
    layers: tuple[BuiltLayer, ...]
    profile: Told


async def build(source: Path | GitUrl | Given, options: BuildOptions, progress: Progress) -> BuildResult:
    """Build the function in `source`, or what is given. Raises a `builder.errors.BuildError`, whose `exit_code` says what kind it is."""
    try:
        with bound.using(options.cache):
            given = source if isinstance(source, Given) else None
            async with sources.opened(source.project.path if isinstance(source, Given) else source, options) as found:
                before = sources.locks(found.path) if isinstance(source, GitUrl) else {}
                result = await _repaired(found, given, options, progress)
                result = sources.told(result, source, before) if isinstance(source, GitUrl) else result
        await anyio.to_thread.run_sync(bound.keep, options.cache, options.cache_bytes)
        return result
    except OSError as error:
        raise files.disk_full(error, options.cache) or StoreError(
            f"{error.filename or options.cache}: {error.strerror or error}"
        ) from error


async def _repaired(found: Checkout, given: Given | None, options: BuildOptions, progress: Progress) -> BuildResult:
    warnings: list[str] = []
    while True:
        try:
            return await _build(found, given, options, progress, (*found.warnings, *warnings))
        except BlobCorrupt as error:
            # The damaged entry is gone; what depends on it is made anew. What that needs may be damaged too.
            warnings.append(str(error))
            if len(warnings) == _REPAIRS:
                raise


async def _build(found: Checkout, given: Given | None, options: BuildOptions, progress: Progress, warnings: tuple[str, ...]) -> BuildResult:
    start, began = anyio.current_time(), utcnow()
    tell = _Clock(progress, start)
    project = given.project if given else await anyio.to_thread.run_sync(_project, found, options)
    name, namespace = _names(project, options)
    platforms = options.platforms or (host(),)
    goes, asked = delivery(options, project, namespace, name), supply.wanted(options)
    tell(Step("project", f"{name}, {project.runtime}, {', '.join(map(str, platforms))}"))

    tree = await anyio.to_thread.run_sync(given.read if given else partial(_read, project, platforms, options))
    async with caches.opened(options) as cache, goes.checking():
        job = Job(project, tree, options, cache, tell, found.origin, found.fetched)
        cache.note("source", handler=project.handler, files={one.path: one.link or one.sha256 for one in tree.files})
        builds = given.language(job) if given else language(job)
        await builds.check()
        made = [await _make(job, builds, platform) for platform in platforms]
        first = made[0]
        content = first.content if len(made) == 1 else oci.index(tuple(one.content for one in made), {})
        attached = tuple(artifact(one.profile.profile, one.content, project.preload) for one in made if one.profile.profile)
        described = tuple(_described(f"{namespace}/{name}", one) for one in made)
        beside = supply.beside(job, described, content, asked, began, goes.repository, job.origin, handler=first.parts.handler)
        layers = tuple(layer for one in made for layer in one.layers)
        reference = await goes.deliver(job, content, (*attached, *beside.referrers), layers, beside.tagged)
        changes = await anyio.to_thread.run_sync(remembered, options.cache, found.name or str(project.path), cache.named)
        shared = await caches.share(cache, options, layers, goes.repository, tell)
    told = [text for one in made for text in (*one.base.warnings, *one.parts.warnings, *one.profile.warnings)]
    return BuildResult(
        reference=reference,
        digest=content.digest,
        handler=first.parts.handler,
        layers=first.layers,
        seconds=anyio.current_time() - start,
        warnings=tuple(dict.fromkeys((*warnings, *tree.warnings, *told, *shared, *_heavy(first.layers)))),
        project=project,
        name=name,
        namespace=namespace,
        content=content,
        described=described,
        origin=found.origin,
        changes=changes,
    )


def _project(found: Checkout, options: BuildOptions) -> Project:
    """Of somebody else's source without this machine's environment, and only if it asks for no more than `options` allow."""
    environ: dict[str, str] | None = {} if found.fetched else None
    project = load_project(found.path, environ, builder=options.builder, binary=options.binary)
    if found.fetched:
        rights.check(project, options)
    return project


def _read(project: Project, platforms: tuple[Platform, ...], options: BuildOptions) -> Source:
    if project.binary:
        return read_programs(project.binary, platforms, options.max_source_bytes)
    limits = options.max_source_bytes, options.max_source_files, options.warn_source_bytes
    stats = None if options.no_cache else options.cache / "stats"
    return read_source(project.path, *limits, allow=options.allow_secret_files, stats=stats)


def _described(name: str, made: Made) -> Described:
    return supply.describe(name, made.content, made.base, made.parts, made.layers)


async def _make(job: Job, builds: Language, platform: Platform) -> Made:
    """The image for one platform, with its layers in the cache."""
    options = job.options
    base = await bases.find(_base(job, builds), platform, job.project, options)
    if base.layers:
        job.tell(Step("base", f"{base.name} {base.digest[:19]} for {platform}", base.cached))
    python = base.python.version if base.python else ""
    job.cache.note(f"base for {platform}", name=base.name, digest=base.digest, python=python, compression=options.compression)
    parts = await builds.parts(base)
    built = (*(BuiltLayer(layer, base.name, base.cached) for layer in base.layers), *parts.layers)
    layers, told = await _finished(job, parts, [one.layer for one in built], base.platform)
    blobs = tuple(
        oci.Blob(one.digest, one.size, one.media_type, path=None if one.origin else job.cache.blob(one.digest), origin=one.origin)
        for one in layers
    )
    stamp = stamped(options, job.origin, utcnow())
    content = image.make(base, parts, layers, blobs, stamp.annotations, stamp.created)
    return Made(content, base, parts, tuple(replace(one, layer=layer) for one, layer in zip(built, layers, strict=True)), told)


async def _finished(job: Job, parts: Parts, layers: list[Layer], platform: Platform) -> tuple[tuple[Layer, ...], Told]:
    """The layers in the form in which they leave, and the profile of the start: side by side, for each waits for a processor."""
    options, project = job.options, job.project
    done: list[tuple[Layer, ...]] = []
    told = Told(None)

    async def compress() -> None:
        done.append(await compressed(job.cache, layers, options.compression if options.leaves else "none"))

    with single():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(compress)
            if _profiled(job, parts) and parts.start and platform == host():
                own = await job.cache.plain([one.layer for one in parts.layers])
                told = await profiled(job.cache, own, parts.start, project.cold_start, options.strict, job.tell)
    return done[0], told


def _profiled(job: Job, parts: Parts) -> bool:
    """Whether the handler is imported. Unless somebody says so, only that of a folder of the user's own, for it runs what it builds;
    and not if a layer is in a registry only and would have to come here, which only a budget is worth."""
    asked = job.options.profile if job.options.profile is not None else not job.fetched
    return asked and bool(job.project.cold_start or not any(one.layer.origin for one in parts.layers))


def _base(job: Job, builds: Language) -> str:
    """The embedded platform's node brings the interpreter; everywhere else the image does."""
    own = job.project.base or builds.base() if job.options.leaves else NONE
    return job.options.base or own


def _names(project: Project, options: BuildOptions) -> tuple[str, str]:
    name, namespace = options.name or project.name, options.namespace or project.namespace or DEFAULT_NAMESPACE
    for what, text in (("name", name), ("namespace", namespace)):
        if not valid_name(text):
            raise UsageError(f"{what} {text!r} ({len(text)} characters) {NAME_RULE}; {name_from(text)} would do")
    return name, namespace


def _heavy(layers: tuple[BuiltLayer, ...]) -> tuple[str, ...]:
    """A warning for an image that will take its time to reach a node."""
    total = sum(built.layer.size for built in layers)
    if total < HEAVY:
        return ()
    top = sorted(layers, key=lambda built: -built.layer.size)[:5]
    return (f"the image has {size(total)}; the largest: {', '.join(f'{built.title} {size(built.layer.size)}' for built in top)}",)


__all__ = ["BuildOptions", "BuildResult", "BuiltLayer", "Step", "build", "size"]
