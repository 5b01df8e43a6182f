"""Expressions of a Pipeline, in CEL, Kubernetes' language: compiled once, evaluated within bounds.

The library is loaded when the first expression is: the command line starts without it. It bounds the nesting of an expression (32) and
the iterations of an evaluation (10,000) itself; the sizes of the text and of the result are bounded here, what lies between by `bounds`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any

from kfn.pipeline import bounds

TEXT_MAX = 4096  # characters
RESULT_MAX = 4 * 1024 * 1024  # bytes, reckoned
DEPTH_MAX = 32
_ERROR = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_CODE = re.compile(r"^[A-Z_]+: ")
_CODES = re.compile(r" \[[A-Z_]+\]$")
_NO_KEY = re.compile(r'^Key not found in map : "(.*)"')
_NO_OVERLOAD = re.compile(r"^No matching overloads found : (\w+|_\S+_|\S+)\((.*)\)")


class BadExpression(ValueError):
    """The text is no expression; `place` is the field that holds it."""

    def __init__(self, place: str, message: str) -> None:
        self.place = place
        super().__init__(message)


class EvaluationError(ValueError):
    """An expression has no value for what it was given; the message begins with the field that holds it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`place` is the field that holds it, `names` the variables that it reads."""

    text: str
    place: str = field(compare=False)
    names: frozenset[str]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value, as JSON. `values` is JSON, decoded, no deeper than `Plan.scope` lets it be; only the names that the expression
        reads are looked at."""
        given = {name: values[name] for name in self.names}
        try:
            if not bounds.harmless(self.text):
                bounds.reckon(self.text, given.values())
            result = _program(self.text, self.names).eval(data=given)
            if result.type().name() == "ERROR":
                raise _Unfit(_told(str(_value(result))))
            return _plain(result)
        except (_Unfit, bounds.TooMuch) as unfit:
            raise EvaluationError(f"{self.place}: {self.text}: {unfit}") from None
        except (RuntimeError, TypeError) as error:
            raise EvaluationError(f"{self.place}: {self.text}: {_told(str(error))}") from None

    def truth(self, values: Mapping[str, Any]) -> bool:
        """The value of a condition."""
        value = self.evaluate(values)
        if not isinstance(value, bool):
            raise EvaluationError(f"{self.place}: {self.text}: is not true or false; compare it with something")
        return value


def parse(text: str, place: str) -> Expression:
    """Raises `BadExpression`."""
    if not text.strip():
        raise BadExpression(place, "is empty; write an expression, or remove it")
    if len(text) > TEXT_MAX:
        raise BadExpression(place, f"has {len(text)} characters, at most {TEXT_MAX} are possible")
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise BadExpression(place, "has half of a character (a surrogate); write the whole")
    if "??" in text:
        raise BadExpression(place, f"{text!r}: CEL has no ??; write a.?b.orValue(c)")
    names: set[str] = set()
    try:
        _program(text, frozenset())
    except RuntimeError as error:
        for line, column, said in _ERROR.findall(str(error)):
            if found := _UNDECLARED.match(said):
                if _called(text, int(line), int(column), found[1]):
                    raise BadExpression(place, f"{text!r}: there is no function {found[1]!r}") from None
                names.add(found[1].lstrip(".").split(".")[0])
    expression = Expression(text, place, frozenset(names))
    kind(expression)
    return expression


def kind(expression: Expression, lists: Iterable[str] = ()) -> str:
    """The type of its value as far as it can be known: `DYN` where it cannot. `lists` are names that stand for lists."""
    try:
        return str(_program(expression.text, expression.names, frozenset(lists) & expression.names).return_type().name())
    except RuntimeError as error:
        raise BadExpression(expression.place, f"{expression.text!r}: {_told(str(error))}") from None


@lru_cache(maxsize=1024)
def _program(text: str, names: frozenset[str], lists: frozenset[str] = frozenset()) -> Any:
    return _environment(names, lists).compile(text)


@lru_cache(maxsize=256)
def _environment(names: frozenset[str], lists: frozenset[str]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional

    anything = cel.Type.List(cel.Type.DYN)
    variables = {name: anything if name in lists else cel.Type.DYN for name in names}
    return cel.NewEnv(variables=variables, extensions=[ext_optional.ExtOptional()])


def _called(text: str, line: int, column: int, name: str) -> bool:
    """Whether what is told of at this place is a function's name: the place of a call, also of `has(...)`, is its bracket."""
    lines = text.split("\n")
    before = lines[line - 1][: column - 1].rstrip() if 0 < line <= len(lines) and column > 0 else ""
    return lines[line - 1][column - 1 : column] == "(" and before.endswith(name)


def _told(said: str) -> str:
    """What the library says, without the echo of the text and its codes, and with the fix of what is often met."""
    if found := [f"{message} (at character {column})" if int(column) > 0 else message for _, column, message in _ERROR.findall(said)]:
        return "; ".join(dict.fromkeys(found))
    said = _CODE.sub("", said).split("\n")[0]
    if key := _NO_KEY.search(said):
        return f"there is no {key[1]!r}; has(...) tells whether there is, and a.?b.orValue(c) has a value anyway"
    if types := _NO_OVERLOAD.search(said):
        operator, kinds = types[1].strip("_"), types[2]
        return f"{operator!r} takes no ({kinds}); int(...), double(...) and string(...) change a type"
    if "Iteration budget" in said:
        return f"goes through more than {bounds.ITERATIONS} items; let a function do this"
    return _CODES.sub("", said)


class _Unfit(Exception):
    """The value cannot be JSON, or is too large."""


def _value(value: Any) -> Any:
    """One level of a value: an optional one has no form in Python."""
    try:
        return value.value()
    except TypeError:
        raise _Unfit("is an optional value; end it with .orValue(...)") from None


def _plain(value: Any) -> Any:
    room = RESULT_MAX

    def walk(value: Any, depth: int) -> Any:
        nonlocal room
        found = _value(value)
        room -= len(found) if isinstance(found, (str, bytes, bytearray)) else 8
        if room < 0:
            raise _Unfit(f"the result is larger than {RESULT_MAX // 1024 // 1024} MiB")
        if depth > DEPTH_MAX:
            raise _Unfit(f"the result is nested more than {DEPTH_MAX} deep")
        if isinstance(found, list):
            return [walk(one, depth + 1) for one in found]
        if isinstance(found, dict):
            return {_key(key): walk(one, depth + 1) for key, one in found.items()}
        return _scalar(found)

    return walk(value, 0)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise _Unfit(f"the key {key!r} is no string; write string(...)")
    return key


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise _Unfit(f"the result has the number {value}, which JSON does not know")
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    raise _Unfit(f"the result has a value of the type {type(value).__name__}, which JSON does not know; write string(...)")
