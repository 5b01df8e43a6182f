"""A base out of a registry: what a name means now, the image's config, and its Python and libc, looked at once.

Its layers are named by where they are, so that a push mounts them. They are downloaded only if a Python function stands on the image,
whose interpreter then compiles it. What was found is kept by digest, so that an image that was seen before is not asked for again.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from builder import oci
from builder.base import images, looking
from builder.base.looking import Fetch, Found
from builder.base.model import Base
from builder.cache import Cache, key
from builder.errors import RegistryError, UsageError
from builder.oci import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Content, Layer
from builder.options import FORMAT, BuildOptions
from builder.platform import Platform, host
from builder.project import Project
from builder.python import interpreter
from builder.python.interpreter import Interpreter
from builder.reference import is_digest
from builder.registry import pull
from builder.registry.client import Registries
from builder.registry.reference import ImageRef, parse_ref

_DOCKER = "application/vnd.docker.image.rootfs"
TYPES = {
    f"{_DOCKER}.diff.tar": LAYER_TAR,
    f"{_DOCKER}.diff.tar.gzip": LAYER_GZIP,
    f"{_DOCKER}.diff.tar.zstd": LAYER_ZSTD,
    **{kind: kind for kind in (LAYER_TAR, LAYER_GZIP, LAYER_ZSTD)},
}
CONFIG_BYTES = 4 << 20


async def foreign(name: str, platform: Platform, project: Project, options: BuildOptions) -> Base:
    """The image `name` as a base. Raises UsageError for one that nothing can stand on, and what a registry's client raises."""
    cache = Cache(options.cache, read=not options.no_cache)
    async with AsyncExitStack() as stack:
        registries = _Later(stack)
        ref = await _pinned(registries, name, project, options)
        base = await _image(registries, cache, ref, platform, name, options)
        if project.runtime != "python":
            return base

        async def fetch(layer: Layer, path: Path) -> None:
            if options.offline:
                raise UsageError(f"--offline: base {name} was never looked at; build once without --offline")
            await (await registries()).download(ref, oci.Blob(layer.digest, layer.size, layer.media_type, origin=layer.origin), path)

        return await with_python(cache, base, partial(_twin, registries, cache, ref, base, options), fetch, options)


@dataclass(slots=True)
class _Later:
    """A registry client that is made when it is first needed, for it costs 0.1 s and a base that is known needs none."""

    stack: AsyncExitStack
    client: Registries | None = None

    async def __call__(self) -> Registries:
        if self.client is None:
            self.client = await self.stack.enter_async_context(Registries())
        return self.client


async def _pinned(registries: _Later, name: str, project: Project, options: BuildOptions) -> ImageRef:
    """By digest: the name's own, the one that was written down, or what the tag means now, which is written down."""
    ref = parse_ref(name)
    if ref.digest:
        return ref
    file = project.path / images.FILE
    if digest := images.read(file).get(str(ref)):
        return ref.at(digest)
    if options.offline:
        raise UsageError(f"--offline: base {name} has no digest in {images.FILE}; build once without --offline, or name it by digest")
    if options.locked:
        raise UsageError(f"--locked: base {name} has no digest in {images.FILE}; build once without --locked and commit the file")
    found = await (await registries()).resolve(ref)
    images.write(file, {str(ref): found.digest})
    return ref.at(found.digest)


async def _image(registries: _Later, cache: Cache, ref: ImageRef, platform: Platform, name: str, options: BuildOptions) -> Base:
    """Layers and config, from the cache if this digest was seen before."""
    kept = key("foreign", FORMAT, ref.digest, str(platform))
    facts = cache.facts(kept)
    if facts is None or facts["origin"] != ref.name:
        if options.offline:
            raise UsageError(f"--offline: base {name} was never downloaded for {platform}")
        client = await registries()
        content = await pull.image(client, ref, platform)
        config = config_of(await client.blob(ref, content.blobs[0], CONFIG_BYTES), name)
        layers = _layers(content, config, platform, ref, name)
        facts = {
            "origin": ref.name,
            "digest": content.digest,
            "config": config.get("config") or {},
            "layers": [asdict(one) for one in layers],
        }
        cache.remember(kept, facts)
    return Base(
        name=name,
        platform=platform,
        reference=str(replace(ref, digest=facts["digest"])),
        digest=facts["digest"],
        layers=tuple(Layer(**one) for one in facts["layers"]),
        config=facts["config"],
    )


async def with_python(cache: Cache, base: Base, twin: Callable[[], Awaitable[Base | None]], fetch: Fetch, options: BuildOptions) -> Base:
    """The base with its interpreter, as it runs here, and its libc. `twin` finds the same image for this machine."""
    own = base if base.platform == host() else await twin()
    kept = key("foreign python", FORMAT, own.digest if own else base.digest)
    facts = cache.facts(kept)
    python = looking.known(cache, own) if own and facts and facts["python"] else None
    if facts is None or (facts["python"] and not python):
        found = await looking.look(cache, own, fetch) if own else Found(None, "", f"it has no image for {host()} with the same Python")
        facts, python = (
            {"libc": found.libc, "problem": found.problem, "python": asdict(found.python) if found.python else None},
            found.python,
        )
        cache.remember(kept, facts)
    if python:
        return replace(base, python=python, libc=facts["libc"])
    return await _by_host(base, facts, options)


async def _twin(registries: _Later, cache: Cache, ref: ImageRef, base: Base, options: BuildOptions) -> Base | None:
    """The same image for this machine, if its index has one with the same Python."""
    try:
        twin = await _image(registries, cache, ref, host(), base.name, options)
    except (RegistryError, UsageError):
        return None
    return twin if looking.said(base.config) == looking.said(twin.config) else None


async def _by_host(base: Base, facts: Mapping[str, Any], options: BuildOptions) -> Base:
    """Without its own interpreter: this machine's, if it is of the minor version that the image's config names."""
    version = looking.said(base.config)
    if facts["problem"] and not version:
        raise UsageError(f"--base {base.name}: {facts['problem']}")
    if not version:
        return replace(base, libc=facts["libc"])  # it has none; a language that needs one says so
    own = await interpreter.find(options.python)
    if own.minor != ".".join(version.split(".")[:2]):
        raise UsageError(
            f"--base {base.name} has Python {version}, {facts['problem'] or 'which does not start here'}, and kfn runs on {own.version}"
        )
    told = f"base {base.name}: {facts['problem'] or 'its Python does not start here'}; this machine's {own.version} compiled the bytecode"
    return replace(base, python=Interpreter(own.command, own.version, own.tag), libc=facts["libc"], warnings=(*base.warnings, told))


def config_of(data: bytes, name: str) -> dict[str, Any]:
    """An image's config, of whoever made it: of the right form as far as a build reads it. Raises RegistryError."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        inner, rootfs = found.get("config") or {}, found.get("rootfs") or {}
        if isinstance(inner, dict) and isinstance(rootfs, dict):
            variables, labels, layers = inner.get("Env") or [], inner.get("Labels") or {}, rootfs.get("diff_ids") or []
            plain = (
                isinstance(labels, dict)
                and isinstance(variables, list)
                and all(isinstance(one, str) for one in (*variables, *labels.values()))
            )
            if plain and isinstance(layers, list) and all(isinstance(one, str) and is_digest(one) for one in layers):
                return found
    raise RegistryError(f"base {name}: its config is not what an image's is")


def _layers(content: Content, config: Mapping[str, Any], platform: Platform, ref: ImageRef, name: str) -> tuple[Layer, ...]:
    is_for = f"{config.get('os')}/{config.get('architecture')}"
    if is_for != str(platform):
        raise UsageError(f"--base {name} is for {is_for}, the image is to be for {platform}; name one with that platform, or --platform")
    blobs = content.blobs[1:]
    diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
    if len(diff_ids) != len(blobs):
        raise RegistryError(f"base {name}: {len(blobs)} layers, but its config names {len(diff_ids)}")
    if strange := next((one.media_type for one in blobs if one.media_type not in TYPES), ""):
        raise UsageError(f"--base {name}: a layer of type {strange!r} (encrypted, or only for its own registry) cannot be built on")
    return tuple(
        Layer(one.digest, diff_id, one.size, TYPES[one.media_type], "base", one.origin or ref.name)
        for one, diff_id in zip(blobs, diff_ids, strict=True)
    )
