"""From a tree to closures: what can be known of types is decided once, so that an event costs a microsecond.

Evaluation ends at the first error (the specification's "fail fast"): the outcome is that error and, as value, the zero value of the
whole expression's type, or what the failing operation says if it is the whole expression.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kfn.cesql import functions, tree
from kfn.cesql.like import compile_like
from kfn.cesql.values import (
    CASTS,
    INT_MAX,
    INT_MIN,
    STRING_MAX,
    ZERO,
    EvaluationError,
    Type,
    Value,
    cast,
    to_integer,
    to_string,
    type_of,
)

Attributes = Mapping[str, Value]
Run = Callable[[Attributes], Value]
Typed = tuple[Run, Type | None]  # None: an attribute, whose type is known when it is there


@dataclass(frozen=True, slots=True)
class Outcome:
    value: Value
    error: EvaluationError | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """Two of the same text are equal."""

    text: str
    root: tree.Node = field(compare=False, repr=False)
    _run: Run = field(compare=False, repr=False)
    _zero: Value = field(compare=False, repr=False)

    def evaluate(self, attributes: Attributes) -> Outcome:
        try:
            return Outcome(self._run(attributes))
        except EvaluationError as error:
            whole = error.value is not None and error.at == self.root.at
            return Outcome(error.value if whole and error.value is not None else self._zero, error)

    def passes(self, attributes: Attributes) -> bool:
        """As a filter: whether it is true. Raises `EvaluationError`, and then it does not pass."""
        return self._run(attributes) is True


def compile_tree(text: str, root: tree.Node) -> Expression:
    run, type = _compile(root)
    return Expression(text, root, run, ZERO[type or "Boolean"])


def static_type(node: tree.Node) -> Type | None:
    match node:
        case tree.Literal():
            return type_of(node.value)
        case tree.Attribute():
            return None
        case tree.Call():
            found = functions.find(node.name, node.arguments)
            return found.returns if found else "Boolean"
        case tree.Unary(operator="-") | tree.Binary(operator="+" | "-" | "*" | "/" | "%"):
            return "Integer"
    return "Boolean"


def _compile(node: tree.Node) -> Typed:
    return _run_of(node), static_type(node)


def _run_of(node: tree.Node) -> Run:
    match node:
        case tree.Literal(value):
            return lambda _: value
        case tree.Attribute(name):
            return _attribute(name, node.at)
        case tree.Exists(name):
            return lambda attributes: attributes.get(name) is not None
        case tree.Unary("NOT", operand):
            as_boolean = _as("Boolean", operand)
            return lambda attributes: not as_boolean(attributes)
        case tree.Unary(_, operand):
            as_integer = _as("Integer", operand)
            return lambda attributes: _fits(-int(as_integer(attributes)), node.at)
        case tree.Binary("=" | "!=" | "<>"):
            return _equality(node)
        case tree.Binary():
            return _on_integers(node)
        case tree.Logic():
            return _logic(node)
        case tree.Like():
            return _like(node)
        case tree.In():
            return _in(node)
        case tree.Call():
            return _call(node)


def _attribute(name: str, at: int) -> Run:
    def run(attributes: Attributes) -> Value:
        value = attributes.get(name)
        if value is None:
            raise _placed(EvaluationError("missingAttribute", f"the event has no attribute {name}"), at)
        if type(value) is str and len(value) > STRING_MAX:
            raise _placed(EvaluationError("generic", f"attribute {name} has more than {STRING_MAX:,} characters"), at)
        return value

    return run


def _as(wanted: Type, node: tree.Node) -> Run:
    """Its value in that type."""
    run, type = _compile(node)
    if type == wanted:
        return run
    if isinstance(node, tree.Literal):
        try:
            value = cast(node.value, wanted)
        except EvaluationError:
            pass  # it fails when it is evaluated, which may be never
        else:
            return lambda _: value
    return _located(CASTS[wanted], run, node.at)


def _located(do: Callable[[Value], Value], run: Run, at: int) -> Run:
    def located(attributes: Attributes) -> Value:
        value = run(attributes)
        try:
            return do(value)
        except EvaluationError as error:
            raise _placed(error, at) from None

    return located


def _placed(error: EvaluationError, at: int) -> EvaluationError:
    error.at = at
    return error


def _fits(value: int, at: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise _placed(EvaluationError("math", "the result does not fit in 32 bits"), at)
    return value


def _equality(node: tree.Binary) -> Run:
    """The right operand's type is what the left one is cast to."""
    left, (right, type), equal = _run_of(node.left), _compile(node.right), node.operator == "="
    if type is not None:
        typed = _as(type, node.left)
        if equal:
            return lambda attributes: typed(attributes) == right(attributes)
        return lambda attributes: typed(attributes) != right(attributes)

    def run(attributes: Attributes) -> Value:
        one, other = left(attributes), right(attributes)
        try:
            return (cast(one, type_of(other)) == other) is equal
        except EvaluationError as error:
            raise _placed(error, node.left.at) from None

    return run


_INTEGERS: dict[str, Callable[[int, int], Value]] = {
    "<": int.__lt__,
    "<=": int.__le__,
    ">": int.__gt__,
    ">=": int.__ge__,
    "+": int.__add__,
    "-": int.__sub__,
    "*": int.__mul__,
}


def _on_integers(node: tree.Binary) -> Run:
    left, right, at = _run_of(node.left), _run_of(node.right), node.at

    def both(attributes: Attributes) -> tuple[int, int]:
        one, other = left(attributes), right(attributes)  # both are there before either is cast
        try:
            return to_integer(one), to_integer(other)
        except EvaluationError as error:
            raise _placed(error, at) from None

    if node.operator in ("/", "%"):
        return lambda attributes: _divided(*both(attributes), node.operator == "%", at)
    do = _INTEGERS[node.operator]
    if node.operator in ("+", "-", "*"):
        return lambda attributes: _fits(int(do(*both(attributes))), at)
    return lambda attributes: do(*both(attributes))


def _divided(x: int, y: int, remainder: bool, at: int) -> int:
    """Rounded towards zero, so that a remainder has the sign of `x`."""
    if y == 0:
        raise _placed(EvaluationError("math", "division by zero"), at)
    quotient = abs(x) // abs(y)
    if (x < 0) != (y < 0):
        quotient = -quotient
    return x - quotient * y if remainder else _fits(quotient, at)


def _logic(node: tree.Logic) -> Run:
    parts = tuple(_as("Boolean", part) for part in node.parts)
    if node.operator == "XOR":
        return lambda attributes: sum(bool(part(attributes)) for part in parts) % 2 == 1
    decided = node.operator == "OR"
    if len(parts) == 2:
        one, other = parts
        if decided:
            return lambda attributes: one(attributes) or other(attributes)
        return lambda attributes: one(attributes) and other(attributes)

    def run(attributes: Attributes) -> Value:
        for part in parts:
            if part(attributes) is decided:
                return decided
        return not decided

    return run


def _like(node: tree.Like) -> Run:
    matches, text = compile_like(node.pattern), _as("String", node.operand)
    if node.negated:
        return _located(lambda value: not matches(to_string(value)), text, node.at)
    return _located(lambda value: matches(to_string(value)), text, node.at)


def _in(node: tree.In) -> Run:
    """The left operand's type is what each element is cast to, until one is equal."""
    operand, elements, negated = _run_of(node.operand), tuple(_run_of(one) for one in node.elements), node.negated
    literals = [one.value for one in node.elements if isinstance(one, tree.Literal)]
    words = frozenset(to_string(value) for value in literals) if len(literals) == len(elements) else None
    places = [one.at for one in node.elements]

    def run(attributes: Attributes) -> Value:
        value = operand(attributes)
        if words is not None and type(value) is str:
            return (value in words) is not negated
        type_ = type_of(value)
        for element, at in zip(elements, places, strict=True):
            other = element(attributes)
            try:
                if cast(other, type_) == value:
                    return not negated
            except EvaluationError as error:
                raise _placed(error, at) from None
        return negated

    return run


def _call(node: tree.Call) -> Run:
    found, at = functions.find(node.name, node.arguments), node.at
    if found is None:
        message = functions.absent(node.name, len(node.arguments))

        def missing(_: Attributes) -> Value:
            raise _placed(EvaluationError("missingFunction", message), at)

        return missing
    types = [found.parameter(place) for place in range(len(node.arguments))]
    arguments = tuple(_run_of(one) if type is None else _as(type, one) for one, type in zip(node.arguments, types, strict=True))
    do = found.do

    def run(attributes: Attributes) -> Value:
        values = [argument(attributes) for argument in arguments]
        try:
            return do(*values)
        except EvaluationError as error:
            raise _placed(error, at) from None

    return run
