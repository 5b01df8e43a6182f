"""Source folder to image in the local store: the whole path, top to bottom. Read this first.

project -> source -> handler and bytecode -> dependencies -> runtime -> image. What is wrong with the source is said before any network
is used. Nothing becomes visible before the last step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from builder import files, image, interpreter
from builder.cache import Cache
from builder.deps import dependencies
from builder.errors import StoreError, TransientError, UsageError
from builder.imports import preload
from builder.options import BuildOptions, BuildResult, BuiltLayer, Step
from builder.project import NAME_RULE, Project, load_project, name_from, valid_name
from builder.reference import image_name
from builder.runtime import runtime_layer
from builder.source import read_source
from builder.source_layer import source_layer
from builder.store import Image, ImageStore

Progress = Callable[[Step], None]
DEFAULT_NAMESPACE = "default"
HEAVY = 500_000_000  # bytes of layers from which the build warns


class _CacheCorrupt(TransientError):
    """A cached layer was damaged."""


@dataclass(slots=True)
class _Clock:
    """Seconds since the last phase."""

    progress: Progress
    since: float

    def done(self, name: str, detail: str, cached: bool = False) -> None:
        now = anyio.current_time()
        self.progress(Step(name, detail, cached, now - self.since))
        self.since = now


async def build(source: Path, options: BuildOptions, progress: Progress) -> BuildResult:
    """Build the function in `source`. Raises a `builder.errors.BuildError`, whose `exit_code` says what kind it is."""
    try:
        return await _build(source, options, progress, ())
    except _CacheCorrupt as error:
        # The damaged entry is gone; what depends on it is made anew.
        return await _build(source, options, progress, (str(error),))
    except OSError as error:
        raise files.disk_full(error, options.cache) or StoreError(
            f"{error.filename or options.cache}: {error.strerror or error}"
        ) from error


async def _build(source: Path, options: BuildOptions, progress: Progress, warnings: tuple[str, ...]) -> BuildResult:
    start = anyio.current_time()
    clock = _Clock(progress, start)
    project = await anyio.to_thread.run_sync(load_project, source)
    name, namespace = _names(project, options)
    python = await interpreter.find(options.python)
    cache = Cache(options.cache, read=not options.no_cache)
    clock.done("project", f"{name}, Python {python.version}")

    read = partial(read_source, project.path, options.max_source_bytes, options.max_source_files, options.warn_source_bytes)
    tree = await anyio.to_thread.run_sync(read)
    code = await source_layer(cache, python, tree, project.handler, options.check_timeout)
    clock.done("source", f"{_count(len(tree.files), 'file')}, {size(tree.size)}, handler {code.handler}", code.cached)

    deps = await dependencies(cache, python, project, options)
    told = f"{_count(deps.packages, 'package')}, {_count(len(deps.layers), 'layer')}" if deps.layers else "none"
    clock.done("deps", told, all(b.cached for b in deps.layers))
    base, base_cached = await runtime_layer(cache, python, options.check_timeout)
    clock.done("runtime", f"kfn's function server, {size(base.layer.size)}", base_cached)

    chosen = project.preload if project.preload is not None else preload(code.handler, code.imports, deps.modules)
    facts = image.Facts(python.version, python.machine, code.handler, project.invoke, chosen)
    layers = (
        BuiltLayer(base.layer, "kfn runtime", base_cached),
        *deps.layers,
        BuiltLayer(code.made.layer, _count(len(tree.files), "file"), code.cached),
    )
    made = await anyio.to_thread.run_sync(_assemble, ImageStore(options.store), cache, image_name(namespace, name), facts, layers)
    clock.done("image", made.reference, all(b.cached for b in layers))
    return BuildResult(
        reference=made.reference,
        digest=made.digest,
        handler=code.handler,
        layers=layers,
        seconds=anyio.current_time() - start,
        warnings=(*warnings, *tree.warnings, *deps.warnings, *_heavy(layers)),
        project=project,
        name=name,
        namespace=namespace,
    )


def _names(project: Project, options: BuildOptions) -> tuple[str, str]:
    name, namespace = options.name or project.name, options.namespace or project.namespace or DEFAULT_NAMESPACE
    for what, text in (("name", name), ("namespace", namespace)):
        if not valid_name(text):
            raise UsageError(f"{what} {text!r} ({len(text)} characters) {NAME_RULE}; {name_from(text)} would do")
    return name, namespace


def _assemble(store: ImageStore, cache: Cache, name: str, facts: image.Facts, layers: tuple[BuiltLayer, ...]) -> Image:
    """Everything into the store, the name last."""
    with store.writing():
        damaged = [f"{built.title} ({built.layer.digest[:19]})" for built in layers if not cache.give(built.layer, store)]
        if damaged:
            raise _CacheCorrupt(f"{', '.join(damaged)} had changed on disk and was made again")
        bare = tuple(built.layer for built in layers)
        config = image.config(facts, bare)
        return store.add(name, image.manifest(facts, store.put(config), len(config), bare))


def _heavy(layers: tuple[BuiltLayer, ...]) -> tuple[str, ...]:
    """A warning for an image that will take its time to reach a node."""
    total = sum(built.layer.size for built in layers)
    if total < HEAVY:
        return ()
    top = sorted(layers, key=lambda built: -built.layer.size)[:5]
    return (f"the image has {size(total)}; the largest: {', '.join(f'{built.title} {size(built.layer.size)}' for built in top)}",)


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


__all__ = ["BuildOptions", "BuildResult", "BuiltLayer", "Step", "build", "size"]
