"""Layers that other machines made, in a repository of a registry: one small manifest for each key, under a tag made of it.

A hit costs a GET of that manifest and a HEAD of the blob, which registries may have collected. No bytes move: the layer's `origin`
names the repository, out of which a push mounts it. Its bytes come only to who needs them here, checked against digest and diff id.
The whole key stands in the manifest and is compared. Whoever may write to the repository can put code into every function that reads it:
builds read, and write only when asked. An error never fails a build; it is told once, and the rest goes on without.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import anyio

from builder import oci
from builder.cache import Cache, Cached, key
from builder.caching.forms import Form
from builder.errors import BuildError, ImageMissing
from builder.oci import Blob, Content, Layer
from builder.registry.client import Registries
from builder.registry.reference import ImageRef

TYPE = "application/vnd.dev.kfn.cache.v1+json"
KEY, FORM, DIFF_ID, FACTS = "dev.kfn.cache.key", "dev.kfn.cache.form", "dev.kfn.cache.diff-id", "dev.kfn.cache.facts"
MOST = 1_000_000  # bytes of facts; a manifest may have 4 MB
PARALLEL = 8
KINDS = ("base", "runtime", "deps")  # a source layer is made faster than it is asked for
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = 40  # signs of the key in a tag


@dataclass(frozen=True, slots=True)
class Entry:
    """`layer` is None for a key that only has facts."""

    key: str
    layer: Layer | None
    facts: Mapping[str, Any]


class Shared:
    """An async context manager for one build. `warnings` are known at its end."""

    def __init__(self, repository: ImageRef, form: Form, registries: Registries, *, plain: bool = False) -> None:
        """`plain`: every layer that is found is needed here as a plain tar, for the image goes nowhere else."""
        self.repository, self.form, self.plain = repository.bare, form, plain
        self.warnings: list[str] = []
        self._registries, self._stack = registries, AsyncExitStack()
        self._limiter = anyio.CapacityLimiter(PARALLEL)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._registries)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    async def look(self, cache: Cache, keys: Sequence[str]) -> None:
        """Put into `cache` what it lacks of these keys, and of the layers that they list."""
        found = await self._read(key for key in keys if cache.get(key) is None and not cache.facts(key))
        lists: dict[str, Mapping[str, Any]] = {name: entry.facts for name, entry in found.items() if entry.layer is None}
        lists |= {key: known for key in keys if (known := cache.facts(key)) and "layers" in known}
        parts = [str(name) for facts in lists.values() for name in facts.get("layers", ()) if cache.get(str(name)) is None]
        found |= await self._read(parts)
        for name, entry in found.items():
            if entry.layer:
                cached = Cached(entry.layer, dict(entry.facts))
                if not self.plain:
                    cache.elsewhere[name] = cached
                elif not await self.bring(cache, name, cached):
                    return
        for name, facts in lists.items():
            if all(cache.get(str(part)) for part in facts.get("layers", ())):
                cache.told[name] = dict(facts)

    async def _read(self, keys: Iterable[str]) -> dict[str, Entry]:
        """What is there of these keys, each layer with its blob."""
        found: dict[str, Entry] = {}

        async def one(name: str) -> None:
            async with self._limiter:
                if not self.warnings and (entry := await self._entry(name)):
                    found[name] = entry

        async with anyio.create_task_group() as tasks:
            for name in dict.fromkeys(keys):
                tasks.start_soon(one, name)
        return found

    async def bring(self, cache: Cache, name: str, found: Cached) -> Cached | None:
        """Download a layer and keep it under its key as the plain tar that it is, and in the form that it came in."""
        layer = found.layer
        try:
            if not cache.blob(layer.digest).is_file():
                blob = Blob(layer.digest, layer.size, layer.media_type, origin=layer.origin)
                await self._registries.download(self.repository, blob, cache.blob(layer.digest))
            plain = await anyio.to_thread.run_sync(self.form.unpack, cache, name, replace(layer, origin=""), found.facts)
        except BuildError as error:
            self._tell(error)
            return None
        return plain

    async def write(self, cache: Cache, pushed: Mapping[str, str]) -> int:
        """Add what this build made or used and the repository lacks; returns how many entries. `pushed` says into which repository a blob
        went just now, out of which it is mounted."""
        entries: list[tuple[Entry, Blob | None]] = [(Entry(name, None, facts), None) for name, facts in cache.wholes.items()]
        for name, used in list(cache.used.items()):
            plain = used.layer.kind in KINDS and used.layer.media_type == oci.LAYER_TAR
            packed = self.form.known(cache, used.layer) if plain else None
            if packed:
                place, origin = cache.blob(packed.digest), pushed.get(packed.digest, "")
                blob = Blob(packed.digest, packed.size, packed.media_type, path=place, origin=origin)
                entries.append((Entry(name, packed, used.facts), blob))
        done = 0

        async def one(entry: Entry, blob: Blob | None) -> None:
            nonlocal done
            async with self._limiter:
                if not self.warnings:
                    done += await self._put(entry, blob)

        async with anyio.create_task_group() as tasks:
            for entry, content in entries:
                tasks.start_soon(one, entry, content)
        return done

    def tag(self, name: str) -> str:
        """Of a key, in this form: the same tar compressed by another library has other bytes."""
        return f"deps-{key('shared', name, self.form.name)[:_TAG]}"

    async def _entry(self, name: str) -> Entry | None:
        try:
            manifest = await self._registries.manifest(self.repository.tagged(self.tag(name)))
            entry = self._parsed(name, manifest)
            if entry and entry.layer and not await self._registries.has_blob(self.repository, entry.layer.digest):
                return None
        except ImageMissing:
            return None
        except BuildError as error:
            self._tell(error)
            return None
        return entry

    def _parsed(self, name: str, manifest: Content) -> Entry | None:
        """None for what is of another key or form, or is no entry: a tag is only part of a key."""
        notes = manifest.annotations
        if notes.get(KEY) != name or notes.get(FORM) != self.form.name or manifest.artifact_type != TYPE:
            return None
        try:
            facts = json.loads(notes[FACTS])
            blobs = [blob for blob in manifest.blobs if blob.media_type != oci.EMPTY_TYPE]
            diff_id, kind = notes.get(DIFF_ID, ""), notes.get(oci.LAYER_KIND, "")
            if not blobs:
                return Entry(name, None, dict(facts))
            (blob,) = blobs
            if not _DIGEST.fullmatch(diff_id) or not kind or blob.media_type != self.form.media_type:
                return None
            layer = Layer(blob.digest, diff_id, blob.size, blob.media_type, kind, self.repository.name)
            return Entry(name, layer, dict(facts))
        except (ValueError, TypeError, KeyError):
            return None

    async def _put(self, entry: Entry, blob: Blob | None) -> bool:
        facts = json.dumps(entry.facts, sort_keys=True)
        if len(facts) > MOST:
            return False
        notes = {KEY: entry.key, FORM: self.form.name, FACTS: facts}
        if entry.layer:
            notes |= {DIFF_ID: entry.layer.diff_id, oci.LAYER_KIND: entry.layer.kind}
        manifest = oci.artifact(TYPE, None, (blob,) if blob else (oci.EMPTY,), notes)
        ref = self.repository.tagged(self.tag(entry.key))
        try:
            if await self._registries.has_manifest(ref):
                return False
            for one in manifest.blobs:
                await self._registries.push_blob(ref, one)
            await self._registries.put_manifest(ref, manifest)
        except BuildError as error:
            self._tell(error)
            return False
        return True

    def _tell(self, error: BuildError) -> None:
        if not self.warnings:
            self.warnings.append(f"--registry-cache {self.repository}: {error}. The build goes on without it")
