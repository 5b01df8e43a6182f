"""kfn's own bases: locked Debian packages to the layers of `recipes.py`, made once and kept in the cache.

A layer's key holds the hash of every package in it, so with a warm cache nothing is asked of any mirror. The standard library's bytecode
is made by the base's own interpreter; for another architecture by its twin of this one, the same version of the same package.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from builder import files, oci, tar
from builder.base import configure, rootfs
from builder.base.model import Base
from builder.base.recipes import GROUPS, Recipe, group
from builder.base.tree import Tree, unpack
from builder.cache import Cache, Cached, key
from builder.components import Component
from builder.debian.app import Debian
from builder.debian.lock import Lock
from builder.debian.model import Package
from builder.errors import BlobCorrupt, BuildError
from builder.options import FORMAT
from builder.platform import Platform, host
from builder.python.compiling import compile_files
from builder.python.interpreter import Interpreter
from builder.python.runtime import bytecode

if TYPE_CHECKING:
    from builder.base.compose import Composed

COMPOSER = "2"  # of this folder's rules: raise it when the same packages give other bytes
COMPILE_SECONDS = 120.0
WAIT_SECONDS = 900.0  # for another build that makes the same layer


@dataclass(frozen=True, slots=True)
class Layered:
    """The layers of a base for one architecture, bottom first, with the Python that runs on this machine."""

    cached: tuple[Cached, ...]
    fresh: bool
    python: Interpreter | None


@dataclass
class Composer:
    """One base, for all architectures that a build asks for. `locks` by architecture; `own` has the base's packages without extra ones."""

    cache: Cache
    debian: Debian
    recipe: Recipe
    locks: Mapping[str, Lock]
    own: frozenset[str]
    _done: dict[str, Layered] = field(default_factory=dict)

    async def base(self, platform: Platform) -> Base:
        """Raises PackageGone if a locked package is neither in the cache nor on the mirror."""
        made = await self.layers(platform.architecture)
        layers = tuple(one.layer for one in made.cached)
        libc = next((p.version for p in self.locks[platform.architecture].packages if p.name == "libc6"), "")
        config = {"Env": list(configure.ENV), "User": f"{configure.USER}:{configure.USER}", "WorkingDir": "/"}
        described = oci.canonical(
            {**platform.oci, "config": config, "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]}}
        )
        return Base(
            name=self.recipe.name,
            platform=platform,
            digest=oci.sha256(described),
            layers=layers,
            config=config,
            python=made.python,
            libc=f"glibc {libc.partition('-')[0]}" if libc else "",
            components=tuple(_component(one) for made_one in made.cached for one in made_one.facts["components"]),
            cached=not made.fresh,
        )

    async def layers(self, architecture: str) -> Layered:
        if architecture not in self._done:
            self._done[architecture] = await self._layers(architecture)
        return self._done[architecture]

    async def _layers(self, architecture: str) -> Layered:
        groups = self._groups(architecture)
        names = {title: self._key(title, packages, architecture) for title, packages in groups.items()}
        made: dict[str, Cached] = {}
        fresh = False
        python: Interpreter | None = None
        for title, packages in groups.items():
            found = self.cache.get(names[title])
            if found is None:
                async with self.cache.making(names[title], WAIT_SECONDS):
                    found = self.cache.get(names[title])
                    if found is None:
                        found, fresh = await self._make(title, packages, architecture, names[title], tuple(made.values())), True
            made[title] = found
        if self.recipe.python:
            python = await self._python(architecture, tuple(made.values()))
        return Layered(tuple(made.values()), fresh, python)

    def _groups(self, architecture: str) -> dict[str, list[Package]]:
        """The packages of each layer, bottom first."""
        found: dict[str, list[Package]] = {}
        for package in self.locks[architecture].packages:
            found.setdefault(group(package.name, self.own), []).append(package)
        return {title: found[title] for title in GROUPS if title in found}

    def _key(self, title: str, packages: Sequence[Package], architecture: str) -> str:
        python = self._compiler() if self.recipe.python and title in ("own", "extra") else ""
        own = self.recipe.release if title in ("static", "libs") else self.recipe.name
        return key("base", FORMAT, COMPOSER, own, title, architecture, [(p.name, p.version, p.sha256) for p in packages], python)

    def _compiler(self) -> str:
        """What decides about bytecode: the packages' version, whatever the architecture."""
        name = f"python{self.recipe.python}-minimal"
        return "|".join(sorted({p.version for lock in self.locks.values() for p in lock.packages if p.name == name}))

    async def _make(self, title: str, packages: Sequence[Package], architecture: str, name: str, below: Sequence[Cached]) -> Cached:
        # Here, for with a warm cache nothing is composed, and reading packages is 20 ms of imports.
        from builder.base.compose import Part, compose
        from builder.debian.deb import opened

        fetched = await self.debian.fetch(packages)
        with ExitStack() as stack, self.cache.folder() as scratch:

            def read() -> "Composed":
                parts = [Part(one.package, stack.enter_context(opened(one.path, scratch))) for one in fetched]
                return compose(title, parts, self.recipe, architecture)

            composed = await anyio.to_thread.run_sync(read)
            members = list(composed.members)
            sources = [m.path for m in members if m.path.startswith("usr/lib/python3") and m.path.endswith(".py") and m.stream]
            if self.recipe.python and sources:
                members += await self._bytecode(title, members, sources, architecture, scratch, below)
            size = sum(member.size for member in members)
            facts = {"title": title, "components": [asdict(one) for one in composed.components], "size": size}
            return await anyio.to_thread.run_sync(self.cache.add, name, "base", members, facts)

    async def _bytecode(
        self, title: str, members: Sequence[tar.Member], sources: Sequence[str], architecture: str, scratch: Path, below: Sequence[Cached]
    ) -> list[tar.Member]:
        """Bytecode of these files, by the interpreter that is among them, or by its twin."""
        root = scratch / "root"
        root.mkdir()

        def fill() -> Tree:
            with (scratch / "plain.tar").open("w+b") as plain:
                tar.write_tar(plain, members)
            layers = (*(self.cache.blob(one.layer.digest) for one in below), scratch / "plain.tar")
            return _unpack(layers, root)

        tree = await anyio.to_thread.run_sync(fill)
        if architecture != host().architecture:
            python = (await self.layers(host().architecture)).python
        else:
            facts = await rootfs.look(tree, host().machine, {})
            python = replace(rootfs.interpreter(root, facts), root="") if facts else None  # fresh, and gone after this
        if python is None:
            raise BuildError(f"{self.recipe.name}: its packages hold no Python")
        # What does not compile (templates of packages) is left as it is; the interpreter compiles it when it is imported.
        await compile_files(python, root, sources, scratch / "out", "", timeout=COMPILE_SECONDS)
        return [replace(member, path=member.path.lstrip("/")) for member in bytecode(scratch / "out", "")]

    async def _python(self, architecture: str, made: Sequence[Cached]) -> Interpreter | None:
        """The base's interpreter on this machine, unpacked when it is first needed."""
        own = host()
        if architecture != own.architecture:
            return (await self.layers(own.architecture)).python
        name = rootfs.name(*(one.layer.diff_id for one in made))
        if found := rootfs.known(self.cache, name):
            return found
        async with self.cache.making(name, WAIT_SECONDS):
            if found := rootfs.known(self.cache, name):
                return found
            blobs = [self.cache.blob(one.layer.digest) for one in made]
            return await rootfs.make(self.cache, name, partial(_unpack, blobs), own.machine, {})


def _unpack(blobs: Sequence[Path], root: Path) -> Tree:
    for blob in blobs:
        if blob.parent.name == "sha256" and files.sha256(blob) != f"sha256:{blob.name}":
            blob.unlink()
            raise BlobCorrupt(f"{blob.name[:12]}, a layer of the base, had changed on disk and was made again")
    with ExitStack() as stack:
        return unpack([stack.enter_context(blob.open("rb")) for blob in blobs], root)


def _component(facts: Mapping[str, Any]) -> Component:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return Component(**values)
