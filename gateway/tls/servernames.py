"""Which certificate for which server name: the exact name, then one label under a wildcard, then the default. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerNames(Generic[T]):
    exact: Mapping[str, T]
    wildcard: Mapping[str, T]  # by what stands behind `*.`
    default: T | None

    def find(self, name: str | None) -> T | None:
        """`name` is what the client has sent as SNI, or None. A `*` stands for exactly one label (RFC 6125 6.4.3)."""
        if name:
            name = name.lower().rstrip(".")
            found = self.exact.get(name)
            if found is None:
                first, _, parent = name.partition(".")
                found = self.wildcard.get(parent) if first else None
            if found is not None:
                return found
        return self.default


def build(entries: Iterable[tuple[Sequence[str], T]], default: T | None) -> ServerNames[T]:
    """Of entries with the same name the first counts."""
    exact: dict[str, T] = {}
    wildcard: dict[str, T] = {}
    for names, entry in entries:
        for name in names:
            name = name.lower().rstrip(".")
            if name.startswith("*."):
                wildcard.setdefault(name[2:], entry)
            else:
                exact.setdefault(name, entry)
    return ServerNames(exact, wildcard, default)
