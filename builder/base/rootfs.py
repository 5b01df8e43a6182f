"""A base's interpreter on this machine: its root file system as a folder in the cache, and the command that starts Python out of it.

It runs by its own dynamic loader with its own libraries, without root, a container or a namespace, so that what it compiles is what it
would compile in the image, whatever Python the host has. The folders may be removed between builds; their layers make them again.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builder import elf, files, process
from builder.base.tree import Tree
from builder.cache import Cache, key
from builder.errors import BuildError
from builder.python import compiling
from builder.python.interpreter import SUMS, Interpreter, environment

FOLDER = "rootfs"
_ENV = "/usr/bin/env"
_FACTS = ".kfn-python.json"  # in the root: what was found in it
_ASK = "import platform, sys; print(platform.python_version(), sys.implementation.cache_tag, sys.prefix)"
_WORKER = Path(compiling.__file__).with_name("worker.py")
_LOADED = """
import ast, runpy, sys
runpy.run_path(sys.argv[1])
for module in list(sys.modules.values()):
    for name in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
        if name: print(name)
for line in open("/proc/self/maps"):
    print(line.rstrip("\\n").partition("/")[1] + line.rstrip("\\n").partition("/")[2])
"""
_LIBRARIES = ("lib/{}-linux-gnu", "usr/lib/{}-linux-gnu", "usr/local/lib", "usr/lib64", "lib64", "usr/lib", "lib")
PATH = "/usr/local/bin:/usr/bin:/bin"


def name(*layers: str) -> str:
    """The key of what these layers, or an image's digest, are unpacked into."""
    return key("rootfs", 2, *layers)


def known(cache: Cache, named: str) -> Interpreter | None:
    """The interpreter of a root file system that was unpacked under this key before."""
    root = cache.path / FOLDER / named
    try:
        facts = json.loads((root / _FACTS).read_bytes())
        files.used(root)
        return interpreter(root, facts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


async def make(cache: Cache, named: str, fill: Callable[[Path], Tree], machine: str, env: Mapping[str, str]) -> Interpreter | None:
    """Fill a folder with a root file system and keep it under `named`. None if there is no Python in it. `env` is the image's."""
    import anyio.to_thread

    target = cache.path / FOLDER / named
    with cache.folder() as scratch:
        root = scratch / "root"
        root.mkdir()
        tree = await anyio.to_thread.run_sync(fill, root)
        facts = await look(tree, machine, env)
        if facts is None:
            return None
        files.write(root / _FACTS, json.dumps(facts, sort_keys=True).encode())
        loaded = [*await _loaded(interpreter(root, facts)), str(root / _FACTS)]
        files.write(root / SUMS, json.dumps(await anyio.to_thread.run_sync(_sums, root, loaded), sort_keys=True).encode())
        await anyio.to_thread.run_sync(_publish, root, target)
    return interpreter(target, facts)


async def look(tree: Tree, machine: str, env: Mapping[str, str]) -> dict[str, Any] | None:
    """Find python3 along the image's PATH, and start it."""
    program = find(tree, env)
    if program is None:
        return None
    facts = _loading(tree, program, machine)
    found = await ask(interpreter(Path(tree.root), {**facts, "version": "", "tag": ""}))
    return {**facts, "version": found.version, "tag": found.tag}


def find(tree: Tree, env: Mapping[str, str]) -> Path | None:
    for folder in (env.get("PATH") or PATH).split(":"):
        for name in ("python3", "python"):
            if (program := tree.find(f"{folder}/{name}")) and program.is_file():
                return program
    return None


async def ask(python: Interpreter) -> Interpreter:
    """Start it once; what it says of itself."""
    ended = await process.run([*python.command, "-I", "-S", "-c", _ASK], timeout=60, env=environment())
    if ended.code:
        raise BuildError(f"the base's Python does not start here: {ended.stderr.decode('utf-8', 'replace').strip()[-500:]}")
    version, tag, _prefix = ended.stdout.decode().split(maxsplit=2)
    return Interpreter(python.command, version, tag, python.root)


async def _loaded(python: Interpreter) -> list[str]:
    """The files that the worker makes it load: itself, libraries, modules and their bytecode."""
    ended = await process.run([*python.command, "-I", "-S", "-B", "-c", _LOADED, str(_WORKER)], timeout=60, env=environment())
    if ended.code:
        raise BuildError(f"the base's Python does not start here: {ended.stderr.decode('utf-8', 'replace').strip()[-500:]}")
    return ended.stdout.decode("utf-8", "replace").splitlines()


def _sums(root: Path, loaded: Sequence[str]) -> dict[str, str]:
    """Of those that are in the root; the worker is kfn's own."""
    inside = {os.path.relpath(os.path.realpath(path), os.path.realpath(root)) for path in loaded if path}
    return {path: files.sha256(root / path) for path in inside if not path.startswith("..") and (root / path).is_file()}


def _loading(tree: Tree, program: Path, machine: str) -> dict[str, Any]:
    """The program, its dynamic loader and where that is to look for libraries; a static program has none."""
    start = {"program": os.path.relpath(program, tree.root)}
    try:
        wanted = elf.read(program).interpreter
    except elf.NotElf as error:
        raise BuildError(f"the base's Python is no program that starts here: {error}") from None
    if not wanted:
        return {**start, "loader": "", "libraries": []}
    loader = tree.find(wanted)
    if loader is None:
        raise BuildError(f"the base's Python needs {wanted}, which is not in the base")
    folders = [pattern.format(machine) for pattern in _LIBRARIES]
    there = [found for folder in folders if (found := tree.find(folder)) is not None]
    libraries = list(dict.fromkeys(os.path.relpath(folder, tree.root) for folder in there))
    return {**start, "loader": os.path.relpath(loader, tree.root), "libraries": libraries}


def interpreter(root: Path, facts: Mapping[str, Any]) -> Interpreter:
    """`env`: without variables that would load a library of the host's into it, and in a locale that needs no file of the host's. kfn's
    own image, in which a cluster builds, has neither such variables nor `env`."""
    program = str(root / facts["program"])
    clean = (_ENV, "-u", "LD_PRELOAD", "-u", "LD_LIBRARY_PATH", "-u", "LD_AUDIT", "LC_ALL=C") if os.path.exists(_ENV) else ()
    if not facts["loader"]:
        return Interpreter((*clean, program), facts["version"], facts["tag"], str(root))
    loader = str(root / facts["loader"])
    libraries = ":".join(str(root / folder) for folder in facts["libraries"])
    no_cache = () if "musl" in os.path.basename(loader) else ("--inhibit-cache",)
    return Interpreter((*clean, loader, *no_cache, "--library-path", libraries, program), facts["version"], facts["tag"], str(root))


def _publish(root: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        root.rename(target)
    except OSError:
        if not (target / _FACTS).is_file():
            raise
