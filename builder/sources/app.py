"""A source where it can be read: a folder that is here, or the files of a git URL for as long as the build takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from builder.options import BuildOptions, BuildResult
from builder.sources import local
from builder.sources.git import Checkout, checkout
from builder.sources.giturl import GitUrl


@asynccontextmanager
async def opened(source: Path | GitUrl, options: BuildOptions) -> AsyncIterator[Checkout]:
    """Raises what `sources/git.py` raises."""
    if isinstance(source, GitUrl):
        async with checkout(source, options) as found:
            yield replace(found, fetched=True)
    else:
        yield Checkout(source, await local.find(source, options.cache), fetched=options.foreign)


def locks(folder: Path) -> dict[str, bytes]:
    """What pins versions in a fetched source. A build may make such a file anew; from a git URL it goes with the folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.lock")) if path.is_file() and not path.is_symlink()}


def told(result: BuildResult, source: GitUrl, before: dict[str, bytes]) -> BuildResult:
    """With a warning for each lock that this build made and nobody can keep."""
    made = [name for name, text in locks(result.project.path).items() if before.get(name) != text]
    if not made:
        return result
    why = (
        f"{', '.join(made)} made for this build alone cannot be kept, so the next one may choose other versions; commit a lock to {source}"
    )
    return replace(result, warnings=(*result.warnings, why))
