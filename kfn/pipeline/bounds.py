"""How much memory an expression could take, reckoned before it is evaluated: the CEL library bounds nesting and iterations, not sizes.

Only `+` makes something longer than what it was given, and only a macro (`map`, `filter`, ...) does a thing often; and each item that a
macro adds to a list copies the list (`l.map(x, x)` of 9,000 items takes 1.3 GiB). What is reckoned is too much rather than too little.
"""

import re
from collections.abc import Iterable
from typing import Any

MOST = 128 * 1024 * 1024  # bytes
ITERATIONS = 10_000  # of one evaluation; the library's own bound
ENTRY = 16  # bytes of an item in a list
DEEPEST = 500  # levels of what is given; the library ends the process at about 6,000, and a decoder of JSON in Python 3.13 takes 9,900
_MACRO = re.compile(r"\b(?:map|filter|all|exists|exists_one|optMap|optFlatMap)\s*\(")
# Texts, raw ones without escapes, and comments: what stands in them does nothing.
_ASIDE = re.compile(
    r"""//[^\n]*|[bB]?[rR][bB]?(?:'''.*?'''|\"{3}.*?\"{3}|'[^'\n]*'|"[^"\n]*")"""
    r"""|[bB]?(?:'''(?:\\.|[^\\])*?'''|\"{3}(?:\\.|[^\\])*?\"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")""",
    re.DOTALL,
)
_OF_TEXT = re.compile(r'"\s*\+|\+\s*["0-9]')  # a `+` beside a text or a number: it makes no list longer


class TooMuch(ValueError):
    """It could take more than there may be."""


def harmless(text: str) -> bool:
    """Whether it takes no more than its text and what it is given, however large that is."""
    return "+" not in text and _MACRO.search(text) is None


def reckon(text: str, values: Iterable[Any]) -> None:
    """Raises `TooMuch`. Looks at every value once.

    A macro may hand what it made to the next, so each can make things longer by as many as there are `+`. The trees that these are part
    of are at most 32 deep, and each level of one is a copy.
    """
    longest, widest = _measure(values)
    bare = _ASIDE.sub(lambda found: "" if found[0].startswith("//") else '""', text)
    plus, macros, depth = bare.count("+"), len(_MACRO.findall(bare)), _depth(bare)
    of_lists = plus - len(_OF_TEXT.findall(bare))
    items = widest * (of_lists + 1) + bare.count(",") + 1
    times = min(ITERATIONS, macros * items**depth) if macros else 1
    length = len(text) + max(longest, ENTRY * widest if of_lists > 0 else 0)
    sums = times * (plus + 1) ** min(max(macros, 1), 20) * min(plus, 32) * length
    if sums + (ENTRY * times * min(items, ITERATIONS) if macros else 0) > MOST:
        raise TooMuch(
            f"could take more than {MOST // 1024 // 1024} MiB with lists of up to {widest} items and texts of up to {longest} characters; "
            "let a function do this, or give the expression less"
        )


def is_too_deep(value: Any) -> bool:
    """Whether it is nested in a way that the library would not survive."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for one in level if isinstance(one, (list, dict)) for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return False
    return True


def _depth(bare: str) -> int:
    """How many macros stand within each other."""
    macros = {found.end() - 1 for found in _MACRO.finditer(bare)}
    open_, deepest = list[bool](), 0
    for at, sign in enumerate(bare):
        if sign in "([{":
            open_.append(at in macros)
            deepest = max(deepest, sum(open_))
        elif sign in ")]}" and open_:
            open_.pop()
    return deepest


def _measure(values: Iterable[Any]) -> tuple[int, int]:
    """The length of the longest text, and how many entries the greatest list or object has by itself."""
    longest, widest, left = 0, 0, list(values)
    while left:
        value = left.pop()
        if isinstance(value, str):
            longest = max(longest, len(value))
        elif isinstance(value, (list, dict)):
            widest = max(widest, len(value))
            left.extend(value.values() if isinstance(value, dict) else value)
    return longest, widest
