"""The .debs themselves: several at a time, into the cache under their hashes, read again before they are believed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread

from builder import files
from builder.cache import Cache
from builder.debian.download import Downloads, Expected, shown
from builder.debian.model import Package
from builder.debian.sources import Mirrors
from builder.errors import ArchiveRefused, MirrorUnreachable, PackageGone
from builder.together import each

MAX_DEB = 2_000_000_000  # bytes of one package
AT_ONCE = 8  # each holds a file open


@dataclass(frozen=True, slots=True)
class Fetched:
    """A package whose .deb lies at `path`, verified. The file is the cache's: read it, never change it."""

    package: Package
    path: Path


async def fetch(cache: Cache, packages: Sequence[Package], mirrors: Mirrors | None, downloads: Downloads | None) -> tuple[Fetched, ...]:
    """In the order of `packages`. Without `downloads` only from the cache."""
    await each(partial(_one, cache, mirrors, downloads), packages, AT_ONCE)
    return tuple(Fetched(package, cache.blob(package.digest)) for package in packages)


async def missing(cache: Cache, packages: Sequence[Package]) -> list[Package]:
    """Those that the cache does not have whole. A damaged file is removed."""
    whole = await anyio.to_thread.run_sync(lambda: [_whole(cache.blob(p.digest), p) for p in packages])
    return [package for package, there in zip(packages, whole, strict=True) if not there]


async def _one(cache: Cache, mirrors: Mirrors | None, downloads: Downloads | None, package: Package) -> None:
    if not await missing(cache, [package]):
        return
    what = f"{package.name} {package.version}"
    if downloads is None or mirrors is None:
        raise MirrorUnreachable(f"{what} is not in the cache, and --offline asks no mirror; run once without it")
    if package.size > MAX_DEB:
        raise ArchiveRefused(f"{what} has {package.size} bytes, which is more than a package may have ({MAX_DEB})")
    first, second = ("security", "archive") if package.origin == "security" else ("archive", "security")  # a point release moves files
    bases = tuple(dict.fromkeys((*mirrors.bases(first), *mirrors.bases(second))))
    urls = [f"{base}/{package.path}" for base in bases]
    expected = Expected(f"{package.name} {package.version}", package.sha256, package.size)
    if not await downloads.file(urls, expected, cache.path / "debian" / "partial" / package.sha256, cache.blob(package.digest)):
        raise PackageGone(
            f"{what} ({package.architecture}) is not at {' nor at '.join(map(shown, bases))}: Debian's mirrors keep only current versions. "
            "Make the lock anew, or give in KFN_DEBIAN_MIRROR a mirror of the lock's date, such as Debian's snapshot archive"
        )


def _whole(path: Path, package: Package) -> bool:
    try:
        if path.stat().st_size == package.size:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == package.sha256:
                    files.used(path)
                    return True
        path.unlink()
    except FileNotFoundError:
        pass
    return False
