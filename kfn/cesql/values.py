"""The three types, the casts between them, and the errors. An integer has 32 bits."""

import re
from collections.abc import Callable
from typing import Literal

Value = bool | int | str
Type = Literal["Boolean", "Integer", "String"]
Kind = Literal["math", "cast", "missingAttribute", "missingFunction", "functionEvaluation", "generic"]

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
STRING_MAX = 65_536  # characters of one value: an event may carry an attribute of a megabyte, and an expression may ask for it 500 times
ZERO: dict[Type, Value] = {"Boolean": False, "Integer": 0, "String": ""}

_INTEGER = re.compile(r"[+-]?[0-9]+")
_BOOLEANS = {"true": True, "false": False}


class ParseError(ValueError):
    """The text is no expression; the message says where."""

    def __init__(self, message: str, text: str, at: int) -> None:
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        place = f"line {line}, column {column}" if "\n" in text.strip() else f"column {column}"
        super().__init__(f"{place}: {message}")
        self.at = at


class EvaluationError(Exception):
    """Evaluating ended here. `value` is what the operation gives nevertheless; None is the zero value of its type."""

    def __init__(self, kind: Kind, message: str, value: Value | None = None) -> None:
        super().__init__(message)
        self.kind, self.value = kind, value
        self.at = -1  # where in the text, once it is known


def type_of(value: Value) -> Type:
    kind = type(value)
    return "String" if kind is str else "Boolean" if kind is bool else "Integer"


def to_integer(value: Value) -> int:
    if not isinstance(value, str):
        return int(value)
    if not _INTEGER.fullmatch(value) or (found := number(value)) is None:
        raise EvaluationError("cast", "the String is no Integer of 32 bits")
    return found


def number(digits: str) -> int | None:
    """The value of digits with or without a sign, if 32 bits hold it. A million leading zeros cost nothing."""
    bare = digits.lstrip("+-").lstrip("0") or "0"
    if len(bare) > 10:
        return None
    value = -int(bare) if digits[0] == "-" else int(bare)
    return value if INT_MIN <= value <= INT_MAX else None


def to_boolean(value: Value) -> bool:
    if not isinstance(value, str):
        return bool(value)
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise EvaluationError("cast", "the String is neither true nor false")
    return found


def to_string(value: Value) -> str:
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


CASTS: dict[Type, Callable[[Value], Value]] = {"Boolean": to_boolean, "Integer": to_integer, "String": to_string}


def cast(value: Value, type: Type) -> Value:
    return CASTS[type](value)


def can(value: Value, type: Type) -> bool:
    """Whether that cast works."""
    try:
        cast(value, type)
    except EvaluationError:
        return False
    return True


def bounded(value: str) -> str:
    if len(value) > STRING_MAX:
        raise EvaluationError("functionEvaluation", f"the String would have more than {STRING_MAX:,} characters", "")
    return value
