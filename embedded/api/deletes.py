"""Delete one object or a collection: what `deletion` decides, done against the store. What follows from it is the collector's."""

from collections.abc import Callable
from typing import Any

from embedded.api import deletion, reads, status
from embedded.api.paths import Target
from embedded.api.request import Answer, Request
from embedded.api.store import Key, Store, settled
from kfn.api.base import Json
from kfn.api.kinds import NAMESPACE, Kind
from kfn.clock import timestamp

KEPT_NAMESPACES = ("default", "kube-system")


async def delete(store: Store, target: Target, request: Request) -> Answer:
    wanted = deletion.options(request.body, dict(request.query))
    if target.subresource:
        raise status.method_not_allowed()
    gone, obj = await delete_one(store, target.kind, (target.namespace, target.name), wanted)
    if not gone:
        return Answer(200, obj, table="object")
    details = {"name": target.name, "kind": target.kind.plural, "uid": obj["metadata"]["uid"]}
    if target.kind.group:
        details["group"] = target.kind.group
    return Answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


async def delete_collection(store: Store, target: Target, request: Request) -> Answer:
    """Delete what the selectors match; answers with the list as it was."""
    kind, wanted = target.kind, deletion.options(request.body, dict(request.query))
    if kind == NAMESPACE:
        raise status.method_not_allowed()
    found = reads.select(store.shelves[kind.qualified], target.namespace, reads.selection(target, request))
    for key, _ in found:
        try:
            await delete_one(store, kind, key, wanted)
        except status.StatusError as error:
            if error.code != 404:
                raise
    meta = {"resourceVersion": str(store.visible_version(store.shelves[kind.qualified]))}
    return Answer(200, {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": meta, "items": [o for _, o in found]})


async def delete_one(store: Store, kind: Kind[Any], key: Key, wanted: deletion.Options) -> tuple[bool, Json]:
    """Delete it. Returns whether it is gone already, and the object as it is now or was last."""
    await store.turn(kind, key)
    obj = store.get(kind, key)
    if obj is None:
        raise status.not_found(kind, key[1])
    if kind == NAMESPACE and key[1] in KEPT_NAMESPACES:
        raise status.forbidden(kind, key[1], "this namespace may not be deleted")
    deletion.check(kind, obj, wanted)
    has_dependents = bool(store.dependents.get(obj["metadata"]["uid"]))
    new = deletion.marked(kind, obj, wanted, timestamp(), has_dependents=has_dependents)
    if new == obj or wanted.dry_run:
        return new is None, obj
    if new is None:
        last = {**obj, "metadata": dict(obj["metadata"])}
        await settled(store.remove(kind, key, last))
        return True, last
    await settled(store.put(kind, key, new))
    return False, new


async def modify(store: Store, kind: Kind[Any], key: Key, change: Callable[[Json], Json]) -> None:
    """Change an object on the server's own account. `change` must return a new object; nothing happens if it equals the old."""
    await store.turn(kind, key)
    old = store.get(kind, key)
    if old is None:
        return
    new = change(old)
    if new == old:
        return
    new["metadata"] = dict(new["metadata"])
    await settled(store.remove(kind, key, new) if deletion.finished(kind, new) else store.put(kind, key, new))
