"""A start's profile as a value: what took how long, what to say of it, whether it is within its budget, what to preload. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from builder.profile.importtime import Import

FORMAT = 1
TOLD = 3  # packages in a sentence
PRUNE = 500  # microseconds: smaller imports are summed up in their parent
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")


@dataclass(frozen=True, slots=True)
class Profile:
    """Times in microseconds. `packages` has, for each top-level package that the source imports, what it cost with all it imported,
    the largest first; `tree` the source's own modules and what they imported."""

    interpreter: int  # from the start of the process to the first line of Python
    runtime: int  # kfn's own function server
    handler: int  # the handler's module and all it imports
    packages: tuple[tuple[str, int], ...]
    preload: tuple[str, ...]  # modules of dependencies that a warm parent may import ahead, in the order of their first import
    tree: tuple[Import, ...]

    @property
    def total(self) -> int:
        return self.interpreter + self.runtime + self.handler


def profile(interpreter: int, runtime: int, tree: Sequence[Import], own: Set[str], standard: Set[str]) -> Profile:
    """`tree` is what importing the handler imported, `own` the source's top-level modules, `standard` the standard library's."""
    costs: dict[str, int] = {}
    modules: dict[str, None] = {}
    for one in _borders(tree, own):
        costs[one.package] = costs.get(one.package, 0) + one.total
        if one.package not in standard and one.package != "kfn":
            modules[one.name] = None
    ordered = tuple(sorted(costs.items(), key=lambda pair: (-pair[1], pair[0])))
    return Profile(interpreter, runtime, sum(one.total for one in tree), ordered, tuple(modules), tuple(tree))


def _borders(tree: Iterable[Import], own: Set[str]) -> Iterable[Import]:
    """The imports that lead from the source's own modules to somebody else's."""
    for one in tree:
        if one.package in own:
            yield from _borders(one.children, own)
        else:
            yield one


def sentence(found: Profile) -> str:
    """`pandas is 412 ms of your 530 ms start (numpy 31 ms, asyncio 12 ms)`."""
    top = [(name, cost) for name, cost in found.packages[:TOLD] if cost >= max(1000, found.total // 50)]
    if not top:
        return f"a start takes {ms(found.total)}, imports next to nothing of it"
    (first, cost), rest = top[0], top[1:]
    more = f" ({', '.join(f'{name} {ms(each)}' for name, each in rest)})" if rest else ""
    return f"{first} is {ms(cost)} of your {ms(found.total)} start{more}"


def over(found: Profile, budget: int) -> str:
    """What to say if the start takes longer than `budget` microseconds, empty if it does not."""
    if found.total <= budget:
        return ""
    name = found.packages[0][0] if found.packages and found.packages[0][1] > found.interpreter + found.runtime else ""
    fault = f"import {name} where it is needed, or do without it" if name else "nearly all of it is the interpreter's own start"
    return f"a start takes {ms(found.total)}, kfn.coldStart allows {ms(budget)}: {sentence(found)}; {fault}"


def budget(text: str) -> int:
    """`150ms` or `1.5s` in microseconds. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match or float(match[1]) <= 0:
        raise ValueError(f"{text!r} must be a time such as 150ms or 1.5s")
    return round(float(match[1]) * (1000 if match[2] == "ms" else 1_000_000))


def ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms"


def encode(found: Profile) -> dict[str, Any]:
    """As JSON has it; times stay microseconds."""
    return {
        "format": FORMAT,
        "microseconds": {"interpreter": found.interpreter, "runtime": found.runtime, "handler": found.handler, "total": found.total},
        "packages": [{"name": name, "total": cost} for name, cost in found.packages],
        "preload": list(found.preload),
        "imports": [_encode(one) for one in found.tree],
    }


def decode(value: Mapping[str, Any]) -> Profile:
    """Raises ValueError, KeyError or TypeError for what `encode` did not make."""
    if value["format"] != FORMAT:
        raise ValueError(f"format {value['format']}")
    times = value["microseconds"]
    return Profile(
        int(times["interpreter"]),
        int(times["runtime"]),
        int(times["handler"]),
        tuple((str(one["name"]), int(one["total"])) for one in value["packages"]),
        tuple(str(name) for name in value["preload"]),
        tuple(_decode(one) for one in value["imports"]),
    )


def _encode(one: Import) -> dict[str, Any]:
    children = [_encode(child) for child in one.children if child.total >= PRUNE]
    return {"name": one.name, "own": one.own, "total": one.total} | ({"imports": children} if children else {})


def _decode(value: Mapping[str, Any]) -> Import:
    return Import(str(value["name"]), int(value["own"]), int(value["total"]), tuple(_decode(one) for one in value.get("imports", ())))
