"""Label selectors as a list or a watch asks with them: from `matchLabels` and `matchExpressions` to text. Pure."""

from kfn.api.shapes import Selector

_SETS = {"In": "in", "NotIn": "notin"}
_ALONE = {"Exists": "", "DoesNotExist": "!"}


def text(selector: Selector | None) -> str:
    """As kubectl takes it after -l; empty for everything. The rules have found the selector right."""
    if selector is None:
        return ""
    terms = [f"{key}={value}" for key, value in selector.match_labels.items()]
    for one in selector.match_expressions:
        if one.operator in _ALONE:
            terms.append(f"{_ALONE[one.operator]}{one.key}")
        else:
            terms.append(f"{one.key} {_SETS[one.operator]} ({','.join(one.values)})")
    return ",".join(terms)
