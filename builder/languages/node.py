"""A Node function: node_modules as its lock pins them, and the source. What npm and package.json have to say is in `builder/node/`."""

import json
import os
import platform as machine
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from builder.base.model import NONE, Base
from builder.cache import Cached, key
from builder.errors import HandlerNotFound, ProjectInvalid, UsageError
from builder.language import Job, Parts
from builder.languages.programs import members, names_in
from builder.node import lock as locks
from builder.node import npm
from builder.node import package as packages
from builder.node.lock import Lock
from builder.node.modules import FUNC, Installing, Modules
from builder.node.package import FILE, Package, Start
from builder.options import FORMAT, BuiltLayer, Step, count, size
from builder.sources.source import Source

MOST = 64 << 20  # bytes of a lock file


@dataclass(frozen=True, slots=True)
class _Read:
    """What the source says, read once."""

    package: Package
    lock: Lock | None
    start: Start


class NodeFunction:
    """One build of a Node function."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._found: _Read | None = None

    def base(self) -> str:
        return "node"

    async def check(self) -> None:
        read = self._read()
        script = read.start.script
        if script:
            npm.binary("node")
            await self._syntax(script, read.package)

    async def parts(self, base: Base) -> Parts:
        job, read = self._job, self._read()
        has = await anyio.to_thread.run_sync(names_in, job.cache, base)
        if has is not None and not has & {"node", "nodejs"}:
            raise UsageError(f"--base {base.name}: it has no node, which {job.project.name} needs; use node, or an image that has it")
        modules = await self._modules(base, read)
        made, cached = await anyio.to_thread.run_sync(self._source_layer)
        told = f"{count(modules.packages, 'package')}, {count(len(modules.layers), 'layer')}" if modules.layers else "none"
        job.tell(Step("deps", told, all(one.cached for one in modules.layers)))
        start = read.start
        handler = start.script or start.program or start.words[0]
        job.tell(Step("source", f"{count(len(job.source.files), 'file')}, {size(job.source.size)}, starts {handler}", cached))
        words = start.words
        if start.program in modules.foreign:  # a program of its own, not a script for node
            words = (f"/{FUNC}/{start.words[1]}", *start.words[2:])
        env = {"NODE_ENV": "production", **dict(start.env)}
        return Parts(
            layers=(*modules.layers, BuiltLayer(made.layer, count(len(job.source.files), "file"), cached)),
            entrypoint=words,
            handler=handler,
            folder=f"/{FUNC}",
            env=tuple(f"{name}={value}" for name, value in env.items()),
            labels={"dev.kfn.runtime": "node", "dev.kfn.handler": handler, "dev.kfn.invoke": job.project.invoke},
            annotations={"dev.kfn.handler": handler},
            components=modules.components,
            warnings=(*start.warnings, *modules.warnings),
        )

    def _read(self) -> _Read:
        if self._found is None:
            source, names = self._job.source, tuple(file.path for file in self._job.source.files)
            text = _text(source, FILE)
            package = packages.parse(text) if text is not None else Package()
            start = packages.start(package, self._job.project.handler, frozenset(names).__contains__, names)
            # One whose node_modules are brought back by .kfnignore needs no npm.
            vendored = any(name.startswith("node_modules/") for name in names)
            lock = None if vendored else self._lock(package, names)
            if start.program and not vendored:
                _check_program(start.program, lock)
            self._found = _Read(package, lock, start)
        return self._found

    def _lock(self, package: Package, names: tuple[str, ...]) -> Lock | None:
        name = locks.choose(package, names)
        if not name:
            return None
        lock = locks.parse(_text(self._job.source, name) or "", name)
        locks.check(lock, package)
        return lock if lock.wanted else None

    async def _syntax(self, script: str, package: Package) -> None:
        job = self._job
        node = await anyio.to_thread.run_sync(os.path.realpath, npm.binary("node"))
        info = os.stat(node)
        sha = next(file.sha256 for file in job.source.files if file.path == script)
        name = key("node syntax", FORMAT, sha, script.rpartition(".")[2], package.module, node, info.st_mtime_ns)
        if job.cache.facts(name) is not None:
            return
        with job.cache.folder() as scratch:
            (scratch / script).parent.mkdir(parents=True, exist_ok=True)
            (scratch / script).write_bytes((job.source.root / script).read_bytes())
            (scratch / FILE).write_text(json.dumps({"type": "module" if package.module else "commonjs"}), "utf-8")
            await npm.syntax(scratch.resolve(), script)
        job.cache.remember(name, {})

    async def _modules(self, base: Base, read: _Read) -> Modules:
        job = self._job
        if read.lock is None:
            return Modules()
        libc = base.libc or (machine.libc_ver()[0] or "musl" if base.name == NONE else "")
        return await Installing(job.cache, job.project, job.source, job.options, read.package, read.lock, libc).modules(base)

    def _source_layer(self) -> tuple[Cached, bool]:
        job = self._job
        name = key("node source", FORMAT, job.source.digest)
        if found := job.cache.get(name):
            return found, True
        return job.cache.add(name, "source", members(job.source, job.source.files, FUNC), {}), False


def _check_program(program: str, lock: Lock | None) -> None:
    """Somebody has to bring what scripts.start runs."""
    owners = [entry for entry in (lock.entries if lock else ()) if program in entry.bins]
    if not owners:
        raise HandlerNotFound(f"{FILE}: scripts.start runs {program}, which no dependency brings; name the script in kfn.handler")
    if all(entry.dev for entry in owners):
        raise HandlerNotFound(
            f"{FILE}: scripts.start runs {program}, of {owners[0].name}, which is a development dependency and not in the image; "
            "make it a dependency, or name a script that node runs in kfn.handler"
        )


def _text(source: Source, name: str) -> str | None:
    """A file of the folder itself, whatever the ignore rules say of it."""
    path: Path = source.root / name
    if path.is_symlink() or not path.is_file():
        return None
    if path.stat().st_size > MOST:
        raise ProjectInvalid(f"{name} has more than {MOST >> 20} MiB")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProjectInvalid(f"{name} is not UTF-8 text (byte {error.start})") from None
