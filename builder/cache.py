"""Layers made before: `blobs/sha256/<digest>` and `keys/<key>.json`, which says what a key made. Shared by every build of this user.

An entry appears by rename, after its blob. A blob is checked against its digest when it leaves for a store; a wrong one is dropped
and made again. Keys hold everything the bytes depend on; who calls makes them.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import anyio

from builder import files, tar
from builder.errors import Busy, StoreError
from builder.oci import LAYER_TAR, Layer
from builder.store import ImageStore

_POLL = 0.02


@dataclass(frozen=True, slots=True)
class Cached:
    """A layer, and `facts`: what else was learnt when it was made (JSON)."""

    layer: Layer
    facts: dict[str, Any]


def key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _sum(facts: object) -> str:
    """Kept beside facts: they become an image's config, and one changed byte of them would go into it without a word."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Second(Protocol):
    """A second level (`caching/shared.py`)."""

    async def look(self, cache: "Cache", keys: Sequence[str]) -> None: ...

    async def bring(self, cache: "Cache", name: str, found: Cached) -> Cached | None: ...


class Cache:
    """For one build. `read=False` (`--no-cache`) still writes.

    What this build met is kept: `named` for --explain, `used` and `wholes` for whoever shares it, `elsewhere` and `told` from the second
    level.
    """

    def __init__(self, path: Path, *, read: bool = True, second: Second | None = None) -> None:
        self.path, self.read, self.second = path, read, second
        self.named: dict[str, dict[str, Any]] = {}
        self.used: dict[str, Cached] = {}
        self.wholes: dict[str, dict[str, Any]] = {}  # facts that list the keys of layers
        self.elsewhere: dict[str, Cached] = {}
        self.told: dict[str, dict[str, Any]] = {}  # facts from the second level
        files.private(path)
        for name in ("blobs/sha256", "keys", "locks", "tmp"):
            (path / name).mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Cached | None:
        """What this key made, if its blob is there whole."""
        if key in self.elsewhere:
            return self.elsewhere[key]
        facts = self.facts(key)
        if facts is None or "layer" not in facts:
            return None
        layer = Layer(**facts.pop("layer"))
        try:
            blob = self.blob(layer.digest)
            whole = blob.stat().st_size == layer.size
            files.used(blob)
        except OSError:
            whole = False
        if not whole:
            return None
        self.used[key] = Cached(layer, facts)
        return self.used[key]

    async def look(self, *keys: str) -> None:
        """Ask the second level, if there is one, for what is not here: `get` and `facts` then know it. A key that lists the keys of
        layers is asked for with them. A layer from there may have only an `origin`, and its bytes are not here."""
        if self.second and self.read:
            await self.second.look(self, keys)

    async def plain(self, layers: Sequence[Layer]) -> tuple[Layer, ...]:
        """The same layers as plain tars whose bytes are here. Raises StoreError."""
        found = []
        for layer in layers:
            if layer.origin and (name := next((name for name, one in self.elsewhere.items() if one.layer == layer), "")) and self.second:
                brought = await self.second.bring(self, name, self.elsewhere[name])
                if brought is None:
                    raise StoreError(f"a layer could not be had from {layer.origin}; build again")
                layer = brought.layer
            found.append(layer)
        return tuple(found)

    def note(self, layer: str, **parts: Any) -> None:
        """What a layer depends on, for `kfn build --explain`; a mapping is compared entry by entry."""
        self.named[layer] = parts

    def facts(self, key: str) -> dict[str, Any] | None:
        if not self.read:
            return None
        try:
            path = self.path / "keys" / f"{key}.json"
            found = json.loads(path.read_bytes())
            files.used(path)
            facts = dict(found["facts"]) if found["key"] == key and found["sum"] == _sum(found["facts"]) else None
        except (OSError, ValueError, TypeError, KeyError):
            facts = None
        if facts is None:
            return self.told.get(key)
        if "layers" in facts:
            self.wholes[key] = facts
        return facts

    def remember(self, key: str, facts: dict[str, Any]) -> None:
        if "layers" in facts:
            self.wholes[key] = facts
        # Not flushed to disk: a build writes dozens, `facts` takes a cut one for none, and the blob that it names was flushed before.
        text = json.dumps({"key": key, "facts": facts, "sum": _sum(facts)}, sort_keys=True)
        files.write(self.path / "keys" / f"{key}.json", text.encode(), lasting=False)

    def add(self, key: str, kind: str, members: Iterable[tar.Member], facts: dict[str, Any]) -> Cached:
        """Make a layer of these files and remember it under `key`."""

        def write(file: BinaryIO) -> Layer:
            digest, size = tar.write_tar(file, members)
            return Layer(digest, digest, size, LAYER_TAR, kind)

        return self.make(key, write, facts)

    def make(self, key: str, write: Callable[[BinaryIO], Layer], facts: dict[str, Any]) -> Cached:
        """Keep what `write` writes as the blob of the layer that it returns, and remember it under `key`."""
        temp = self.path / "blobs" / "sha256" / f"{files.TEMP_PREFIX}{os.getpid()}-{key[:16]}-{os.urandom(4).hex()}"
        try:
            with files.writing(temp) as file:
                layer = write(file)
            temp.replace(self.blob(layer.digest))
        finally:
            temp.unlink(missing_ok=True)
        return self.keep(key, layer, facts)

    def keep(self, key: str, layer: Layer, facts: dict[str, Any]) -> Cached:
        """Remember a layer whose blob is here under `key`."""
        self.remember(key, {**facts, "layer": asdict(layer)})
        self.used[key] = Cached(layer, facts)
        return self.used[key]

    def give(self, layer: Layer, store: ImageStore) -> bool:
        """Put a layer's blob into a store. False if it was corrupt here: then it is gone, and has to be made again."""
        if store.has(layer.digest) and store.blob_path(layer.digest).stat().st_size == layer.size:
            return True
        blob = self.blob(layer.digest)
        try:
            if files.sha256(blob) == layer.digest:
                store.put_file(blob, layer.digest)
                return True
        except FileNotFoundError:
            return False
        blob.unlink(missing_ok=True)
        return False

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A scratch folder on the cache's file system, gone afterwards."""
        files.sweep(self.path / "tmp")
        with ExitStack() as stack:
            try:
                made = stack.enter_context(files.scratch(self.path / "tmp"))
            except OSError as error:
                raise files.disk_full(error, self.path) or error from error
            yield made

    @asynccontextmanager
    async def making(self, key: str, timeout: float) -> AsyncIterator[None]:
        """Let one build at a time make what `key` names; the others wait and then find it made. The lock dies with its process."""
        fd = os.open(self.path / "locks" / key[:2], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = anyio.current_time() + timeout
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if anyio.current_time() > deadline:
                        raise Busy(f"another build has been making the same layer for {timeout:g} s") from None
                    await anyio.sleep(_POLL)
            yield
        finally:
            os.close(fd)

    def blob(self, digest: str) -> Path:
        """Where a blob lies, whether or not it is there."""
        return self.path / "blobs" / "sha256" / digest.removeprefix("sha256:")
