"""Pinned packages to layers: one for each of the largest, one for the rest. Installs only what no cached layer has.

Which distributions are large is decided from their sizes alone, which are remembered, so that a warm and a cold cache give the
same image. uv installs (`uv.py`); what files become is in `wheels.py`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from builder.cache import Cache, Cached, key
from builder.errors import BuildError, DependencyError
from builder.options import FORMAT, BuildOptions, BuiltLayer
from builder.python import wheels
from builder.python.compiling import compile_files
from builder.python.interpreter import Interpreter
from builder.python.lockfile import Pin
from builder.python.paths import DEPS
from builder.python.runtime import bytecode
from builder.python.uv import Uv
from builder.python.wheels import Distribution


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


class Making:
    """The layers of one lock, for one interpreter and platform."""

    def __init__(self, cache: Cache, python: Interpreter, options: BuildOptions, uv: Uv, file: str, pins: tuple[Pin, ...]) -> None:
        self._cache, self._python, self._uv, self._file = cache, python, uv, file
        self._timeout = options.install_timeout
        self._pins: dict[str, list[Pin]] = {}
        for pin in pins:  # a name can be there twice, with markers of which one holds
            self._pins.setdefault(pin.name, []).append(pin)
        self.whole = self._key("deps", *self._pins)

    def known(self) -> Dependencies | None:
        """The layers that this very lock gave before, if all are still there."""
        facts = self._cache.facts(self.whole)
        found = [self._cache.get(name) for name in facts["layers"]] if facts else [None]
        made = [_Made("", one, False) for one in found if one]
        return self._result(made, facts["warnings"]) if facts and len(made) == len(found) else None

    async def make(self) -> Dependencies:
        """Large distributions keep their layers when another one changes."""
        for _ in range(2):
            large = wheels.largest(self._known_sizes())
            have = {name: found for name in large if (found := self._cache.get(self._key("large", name)))}
            done = await self._install(have)
            if done is not None:
                made, clashes = done
                made = sorted(made, key=lambda m: (-m.cached.facts["size"], m.key))
                self._cache.remember(self.whole, {"layers": [m.key for m in made], "warnings": clashes})
                return self._result(made, clashes)
        raise BuildError(f"{self._file}: the sizes of its packages changed while they were installed; build again")

    async def _install(self, have: Mapping[str, Cached]) -> tuple[list[_Made], list[str]] | None:
        """Install all but `have`. None: a package that was new is so large that one of `have` has no layer of its own any more."""
        made = [_Made(self._key("large", name), found, False) for name, found in have.items()]
        names = [name for name in self._pins if name not in have]
        if not names:
            return made, []
        with self._cache.folder() as scratch:
            await self._uv.install([pin for name in names for pin in self._pins[name]], scratch / "in", self._file, self._timeout)
            found = await anyio.to_thread.run_sync(wheels.read, scratch / "in")
            if strange := [one.title for one in found if one.name not in self._pins]:
                raise DependencyError(f"{self._file}: {', '.join(strange)} came under another name than it was asked for")
            sizes = {name: cached.facts["size"] for name, cached in have.items()} | {one.name: one.size for one in found}
            for name in names:
                self._cache.remember(self._key("size", name), {"size": sizes.get(name, 0)})
            large = wheels.largest(sizes)
            if not large.issuperset(have):
                return None
            wanted = [(self._key("large", one.name), [one]) for one in found if one.name in large]
            if small := [one for one in found if one.name not in large]:
                wanted.append((self._key("small", *(one.name for one in small)), small))
            made += await self._layers(scratch, wanted)
            return made, wheels.clashes(found)

    async def _layers(self, scratch: Path, wanted: Sequence[tuple[str, list[Distribution]]]) -> list[_Made]:
        """Compile and pack, as many at a time as there are processors."""
        made: list[_Made] = []
        free = anyio.CapacityLimiter(os.cpu_count() or 1)

        async def one(name: str, distributions: list[Distribution]) -> None:
            async with free:
                made.append(await self._layer(name, scratch, distributions))

        try:
            async with anyio.create_task_group() as tasks:
                for name, distributions in wanted:
                    tasks.start_soon(one, name, distributions)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # callers know single errors
        return made

    async def _layer(self, name: str, scratch: Path, distributions: Sequence[Distribution]) -> _Made:
        target, out = scratch / "in", scratch / f"out-{name[:16]}"
        sources = [file for one in distributions for file in one.files if file.endswith(".py")]
        # Files that do not compile are left as they are: packages carry templates and tests for other versions.
        await compile_files(self._python, target, sources, out, f"/{DEPS}", timeout=self._timeout)
        facts: dict[str, Any] = {
            "title": distributions[0].title if len(distributions) == 1 else f"{len(distributions)} small packages",
            "size": sum(one.size for one in distributions),
            "modules": sorted({module for one in distributions for module in one.modules}),
        }
        content = [*wheels.members(target, distributions, DEPS), *bytecode(out, DEPS)]
        return _Made(name, await anyio.to_thread.run_sync(self._cache.add, name, "deps", content, facts), True)

    def _key(self, what: str, *names: str) -> str:
        """Of something made of these packages: all that its bytes depend on."""
        pins = sorted(str(pin) for name in names for pin in self._pins.get(name, ()))
        python = (self._python.version, self._python.tag)
        return key(FORMAT, what, python, self._uv.wheels, sorted(names), pins)

    def _known_sizes(self) -> dict[str, int]:
        found = {name: self._cache.facts(self._key("size", name)) for name in self._pins}
        return {name: facts["size"] for name, facts in found.items() if facts}

    def _result(self, made: Sequence[_Made], warnings: Sequence[str]) -> Dependencies:
        layers = tuple(BuiltLayer(m.cached.layer, m.cached.facts["title"], not m.fresh) for m in made)
        modules = frozenset(module for m in made for module in m.cached.facts["modules"])
        return Dependencies(layers, modules, len(self._pins), tuple(warnings))
