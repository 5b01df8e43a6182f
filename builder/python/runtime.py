"""The runtime layer: what of the running kfn a function needs, and httptools with its compiled parts. The same for every function.

Without a base, httptools is what is installed beside kfn, so that nothing has to be asked; for a base it is the wheel that
`runtime.lock` has for that Python and platform.
"""

import ast
import hashlib
import importlib.util
import os
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

import kfn
from builder.base.model import NONE, Base
from builder.cache import Cache, Cached, key
from builder.components import Component
from builder.errors import BuildError, IndexUnreachable, UsageError
from builder.options import FORMAT, BuildOptions
from builder.python import lockfile, wheels
from builder.python.compiling import compile_files
from builder.python.paths import RUNTIME
from builder.python.requirements import Inputs
from builder.python.target import Target
from builder.python.uv import Uv
from builder.python.versions import LOWEST, allows
from builder.tar import Member
from kfn.version import VERSION

LIBRARIES = ("httptools",)
START = "kfn/function/start.py"  # also beside the package, where it is what the image runs
_KEPT = (".py", ".so", ".typed")
LOCK = Path(__file__).with_name("runtime.lock")


async def runtime_layer(cache: Cache, base: Base, target: Target, options: BuildOptions) -> tuple[Cached, bool]:
    """The layer, and whether it was there already. Its components are in the facts."""
    python = target.python
    if not allows(f">={LOWEST}", python.version):
        raise UsageError(f"--base {base.name}: it has Python {python.version}; kfn's function server needs {LOWEST} or later")
    own = base.name == NONE
    libraries = [] if own else [("lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()), ("wheels", target.wheels)]
    name = key("runtime", FORMAT, python.version, python.tag, target.platform.machine, _fingerprint(cache, own), libraries)
    cache.note(f"runtime for {target.platform}", python=python.version, kfn=f"{VERSION} {name[:8]}", wheels=target.wheels)
    await cache.look(name)
    if found := cache.get(name):
        return found, True
    with cache.folder() as scratch:
        content = _own(kfn.__path__[0])
        components = [Component(f"pkg:pypi/kfn@{VERSION}", "kfn", VERSION, licenses=("Apache-2.0",))]
        if own:
            from importlib.metadata import version as installed

            for library in LIBRARIES:
                content |= _library(library)
                version = installed(library)
                components.append(Component(f"pkg:pypi/{library}@{version}", library, version))
        else:
            files, more = await _locked(scratch / "wheels", target, options)
            content |= files
            components += more
        for path, data in content.items():
            (scratch / "in" / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / "in" / path).write_bytes(data)
        sources = [path for path in content if path.endswith(".py")]
        compiled = await compile_files(python, scratch / "in", sources, scratch / "out", f"/{RUNTIME}", timeout=options.check_timeout)
        if compiled.failures:
            raise BuildError(f"kfn's own runtime does not compile: {compiled.failures[0]}")
        members = [Member(f"{RUNTIME}/{path}", load=partial(bytes, data)) for path, data in content.items()]
        members += bytecode(scratch / "out", RUNTIME)
        facts: dict[str, Any] = {"files": len(content), "components": [asdict(one) for one in components]}
        return cache.add(name, "runtime", members, facts), False


async def _locked(folder: Path, target: Target, options: BuildOptions) -> tuple[dict[str, bytes], list[Component]]:
    """The libraries for a base, from `runtime.lock`."""
    text = LOCK.read_text("utf-8")
    uv = Uv(LOCK.parent, Inputs("hashed", LOCK.name, text, ""), options.offline, ())
    pins = lockfile.parse(text, LOCK.name)
    try:
        picks = await uv.pick(pins, target, options.resolve_timeout)
        await uv.install(picks, target, folder, options.install_timeout)
    except IndexUnreachable as error:
        try:  # what uv has in its cache is as good
            uv = replace(uv, offline=True)
            picks = await uv.pick(pins, target, options.resolve_timeout)
            await uv.install(picks, target, folder, options.install_timeout)
        except BuildError:
            raise error from None
    found = await anyio.to_thread.run_sync(wheels.read, folder)
    content = {
        file: (folder / file).read_bytes()
        for one in found
        for file in one.files
        if Path(file).suffix in _KEPT or ".dist-info/licenses/" in file
    }
    digests = {pick.name: pick.sha256 for pick in picks}
    return content, [Component(f"pkg:pypi/{o.name}@{o.version}", o.name, o.version, (digests[o.name],), o.licenses) for o in found]


def bytecode(folder: Path, prefix: str) -> list[Member]:
    """What the worker wrote, as members of a layer."""
    return [Member(f"{prefix}/{path.relative_to(folder).as_posix()}", source=path) for path in folder.rglob("*.pyc")]


def _fingerprint(cache: Cache, libraries: bool) -> str:
    """Of everything that the layer can be made of, a little more than it has. What files hold is read only when their inode, size or
    time of change is another one than when they were last read."""
    roots = [Path(kfn.__path__[0]), *(_root(library) for library in LIBRARIES if libraries)]
    marks = [(path, *_mark(status)) for root in roots for path, status in _files(root)]
    name = key("runtime files", marks)
    if facts := cache.facts(name):
        return str(facts["sha256"])
    seen = hashlib.sha256()
    for root in roots:
        for path, _ in _files(root):
            data = Path(path).read_bytes()
            seen.update(f"{os.path.relpath(path, root.parent)}\0{len(data)}\0".encode() + data)
    cache.remember(name, {"sha256": seen.hexdigest()})
    return seen.hexdigest()


def _mark(status: os.stat_result) -> tuple[int, ...]:
    """What is another one whenever the content is."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _files(root: Path) -> list[tuple[str, os.stat_result]]:
    """What of a folder can go into the layer, sorted by path."""
    found, pending = [], [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        pending.append(entry.path)
                elif entry.name.endswith(_KEPT):
                    found.append((entry.path, entry.stat()))
    return sorted(found)


def _own(folder: str) -> dict[str, bytes]:
    """The function side of kfn with what it imports, and the script that starts it."""
    root = Path(folder)
    everything = {f"kfn/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}
    found: dict[str, bytes] = {"start.py": everything[START]}
    pending = ["kfn/__init__.py", *(path for path in everything if path.startswith("kfn/function/"))]
    while pending:
        path = pending.pop()
        if path in everything and path not in found:
            found[path] = everything[path]
            pending += _own_imports(everything[path])
    return found


def _own_imports(text: bytes) -> list[str]:
    """The files of kfn that this one may import, wherever in it; not all of them need exist."""
    if b"kfn" not in text:
        return []
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = []
    for name in names:
        parts = name.split(".")
        if parts[0] == "kfn":
            found += ["/".join([*parts[:n], "__init__.py"]) for n in range(1, len(parts) + 1)]
            found.append("/".join(parts) + ".py")
    return found


def _root(library: str) -> Path:
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise BuildError(f"{library} is not installed beside kfn, and a function needs it; install kfn again")
    return Path(spec.submodule_search_locations[0])


def _library(name: str) -> dict[str, bytes]:
    """What is installed beside kfn."""
    root = _root(name)
    found = {f"{name}/{Path(path).relative_to(root).as_posix()}": Path(path).read_bytes() for path, _ in _files(root)}
    for licence in root.parent.glob(f"{name}-*.dist-info/licenses/**/*"):
        if licence.is_file():
            found[licence.relative_to(root.parent).as_posix()] = licence.read_bytes()
    return found
