"""The functions that every CloudEvents SQL has. One that fails gives a value all the same, as the specification says which."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kfn.cesql.values import INT_MAX, INT_MIN, EvaluationError, Type, Value, bounded, can, to_boolean, to_integer, to_string

# Unicode's White_Space; str.strip() would take the separators U+001C to U+001F too.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


@dataclass(frozen=True, slots=True)
class Function:
    """`parameters` None means any type; `more`: the last may be repeated, or left out."""

    returns: Type
    parameters: tuple[Type | None, ...]
    do: Callable[..., Value]
    more: bool = False

    def takes(self, count: int) -> bool:
        return count >= len(self.parameters) - 1 if self.more else count == len(self.parameters)

    def parameter(self, place: int) -> Type | None:
        return self.parameters[min(place, len(self.parameters) - 1)]


def _abs(x: int) -> int:
    if x == INT_MIN:
        raise EvaluationError("math", "the absolute value does not fit in 32 bits", INT_MAX)
    return abs(x)


def _left(x: str, y: int) -> str:
    return x[: _length("LEFT", x, y)]


def _right(x: str, y: int) -> str:
    _length("RIGHT", x, y)
    return x[-y:] if y else ""


def _length(name: str, x: str, y: int) -> int:
    if y < 0:
        raise EvaluationError("functionEvaluation", f"{name} of a negative number of characters", x)
    return y


def _substring(x: str, position: int, length: int = INT_MAX) -> str:
    if abs(position) > len(x):
        raise EvaluationError("functionEvaluation", "SUBSTRING begins outside of the String", "")
    if length < 0:
        raise EvaluationError("functionEvaluation", "SUBSTRING of a negative length", "")
    if position == 0:
        return ""
    begin = position - 1 if position > 0 else len(x) + position
    return x[begin : begin + length]


def _concat(*parts: str) -> str:
    return bounded("".join(parts))


def _concat_ws(delimiter: str, *parts: str) -> str:
    return bounded(delimiter.join(parts))


FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "ABS": (Function("Integer", ("Integer",), _abs),),
    "LENGTH": (Function("Integer", ("String",), len),),
    "CONCAT": (Function("String", ("String",), _concat, more=True),),
    "CONCAT_WS": (Function("String", ("String", "String"), _concat_ws, more=True),),
    "LOWER": (Function("String", ("String",), lambda x: bounded(x.lower())),),
    "UPPER": (Function("String", ("String",), lambda x: bounded(x.upper())),),
    "TRIM": (Function("String", ("String",), lambda x: x.strip(_SPACES)),),
    "LEFT": (Function("String", ("String", "Integer"), _left),),
    "RIGHT": (Function("String", ("String", "Integer"), _right),),
    "SUBSTRING": (
        Function("String", ("String", "Integer"), _substring),
        Function("String", ("String", "Integer", "Integer"), _substring),
    ),
    "INT": (Function("Integer", (None,), to_integer),),
    "BOOL": (Function("Boolean", (None,), to_boolean),),
    "STRING": (Function("String", (None,), to_string),),
    "IS_INT": (Function("Boolean", (None,), lambda x: can(x, "Integer")),),
    "IS_BOOL": (Function("Boolean", (None,), lambda x: can(x, "Boolean")),),
}


def find(name: str, arguments: tuple[Any, ...]) -> Function | None:
    """The function of that name that takes so many."""
    return next((one for one in FUNCTIONS.get(name, ()) if one.takes(len(arguments))), None)


def absent(name: str, count: int) -> str:
    """What is wrong with a call that finds no function."""
    overloads = FUNCTIONS.get(name)
    if not overloads:
        return f"there is no function {name}; there are {', '.join(FUNCTIONS)}"
    wanted = " or ".join(f"{len(one.parameters) - one.more}{' or more' if one.more else ''}" for one in overloads)
    return f"{name} takes {wanted} argument{'' if wanted == '1' else 's'}, not {count}"
