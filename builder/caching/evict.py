"""Which entries of the cache go, so that it stays within its size: those that were not used for longest. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOM = 0.9  # of the size: what is made room for, so that not every build has to


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob or an unpacked folder. `used` is when it was last, in seconds of the wall clock."""

    kind: str
    path: Path
    size: int
    used: float


def plan(entries: Iterable[Entry], most: int, now: float, grace: float) -> tuple[Entry, ...]:
    """What to remove. Nothing that was used in the last `grace` seconds, whatever the size: somebody may be using it."""
    by_age = sorted(entries, key=lambda one: (one.used, one.path))
    total = sum(one.size for one in by_age)
    if total <= most:
        return ()
    gone = []
    for one in by_age:
        if total <= most * ROOM or one.used > now - grace:
            break
        gone.append(one)
        total -= one.size
    return tuple(gone)
