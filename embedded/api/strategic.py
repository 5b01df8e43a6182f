"""Pure: strategic merge patch, which merges known lists by a key; kubectl uses it for the kinds that Kubernetes compiles in.

A list that is not known here is replaced, as in a merge patch. `$patch: delete|replace`, `$deleteFromPrimitiveList`,
`$setElementOrder` and `$retainKeys` are understood.
"""

from typing import Any

from embedded.api.status import bad_request

# The last two path steps (or one) that lead to a list, and what identifies an item of it.
_KEYS: dict[tuple[str, ...], str] = {
    ("spec", "containers"): "name", ("spec", "initContainers"): "name", ("spec", "ephemeralContainers"): "name",
    ("spec", "volumes"): "name", ("spec", "imagePullSecrets"): "name", ("spec", "hostAliases"): "ip",
    ("spec", "resourceClaims"): "name", ("spec", "schedulingGates"): "name", ("spec", "topologySpreadConstraints"): "topologyKey",
    ("containers", "env"): "name", ("initContainers", "env"): "name",
    ("containers", "ports"): "containerPort", ("initContainers", "ports"): "containerPort",
    ("containers", "volumeMounts"): "mountPath", ("initContainers", "volumeMounts"): "mountPath",
    ("containers", "volumeDevices"): "devicePath", ("initContainers", "volumeDevices"): "devicePath",
    ("spec", "ports"): "port",
    ("status", "conditions"): "type", ("status", "podIPs"): "ip", ("status", "hostIPs"): "ip",
    ("metadata", "ownerReferences"): "uid",
    ("secrets",): "name", ("imagePullSecrets",): "name",
}  # fmt: skip
_PRIMITIVE = frozenset({("metadata", "finalizers")})
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def merge(target: Any, patch: Any, path: tuple[str, ...] = ()) -> Any:
    """A new value; neither argument is changed. Raises 400 for a directive that makes no sense."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f'invalid $patch directive "{directive}": must be merge, replace or delete')
    result = dict(target) if isinstance(target, dict) else {}
    keep = patch.get("$retainKeys")
    if isinstance(keep, list):
        result = {k: v for k, v in result.items() if k in keep}
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            have = result.get(name)
            if not isinstance(value, list) or not isinstance(have or [], list):
                raise bad_request(f"{'.'.join((*path, key))}: both this and the field must be lists")
            result[name] = [v for v in have or () if v not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _field(result.get(key), value, (*path, key))
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and isinstance(result.get(name), list):
            result[name] = _ordered(result[name], order, _key((*path, name)))
    return result


def _key(path: tuple[str, ...]) -> str | None:
    return _KEYS.get(path[-2:]) or _KEYS.get(path)


def _field(old: Any, value: Any, path: tuple[str, ...]) -> Any:
    if not isinstance(value, list):
        return merge(old, value, path)
    if path[-2:] in _PRIMITIVE:
        have = old if isinstance(old, list) else []
        return have + [v for v in value if v not in have]
    key = _key(path)
    return value if key is None else _merged_list(old if isinstance(old, list) else [], value, key, path)


def _merged_list(old: list[Any], patch: list[Any], key: str, path: tuple[str, ...]) -> list[Any]:
    if any(not isinstance(item, dict) for item in patch):
        raise bad_request(f"{'.'.join(path)}: every item of the patch must be an object with {key}")
    if any(item == {"$patch": "replace"} for item in patch):
        return [item for item in patch if "$patch" not in item]
    result = list(old)
    for item in patch:
        if key not in item:
            raise bad_request(f"{'.'.join(path)}: map does not contain key: {key}")
        at = next((i for i, have in enumerate(result) if isinstance(have, dict) and have.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(merge({}, item, path))
        else:
            result[at] = merge(result[at], item, path)
    return result


def _ordered(items: list[Any], order: Any, key: str | None) -> list[Any]:
    """Items that the order names, as it says; the others keep their place behind them."""
    if not isinstance(order, list):
        return items
    wanted = [o.get(key) if isinstance(o, dict) else o for o in order]

    def place(item: Any) -> int:
        name = item.get(key) if isinstance(item, dict) and key else item
        return wanted.index(name) if name in wanted else len(wanted)

    return sorted(items, key=place)
