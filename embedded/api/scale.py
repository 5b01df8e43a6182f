"""The scale subresource: a Deployment's `spec.replicas` as an `autoscaling/v1` Scale. The functions but `handle` are pure."""

from embedded.api import patch, reads, status, writes
from embedded.api.paths import Target
from embedded.api.request import Answer, Request
from embedded.api.store import Store
from kfn.api.base import Json


def view(obj: Json) -> Json:
    """The Scale of an object."""
    meta = {k: obj["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    spec = obj.get("spec") or {}
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{k}={v}" for k, v in sorted(selector.items())),
        },
    }  # fmt: skip


def replicas(target: Target, scale: Json) -> int:
    """What a Scale asks for. Raises 422."""
    spec = scale.get("spec") or {}
    wanted = spec.get("replicas", 0) if isinstance(spec, dict) else spec
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
        message = f"Invalid value: {wanted!r}: must be a whole number, greater than or equal to 0"
        raise status.invalid(target.kind, target.name, [("spec.replicas", "FieldValueInvalid", message)])
    return wanted


async def handle(store: Store, target: Target, request: Request) -> Answer:
    await store.turn(target.kind, (target.namespace, target.name))
    old = reads.get(store, target)
    current = view(old)
    if request.method == "GET":
        return Answer(200, current)
    content_type = request.content_type.split(";")[0].strip()
    if request.method == "PUT":
        wanted = request.body
    elif request.method == "PATCH":
        wanted = patch.json_patch(current, request.body) if content_type == writes.JSON_PATCH else patch.merge(current, request.body)
    else:
        raise status.method_not_allowed()
    if not isinstance(wanted, dict):
        raise status.bad_request("a Scale must be a JSON object")
    meta = wanted.get("metadata") or {}
    version = (meta.get("resourceVersion") if isinstance(meta, dict) else "") or old["metadata"]["resourceVersion"]
    spec = {**(old.get("spec") or {}), "replicas": replicas(target, wanted)}
    body = {**old, "metadata": {**old["metadata"], "resourceVersion": version}, "spec": spec}
    whole = Target(target.kind, target.namespace, target.name, "")
    answer = await writes.replace(store, whole, request, old, body, ahead=True)
    return Answer(200, view({**answer.body, "metadata": {**old["metadata"], **answer.body["metadata"]}}))
