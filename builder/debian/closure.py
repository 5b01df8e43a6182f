"""Which packages a root file system needs: the closure of Depends and Pre-Depends. Pure.

Every name has one candidate, its newest version. The first alternative that can be had is taken, but for one that is chosen already:
Debian's own order of preference, without a search, which would only find sets that Debian did not mean.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Protocol

from builder.debian.model import Package, by_name
from builder.debian.relations import Term, Unreadable, groups
from builder.debian.version import key, satisfies

_PRIORITY = {"required": 0, "important": 1, "standard": 2}
_MOST = 5_000  # packages in a closure; a desktop has 2,000


class Universe(Protocol):
    """What an archive offers to one architecture."""

    def versions(self, name: str) -> Sequence[Package]:
        """All versions of the package of this name, of all suites."""

    def providers(self, name: str) -> Sequence[Package]:
        """Packages whose Provides has `name`."""

    def names(self, start: str) -> Iterable[str]:
        """Names of packages that start so."""


@dataclass(frozen=True, slots=True)
class Closure:
    """`left_out` has names of the deny list with who asked. `conflicts` say which two chosen packages exclude each other."""

    packages: tuple[Package, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()  # what cannot be had, with who asked for it and near names
    conflicts: tuple[str, ...] = ()


def closure(universe: Universe, roots: Sequence[str], without: frozenset[str], architecture: str) -> Closure:
    """`roots` may be relations (`nodejs (>= 20)`). Everything that cannot be had is listed, not the first one only."""
    walk = _Walk(universe, without - {term.name for root in roots for term in _terms(root)}, architecture)
    for root in sorted(set(roots)):
        walk.need(root, "asked for by name")
    while walk.queue and len(walk.chosen) <= _MOST:
        package = walk.queue.popleft()
        for text in (package.pre_depends, package.depends):
            walk.need(text, f"needed by {package.name} {package.version}")
    if len(walk.chosen) > _MOST:
        walk.problems.append(f"more than {_MOST} packages would be needed")
    packages = by_name(tuple(walk.chosen.values()))
    return Closure(packages, tuple(sorted(walk.left_out.items())), tuple(walk.problems), _conflicts(packages, architecture))


def newest(packages: Iterable[Package]) -> Package | None:
    """The one with the highest version; of equal ones the archive's, so that the answer does not depend on the order of suites."""
    return max(packages, key=lambda package: (key(package.version), package.origin == "archive", package.sha256), default=None)


def _terms(text: str) -> tuple[Term, ...]:
    try:
        return tuple(term for group in groups(text) for term in group)
    except Unreadable:
        return ()


@dataclass(slots=True)
class _Walk:
    universe: Universe
    without: frozenset[str]
    architecture: str
    chosen: dict[str, Package] = field(default_factory=dict)
    queue: deque[Package] = field(default_factory=deque)
    left_out: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def need(self, text: str, who: str) -> None:
        try:
            needed = groups(text)
        except Unreadable as error:
            self.problems.append(f"{error}, {who}")
            return
        for alternatives in needed:
            self._one_of(alternatives, who)

    def _one_of(self, alternatives: tuple[Term, ...], who: str) -> None:
        found = [(term, self._candidates(term)) for term in alternatives]
        if any(package.name in self.chosen for _, packages in found for package in packages):
            return
        for term, packages in found:
            if term.name in self.without or (packages and packages[0].name in self.without):
                self.left_out.setdefault(term.name, who)
                return
            if packages:
                self.chosen[packages[0].name] = packages[0]
                self.queue.append(packages[0])
                return
        self.problems.append(f"{' | '.join(map(str, alternatives))}, {who}: {self._why(alternatives)}")

    def _candidates(self, term: Term) -> list[Package]:
        """Those that satisfy `term`, the best first: the package of that name, then who provides it."""
        if term.qualifier not in ("", "any", "native", self.architecture):
            return []
        real = self._newest(term.name)
        found = [real] if real and matches(term, real.version) else []
        provided = [p for p in self.universe.providers(term.name) if p.name != term.name and p == self._newest(p.name)]
        provided = [p for p in provided if any(matches(term, version) for version in offers(p, term.name))]
        return found + sorted(provided, key=lambda p: (p.name not in self.chosen, _PRIORITY.get(p.priority, 3), p.name))

    def _newest(self, name: str) -> Package | None:
        return newest(self.universe.versions(name))

    def _why(self, alternatives: tuple[Term, ...]) -> str:
        term = alternatives[0]
        if real := self._newest(term.name):
            return f"there is {real.name} {real.version}"
        near = near_names(self.universe, term.name)
        return "there is no such package" + (f"; near names are {', '.join(near)}" if near else "")


def matches(term: Term, version: str) -> bool:
    """A Provides without a version satisfies only relations without one."""
    return not term.relation or (version != "" and satisfies(version, term.relation, term.version))


def offers(package: Package, name: str) -> list[str]:
    """The versions of `name` that `package` provides; empty text for one without."""
    return [term.version for term in _terms(package.provides) if term.name == name]


def near_names(universe: Universe, name: str, most: int = 3) -> list[str]:
    """Names like `name`, of those that start alike: comparing with all 60,000 would take seconds."""
    start = name[:4] if name.startswith("lib") or len(name) > 5 else name[:2]
    ratios = ((SequenceMatcher(None, name, other).ratio(), other) for other in universe.names(start))
    return [other for ratio, other in sorted(ratios, key=lambda pair: (-pair[0], pair[1]))[:most] if ratio > 0.6]


def _conflicts(packages: Sequence[Package], architecture: str) -> tuple[str, ...]:
    """A package may provide what it conflicts with: that means every other one."""
    real = {package.name: package for package in packages}
    provided: dict[str, list[Package]] = {}
    for package in packages:
        for term in _terms(package.provides):
            provided.setdefault(term.name, []).append(package)
    found = []
    for package in packages:
        for word, text in (("conflicts with", package.conflicts), ("breaks", package.breaks)):
            for term in _terms(text):
                if term.qualifier not in ("", "any", "native", architecture):
                    continue
                other = real.get(term.name)
                against = [other] if other and matches(term, other.version) else []
                against += [p for p in provided.get(term.name, []) if any(matches(term, v) for v in offers(p, term.name))]
                found += [f"{package.name} {package.version} {word} {p.name} {p.version}" for p in against if p.name != package.name]
    return tuple(dict.fromkeys(found))
