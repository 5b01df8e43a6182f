"""The runtime layer: what of the running kfn a function needs, and httptools with its compiled parts. The same for every function."""

import ast
import hashlib
import importlib.util
from functools import partial
from pathlib import Path

import kfn
from builder.cache import Cache, Cached, key
from builder.errors import BuildError
from builder.options import FORMAT
from builder.platform import Platform
from builder.python.compiling import compile_files
from builder.python.interpreter import Interpreter
from builder.python.paths import RUNTIME
from builder.tar import Member

LIBRARIES = ("httptools",)
START = "kfn/function/start.py"  # also beside the package, where it is what the image runs


async def runtime_layer(cache: Cache, interpreter: Interpreter, platform: Platform, timeout: float) -> tuple[Cached, bool]:
    """The layer, and whether it was there already."""
    everything = _everything()
    name = key("runtime", FORMAT, interpreter.version, interpreter.tag, platform.machine, _fingerprint(everything))
    if found := cache.get(name):
        return found, True
    content = _needed(everything)
    content["start.py"] = everything[START]
    with cache.folder() as scratch:
        for path, data in content.items():
            (scratch / "in" / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / "in" / path).write_bytes(data)
        sources = [path for path in content if path.endswith(".py")]
        compiled = await compile_files(interpreter, scratch / "in", sources, scratch / "out", f"/{RUNTIME}", timeout=timeout)
        if compiled.failures:
            raise BuildError(f"kfn's own runtime does not compile: {compiled.failures[0]}")
        members = [Member(f"{RUNTIME}/{path}", load=partial(bytes, data)) for path, data in content.items()]
        members += bytecode(scratch / "out", RUNTIME)
        return cache.add(name, "runtime", members, {"files": len(content)}), False


def bytecode(folder: Path, prefix: str) -> list[Member]:
    """What the worker wrote, as members of a layer."""
    return [Member(f"{prefix}/{path.relative_to(folder).as_posix()}", source=path) for path in folder.rglob("*.pyc")]


def _everything() -> dict[str, bytes]:
    """All that the layer can be made of, by path, a little more than it has. Read once, so that key and content agree."""
    root = Path(kfn.__file__).parent
    found = {f"kfn/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}
    for library in LIBRARIES:
        found |= _library(library)
    return found


def _fingerprint(everything: dict[str, bytes]) -> str:
    seen = hashlib.sha256()
    for path, data in sorted(everything.items()):
        seen.update(f"{path}\0{len(data)}\0".encode() + data)
    return seen.hexdigest()


def _needed(everything: dict[str, bytes]) -> dict[str, bytes]:
    """The function side of kfn with what it imports, and the libraries."""
    found = {path: data for path, data in everything.items() if not path.startswith("kfn/")}
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


def _library(name: str) -> dict[str, bytes]:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BuildError(f"{name} is not installed beside kfn, and a function needs it; install kfn again")
    root = Path(spec.submodule_search_locations[0])
    kept = (path for path in root.rglob("*") if path.is_file() and path.suffix in (".py", ".so", ".typed"))
    found = {f"{name}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in kept}
    for licence in root.parent.glob(f"{name}-*.dist-info/licenses/**/*"):
        if licence.is_file():
            found[licence.relative_to(root.parent).as_posix()] = licence.read_bytes()
    return found
