"""Which Python a project wants: `kfn.python` in func.yaml, else what `requires-python` allows. Pure."""

import re
from collections.abc import Mapping

from builder.errors import DependencyError, ProjectInvalid

BASES = {"3.13": "3.13.5", "3.11": "3.11.2"}  # of kfn's own bases: Debian 13's and Debian 12's, the newest first
NEWEST = "python"  # the name of the newest base that fits
LOWEST = "3.11"  # that kfn's function server runs on
_CLAUSE = re.compile(r"\s*(===|==|!=|~=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)((?:\.\*)?)[^,]*")


def base(wanted: str, requires: str, known: Mapping[str, str] = BASES) -> str:
    """`python3.13`: the newest of kfn's own bases that fits. Raises ProjectInvalid or DependencyError with what there is."""
    there = " and ".join(known)
    if wanted:
        if wanted not in known:
            raise ProjectInvalid(f"kfn.python is {wanted!r}; kfn has bases with Python {there}. For another one name an image in kfn.base")
        if not allows(requires, known[wanted]):
            raise ProjectInvalid(f"kfn.python is {wanted}, which requires-python in pyproject.toml ({requires}) does not allow")
        return f"python{wanted}"
    for minor, full in known.items():
        if allows(requires, full):
            return f"python{minor}"
    full = " and ".join(known.values())
    raise DependencyError(f"pyproject.toml: requires-python is {requires}; kfn has bases with Python {full}. Name an image in kfn.base")


def allows(requires: str, version: str) -> bool:
    """Whether a version such as 3.13.5 is in a set such as `>=3.11,<3.14`. What cannot be read allows everything: uv will say it."""
    have = _numbers(version)
    return all(_holds(match[1], match[2], bool(match[3]), have) for match in map(_CLAUSE.fullmatch, requires.split(",")) if match)


def lowest(requires: str) -> str:
    """The lower end of a set, but not below what kfn runs on: what a lock for every Python has to begin with."""
    found = [match[2] for match in map(_CLAUSE.fullmatch, requires.split(",")) if match and match[1] in (">=", "~=", "==", ">")]
    return ".".join(map(str, max([_numbers(LOWEST), *map(_numbers, found)])))


def _holds(sign: str, text: str, star: bool, have: tuple[int, ...]) -> bool:
    want = _numbers(text)
    if star:
        return (have[: len(want)] == want) == (sign == "==")
    if sign == "~=":
        return have[: len(want) - 1] == want[:-1] and _compare(have, want) >= 0
    order = _compare(have, want)
    table = {"==": order == 0, "===": order == 0, "!=": order != 0, "<=": order <= 0, ">=": order >= 0, "<": order < 0, ">": order > 0}
    return table[sign]


def _compare(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    length = max(len(one), len(other))
    left, right = (n + (0,) * (length - len(n)) for n in (one, other))
    return (left > right) - (left < right)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
