"""Which lock files say what a base is made of, and making newer ones. A lock file holds several locks, one for each architecture.

    kfn-base.lock beside func.yaml   the project's own; written when `kfn: {packages: ...}` first asks for more than a base has
    $XDG_CONFIG_HOME/kfn/base/       this user's, by `kfn base update`; used until kfn comes with newer ones
    CACHE/bases/                     made when the mirror no longer had what kfn came with; only for that version of kfn's lock
    builder/base/locks/              what kfn came with

A project's lock comes first. Without one, the same kfn makes the same base everywhere as long as a mirror or the cache has the packages.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import files
from builder.base.recipes import Recipe
from builder.debian import lock as lockfile
from builder.debian.app import Debian
from builder.debian.lock import FORMAT, Lock
from builder.debian.model import Wanted
from builder.errors import BaseLockInvalid

PROJECT = "kfn-base.lock"
SHIPPED = Path(__file__).with_name("locks")
ARCHITECTURES = ("amd64", "arm64")
MOST = 4_000_000  # bytes of a lock file
_BEGIN = f"# {FORMAT}\n"  # of each lock in it


@dataclass(frozen=True, slots=True)
class Chosen:
    """The locks by architecture, and the file that they came from."""

    locks: Mapping[str, Lock]
    file: Path


def user_file(recipe: Recipe) -> Path:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "kfn" / "base" / f"{recipe.name}.lock"


def shipped_file(recipe: Recipe) -> Path:
    return SHIPPED / f"{recipe.name}.lock"


def instead_file(recipe: Recipe, cache: Path) -> Path:
    """What stands in for a shipped lock whose packages the mirror no longer has."""
    shipped = shipped_file(recipe)
    seen = hashlib.sha256(shipped.read_bytes()).hexdigest()[:16] if shipped.is_file() else "none"
    return cache / "bases" / f"{recipe.name}-{seen}.lock"


def roots(recipe: Recipe, extra: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*recipe.packages, *extra}))


def choose(recipe: Recipe, extra: Sequence[str], architectures: Iterable[str], project: Path | None, cache: Path) -> Chosen | None:
    """The lock that holds. None if there is none for these packages."""
    wanted, needed = roots(recipe, extra), tuple(architectures)
    candidates = [project / PROJECT] if project else []
    found = [Chosen(locks, file) for file in candidates if (locks := _fitting(file, recipe, wanted, needed))]
    if found:
        return found[0]
    own = _fitting(user_file(recipe), recipe, wanted, needed)
    shipped = _fitting(shipped_file(recipe), recipe, wanted, needed)
    if own and (not shipped or _date(own) >= _date(shipped)):
        return Chosen(own, user_file(recipe))
    if instead := _fitting(instead_file(recipe, cache), recipe, wanted, needed):
        return Chosen(instead, instead_file(recipe, cache))
    return Chosen(shipped, shipped_file(recipe)) if shipped else None


def own_packages(recipe: Recipe, chosen: Mapping[str, Lock], extra: Sequence[str]) -> frozenset[str]:
    """The names of the base's packages without extra ones, which decides what goes into which layer."""
    plain = read(shipped_file(recipe))
    names = {p.name for lock in plain if lock.roots == roots(recipe, ()) for p in lock.packages}
    if not extra or not names:
        names = {p.name for lock in chosen.values() for p in lock.packages}
    return frozenset(names | set(recipe.packages))


async def newest(debian: Debian, recipe: Recipe, extra: Sequence[str], architectures: Iterable[str]) -> dict[str, Lock]:
    """The newest signed versions, for every architecture."""
    found = {}
    for architecture in architectures:
        selection = await debian.select(Wanted(recipe.suite, architecture, roots(recipe, extra)))
        found[architecture] = lockfile.of(selection)
    return found


def read(file: Path) -> tuple[Lock, ...]:
    """Raises BaseLockInvalid."""
    try:
        if file.stat().st_size > MOST:
            raise BaseLockInvalid(f"{file} is larger than {MOST // 10**6} MB")
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError:
        raise BaseLockInvalid(f"{file} is not UTF-8 text") from None
    begin, *parts = text.split(_BEGIN)
    if begin.strip() or not parts:
        raise BaseLockInvalid(f"{file} does not begin with {_BEGIN.strip()!r}; remove it, `kfn base update` makes it anew")
    return tuple(lockfile.parse(_BEGIN + part, str(file)) for part in parts)


def write(file: Path, locks: Iterable[Lock], *, keep: bool) -> None:
    """Whole or not at all. `keep` the file's other locks."""
    fresh = {(one.suite, one.roots, one.architecture): one for one in locks}
    there = {(one.suite, one.roots, one.architecture): one for one in read(file)} if keep else {}
    everything = {**there, **fresh}
    files.write(file, "".join(lockfile.text(everything[name]) for name in sorted(everything)).encode())


def _fitting(file: Path, recipe: Recipe, wanted: tuple[str, ...], needed: Sequence[str]) -> dict[str, Lock] | None:
    fits = {lock.architecture: lock for lock in read(file) if lock.suite == recipe.suite and lock.roots == wanted}
    return {name: fits[name] for name in needed} if fits.keys() >= set(needed) else None


def _date(locks: Mapping[str, Lock]) -> str:
    """Of the newest of its suites."""
    return max((snapshot.date for lock in locks.values() for snapshot in lock.snapshots), default="")
