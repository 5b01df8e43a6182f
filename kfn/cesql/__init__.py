"""CloudEvents SQL 1.0: an expression over an event's attributes. Pure; the admission and the dispatcher read the same words.

text -> lex.py (words with their places) -> parse.py (a tree, tree.py) -> compile.py (closures, typed once) -> evaluated for each event.
check.py says which expressions cannot be a filter. The types and casts are in values.py, LIKE in like.py, the functions in functions.py.

What the specification leaves open is decided in docs/eventing.md: overflow is an error, operators of one rank are read from the left.
"""

from kfn.cesql.check import problem
from kfn.cesql.compile import Expression, Outcome, compile_tree
from kfn.cesql.parse import parse
from kfn.cesql.values import EvaluationError, ParseError, Value

__all__ = ["EvaluationError", "Expression", "Outcome", "ParseError", "Value", "compile", "filter", "only", "parse", "problem"]

from kfn.cesql.narrow import only


def compile(text: str) -> Expression:
    """The expression, to be evaluated many times. Raises `ParseError`, which says where."""
    return compile_tree(text, parse(text))


def filter(text: str) -> Expression:
    """As `compile`, of an expression that can be a filter. Raises `ParseError`."""
    tree = parse(text)
    if found := problem(tree):
        raise ParseError(found.message, text, found.at)
    return compile_tree(text, tree)
