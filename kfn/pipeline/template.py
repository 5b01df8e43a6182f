"""What a step is given: an expression, an object of expressions, or the whole of what another step answered.

In an object or a list every string is an expression; numbers, booleans and null stand for themselves.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kfn.pipeline.expression import DEPTH_MAX, Expression, parse

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands for itself."""

    value: Any

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Whole:
    """The value of one name as it is: it does not pass through CEL, so nothing bounds it and no number changes."""

    name: str

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return values[self.name]


@dataclass(frozen=True, slots=True)
class Object:
    items: tuple[tuple[str, "Template"], ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return {name: one.evaluate(values) for name, one in self.items}


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple["Template", ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return [one.evaluate(values) for one in self.items]


Template = Literal | Whole | Object | Items | Expression


def template(value: Any, place: str) -> Template:
    """Raises `BadExpression`, whose `place` is the expression's own."""
    if isinstance(value, str):
        if _NAME.fullmatch(value) and value not in _WORDS:
            return Whole(value)
        return parse(value, place)
    if isinstance(value, dict):
        return Object(tuple((name, template(one, f"{place}.{name}")) for name, one in value.items()))
    if isinstance(value, list):
        return Items(tuple(template(one, f"{place}[{i}]") for i, one in enumerate(value)))
    return Literal(value)


def weigh(value: Any) -> tuple[int, int]:
    """How many texts there are in it, and how many characters they have. Raises `ValueError` for what is nested too deeply."""
    texts = characters = 0
    level = [value]
    for _ in range(DEPTH_MAX):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                texts, characters = texts + 1, characters + len(one)
            elif isinstance(one, (dict, list)):
                inner += one.values() if isinstance(one, dict) else one
        if not inner:
            return texts, characters
        level = inner
    raise ValueError(f"is nested more than {DEPTH_MAX} deep; make it flatter")


def names(one: Template) -> frozenset[str]:
    """The variables that it reads."""
    if isinstance(one, Expression):
        return one.names
    if isinstance(one, Whole):
        return frozenset({one.name})
    return frozenset(name for inner in _inner(one) for name in names(inner))


def expressions(one: Template) -> Iterator[Expression]:
    if isinstance(one, Expression):
        yield one
    for inner in _inner(one):
        yield from expressions(inner)


def _inner(one: Template) -> tuple[Template, ...]:
    if isinstance(one, Object):
        return tuple(inner for _, inner in one.items)
    return one.items if isinstance(one, Items) else ()
