"""What the webhook for SinkBindings is on a cluster: a workload gets its sink's address on its way in, whoever writes it."""

from typing import Any

import msgspec

from embedded.api.store import Store
from kfn import binding
from kfn.api.base import Json, decode
from kfn.api.kinds import NAMESPACE, SINK_BINDING, Kind
from kfn.api.podspecable import template_of
from kfn.api.sinkbinding import SinkBinding


def bound(store: Store, kind: Kind[Any], obj: Json) -> Json:
    """The object with the variables of its namespace's SinkBinding, if there is one for it and its sink is known."""
    meta = obj["metadata"]
    shelf = store.shelves[SINK_BINDING.qualified]
    if not shelf.objects or meta.get("deletionTimestamp") or not template_of(obj):
        return obj
    namespace = str(meta.get("namespace", ""))
    found = binding.chosen(_bindings(shelf.objects, namespace), {**obj, "apiVersion": kind.api_version, "kind": kind.kind})
    if found is None or not found.status.sink_uri or _is_excluded(store, namespace):
        return obj
    return binding.bind(obj, found)


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
    return ((one.get("metadata") or {}).get("labels") or {}).get(binding.EXCLUDE) == "true"
