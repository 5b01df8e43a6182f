"""node_modules as layers: one for each of the largest packages, one for the rest. npm installs, in a scratch folder, what the lock pins.

Every install is a whole one, from npm's own cache, and which packages are large is decided from what was installed. So a warm
and a cold cache give the same layers; packages that did not change keep theirs.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from builder.base.model import Base
from builder.cache import Cache, Cached, key
from builder.components import Component
from builder.errors import BadEntry, DependencyError
from builder.node import lock as locks
from builder.node import npm
from builder.node.lock import Entry, Lock
from builder.node.package import FILE, Package
from builder.options import FORMAT, BuildOptions, BuiltLayer, count
from builder.project import Project
from builder.sources.source import Source
from builder.tar import Member

FUNC = "func"
LARGE = 1 << 20  # bytes installed: from here on a package has a layer of its own
MOST_LAYERS = 18  # own layers for the largest
MOST_FILES = 400_000
_REST = "the rest"
_NOTES = (".package-lock.json", ".cache")  # npm's own, in node_modules


@dataclass(frozen=True, slots=True)
class Modules:
    """`foreign` are programs in .bin that node does not read: a shell script, a machine program."""

    layers: tuple[BuiltLayer, ...] = ()
    components: tuple[Component, ...] = ()
    foreign: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    packages: int = 0


@dataclass(frozen=True, slots=True)
class Installing:
    """The packages of one lock for one platform."""

    cache: Cache
    project: Project
    source: Source
    options: BuildOptions
    package: Package
    lock: Lock
    libc: str  # the image's

    async def modules(self, base: Base) -> Modules:
        flags = locks.flags(base.platform.architecture, self.libc)
        runs = (await npm.abi(),) if self.project.allow_scripts else ()
        pins = [entry.pin for entry in self.lock.wanted]
        whole = key("node", FORMAT, flags, runs, pins, sorted(self.package.wanted.items()))
        self.cache.note(
            f"deps for {base.platform}",
            flags=list(flags),
            scripts=list(runs),
            packages={entry.path: entry.version for entry in self.lock.wanted},
        )
        async with self.cache.making(whole, self.options.install_timeout):
            await self.cache.look(whole)
            facts = self.cache.facts(whole) or {}
            found = [self.cache.get(name) for name in facts.get("layers", ())]
            made = [(one, True) for one in found if one]
            if not facts or len(made) != len(found):
                with self.cache.folder() as scratch:
                    await self._install(scratch, flags)
                    made, facts = await anyio.to_thread.run_sync(self._layers, scratch, whole, (flags, runs))
        return self._result(made, frozenset(facts["installed"]), frozenset(facts["foreign"]))

    def _result(self, made: Sequence[tuple[Cached, bool]], installed: frozenset[str], foreign: frozenset[str]) -> Modules:
        there = [entry for entry in self.lock.wanted if entry.path in installed and not entry.link]
        waiting = sorted({entry.name for entry in there if entry.scripts})
        warnings: tuple[str, ...] = ()
        if waiting and self.project.allow_scripts:
            warnings = (f"install scripts ran, which are foreign code: {', '.join(waiting)}",)
        elif waiting:
            warnings = (
                f"{', '.join(waiting)}: install scripts did not run. If one does not work without, set kfn.allowScripts: true "
                "in func.yaml, which runs foreign code during the build",
            )
        return Modules(
            tuple(BuiltLayer(cached.layer, cached.facts["title"], was) for cached, was in made),
            tuple(sorted({locks.component(entry) for entry in there if entry.version and entry.path.startswith("node_modules/")})),
            foreign,
            warnings,
            len(there),
        )

    async def _install(self, root: Path, flags: tuple[str, ...]) -> None:
        await anyio.to_thread.run_sync(self._stage, root)
        await npm.install(
            root,
            self.lock.file,
            flags,
            self.cache.path / "npm",
            scripts=self.project.allow_scripts,
            offline=self.options.offline,
            build_envs=dict(self.project.build_envs),
            timeout=self.options.install_timeout,
        )

    def _stage(self, root: Path) -> None:
        """What npm needs of the source. The function's own scripts (prepare, postinstall) are not for a build of its packages."""
        content = {name: value for name, value in self.package.content.items() if name not in ("scripts", "bin", "files")}
        (root / FILE).write_text(json.dumps(content), "utf-8")
        shutil.copyfile(self.source.root / self.lock.file, root / self.lock.file)
        settings = self.source.root / ".npmrc"  # kept out of the image, but it is where npm looks for its registry
        if settings.is_file():
            shutil.copyfile(settings, root / ".npmrc")
        for entry in self.lock.entries:
            for path in self._local(entry):
                if not (self.source.root / path).is_file():
                    raise DependencyError(f"{self.lock.file}: {entry.name} needs {path}, which is not there")
                if not self.source.has(path):
                    raise BadEntry(f"{self.lock.file}: {entry.name} needs {path}, which is left out of the image by the ignore rules")
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.source.root / path, root / path)

    def _local(self, entry: Entry) -> Iterator[str]:
        """The files of the source that npm looks at for a package which lies there."""
        if "node_modules/" not in f"{entry.path}/":
            yield f"{entry.path}/{FILE}"
            yield from (f"{entry.path}/{name}" for name in entry.bin_files if self.source.has(f"{entry.path}/{name}"))
        elif entry.resolved.startswith("file:") and not entry.link:
            yield entry.resolved.removeprefix("file:").removeprefix("./")

    def _layers(self, root: Path, whole: str, how: object) -> tuple[list[tuple[Cached, bool]], dict[str, list[str]]]:
        units: dict[str, list[str]] = {}
        sizes: dict[str, int] = {}
        for path in _walk(root):
            name = locks.unit(path)
            units.setdefault(name, []).append(path)
            sizes[name] = sizes.get(name, 0) + (root / path).lstat().st_size
        large = sorted((name for name, size in sizes.items() if name and size >= LARGE), key=lambda name: (-sizes[name], name))[
            :MOST_LAYERS
        ]
        groups = [(name, units[name]) for name in large]
        if small := [path for name, paths in units.items() if name not in large for path in paths]:
            groups.append((_REST, small))
        made, names = [], []
        by_unit: dict[str, list[tuple[str, ...]]] = {}
        for entry in self.lock.wanted:
            by_unit.setdefault(locks.unit(entry.path), []).append(entry.pin)
        for name, paths in groups:
            pins = by_unit.get(name) if name != _REST else [pin for other, found in by_unit.items() if other not in large for pin in found]
            bins = sorted(f"{path}>{os.readlink(root / path)}" for path in paths if (root / path).is_symlink())
            # What a script has made depends on every other package.
            layer_key = key("node_modules", FORMAT, name, how, pins, bins, whole if self.project.allow_scripts else "")
            cached = self.cache.get(layer_key)
            title = name.removeprefix("node_modules/")
            if name == _REST:
                title = count(len({locks.unit(path) for path in paths} - {""}), "small package")
            layer = cached or self.cache.add(layer_key, "deps", [_member(root, path) for path in paths], {"title": title})
            made.append((layer, cached is not None))
            names.append(layer_key)
        facts = {
            "layers": names,
            "installed": [entry.path for entry in self.lock.wanted if (root / entry.path).is_dir()],
            "foreign": sorted(_foreign(root)),
        }
        self.cache.remember(whole, facts)
        return made, facts


def _walk(root: Path) -> Iterator[str]:
    """Files and links in every node_modules that npm made, in order. Raises BadEntry for anything else there."""
    seen = 0
    for folder, folders, files in os.walk(root, onerror=_fail):
        inside = "node_modules" in os.path.relpath(folder, root).split(os.sep)
        folders[:] = sorted(name for name in folders if not (inside and name in _NOTES))
        if not inside:
            continue
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted((*files, *links)):
            path = os.path.relpath(os.path.join(folder, name), root)
            seen += 1
            if seen > MOST_FILES:
                raise DependencyError(f"node_modules has more than {MOST_FILES} files")
            if name not in _NOTES:
                yield path


def _fail(error: OSError) -> None:
    raise error


def _member(root: Path, path: str) -> Member:
    file = root / path
    if file.is_symlink():
        target = os.readlink(file)
        inside = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if target.startswith("/") or inside == ".." or inside.startswith("../"):
            raise BadEntry(f"{path} is a link to {target}, outside of the function's folder")
        return Member(f"{FUNC}/{path}", link=target)
    if not file.is_file():
        raise BadEntry(f"{path} is neither a file nor a link")
    return Member(f"{FUNC}/{path}", source=file, executable=bool(file.stat().st_mode & 0o111))


def _foreign(root: Path) -> Iterator[str]:
    bins = root / "node_modules/.bin"
    for file in sorted(bins.iterdir()) if bins.is_dir() else ():
        try:
            with file.open("rb") as opened:
                first = opened.readline(200)
        except OSError:
            continue  # of a package in the source, whose file is not copied here
        if (first.startswith(b"#!") and b"node" not in first) or first.startswith(b"\x7fELF"):
            yield file.name
