"""Pure: the JSON patch (RFC 6902) that makes one JSON value of another, as an admission response carries it."""

from typing import Any

from kfn.api.base import Json


def difference(old: Any, new: Any, path: str = "") -> list[Json]:
    """Small where objects differ in a field or two; a list of another length is replaced as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        return _object(old, new, path)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [step for i, (a, b) in enumerate(zip(old, new, strict=True)) for step in difference(a, b, f"{path}/{i}")]
    return [] if _same(old, new) else [{"op": "replace", "path": path, "value": new}]


def _object(old: Json, new: Json, path: str) -> list[Json]:
    steps: list[Json] = []
    for key, value in old.items():
        at = f"{path}/{_escaped(key)}"
        if key in new:
            steps += difference(value, new[key], at)
        else:
            steps.append({"op": "remove", "path": at})
    steps += [{"op": "add", "path": f"{path}/{_escaped(key)}", "value": value} for key, value in new.items() if key not in old]
    return steps


def _same(old: Any, new: Any) -> bool:
    """JSON's equality: Python takes true for 1."""
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
