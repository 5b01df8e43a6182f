"""Get and list, from memory."""

import base64
import binascii
from typing import Any

import msgspec

from embedded.api import selectors, status
from embedded.api.paths import Target
from embedded.api.request import Answer, Request
from embedded.api.store import Key, Shelf, Store
from kfn.api.base import Json


def get(store: Store, target: Target) -> Json:
    """The stored object. Raises 404."""
    obj = store.get(target.kind, (target.namespace, target.name))
    if obj is None:
        raise status.not_found(target.kind, target.name)
    return obj


def selection(target: Target, request: Request) -> selectors.Selector:
    """What the query selects; a name in the path selects that one object, as in a watch on it."""
    query = request.query
    fields = f"metadata.name={target.name}" if target.name else query.get("fieldSelector", "")
    return selectors.parse(query.get("labelSelector", ""), fields, target.kind.plural)


def select(shelf: Shelf, namespace: str, selector: selectors.Selector) -> list[tuple[Key, Json]]:
    """Matching objects in order of namespace and name."""
    if selector.name and namespace:
        key = (namespace, selector.name)
        found = [(key, shelf.objects[key])] if key in shelf.objects else []
    else:
        found = sorted(((k, o) for k, o in shelf.objects.items() if not namespace or k[0] == namespace), key=lambda pair: pair[0])
    return [(k, o) for k, o in found if selector.matches(o)]


def list_(store: Store, target: Target, request: Request) -> Answer:
    """A page of objects, and the version to watch from: that of the first page, so that nothing between pages is missed."""
    kind, shelf = target.kind, store.shelves[target.kind.qualified]
    request.version()
    limit, token = request.number("limit", 0), request.query.get("continue", "")
    version, after = _opened(token) if token else (store.visible_version(shelf), None)
    if version > store.version:
        raise status.gone(version, store.version)
    found = select(shelf, target.namespace, selection(target, request))
    if after is not None:
        found = [(k, o) for k, o in found if k > after]
    meta: dict[str, Any] = {"resourceVersion": str(version)}
    if limit and len(found) > limit:
        meta |= {"continue": _sealed(version, found[limit - 1][0]), "remainingItemCount": len(found) - limit}
        found = found[:limit]
    body = {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": meta, "items": [o for _, o in found]}
    return Answer(200, body, table="list")


def _sealed(version: int, key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([version, *key])).decode()


def _opened(token: str) -> tuple[int, Key]:
    try:
        version, namespace, name = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, str, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise status.bad_request("continue key is not valid") from error
    return version, (namespace, name)
