"""What an attribute must be for an expression to be true, so that the server need not send anything else."""

from kfn.cesql import tree
from kfn.cesql.values import to_string


def only(node: tree.Node, name: str) -> frozenset[str] | None:
    """The only values of a String attribute with which it can be true; None when that cannot be said."""
    match node:
        case tree.Binary("=", tree.Attribute(found), tree.Literal(str() as value)) if found == name:
            return frozenset((value,))
        case tree.Binary("=", tree.Literal(value), tree.Attribute(found)) if found == name:
            return frozenset((to_string(value),))
        case tree.In(tree.Attribute(found), elements, False) if found == name:
            literals = [one.value for one in elements if isinstance(one, tree.Literal)]
            return frozenset(map(to_string, literals)) if len(literals) == len(elements) else None
        case tree.Logic("AND", parts):
            known = [values for part in parts if (values := only(part, name)) is not None]
            return frozenset.intersection(*known) if known else None
        case tree.Logic("OR", parts):
            all_known = [only(part, name) for part in parts]
            return None if None in all_known else frozenset().union(*(values for values in all_known if values is not None))
    return None
