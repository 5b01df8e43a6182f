"""Look into an image: download its layers once, unpack them, find Python and libc, keep the root file system to compile with."""

import gzip
import importlib
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from builder import files
from builder.base import rootfs
from builder.base.model import Base
from builder.base.tree import Tree
from builder.cache import Cache
from builder.errors import BuildError, ToolMissing, UsageError
from builder.oci import LAYER_GZIP, LAYER_ZSTD, Layer
from builder.python.interpreter import Interpreter

_GLIBC = re.compile(rb"GNU C Library[^\n]{0,80}release version (\d+\.\d+)")
_LIBC_FOLDERS = ("lib/{0}-linux-gnu", "usr/lib/{0}-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib")
LIBC_BYTES = 20_000_000
MOST_BYTES = 5_000_000_000  # of all layers, as downloaded
Fetch = Callable[[Layer, Path], Awaitable[None]]  # puts a layer's bytes, verified, into a file


@dataclass(frozen=True, slots=True)
class Found:
    """`problem` says why there is no interpreter although there is a Python."""

    python: Interpreter | None
    libc: str
    problem: str = ""


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(entry).partition("=")[::2] for entry in config.get("Env") or ())


def said(config: Mapping[str, Any]) -> str:
    """Python's version as the image's config has it: the variable of the official images, or a label. Empty if it does not say."""
    version = environment(config).get("PYTHON_VERSION") or (config.get("Labels") or {}).get("dev.kfn.python", "")
    return version if re.fullmatch(r"3\.\d+(\.\d+)?", version) else ""


def known(cache: Cache, base: Base) -> Interpreter | None:
    """The interpreter that was found in `base` before, if it is still unpacked."""
    return rootfs.known(cache, rootfs.name(base.digest))


async def look(cache: Cache, base: Base, fetch: Fetch) -> Found:
    """`base` is for this machine. Fetches what the cache does not have."""
    if (total := sum(layer.size for layer in base.layers)) > MOST_BYTES:
        raise UsageError(f"--base {base.name} has {total / 1e9:.1f} GB of layers, which would have to be downloaded to look at its Python")
    libc, closed = "", ""
    with cache.folder() as scratch:
        paths = [await _have(cache, layer, fetch, scratch) for layer in base.layers]

        def fill(root: Path) -> Tree:
            nonlocal libc, closed
            tree = Tree(root)
            with ExitStack() as stack:
                for layer, path in zip(base.layers, paths, strict=True):
                    tree.add(stack.enter_context(_plain(layer, path)))
            libc = libc_of(tree, base.platform.machine)
            program = rootfs.find(tree, environment(base.config))
            closed = tree.closed_to_others(program) if program else ""
            return tree

        try:
            python = await rootfs.make(cache, rootfs.name(base.digest), fill, base.platform.machine, environment(base.config))
        except BuildError as error:
            return Found(None, libc, error.detail)
    if closed:
        raise UsageError(f"--base {base.name}: only root may read {closed}, and functions do not run as root")
    return Found(python, libc)


def libc_of(tree: Tree, machine: str) -> str:
    """`glibc 2.36`, `musl 1.2` or nothing."""
    if loader := tree.find(f"lib/ld-musl-{machine}.so.1"):
        match = re.search(rb"\0(1\.\d+)\.\d+\0", _begin(loader))
        return f"musl {match[1].decode()}" if match else "musl 1.2"
    for folder in _LIBC_FOLDERS:
        if (found := tree.find(f"{folder.format(machine)}/libc.so.6")) and (match := _GLIBC.search(_begin(found))):
            return f"glibc {match[1].decode()}"
    return ""


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LIBC_BYTES)


async def _have(cache: Cache, layer: Layer, fetch: Fetch, scratch: Path) -> Path:
    """Where a layer's bytes lie: in the cache, or fetched for now."""
    blob = cache.blob(layer.digest)
    if blob.is_file() and files.sha256(blob) == layer.digest:
        return blob
    path = scratch / layer.digest.removeprefix("sha256:")
    if not path.is_file():
        await fetch(layer, path)
    return path


def _plain(layer: Layer, path: Path) -> BinaryIO:
    """The layer's tar."""
    if layer.media_type == LAYER_GZIP:
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if layer.media_type == LAYER_ZSTD:
        try:
            zstandard: Any = importlib.import_module("zstandard")
        except ImportError:
            raise ToolMissing("a base with layers in zstd needs the package zstandard: pip install 'kfn[zstd]'") from None
        opened: BinaryIO = zstandard.open(path, "rb")
        return opened
    return path.open("rb")
