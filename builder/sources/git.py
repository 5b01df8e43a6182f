"""A git URL to a folder of files and the commit they are of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.options import BuildOptions
from builder.sources.giturl import GitUrl
from builder.sources.origin import Origin


@dataclass(frozen=True, slots=True)
class Checkout:
    """`path` is the folder that was asked for, with nothing of git's own in it."""

    path: Path
    origin: Origin
    warnings: tuple[str, ...] = ()


@asynccontextmanager
async def checkout(url: GitUrl, options: BuildOptions) -> AsyncIterator[Checkout]:
    """The repository's files at its ref, in a folder that is gone afterwards. Raises GitError, GitRefused, GitUnreachable."""
    raise NotImplementedError
    yield Checkout(Path(), Origin())
