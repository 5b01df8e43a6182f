"""Which of two versions of a Debian package is newer, by dpkg's rules: epoch, upstream version, revision, `~` before all else. Pure."""

import re
from functools import lru_cache

Part = tuple[tuple[tuple[int, ...], int], ...]
Key = tuple[int, Part, Part]

_PAIRS = re.compile(r"([^0-9]*)([0-9]*)")
_END = ((0,), 0)
_EPOCH = re.compile(r"([0-9]+):")


@lru_cache(maxsize=65536)
def key(version: str) -> Key:
    """Sorts as dpkg does."""
    epoch = _EPOCH.match(version)
    rest = version[epoch.end() :] if epoch else version
    upstream, dash, revision = rest.rpartition("-")
    return int(epoch[1]) if epoch else 0, _part(upstream if dash else rest), _part(revision if dash else "")


def _part(text: str) -> Part:
    """Runs of other characters and of digits by turns. The end of a run sorts before every character but `~`."""
    if not text.strip("0"):
        return (_END, _END)  # no revision is the revision 0
    return (*(((*map(_order, other), 0), int(digits or 0)) for other, digits in _PAIRS.findall(text) if other or digits), _END)


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def compare(left: str, right: str) -> int:
    """Below zero if `left` is older, zero if dpkg takes them for the same."""
    a, b = key(left), key(right)
    return (a > b) - (a < b)


def satisfies(version: str, relation: str, bound: str) -> bool:
    """Whether `version` is `relation` (`<<`, `<=`, `=`, `>=`, `>>`) to `bound`."""
    order = compare(version, bound)
    return {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}[relation]
