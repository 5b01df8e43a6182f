"""From words to a tree, by precedence: functions, NOT and -, LIKE and IN, * / %, + -, comparison, then AND OR XOR as equals."""

import re

from kfn.cesql.lex import Token, tokens
from kfn.cesql.tree import Attribute, Binary, Call, Exists, In, Like, Literal, Logic, Node, Unary, walk
from kfn.cesql.values import ParseError, number

LENGTH_MAX = 4096  # characters
DEPTH_MAX = 64  # of the tree, and of parentheses: both are recursed into

_LOGIC, _LOWEST = 1, 1
_LEVEL = {
    **dict.fromkeys(("AND", "OR", "XOR"), _LOGIC),
    **dict.fromkeys(("=", "!=", "<>", ">=", "<=", "<", ">"), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/", "%"), 4),
}
_FUNCTION = re.compile(r"[A-Za-z][A-Za-z_]*")
_ATTRIBUTE = re.compile(r"[a-z0-9]+")


def parse(text: str) -> Node:
    """Raises `ParseError`, which says where."""
    if len(text) > LENGTH_MAX:
        raise ParseError(f"the expression has {len(text):,} characters; {LENGTH_MAX:,} are allowed", text, LENGTH_MAX)
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._next, self._depth = text, tokens(text), 0, 0

    def whole(self) -> Node:
        if self._now.kind == "end":
            raise self._error("missing; write an expression, such as type = 'order.created'")
        tree = self._expression(_LOWEST)
        if self._now.kind != "end":
            raise self._error(self._surplus())
        for node, depth in walk(tree):
            if depth > DEPTH_MAX:
                raise ParseError(_deep(), self._text, node.at)
        return tree

    @property
    def _now(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._now
        self._next += 1
        return token

    def _expect(self, kind: str, what: str) -> Token:
        if self._now.kind != kind:
            raise self._error(f"expected {what}, found {_shown(self._now)}")
        return self._take()

    def _error(self, message: str, token: Token | None = None) -> ParseError:
        return ParseError(message, self._text, (token or self._now).at)

    def _expression(self, lowest: int) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error(_deep())
        left, bare = self._postfixed(), False  # bare: `left` is AND, OR or XOR without parentheses
        while (level := _LEVEL.get(self._now.kind, 0)) >= lowest:
            operator = self._take()
            right = self._expression(level + 1)
            if level != _LOGIC:
                left = Binary(operator.kind, left, right, operator.at)
            elif bare and isinstance(left, Logic) and left.operator == operator.kind:
                left = Logic(left.operator, (*left.parts, right), left.at, left.mixed)
            else:
                left, bare = Logic(operator.kind, (left, right), operator.at, mixed=bare), True
        self._depth -= 1
        return left

    def _postfixed(self) -> Node:
        """One operand with the LIKE and IN that follow it."""
        node = self._unary()
        while True:
            operator = self._now
            negated = operator.kind == "NOT"
            if negated:
                if self._tokens[self._next + 1].kind not in ("LIKE", "IN"):
                    raise self._error("NOT stands between two operands; write LIKE or IN after it, or AND before it")
                self._take()
            if self._now.kind == "LIKE":
                self._take()
                node = Like(node, self._expect("string", "a pattern in quotes after LIKE").text, negated, operator.at)
            elif self._now.kind == "IN":
                self._take()
                node = In(node, self._elements(), negated, operator.at)
            else:
                return node

    def _elements(self) -> tuple[Node, ...]:
        self._expect("(", "'(' and the elements after IN")
        if self._now.kind == ")":
            raise self._error("a set needs at least one element")
        return self._list()

    def _list(self) -> tuple[Node, ...]:
        """Expressions with commas between them, and the parenthesis that closes them."""
        found = [self._expression(_LOWEST)]
        while self._now.kind == ",":
            self._take()
            found.append(self._expression(_LOWEST))
        self._expect(")", "',' or ')'")
        return tuple(found)

    def _unary(self) -> Node:
        before: list[Token] = []
        while self._now.kind in ("NOT", "-") and not self._is_signed():
            before.append(self._take())
        node = self._primary()
        for token in reversed(before):
            node = Unary(token.kind, node, token.at)
        return node

    def _is_signed(self) -> bool:
        """A sign with digits right after it, where an operand is expected, is one literal."""
        sign, after = self._now, self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        return sign.kind in ("+", "-") and after.kind == "integer" and after.at == sign.end

    def _primary(self) -> Node:
        if self._is_signed():
            sign = self._take()
            return self._integer(sign.text + self._take().text, sign)
        token = self._take()
        match token.kind:
            case "integer":
                return self._integer(token.text, token)
            case "string":
                return Literal(token.text, token.at)
            case "TRUE" | "FALSE":
                return Literal(token.kind == "TRUE", token.at)
            case "EXISTS":
                name = self._take()
                if name.kind not in ("word", "integer"):
                    raise self._error(f"expected an attribute's name after EXISTS, found {_shown(name)}", name)
                return Exists(self._name(name), token.at)
            case "(":
                inner = self._expression(_LOWEST)
                self._expect(")", "')'")
                return inner
            case "word" if self._now.kind == "(":
                return self._call(token)
            case "word":
                return Attribute(self._name(token), token.at)
        raise self._error(f"expected an attribute, a literal or '(', found {_shown(token)}", token)

    def _integer(self, digits: str, token: Token) -> Literal:
        value = number(digits)
        if value is None:
            raise self._error(f"{digits[:20]} is no integer of 32 bits", token)
        return Literal(value, token.at)

    def _call(self, token: Token) -> Node:
        if not _FUNCTION.fullmatch(token.text):
            raise self._error(f"{token.text} is no function's name; it consists of letters and underscores", token)
        self._take()
        if self._now.kind == ")":
            self._take()
            return Call(token.text.upper(), (), token.at)
        return Call(token.text.upper(), self._list(), token.at)

    def _name(self, token: Token) -> str:
        name = token.text.lower()
        if not _ATTRIBUTE.fullmatch(name):
            raise self._error(f"{token.text} is no attribute's name; it consists of letters and digits", token)
        return name

    def _surplus(self) -> str:
        token, before = self._now, self._tokens[self._next - 1]
        if token.kind == "string" and before.kind == "string" and before.end == token.at:
            quote = self._text[token.at]
            return f"a quote inside a literal is written \\{quote}"
        return f"expected AND, OR or another operator, found {_shown(token)}"


def _deep() -> str:
    return f"nested more than {DEPTH_MAX} deep"


def _shown(token: Token) -> str:
    return {"string": "a literal in quotes", "end": "the end"}.get(token.kind, token.text[:40])
