"""What an expression consists of. `at` is where its first character of note stands in the text, for messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kfn.cesql.values import Value


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Exists:
    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`operator` is NOT or -."""

    operator: str
    operand: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Comparison and arithmetic."""

    operator: str
    left: "Node"
    right: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Logic:
    """AND, OR, XOR of two or more, from the left. `mixed`: a part is another of the three and stands there without parentheses."""

    operator: str
    parts: tuple["Node", ...]
    at: int = field(default=0, compare=False)
    mixed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Like:
    operand: "Node"
    pattern: str
    negated: bool = False
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class In:
    operand: "Node"
    elements: tuple["Node", ...]
    negated: bool = False
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple["Node", ...]
    at: int = field(default=0, compare=False)


Node = Literal | Attribute | Exists | Unary | Binary | Logic | Like | In | Call


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Unary() | Like():
            return (node.operand,)
        case Binary():
            return node.left, node.right
        case Logic():
            return node.parts
        case In():
            return node.operand, *node.elements
        case Call():
            return node.arguments
    return ()


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node, with its depth from 1."""
    waiting = [(node, 1)]
    while waiting:
        one, depth = waiting.pop()
        yield one, depth
        waiting += [(child, depth + 1) for child in children(one)]
