"""Debian's packages for a root file system: choose them, fetch them. Read this first.

sources -> signed Release of each suite -> its index -> closure of dependencies -> selection (or a lock instead of all that) -> .debs in
the cache, each with the hash that the signed index or the lock names. Nothing is unpacked or run here: `deb.py` reads a package,
`builder/base` composes what it yields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.debian.model import Package, Selection, Wanted
from builder.debian.sources import Mirrors


@dataclass(frozen=True, slots=True)
class Fetched:
    """A package whose .deb lies at `path`, verified. The file is the cache's: read it, never change it."""

    package: Package
    path: Path


class Debian:
    """Use as an async context manager; it holds the connections. Safe beside other builds with the same cache.

        async with Debian(options.cache, mirrors, offline=options.offline) as debian:
            selection = await debian.select(Wanted("trixie", "amd64", ("python3.13", "ca-certificates")))
            for fetched in await debian.fetch(selection.packages): ...

    `mirrors` is None for those of the environment and the machine's apt configuration (`sources.find`), looked up when first needed.
    """

    def __init__(self, cache: Path, mirrors: Mirrors | None = None, *, offline: bool = False) -> None:
        self.cache, self.offline = cache, offline
        self._mirrors = mirrors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    async def select(self, wanted: Wanted) -> Selection:
        """The newest versions in the suite, its updates and its security updates. Raises an error of `builder.errors`."""
        raise NotImplementedError

    async def fetch(self, packages: Sequence[Package]) -> tuple[Fetched, ...]:
        """The .debs of a selection or of a lock, in the same order. What the cache has is not asked for again."""
        raise NotImplementedError

    async def versions(self, suite: str, architecture: str, names: Sequence[str]) -> Mapping[str, str]:
        """The newest version of each of these packages that the suite has; a name that it does not have is missing."""
        raise NotImplementedError
