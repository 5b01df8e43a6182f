"""What a Release file says about a suite: which it is, of when, and the hashes of its indices. Pure.

Whether it may be believed is up to `signature.py`; this refuses what is signed but not what was asked for: another suite, an old state.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from builder.debian import control

SKEW = 3600  # seconds that a Release may come from the future
_HASH = re.compile(r"[0-9a-f]{64}")


class Unusable(ValueError):
    """Why a Release file cannot be used."""


@dataclass(frozen=True, slots=True)
class File:
    """An index as a Release names it, `path` below the suite's folder."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Release:
    names: frozenset[str]  # codename and suite: trixie, stable
    date: float  # seconds since 1970
    valid_until: float | None
    by_hash: bool
    all_apart: bool  # packages for every architecture have an index of their own
    architectures: frozenset[str]
    files: Mapping[str, File]

    @property
    def rfc3339(self) -> str:
        return datetime.fromtimestamp(self.date, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> Release:
    """Raises Unusable."""
    fields = next(control.stanzas(text), {})
    files = {}
    for line in fields.get("SHA256", "").split("\n"):
        match line.split():
            case [sha256, size, path] if _HASH.fullmatch(sha256) and size.isdigit():
                files[path] = File(path, sha256, int(size))
            case [_, *_]:
                raise Unusable(f"its line {line[:80]!r} is damaged")
    if not files:
        raise Unusable("it has no SHA256 hashes")
    until = fields.get("Valid-Until")
    return Release(
        names=frozenset(fields[name] for name in ("Codename", "Suite") if fields.get(name)),
        date=_time(fields.get("Date", ""), "Date"),
        valid_until=_time(until, "Valid-Until") if until else None,
        by_hash=fields.get("Acquire-By-Hash", "").lower() == "yes",
        all_apart="Packages" not in fields.get("No-Support-for-Architecture-all", "").split(),
        architectures=frozenset(fields.get("Architectures", "").split()),
        files=files,
    )


def check(release: Release, suite: str, now: float, *, allow_stale: bool) -> None:
    """That it is `suite`'s and of these days. Raises Unusable."""
    if suite not in release.names:
        raise Unusable(f"it is that of {' or '.join(sorted(release.names)) or 'a suite without a name'}, not of {suite}")
    if release.date > now + SKEW:
        hours = (release.date - now) / 3600
        raise Unusable(f"it is of {release.rfc3339}, {hours:.1f} hours in the future by this machine's clock ({_show(now)}); set the clock")
    if not allow_stale and release.valid_until is not None and release.valid_until < now:
        raise Unusable(
            f"it was valid until {_show(release.valid_until)} and this machine's clock says {_show(now)}: the mirror is out of date or the "
            "clock is wrong; for a mirror of some day in the past set KFN_DEBIAN_ALLOW_STALE=1"
        )


def indices(release: Release, component: str, architecture: str) -> list[File]:
    """The package indices to read, each in the smallest form that there is. Raises Unusable if there is none."""
    if architecture not in release.architectures:
        raise Unusable(f"it has nothing for {architecture}, only {', '.join(sorted(release.architectures)) or 'nothing at all'}")
    wanted = [architecture, *(["all"] if release.all_apart and "all" in release.architectures else [])]
    found = [_smallest(release, f"{component}/binary-{one}/Packages") for one in wanted]
    if found[0] is None:
        raise Unusable(f"it has no index of {component} for {architecture}")
    return [one for one in found if one]


def _smallest(release: Release, path: str) -> File | None:
    return next((release.files[path + suffix] for suffix in (".xz", ".gz", "") if path + suffix in release.files), None)


def _time(text: str, what: str) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        raise Unusable(f"its {what} is {text[:60]!r}, which is no time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _show(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
