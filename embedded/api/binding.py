"""What the webhook for SinkBindings is on a cluster: a workload gets its sink's address on its way in, whoever writes it."""

from typing import Any

import msgspec

from embedded.api.store import Store
from kfn import binding
from kfn.api.base import Json, decode
from kfn.api.kinds import NAMESPACE, SINK_BINDING, Kind
from kfn.api.sinkbinding import SinkBinding


def bound(store: Store, kind: Kind[Any], operation: str, obj: Json) -> Json:
    """The object with the variables of its namespace's SinkBinding, if there is one for it and its sink is known."""
    shelf = store.shelves[SINK_BINDING.qualified]
    namespace = str(obj["metadata"].get("namespace", ""))
    if not shelf.objects or _is_excluded(store, namespace):
        return obj
    named = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    made = binding.on_the_way(_bindings(shelf.objects, namespace), operation, named)
    return obj if made is named else made


def _bindings(objects: dict[tuple[str, str], Json], namespace: str) -> list[SinkBinding]:
    found = []
    for (place, _), one in objects.items():
        if place == namespace:
            try:
                found.append(decode(SinkBinding, one))
            except msgspec.ValidationError:
                continue  # written by an older kfn; its reconciler says so
    return found


def _is_excluded(store: Store, namespace: str) -> bool:
    one = store.get(NAMESPACE, ("", namespace)) or {}
    return bool(((one.get("metadata") or {}).get("labels") or {}).get(binding.EXCLUDE) == "true")
