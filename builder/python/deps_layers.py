"""Picked packages to layers: one for each of the largest, one for the rest. Installs only what no cached layer has.

A layer is known by the digests of the wheels in it and by the Python that compiled them, so that platforms and locks share what is
the same. Which distributions are large is decided from their sizes alone, which are remembered, as is which files they have: a
warm and a cold cache give the same image. uv installs (`uv.py`); what files become is in `wheels.py`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from builder.cache import Cache, Cached, key
from builder.components import Component
from builder.errors import BuildError, DependencyError
from builder.options import FORMAT, BuildOptions, BuiltLayer
from builder.python import wheels
from builder.python.compiling import compile_files
from builder.python.paths import DEPS
from builder.python.picks import Pick
from builder.python.runtime import bytecode
from builder.python.target import Target
from builder.python.uv import Uv
from builder.python.wheels import Distribution


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`modules` are the importable top-level names."""

    layers: tuple[BuiltLayer, ...] = ()
    modules: frozenset[str] = frozenset()
    packages: int = 0
    components: tuple[Component, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layered:
    """A finished layer under its key."""

    key: str
    cached: Cached
    fresh: bool


@dataclass(slots=True)
class _Have:
    """What the cache knows of the picked packages, by name."""

    layers: dict[str, Cached] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    records: dict[str, dict[str, str]] = field(default_factory=dict)


class Making:
    """The layers of these picks, for one interpreter and platform."""

    def __init__(self, cache: Cache, target: Target, options: BuildOptions, uv: Uv, picks: Sequence[Pick]) -> None:
        self._cache, self._target, self._uv = cache, target, uv
        self._timeout = options.install_timeout
        self._picks = {pick.name: pick for pick in picks}

    async def make(self) -> tuple[list[Layered], list[str]]:
        """Large distributions keep their layers when another one changes. Also answers what to warn of."""
        have = await self._have()
        for _ in range(3):
            done = await self._install(have)
            if not isinstance(done, _Have):
                made, warnings = done
                return sorted(made, key=lambda m: (-m.cached.facts["size"], m.key)), warnings
            have = done
        raise BuildError(f"{self._uv.inputs.file}: the sizes of its packages changed while they were installed; build again")

    async def _have(self) -> _Have:
        have = _Have()
        for name, pick in self._picks.items():
            if facts := self._cache.facts(self._key("record", pick)):
                have.sizes[name], have.records[name] = facts["size"], facts["files"]
        large = wheels.largest(have.sizes)
        await self._cache.look(*(self._key("large", self._picks[name]) for name in large))
        for name in large:
            if found := self._cache.get(self._key("large", self._picks[name])):
                have.layers[name] = found
        return have

    async def _install(self, have: _Have) -> tuple[list[Layered], list[str]] | _Have:
        """Install all but what `have` has layers of. Answers what it has now if those cannot stay as they are."""
        made = [Layered(self._key("large", self._picks[name]), found, False) for name, found in have.layers.items()]
        wanted = [pick for name, pick in self._picks.items() if name not in have.layers]
        with self._cache.folder() as scratch:
            found = await self._installed(wanted, scratch)
            sizes = {**have.sizes, **{one.name: one.size for one in found}}
            records = {**have.records, **{one.name: dict(one.files) for one in found}}
            large, shared = wheels.largest(sizes), wheels.shared(records)
            if have.layers and (shared or not large.issuperset(have.layers)):
                return _Have({} if shared else {n: c for n, c in have.layers.items() if n in large}, sizes, records)
            warnings = [warning for one in found for warning in one.warnings]
            if shared:
                found = await self._alone(found, scratch)
                parts = [("one", list(found))]
                warnings += [f"{why}: all dependencies are in one layer, which is made anew when one changes" for why in shared[:1]]
            else:
                parts = [("large", [one]) for one in found if one.name in large]
                if small := [one for one in found if one.name not in large]:
                    parts.append(("small", small))
            return made + await self._layers(scratch, parts), warnings

    async def _installed(self, wanted: Sequence[Pick], scratch: Path) -> tuple[Distribution, ...]:
        if not wanted:
            return ()
        await self._put(wanted, scratch / "in")
        found = await anyio.to_thread.run_sync(wheels.read, scratch / "in")
        if strange := [one.title for one in found if one.name not in self._picks]:
            raise DependencyError(f"{self._uv.inputs.file}: {', '.join(strange)} came under another name than it was asked for")
        for one in found:
            self._cache.remember(self._key("record", self._picks[one.name]), {"size": one.size, "files": dict(one.files)})
        return found

    async def _put(self, picks: Sequence[Pick], folder: Path) -> None:
        """Into an installation folder: wheels as they are, source distributions as what they build."""
        if ready := [pick for pick in picks if pick.wheel]:
            await self._uv.install(ready, self._target, folder, self._timeout)
        if source := [pick for pick in picks if not pick.wheel]:
            await self._uv.build(source, self._target, folder, self._timeout)

    async def _alone(self, found: Sequence[Distribution], scratch: Path) -> tuple[Distribution, ...]:
        """Those that bring the same paths, each from a folder of its own: in one, which of them wins is chance."""
        paths: dict[str, set[str]] = {}
        for one in found:
            for file in one.files:
                paths.setdefault(file, set()).add(one.name)
        torn = {name for names in paths.values() if len(names) > 1 for name in names}
        again: list[Distribution] = []
        for name in sorted(torn):
            await self._put([self._picks[name]], scratch / "alone" / name)
            again += await anyio.to_thread.run_sync(wheels.read, scratch / "alone" / name)
        return (*(one for one in found if one.name not in torn), *again)

    async def _layers(self, scratch: Path, parts: Sequence[tuple[str, list[Distribution]]]) -> list[Layered]:
        """Compile and pack, as many at a time as there are processors."""
        made: list[Layered] = []
        free = anyio.CapacityLimiter(os.cpu_count() or 1)

        async def one(what: str, distributions: list[Distribution]) -> None:
            async with free:
                made.append(await self._layer(what, scratch, distributions))

        try:
            async with anyio.create_task_group() as tasks:
                for what, distributions in parts:
                    tasks.start_soon(one, what, distributions)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # callers know single errors
        return made

    async def _layer(self, what: str, scratch: Path, distributions: Sequence[Distribution]) -> Layered:
        name = self._key(what, *(self._picks[one.name] for one in distributions))
        if found := self._cache.get(name):
            return Layered(name, found, False)
        out = scratch / f"out-{name[:16]}"
        sources: dict[Path, list[str]] = {}
        winners = {file: one.root for one in sorted(distributions, key=lambda d: d.name) for file in one.files}
        for file, root in winners.items():
            if file.endswith(".py"):
                sources.setdefault(root, []).append(file)
        for root, files in sorted(sources.items()):
            # Files that do not compile are left as they are: packages carry templates and tests for other versions.
            await compile_files(self._target.python, root, files, out, f"/{DEPS}", timeout=self._timeout)
        facts: dict[str, Any] = {
            "title": distributions[0].title if len(distributions) == 1 else f"{len(distributions)}{' small' * (what == 'small')} packages",
            "size": sum(one.size for one in distributions),
            "modules": sorted({module for one in distributions for module in one.modules}),
            "components": [self._component(one) for one in distributions],
        }
        content = [*wheels.members(distributions, DEPS), *bytecode(out, DEPS)]
        return Layered(name, await anyio.to_thread.run_sync(self._cache.add, name, "deps", content, facts), True)

    def _component(self, one: Distribution) -> dict[str, Any]:
        pick = self._picks[one.name]
        return asdict(Component(f"pkg:pypi/{one.name}@{one.version}", one.name, one.version, (pick.sha256,), one.licenses))

    def _key(self, what: str, *picks: Pick) -> str:
        """Of something made of these files: all that its bytes depend on. A source distribution becomes what this machine makes of it."""
        python = (self._target.python.version, self._target.python.tag)
        built = () if all(pick.wheel for pick in picks) else (str(self._target.platform),)
        return key(FORMAT, what, python, sorted(pick.sha256 for pick in picks), *built)


def result(made: Sequence[Layered], packages: int, warnings: Sequence[str]) -> Dependencies:
    """What layers give together."""
    layers = tuple(BuiltLayer(m.cached.layer, m.cached.facts["title"], not m.fresh) for m in made)
    modules = frozenset(module for m in made for module in m.cached.facts["modules"])
    components = sorted(component(facts) for m in made for facts in m.cached.facts["components"])
    return Dependencies(layers, modules, packages, tuple(components), tuple(warnings))


def component(facts: Mapping[str, Any]) -> Component:
    """One as the cache has it."""
    return replace(Component(**facts), sha256=tuple(facts["sha256"]), licenses=tuple(facts["licenses"]))
