"""Which expressions can be a filter: what can never pass, or could be meant in two ways, is refused before an event comes."""

from dataclasses import dataclass

from kfn.cesql import functions, tree
from kfn.cesql.compile import static_type


@dataclass(frozen=True, slots=True)
class Problem:
    message: str
    at: int


def problem(root: tree.Node) -> Problem | None:
    """Why it cannot be a filter."""
    for node, _ in tree.walk(root):
        if isinstance(node, tree.Call) and functions.find(node.name, node.arguments) is None:
            return Problem(functions.absent(node.name, len(node.arguments)), node.at)
        if isinstance(node, tree.Logic) and node.mixed:
            # The specification reads equals from the left, sdk-go (and with it Knative) from the right, SQL has AND first.
            return Problem(
                f"{node.operator} beside another of AND, OR, XOR can be read in two ways; put one of them in parentheses", node.at
            )
    if isinstance(root, tree.Attribute):
        return Problem(f"an attribute is a String and never true; write BOOL({root.name}), or EXISTS {root.name}", root.at)
    type = static_type(root)
    if type != "Boolean":
        article = "an" if type == "Integer" else "a"
        return Problem(f"the whole is {article} {type} and never true; compare it with something", root.at)
    return None
