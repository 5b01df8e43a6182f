"""Reads what `python -X importtime` prints: a tree of imports with their times. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(r"^import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)$")


@dataclass(frozen=True, slots=True)
class Import:
    """One module. `own` is the time in its own code, `total` with everything that it imported first. Microseconds."""

    name: str
    own: int
    total: int
    children: tuple["Import", ...] = ()

    @property
    def package(self) -> str:
        """Its top-level name."""
        return self.name.partition(".")[0]

    def walk(self) -> Iterator["Import"]:
        yield self
        for child in self.children:
            yield from child.walk()


def parse(text: str) -> tuple[Import, ...]:
    """The outermost imports, in order. Python prints a module after those that it imported, two spaces deeper for each level."""
    waiting: list[tuple[int, Import]] = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        depth = len(found[3]) // 2
        children = []
        while waiting and waiting[-1][0] > depth:
            children.append(waiting.pop()[1])
        waiting.append((depth, Import(found[4], int(found[1]), int(found[2]), tuple(reversed(children)))))
    return tuple(one for _, one in waiting)
