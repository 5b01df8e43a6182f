"""The runtime layer: what of the running kfn a function needs, and httptools with its compiled parts. The same for every function."""

import ast
import hashlib
import importlib.util
from functools import partial
from pathlib import Path

import kfn
from builder.cache import Cache, Cached, key
from builder.compiling import compile_files
from builder.errors import BuildError
from builder.image import RUNTIME
from builder.interpreter import Interpreter
from builder.options import FORMAT
from builder.tar import Member

LIBRARIES = ("httptools",)


async def runtime_layer(cache: Cache, interpreter: Interpreter, timeout: float) -> tuple[Cached, bool]:
    """The layer, and whether it was there already."""
    name = key("runtime", FORMAT, interpreter.version, interpreter.tag, interpreter.machine, _fingerprint())
    if found := cache.get(name):
        return found, True
    content = _content()
    with cache.folder() as scratch:
        for path, data in content.items():
            (scratch / "in" / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / "in" / path).write_bytes(data)
        sources = [path for path in content if path.endswith(".py")]
        compiled = await compile_files(interpreter.path, scratch / "in", sources, scratch / "out", f"/{RUNTIME}", timeout=timeout)
        if compiled.failures:
            raise BuildError(f"kfn's own runtime does not compile: {compiled.failures[0]}")
        members = [Member(f"{RUNTIME}/{path}", load=partial(bytes, data)) for path, data in content.items()]
        members += bytecode(scratch / "out", RUNTIME)
        return cache.add(name, "runtime", members, {"files": len(content)}), False


def bytecode(folder: Path, prefix: str) -> list[Member]:
    """What the worker wrote, as members of a layer."""
    return [Member(f"{prefix}/{path.relative_to(folder).as_posix()}", source=path) for path in folder.rglob("*.pyc")]


def _fingerprint() -> str:
    """Of all that the layer can be made of, a little more than it has: cheap enough for every build."""
    root, seen = Path(kfn.__file__).parent, hashlib.sha256()
    found = {f"kfn/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}
    for library in LIBRARIES:
        found |= _library(library)
    for path, data in sorted(found.items()):
        seen.update(f"{path}\0{len(data)}\0".encode() + data)
    return seen.hexdigest()


def _content() -> dict[str, bytes]:
    """Files by their path below the runtime folder."""
    root = Path(kfn.__file__).parent
    found: dict[str, bytes] = {}
    pending = [root / "__init__.py", *sorted((root / "function").rglob("*.py"))]
    while pending:
        path = pending.pop()
        name = f"kfn/{path.relative_to(root).as_posix()}"
        if name not in found:
            found[name] = path.read_bytes()
            pending += _own_imports(found[name], root)
    for library in LIBRARIES:
        found |= _library(library)
    return found


def _own_imports(text: bytes, root: Path) -> list[Path]:
    """The other files of kfn that this one imports, wherever in it."""
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
            places = [root.joinpath(*parts[1:n], "__init__.py") for n in range(2, len(parts) + 1)]
            places.append(root.joinpath(*parts[1:]).with_suffix(".py") if len(parts) > 1 else root / "__init__.py")
            found += [place for place in places if place.is_file()]
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
