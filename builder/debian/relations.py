"""Read Debian's relations: `libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, python3:any`. Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache

_TERM = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?(?:\s*\(\s*(<<|<=|=|>=|>>|<|>)\s*([A-Za-z0-9][A-Za-z0-9.+:~-]*)\s*\))?")
_OLD = {"<": "<=", ">": ">="}  # what these meant before 1996, and still do to dpkg


@dataclass(frozen=True, slots=True)
class Term:
    """One name, with the versions that will do. `qualifier` is what stands behind a colon: any, native or an architecture."""

    name: str
    relation: str = ""
    version: str = ""
    qualifier: str = ""

    def __str__(self) -> str:
        return (
            self.name + (f":{self.qualifier}" if self.qualifier else "") + (f" ({self.relation} {self.version})" if self.relation else "")
        )


class Unreadable(ValueError):
    """A relation that is none."""


@lru_cache(maxsize=4096)
def groups(text: str) -> tuple[tuple[Term, ...], ...]:
    """All groups must hold; of a group one alternative must. Raises Unreadable."""
    return tuple(tuple(_term(part) for part in group.split("|")) for group in text.split(",") if group.strip())


def _term(text: str) -> Term:
    match = _TERM.fullmatch(text.strip())
    if match is None:
        raise Unreadable(f"{text.strip()!r} is no relation between Debian packages")
    name, qualifier, relation, version = match.groups(default="")
    return Term(name, _OLD.get(relation, relation), version, qualifier)
