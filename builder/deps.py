"""Dependencies to layers: find the lock or make one, install what no cached layer has, one layer for each large distribution.

uv chooses and installs (`uv.py`); what the lock says is in `lockfile.py`; how files become layers is in `wheels.py`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from builder import files, lockfile, requirements, wheels
from builder.cache import Cache, Cached, key
from builder.compiling import compile_files
from builder.errors import DependencyError, LockStale
from builder.image import DEPS
from builder.interpreter import Interpreter
from builder.lockfile import Pin
from builder.options import FORMAT, BuildOptions, BuiltLayer
from builder.project import Project
from builder.requirements import Inputs
from builder.runtime import bytecode
from builder.uv import Uv

LOCK = "kfn.lock"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`modules` are the importable top-level names."""

    layers: tuple[BuiltLayer, ...] = ()
    modules: frozenset[str] = frozenset()
    packages: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Made:
    key: str
    cached: Cached
    fresh: bool


async def dependencies(cache: Cache, python: Interpreter, project: Project, options: BuildOptions) -> Dependencies:
    inputs = await anyio.to_thread.run_sync(requirements.find, project.path)
    if inputs is None:
        return Dependencies()
    uv = Uv(project.path, python, options.platform, options.offline, project.build_envs)
    pins, warnings = await _pins(uv, inputs, options)
    if not pins:
        return Dependencies(warnings=warnings)
    work = _Work(cache, python, options, uv, inputs.file, pins)
    whole = work.key("deps", [str(pin) for pin in pins])
    found = work.known(whole)
    if found is None:
        async with cache.making(whole, options.install_timeout):
            found = work.known(whole) or await work.make(whole)
    return replace(found, warnings=(*warnings, *found.warnings))


async def _pins(uv: Uv, inputs: Inputs, options: BuildOptions) -> tuple[tuple[Pin, ...], tuple[str, ...]]:
    """What is to be installed, and what to tell about it."""
    if inputs.kind == "uv":
        return lockfile.parse(await uv.export(options.resolve_timeout), inputs.file), ()
    if inputs.kind == "pylock":
        return lockfile.parse_pylock(inputs.text), ()
    if inputs.kind == "hashed":
        return lockfile.parse(inputs.text, inputs.file), ()
    path = uv.root / LOCK
    wanted = f"sha256:{key(inputs.digest, uv.python.minor, uv.platform)}"
    old = path.read_text("utf-8") if path.is_file() else ""
    if lockfile.inputs_of(old) == wanted:
        return lockfile.parse(old, LOCK), ()
    if options.locked:
        why = f"{inputs.file} changed since it was made" if old else "there is none"
        raise LockStale(f"{why}, for Python {uv.python.minor} on {uv.platform or uv.python.machine}; build once without --locked")
    resolved = await uv.resolve(inputs, old, options.resolve_timeout)
    pins = lockfile.parse(resolved, inputs.file)
    await anyio.to_thread.run_sync(files.write, path, lockfile.with_header(wanted, resolved).encode())
    return pins, ((f"{LOCK} was made anew from {inputs.file}",) if old else ())


@dataclass(frozen=True, slots=True)
class _Work:
    cache: Cache
    python: Interpreter
    options: BuildOptions
    uv: Uv
    file: str
    pins: tuple[Pin, ...]

    def key(self, *parts: object) -> str:
        return key(FORMAT, self.python.version, self.python.tag, self.python.machine, self.options.platform, *parts)

    def known(self, whole: str) -> Dependencies | None:
        """The layers that this very lock gave before, if all are still there."""
        facts = self.cache.facts(whole)
        if facts is None:
            return None
        found = [self.cache.get(name) for name in facts["layers"]]
        if any(one is None for one in found):
            return None
        return _result([_Made("", one, False) for one in found if one], len(self.pins), facts["warnings"])

    async def make(self, whole: str) -> Dependencies:
        """Install what has no layer yet. Large distributions keep their layers when another one changes."""
        own = {pin: self.key("large", str(pin)) for pin in self.pins}
        have = {pin: found for pin, name in own.items() if (found := self.cache.get(name))}
        made = [_Made(own[pin], found, False) for pin, found in have.items()]
        new, clashes = await self.install([pin for pin in self.pins if pin not in have], own, wheels.MOST_LAYERS)
        if len(made) + len([m for m in new if m.key in own.values()]) > wheels.MOST_LAYERS:
            # Which are the largest can only be told with all of them at hand; the digest must not depend on the cache.
            made = []
            new, clashes = await self.install(self.pins, own, wheels.MOST_LAYERS)
        made = sorted([*made, *new], key=lambda m: (-m.cached.facts["size"], m.key))
        self.cache.remember(whole, {"layers": [m.key for m in made], "warnings": clashes})
        return _result(made, len(self.pins), clashes)

    async def install(self, pins: Sequence[Pin], own: dict[Pin, str], most: int) -> tuple[list[_Made], list[str]]:
        if not pins:
            return [], []
        with self.cache.folder() as scratch:
            target = scratch / "in"
            await self.uv.install(pins, target, self.file, self.options.install_timeout)
            found = await anyio.to_thread.run_sync(wheels.read, target)
            large, small = wheels.split(found, most)
            by_name = {pin.name: own[pin] for pin in pins}
            wanted = [(self.own_key(by_name, one), [one], one.title) for one in large]
            if small:
                names = {one.name for one in small}
                name = self.key("small", sorted(str(pin) for pin in pins if pin.name in names))
                wanted.append((name, list(small), small[0].title if len(small) == 1 else f"{len(small)} small packages"))
            made: list[_Made] = []
            free = anyio.CapacityLimiter(os.cpu_count() or 1)

            async def make_one(name: str, distributions: Sequence[wheels.Distribution], title: str) -> None:
                async with free:
                    made.append(await self.layer(name, scratch, distributions, title))

            try:
                async with anyio.create_task_group() as tasks:
                    for one_wanted in wanted:
                        tasks.start_soon(make_one, *one_wanted)
            except ExceptionGroup as group:
                raise group.exceptions[0] from group  # the caller knows single errors
            return made, wheels.clashes(found)

    def own_key(self, by_name: dict[str, str], one: wheels.Distribution) -> str:
        if one.name not in by_name:
            raise DependencyError(f"{self.file}: {one.title} was installed under another name than it was asked for")
        return by_name[one.name]

    async def layer(self, name: str, scratch: Path, distributions: Sequence[wheels.Distribution], title: str) -> _Made:
        target, out = scratch / "in", scratch / f"out-{name[:16]}"
        sources = [file for one in distributions for file in one.files if file.endswith(".py")]
        # Files that do not compile are left as they are: packages carry templates and tests for other versions.
        await compile_files(self.python.path, target, sources, out, f"/{DEPS}", timeout=self.options.install_timeout)
        facts: dict[str, Any] = {
            "title": title,
            "size": sum(one.size for one in distributions),
            "modules": sorted({module for one in distributions for module in one.modules}),
        }
        content = [*wheels.members(target, distributions, DEPS), *bytecode(out, DEPS)]
        return _Made(name, await anyio.to_thread.run_sync(self.cache.add, name, "deps", content, facts), True)


def _result(made: Sequence[_Made], packages: int, warnings: Sequence[str]) -> Dependencies:
    layers = tuple(BuiltLayer(m.cached.layer, m.cached.facts["title"], not m.fresh) for m in made)
    modules = frozenset(module for m in made for module in m.cached.facts["modules"])
    return Dependencies(layers, modules, packages, tuple(warnings))
