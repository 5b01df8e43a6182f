"""The state of one suite: its Release file, fresh and verified, and its indices, downloaded once for each content.

What was verified before is kept and verified again when it is used, so that nothing in the cache has to be believed.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread

from builder import files
from builder.cache import key
from builder.debian import index, release, signature, unpack
from builder.debian.download import Downloads, Expected, shown
from builder.debian.index import Index
from builder.debian.model import Origin
from builder.debian.openpgp import Certificate
from builder.debian.release import File, Release, Unusable
from builder.debian.signature import Untrusted
from builder.debian.unpack import Damaged
from builder.errors import ArchiveRefused, MirrorUnreachable

UNUSED = 14 * 86400.0  # seconds after which an index is forgotten
MAX_RELEASE = 8_000_000  # bytes; trixie's has 140,000
MAX_PACKED, MAX_INDEX = 200_000_000, 1_000_000_000  # trixie's main has 10 and 57 million


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite as one mirror has it."""

    name: str
    origin: Origin
    base: str
    release: Release


@dataclass(frozen=True, slots=True)
class Reader:
    """`downloads` is None offline. `now` is in seconds since 1970."""

    folder: Path
    downloads: Downloads | None
    trusted: Sequence[Certificate]
    allow_stale: bool
    now: float

    async def suite(self, name: str, origin: Origin, bases: Sequence[str]) -> Suite | None:
        """The first mirror's that has it, or None if none of them does. One that gives something wrong ends the search."""
        down: MirrorUnreachable | None = None
        for base in bases:
            try:
                if found := await self._at(name, origin, base):
                    return found
            except MirrorUnreachable as error:
                down = error
        if down:
            raise down
        return None

    async def _at(self, name: str, origin: Origin, base: str) -> Suite | None:
        kept = self.folder / "releases" / f"{key(base, name)}.json"
        old = _load(kept)
        if self.downloads is None:
            if not old:
                raise MirrorUnreachable(f"the cache has no state of {name} at {shown(base)}, and --offline asks no mirror")
            return Suite(name, origin, base, self._checked(old, name, base))
        answer = await self.downloads.small(base, f"dists/{name}/InRelease", MAX_RELEASE, old.get("tag", ""))
        if answer is None:
            new = await self._detached(name, base)
        elif answer.fresh:
            new = {"inline": answer.data.decode("latin-1"), "tag": answer.tag}
        else:
            new = old
        if new is None:
            return None
        found = self._checked(new, name, base)
        if old and new is not old and (before := self._usable(old, name, base)) and before.date > found.date:
            return Suite(name, origin, base, before)  # an older state, however well signed, does not replace a newer one
        if new is not old:
            files.write(kept, json.dumps(new).encode())
        return Suite(name, origin, base, found)

    async def _detached(self, name: str, base: str) -> dict[str, str] | None:
        assert self.downloads
        text = await self.downloads.small(base, f"dists/{name}/Release", MAX_RELEASE)
        if text is None:
            return None
        armor = await self.downloads.small(base, f"dists/{name}/Release.gpg", MAX_RELEASE)
        if armor is None:
            raise ArchiveRefused(f"{shown(base)}/dists/{name}/Release is not signed: there is neither InRelease nor Release.gpg")
        return {"release": text.data.decode("latin-1"), "gpg": armor.data.decode("latin-1")}

    def _usable(self, kept: dict[str, str], name: str, base: str) -> Release | None:
        try:
            return self._checked(kept, name, base)
        except ArchiveRefused:
            return None

    def _checked(self, kept: dict[str, str], name: str, base: str) -> Release:
        data = {part: text.encode("latin-1") for part, text in kept.items()}
        try:
            if "inline" in data:
                signed = signature.inline(data["inline"], self.trusted, self.now)
            else:
                signed = signature.detached(data["release"], data["gpg"], self.trusted, self.now)
            found = release.parse(signed.text)
            release.check(found, name, self.now, allow_stale=self.allow_stale or self.downloads is None)
        except (Untrusted, Unusable) as error:
            raise ArchiveRefused(f"the Release file of {name} at {shown(base)}: {error}") from None
        return found

    async def indices(self, suite: Suite, component: str, architecture: str) -> list[Index]:
        try:
            listed = release.indices(suite.release, component, architecture)
        except Unusable as error:
            raise ArchiveRefused(f"the Release file of {suite.name} at {shown(suite.base)}: {error}") from None
        return [await self._index(suite, file) for file in listed]

    async def _index(self, suite: Suite, file: File) -> Index:
        path = self.folder / "indices" / f"{file.sha256}.{index.FORMAT}"
        try:
            found = await anyio.to_thread.run_sync(Index, path, suite.origin)
            os.utime(path)
            return found
        except (Damaged, FileNotFoundError):
            pass  # not there, or to be made again
        if self.downloads is None:
            raise MirrorUnreachable(f"the cache has no index of {suite.name}, and --offline asks no mirror")
        if file.size > MAX_PACKED:
            raise ArchiveRefused(f"{file.path} of {suite.name} has {file.size} bytes, more than an index may have ({MAX_PACKED})")
        packed = self.folder / "partial" / f"{files.TEMP_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"  # suites may share an index
        folder, _, _ = file.path.rpartition("/")
        paths = [f"{folder}/by-hash/SHA256/{file.sha256}"] * suite.release.by_hash + [file.path]
        urls = [f"{suite.base}/dists/{suite.name}/{one}" for one in paths]
        expected = Expected(f"{file.path} of {suite.name}", file.sha256, file.size)
        if not await self.downloads.file(urls, expected, self.folder / "partial" / file.sha256, packed):
            raise ArchiveRefused(f"{shown(suite.base)} does not have {file.path} of {suite.name}, which its Release file names")
        try:
            await anyio.to_thread.run_sync(partial(_write, path, packed, file))
            _forget(path.parent, self.now - UNUSED)
            return await anyio.to_thread.run_sync(Index, path, suite.origin)
        except Damaged as error:
            raise ArchiveRefused(f"{file.path} of {suite.name} at {shown(suite.base)}: {error}") from None
        finally:
            packed.unlink(missing_ok=True)


def _write(path: Path, packed: Path, file: File) -> None:
    method = {"xz": "xz", "gz": "gz"}.get(file.path.rpartition(".")[2], "")
    with packed.open("rb") as source:
        index.write(path, unpack.unpacked(unpack.reader(source, 0, file.size), file.size, method, MAX_INDEX))


def _forget(folder: Path, before: float) -> None:
    """Every update of a suite leaves an index behind: the old ones go when a new one comes."""
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < before:
                path.unlink()
        except OSError:
            continue  # another build was faster


def _load(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
        return {str(name): str(text) for name, text in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
