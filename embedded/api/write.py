"""Pure: what a create or an update stores: which fields the client may set, which the server owns, when the generation moves.

Leaves defaults and validation of the kind itself to `kfn.api.admission`.
"""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from embedded.api import status
from embedded.api.paths import Target, built_in
from kfn.api.base import Json, decode, encode
from kfn.api.kinds import NAMESPACE, POD, SECRET, Kind

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion")
# What is looked at before the whole object is decoded, which checks the other fields.
_META_TYPES: dict[str, type[str] | type[dict[str, Any]] | type[list[Any]]] = {
    "name": str, "generateName": str, "namespace": str, "uid": str, "resourceVersion": str, "labels": dict, "annotations": dict,
    "ownerReferences": list, "finalizers": list, "managedFields": list,
}  # fmt: skip
_JSON_NAMES = {str: "a string", dict: "an object", list: "a list"}
_ONE_LABEL = frozenset({"services", "namespaces"})  # their names become one part of a host name


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the shell supplies: the time, a fresh uid, and the random end of a generated name."""

    now: str
    uid: str
    suffix: str


def body_of(kind: Kind[Any], body: Any) -> Json:
    """The request's object, checked for being one of this kind at all."""
    if not isinstance(body, dict):
        raise status.bad_request("the request's body must be a JSON object")
    for name, needed in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        given = body.get(name, needed)
        if given != needed:
            raise status.bad_request(f"the {name} in the data ({given}) does not match the expected {name} ({needed})")
    meta = body.get("metadata") or {}
    if not isinstance(meta, dict):
        raise status.bad_request("metadata must be an object")
    for field, wanted in _META_TYPES.items():
        if not isinstance(meta.get(field), wanted | None):
            raise status.bad_request(f"metadata.{field} must be {_JSON_NAMES[wanted]}")
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": dict(body.get("metadata") or {})}


def typed(kind: Kind[Any], obj: Json) -> Json:
    """The stored form: unknown fields and nulls dropped, types checked. The result shares nothing with `obj`."""
    try:
        stored: Json = encode(decode(kind.type, obj))
    except msgspec.ValidationError as error:
        raise status.bad_request(f"{kind.kind} in version {kind.version!r} cannot be handled as a {kind.kind}: {error}") from error
    # Kubernetes keeps these even when empty, and clients (kn among them) assume so.
    if kind == SECRET and "data" not in stored:
        stored["data"] = {}
    return stored


def for_create(target: Target, body: Any, stamp: Stamp) -> Json:
    """The object that a POST asks for, before defaulting."""
    kind = target.kind
    obj = body_of(kind, body)
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = f"{meta['generateName'][:58]}{stamp.suffix}"
    _place(target, meta)
    name = meta.get("name") or ""
    if not name:
        raise status.invalid(kind, "", [("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")])
    _check_name(kind, name)
    _check_labels(kind, name, meta)
    _check_owners(kind, name, meta)
    for field in _OWNED:
        meta.pop(field, None)
    meta |= {"uid": stamp.uid, "creationTimestamp": stamp.now}
    if "status" in kind.subresources:
        obj.pop("status", None)
        meta["generation"] = 1
    if kind == POD:
        obj["status"] = {"phase": "Pending"}
    if kind == NAMESPACE:
        obj["status"] = {"phase": "Active"}
        obj["spec"] = {"finalizers": ["kubernetes"]}
        meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": name}
    if kind == SECRET:
        obj = _secret(obj)
    return obj


def for_update(target: Target, old: Json, body: Any) -> Json:
    """The object that a PUT or a patch's result asks for, before defaulting. Raises the conflict of a stale resourceVersion."""
    kind = target.kind
    obj = body_of(kind, body)
    meta, was = obj["metadata"], old["metadata"]
    if (meta.get("name") or target.name) != target.name:
        raise status.bad_request(f"the name of the object ({meta.get('name')}) does not match the name on the URL ({target.name})")
    meta["name"] = target.name
    _place(target, meta)
    version = meta.get("resourceVersion")
    if version and version != was["resourceVersion"]:
        raise status.conflict(kind, target.name)
    if meta.get("uid") and meta["uid"] != was["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {was['uid']}"
        raise status.conflict(kind, target.name, why)
    if target.subresource == "status":
        return {**old, "metadata": dict(was), "status": obj.get("status") or {}}
    _check_labels(kind, target.name, meta)
    _check_owners(kind, target.name, meta)
    for field in _OWNED:
        meta.pop(field, None)
        if field in was:
            meta[field] = was[field]
    if "status" in kind.subresources:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = old["status"]
    if kind == SECRET:
        obj = _secret(obj)
    return obj


def require_version(target: Target, body: Json) -> None:
    """A custom resource is only replaced by someone who says what they replace; Kubernetes insists, so kfn does."""
    if not built_in(target.kind) and not body["metadata"].get("resourceVersion"):
        message = "Invalid value: 0: must be specified for an update"
        raise status.invalid(target.kind, target.name, [("metadata.resourceVersion", "FieldValueInvalid", message)])


def with_generation(kind: Kind[Any], old: Json, new: Json) -> Json:
    """`new`, its generation moved on if anything but metadata and status differs from `old`."""
    if "status" in kind.subresources and _spec(old) != _spec(new):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1
    return new


def _spec(obj: Json) -> Json:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def _place(target: Target, meta: Json) -> None:
    if not target.kind.namespaced:
        meta.pop("namespace", None)
        return
    if (meta.get("namespace") or target.namespace) != target.namespace:
        raise status.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    meta["namespace"] = target.namespace


def _check_name(kind: Kind[Any], name: str) -> None:
    one = kind.plural in _ONE_LABEL
    limit, pattern = (63, _LABEL) if one else (253, _SUBDOMAIN)
    if len(name) <= limit and pattern.fullmatch(name):
        return
    what = "RFC 1123 label" if one else "RFC 1123 subdomain"
    rule = f"must be no more than {limit} characters" if len(name) > limit else (
        f"a lowercase {what} must consist of lower case alphanumeric characters or '-'{'' if one else ' or .'}, "
        "and must start and end with an alphanumeric character"
    )  # fmt: skip
    raise status.invalid(kind, name, [("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {rule}')])


def _check_labels(kind: Kind[Any], name: str, meta: Json) -> None:
    """Labels that Kubernetes would refuse are refused here too, so that nothing works on a laptop only."""
    for key, value in (meta.get("labels") or {}).items():
        told = _label_fault(key, value) if isinstance(value, str) else None  # other types and nulls are the decoder's
        if told:
            raise status.invalid(kind, name, [("metadata.labels", "FieldValueInvalid", f"Invalid value: {told}")])


def _check_owners(kind: Kind[Any], name: str, meta: Json) -> None:
    """An owner without a uid would look like one that is gone, and take the object with it."""
    references = meta.get("ownerReferences") or ()
    faults = [
        (f"metadata.ownerReferences[{i}].{field}", "FieldValueRequired", "Required value: must not be empty")
        for i, reference in enumerate(references if isinstance(references, list) else ())
        for field in ("apiVersion", "kind", "name", "uid")
        if not (isinstance(reference, dict) and reference.get(field))
    ]
    if faults:
        raise status.invalid(kind, name, faults)


@lru_cache(maxsize=4096)
def _label_fault(key: str, value: str) -> str | None:
    prefix, _, short = key.rpartition("/")
    if len(short) > 63 or not _QUALIFIED.fullmatch(short) or (prefix and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix))):
        return f'"{key}": a label\'s key is at most 63 letters, digits, "-", "_" or ".", with an optional DNS prefix and "/"'
    if value and (len(value) > 63 or not _QUALIFIED.fullmatch(value)):
        return f'"{value}": the value of label {key} must be at most 63 letters, digits, "-", "_" or ".", a letter or digit at both ends'
    return None


def _secret(obj: Json) -> Json:
    """`stringData` is write-only: it goes into `data`, in base64."""
    text = obj.pop("stringData", None) or {}
    for field, values in (("stringData", text), ("data", obj.get("data") or {})):
        if not isinstance(values, dict):
            raise status.bad_request(f"{field} must be an object")
    if text:
        encoded = {k: base64.b64encode(str(v).encode()).decode() for k, v in text.items() if v is not None}
        obj["data"] = {**(obj.get("data") or {}), **encoded}
    obj.setdefault("type", "Opaque")
    return obj
