"""Debian's packages for a root file system: choose them, fetch them. Read this first.

sources -> signed Release of each suite -> its index -> closure of dependencies -> selection (or a lock instead of all that) -> .debs in
the cache, each with the hash that the signed index or the lock names. Nothing is unpacked or run here: `deb.py` reads a package,
`builder/base` composes what it yields.

What chooses and what fetches is imported by the methods that need it: with a warm cache a build needs neither, and they cost it 30 ms.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from builder import files
from builder.cache import Cache
from builder.debian.model import Origin, Package, Selection, Snapshot, Wanted
from builder.errors import ArchiveRefused, PackageUnresolvable
from builder.together import each
from kfn.clock import utcnow

if TYPE_CHECKING:
    from builder.debian.download import Downloads
    from builder.debian.fetch import Fetched
    from builder.debian.index import Index
    from builder.debian.sources import Mirrors
    from builder.debian.suites import Suite


class Debian:
    """Use as an async context manager; it holds the connections. Safe beside other builds with the same cache.

        async with Debian(options.cache, mirrors, offline=options.offline) as debian:
            selection = await debian.select(Wanted("trixie", "amd64", ("python3.13", "ca-certificates")))
            for fetched in await debian.fetch(selection.packages): ...

    `mirrors` is None for those of the environment and the machine's apt configuration (`sources.find`), looked up when first needed.
    `now` gives the time in seconds since 1970.
    """

    def __init__(
        self,
        cache: Path,
        mirrors: "Mirrors | None" = None,
        *,
        offline: bool = False,
        now: Callable[[], float] = lambda: utcnow().timestamp(),
    ) -> None:
        self.cache, self.offline = Cache(cache), offline
        self._mirrors, self._now = mirrors, now
        self._downloads: Downloads | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._downloads:
            with anyio.CancelScope(shield=True):
                await self._downloads.close()

    async def select(self, wanted: Wanted) -> Selection:
        """The newest versions in the suite, its updates and its security updates. Raises an error of `builder.errors`."""
        from builder.debian.closure import closure
        from builder.debian.index import Joined
        from builder.debian.unpack import Damaged

        found, warnings, indices = await self._suites(wanted)
        offered = Joined(tuple(indices))
        try:
            chosen = await anyio.to_thread.run_sync(partial(closure, offered, wanted.packages, wanted.without, wanted.architecture))
        except Damaged as error:
            raise ArchiveRefused(f"{error}; remove that file and try again") from None
        where = f"in {wanted.suite} for {wanted.architecture}"
        if chosen.problems:
            raise PackageUnresolvable(f"{where}: {'; '.join(chosen.problems)}")
        if chosen.conflicts:
            raise PackageUnresolvable(f"{where}, not together: {'; '.join(chosen.conflicts)}")
        snapshots = tuple(Snapshot(suite.name, suite.release.rfc3339) for suite in found)
        roots = tuple(sorted(set(wanted.packages)))
        return Selection(wanted.suite, wanted.architecture, roots, chosen.packages, snapshots, chosen.left_out, warnings)

    async def fetch(self, packages: Sequence[Package]) -> "tuple[Fetched, ...]":
        """The .debs of a selection or of a lock, in the same order. What the cache has is not asked for again, and needs no mirror."""
        from builder.debian.fetch import fetch, missing

        lacking = await missing(self.cache, packages)
        mirrors = None if self.offline or not lacking else self._known()
        return await fetch(self.cache, packages, mirrors, self._online() if mirrors else None)

    async def versions(self, suite: str, architecture: str, names: Sequence[str]) -> Mapping[str, str]:
        """The newest version of each of these packages that the suite has; a name that it does not have is missing."""
        from builder.debian.closure import newest
        from builder.debian.index import Joined

        _, _, indices = await self._suites(Wanted(suite, architecture, tuple(names)))
        offered = Joined(tuple(indices))
        found = {name: newest(offered.versions(name)) for name in names}
        return {name: package.version for name, package in found.items() if package}

    def _known(self) -> "Mirrors":
        from builder.debian import sources

        if self._mirrors is None:
            self._mirrors = sources.find(os.environ)
        return self._mirrors

    def _online(self) -> "Downloads | None":
        from builder.debian.download import Downloads

        if self._downloads is None and not self.offline:
            self._downloads = Downloads(self._known().proxies)
        return self._downloads

    async def _suites(self, wanted: Wanted) -> "tuple[list[Suite], tuple[str, ...], list[Index]]":
        """All suites that hold for `wanted`, at once. Without the security updates nothing is chosen."""
        from builder.debian import keyring
        from builder.debian.download import shown
        from builder.debian.suites import Reader

        mirrors = self._known()
        folder = self.cache.path / "debian"
        files.sweep(folder / "partial")
        trusted = await anyio.to_thread.run_sync(keyring.trusted, mirrors.keyrings)
        reader = Reader(folder, self._online(), trusted, mirrors.allow_stale, self._now())
        names: dict[str, Origin] = {wanted.suite: "archive", f"{wanted.suite}-updates": "archive"}
        if mirrors.security:
            names[f"{wanted.suite}-security"] = "security"
        found: dict[str, tuple[Suite, list[Index]]] = {}

        async def one(name: str) -> None:
            origin = names[name]
            suite = await reader.suite(name, origin, mirrors.bases(origin))
            if suite:
                found[name] = suite, [i for c in wanted.components for i in await reader.indices(suite, c, wanted.architecture)]

        await each(one, names)
        warnings = []
        for name, origin in names.items():
            if name not in found:
                where = " nor at ".join(map(shown, mirrors.bases(origin)))
                if name != f"{wanted.suite}-updates":
                    raise ArchiveRefused(f"{name} is not at {where}; " + _missing(origin, mirrors.security_guessed))
                warnings.append(f"{name} is not at {where}; the packages are chosen without it")
        there = [found[name] for name in names if name in found]
        return [suite for suite, _ in there], tuple(warnings), [index for _, indices in there for index in indices]


def _missing(origin: Origin, guessed: bool) -> str:
    from builder.debian import sources

    if origin == "archive":
        return f"set {sources.MIRROR} to a mirror that has that suite"
    way = f"set {sources.SECURITY_MIRROR} to the address of Debian's security archive"
    return way + (f", or to {sources.NONE} to do without security updates" if guessed else "")
