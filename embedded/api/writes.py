"""Create, update and patch: what `write` decides, done against the store, one write to an object at a time."""

import secrets
import string
import uuid
from typing import Any

from embedded.api import admission, binding, deletion, patch, reads, status, strategic, write
from embedded.api.paths import Target, built_in
from embedded.api.request import Answer, Request
from embedded.api.store import Store, settled
from kfn.api.base import Json
from kfn.api.kinds import EVENT, NAMESPACE
from kfn.clock import timestamp

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_DRAWS = 8
_LETTERS = string.ascii_lowercase + string.digits


def stamp() -> write.Stamp:
    return write.Stamp(timestamp(), str(uuid.uuid4()), "".join(secrets.choice(_LETTERS) for _ in range(5)))


async def create(store: Store, target: Target, request: Request) -> Answer:
    kind = target.kind
    if target.name:
        raise status.method_not_allowed()
    if kind.namespaced and not target.namespace:
        raise status.bad_request("an object of this kind is created in a namespace: POST to /namespaces/NAMESPACE/" + kind.plural)
    wanted = _named(store, target, request.body)
    name = wanted["metadata"]["name"]
    if kind.namespaced:
        _check_namespace(store, target, name)
    new = write.typed(kind, binding.bound(store, kind, "CREATE", admission.admitted(kind, "CREATE", wanted, None, request.user)))
    warnings = admission.told(kind, request.body, new, request)
    key = (target.namespace, name)
    await store.turn(kind, key)
    if store.get(kind, key) is not None:
        raise status.already_exists(kind, name)
    if not request.dry_run:
        await settled(store.put(kind, key, new))
        if kind is EVENT:
            store.forget_old_events()
    return Answer(201, new, warnings, "object")


async def update(store: Store, target: Target, request: Request) -> Answer:
    """PUT: replace the object, or only its status through the subresource."""
    body = write.body_of(target.kind, request.body)
    await store.turn(target.kind, (target.namespace, target.name))
    old = reads.get(store, target)
    write.require_version(target, body)
    return await replace(store, target, request, old, body, given=request.body)


async def patched(store: Store, target: Target, request: Request) -> Answer:
    kind, content_type = target.kind, request.content_type.split(";")[0].strip()
    await store.turn(kind, (target.namespace, target.name))
    old = store.get(kind, (target.namespace, target.name))
    if content_type == APPLY:
        if old is None and not target.subresource:
            return await _create_by_apply(store, target, request)
        body = _applied(target, old or {}, request)
    elif old is None:
        raise status.not_found(kind, target.name)
    else:
        body = changed(target, old, request.body, content_type)
    if old is None:
        raise status.not_found(kind, target.name)
    return await replace(store, target, request, old, body, given=body)


def changed(target: Target, old: Json, given: Any, content_type: str) -> Json:
    """The object that a patch makes of `old`."""
    if content_type == JSON_PATCH:
        body = patch.json_patch(old, given)
    elif content_type == MERGE:
        if not isinstance(given, dict):
            raise status.bad_request("a merge patch is a JSON object")
        body = patch.merge(old, given)
    elif content_type == STRATEGIC and built_in(target.kind):
        if not isinstance(given, dict):
            raise status.bad_request("a strategic merge patch is a JSON object")
        body = strategic.merge(old, given)
    else:
        accepted = [JSON_PATCH, MERGE, *([STRATEGIC] if built_in(target.kind) else []), APPLY]
        raise status.unsupported_media_type(accepted)
    if not isinstance(body, dict):
        raise status.bad_request("the patch leaves no object")
    return body


async def _create_by_apply(store: Store, target: Target, request: Request) -> Answer:
    body = write.body_of(target.kind, request.body)
    body["metadata"] |= {"name": body["metadata"].get("name") or target.name}
    if body["metadata"]["name"] != target.name:
        raise status.bad_request(f"the name of the object ({body['metadata']['name']}) does not match the name on the URL ({target.name})")
    body["metadata"]["managedFields"] = [_manager(target, request)]
    plain = Target(target.kind, target.namespace, "", "")
    created = Request("POST", request.path, request.query, body, "application/json", request.user)
    return await create(store, plain, created)


def _applied(target: Target, old: Json, request: Request) -> Json:
    """Server-side apply as kfn does it: a merge, with the field manager noted. Fields left out are not removed."""
    if not isinstance(request.body, dict):
        raise status.bad_request("an apply patch is an object in YAML or JSON")
    write.body_of(target.kind, request.body)
    body: Json = (strategic.merge if built_in(target.kind) else patch.merge)(old, request.body)
    body["metadata"] = body.get("metadata") or {}
    mine = _manager(target, request)
    others = [m for m in old.get("metadata", {}).get("managedFields") or () if m.get("manager") != mine["manager"]]
    same = next((m for m in old.get("metadata", {}).get("managedFields") or () if m.get("manager") == mine["manager"]), mine)
    body["metadata"] = {**body["metadata"], "managedFields": [*others, same]}
    return body


def _manager(target: Target, request: Request) -> Json:
    manager = request.query.get("fieldManager")
    if not manager:
        raise status.bad_request('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch')
    return {
        "manager": manager, "operation": "Apply", "apiVersion": target.kind.api_version, "time": timestamp(), "fieldsType": "FieldsV1",
        "fieldsV1": {},
    }  # fmt: skip


async def replace(
    store: Store, target: Target, request: Request, old: Json, body: Json, *, given: Any = None, ahead: bool = False
) -> Answer:
    """Store `body` in place of `old`, which was read in this turn of the event loop; nothing is written when nothing changed.

    `given` is what the client wrote, or what its patch made, to look for unknown fields in; `ahead` is the store's.
    """
    kind, key = target.kind, (target.namespace, target.name)
    wanted = write.for_update(target, old, body)
    if target.subresource != "status":
        wanted = binding.bound(store, kind, "UPDATE", admission.admitted(kind, "UPDATE", wanted, old, request.user))
    new = write.with_generation(kind, old, write.typed(kind, wanted))
    warnings = admission.told(kind, given, new, request)
    if new == old and store.saved(kind, key):
        return Answer(200, old, warnings, "object")
    if not request.dry_run:
        await settled(store.remove(kind, key, new) if deletion.finished(kind, new) else store.put(kind, key, new, ahead=ahead))
    return Answer(200, new, warnings, "object")


def _named(store: Store, target: Target, body: Any) -> Json:
    """The object to create; a generated name that is taken by chance is drawn again, as Kubernetes does."""
    for _ in range(_DRAWS):
        wanted = write.for_create(target, body, stamp())
        meta = wanted["metadata"]
        given = isinstance(body, dict) and (body.get("metadata") or {}).get("name")
        if given or store.get(target.kind, (target.namespace, meta["name"])) is None:
            break
    return wanted


def _check_namespace(store: Store, target: Target, name: str) -> None:
    namespace = store.get(NAMESPACE, ("", target.namespace))
    if namespace is None:
        raise status.not_found(NAMESPACE, target.namespace)
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
        raise status.forbidden(target.kind, name, why)
