"""Lines of events, one for each key: who is first in each, in the order in which they were stored. Pure."""

from bisect import insort
from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    @property
    def sequence(self) -> int: ...


T = TypeVar("T", bound=Numbered)


class Lines(Generic[T]):
    def __init__(self) -> None:
        self._lines: dict[Hashable, list[T]] = {}

    def add(self, key: Hashable, one: T) -> bool:
        """At its place by sequence, wherever it comes from. True: the line is new."""
        line = self._lines.setdefault(key, [])
        insort(line, one, key=lambda other: other.sequence)
        return len(line) == 1

    def first(self, key: Hashable) -> T | None:
        line = self._lines.get(key)
        return line[0] if line else None

    def remove(self, key: Hashable, one: T) -> None:
        """It may be gone already."""
        line = self._lines.get(key, [])
        if one in line:
            line.remove(one)
        if not line:
            self._lines.pop(key, None)

    def length(self, key: Hashable) -> int:
        return len(self._lines.get(key, ()))

    def all(self) -> Iterator[T]:
        return (one for line in self._lines.values() for one in line)
