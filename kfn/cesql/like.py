r"""LIKE without a regular expression that could run away: % is any characters, _ is one, \% and \_ stand for themselves.

A pattern is cut at its %. The first piece must be at the start, the last at the end, and each between them is looked for from where
the one before it ended: the first place is always a right one, so nothing is ever tried twice.
"""

import re
from collections.abc import Callable

from kfn.cesql.values import EvaluationError

# A piece with _ inside is tried at every character of the text: 4 million comparisons are 40 ms.
EFFORT_MAX = 4_000_000
_ONE = None  # stands for _
_ANY = re.compile(r"\\[%_]|.", re.DOTALL)

Matches = Callable[[str], bool]
Find = Callable[[str, int], int]


def compile_like(pattern: str) -> Matches:
    pieces = _pieces(pattern)
    if all(_ONE not in piece for piece in pieces):
        return _plain(["".join(c or "" for c in piece) for piece in pieces])
    return _general(pieces)


def _pieces(pattern: str) -> list[list[str | None]]:
    found: list[list[str | None]] = [[]]
    for part in _ANY.findall(pattern):
        if part == "%":
            found.append([])
        else:
            found[-1].append(_ONE if part == "_" else part[-1])
    return found


def _plain(pieces: list[str]) -> Matches:
    """Without _: what str can do by itself."""
    first, last, middle = pieces[0], pieces[-1], [piece for piece in pieces[1:-1] if piece]
    if len(pieces) == 1:
        return first.__eq__
    least = len(first) + len(last)
    if middle:
        return lambda text: len(text) >= least and text.startswith(first) and text.endswith(last) and _in_order(text, middle, first, last)
    if not last:
        return lambda text: text.startswith(first)
    if not first:
        return lambda text: text.endswith(last)
    return lambda text: len(text) >= least and text.startswith(first) and text.endswith(last)


def _in_order(text: str, middle: list[str], first: str, last: str) -> bool:
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _general(pieces: list[list[str | None]]) -> Matches:
    # No piece has anything repeated in it, so that a search costs text x piece at worst, which is bounded.
    first, last = (re.compile(_regex(piece), re.DOTALL) for piece in (pieces[0], pieces[-1]))
    middle = [re.compile(_regex(piece), re.DOTALL) for piece in pieces[1:-1] if piece]
    if len(pieces) == 1:
        return lambda text: first.fullmatch(text) is not None
    least, tail, longest = len(pieces[0]) + len(pieces[-1]), len(pieces[-1]), max(map(len, pieces))

    def matches(text: str) -> bool:
        if len(text) * longest > EFFORT_MAX:
            raise EvaluationError("generic", f"LIKE of {len(text):,} characters with this pattern takes too long")
        end = len(text) - tail
        if len(text) < least or not first.match(text) or not last.match(text, end):
            return False
        at = len(pieces[0])
        for piece in middle:
            found = piece.search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True

    return matches


def _regex(piece: list[str | None]) -> str:
    return "".join("." if character is _ONE else re.escape(character) for character in piece)
