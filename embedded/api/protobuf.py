"""Pure: bodies in Kubernetes' protobuf, as far as `kubectl create KIND` and `kubectl auth` write them, as JSON objects.

kubectl has no switch back to JSON for those commands. A field that is not in the tables is refused by its number, never dropped.
"""

import base64
from dataclasses import dataclass
from typing import Any

from embedded.api.status import StatusError, bad_request
from kfn.api.base import Json

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


@dataclass(frozen=True, slots=True)
class F:
    """A field: its JSON name, what it holds, and how many of it.

    Holds "text", "bytes", "bool", "int" (0 means absent), "number" (0 means 0), "int-or-string", or a message.
    """

    name: str
    holds: Any = "text"
    many: str = ""  # "", "list" or "map"


Message = dict[int, F]

_META: Message = {
    1: F("name"), 2: F("generateName"), 3: F("namespace"), 5: F("uid"), 6: F("resourceVersion"), 7: F("generation", "int"),
    11: F("labels", "text", "map"), 12: F("annotations", "text", "map"), 14: F("finalizers", "text", "list"),
}  # fmt: skip
_NAME: Message = {1: F("name")}
_SELECTOR: Message = {1: F("matchLabels", "text", "map")}
_PORT: Message = {1: F("name"), 2: F("hostPort", "int"), 3: F("containerPort", "int"), 4: F("protocol"), 5: F("hostIP")}
_ENV: Message = {1: F("name"), 2: F("value")}
_CONTAINER: Message = {
    1: F("name"), 2: F("image"), 3: F("command", "text", "list"), 4: F("args", "text", "list"), 5: F("workingDir"),
    6: F("ports", _PORT, "list"), 7: F("env", _ENV, "list"), 14: F("imagePullPolicy"), 16: F("stdin", "bool"),
    17: F("stdinOnce", "bool"), 18: F("tty", "bool"),
}  # fmt: skip
_POD_SPEC: Message = {
    2: F("containers", _CONTAINER, "list"),
    3: F("restartPolicy"),
    6: F("dnsPolicy"),
    8: F("serviceAccountName"),
    10: F("nodeName"),
}
_TEMPLATE: Message = {1: F("metadata", _META), 2: F("spec", _POD_SPEC)}
_DEPLOYMENT_SPEC: Message = {
    1: F("replicas", "number"), 2: F("selector", _SELECTOR), 3: F("template", _TEMPLATE), 5: F("minReadySeconds", "int"),
    6: F("revisionHistoryLimit", "number"), 7: F("paused", "bool"), 9: F("progressDeadlineSeconds", "number"),
}  # fmt: skip
_SERVICE_PORT: Message = {1: F("name"), 2: F("protocol"), 3: F("port", "int"), 4: F("targetPort", "int-or-string"), 5: F("nodePort", "int")}
_SERVICE_SPEC: Message = {
    1: F("ports", _SERVICE_PORT, "list"), 2: F("selector", "text", "map"), 3: F("clusterIP"), 4: F("type"), 7: F("sessionAffinity"),
    10: F("externalName"), 13: F("publishNotReadyAddresses", "bool"),
}  # fmt: skip
_ACCESS: Message = {
    1: F("resourceAttributes", {
        1: F("namespace"), 2: F("verb"), 3: F("group"), 4: F("version"), 5: F("resource"), 6: F("subresource"), 7: F("name")
    }),
    2: F("nonResourceAttributes", {1: F("path"), 2: F("verb")}),
}  # fmt: skip
_OPTIONS: Message = {
    1: F("gracePeriodSeconds", "number"), 2: F("preconditions", {1: F("uid"), 2: F("resourceVersion")}), 3: F("orphanDependents", "bool"),
    4: F("propagationPolicy"), 5: F("dryRun", "text", "list"),
}  # fmt: skip


def _object(**rest: F) -> Message:
    """An object with metadata as field 1; `rest` as `_2=F(...)`."""
    return {1: F("metadata", _META), **{int(number[1:]): field for number, field in rest.items()}}


_KINDS: dict[str, Message] = {
    "Namespace": _object(_2=F("spec", {1: F("finalizers", "text", "list")})),
    "ConfigMap": _object(_2=F("data", "text", "map"), _3=F("binaryData", "bytes", "map"), _4=F("immutable", "bool")),
    "Secret": _object(_2=F("data", "bytes", "map"), _3=F("type"), _4=F("stringData", "text", "map"), _5=F("immutable", "bool")),
    "ServiceAccount": _object(_2=F("secrets", {3: F("name")}, "list"), _3=F("imagePullSecrets", _NAME, "list")),
    "Service": _object(_2=F("spec", _SERVICE_SPEC)),
    "Pod": _object(_2=F("spec", _POD_SPEC)),
    "Deployment": _object(_2=F("spec", _DEPLOYMENT_SPEC)),
    "SelfSubjectAccessReview": _object(_2=F("spec", _ACCESS)),
    "SelfSubjectRulesReview": _object(_2=F("spec", {1: F("namespace")})),
    "SelfSubjectReview": _object(),
    "DeleteOptions": _OPTIONS,
}


def decode(content: bytes) -> Json:
    """The object in an envelope of Kubernetes' protobuf. Raises 400 for what is not one, 415 for what the tables do not have."""
    if not content.startswith(_MAGIC):
        raise bad_request("the object provided is unrecognized: it does not start as Kubernetes' protobuf does")
    try:
        envelope = _message(content[len(_MAGIC) :], {1: F("typeMeta", {1: F("apiVersion"), 2: F("kind")}), 2: F("raw", "bytes")}, "")
        meta = envelope.get("typeMeta", {})
        fields = _KINDS.get(meta.get("kind", ""))
        if fields is None:
            raise _refused(f"a {meta.get('kind', 'nameless kind')}")
        return {**meta, **_message(base64.b64decode(envelope.get("raw", "")), fields, meta["kind"])}
    except (IndexError, UnicodeDecodeError) as error:
        raise bad_request(f"the object provided is unrecognized: broken protobuf: {error}") from error


def _refused(what: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", f"kfn does not read {what} in protobuf: send it as JSON or YAML (kubectl apply -f)")


def _message(content: bytes, fields: Message, path: str) -> Json:
    found: Json = {}
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        raw: Any
        if wire == 0:
            raw, at = _varint(content, at)
        elif wire == 2:
            size, at = _varint(content, at)
            if at + size > len(content):
                raise IndexError("a field is longer than its message")
            raw, at = content[at : at + size], at + size
        else:
            raise bad_request(f"the object provided is unrecognized: wire type {wire} in {path}")
        field = fields.get(number)
        if field is None:
            # Kubernetes writes empty messages and zeros out in full; only a value means something.
            if raw and not _empty(raw):
                raise _refused(f"field {number} of {path}")
            continue
        _set(found, field, raw, f"{path}.{field.name}")
    return found


def _set(found: Json, field: F, raw: Any, path: str) -> None:
    if field.many == "map":
        entry = _message(raw, {1: F("key"), 2: F("value", field.holds)}, path)
        found.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", "")
        return
    value = _value(field.holds, raw, path)
    if field.many == "list":
        found.setdefault(field.name, []).append(value)
    elif _says(field.holds, value):
        found[field.name] = value


def _says(holds: Any, value: Any) -> bool:
    """False for what Kubernetes' protobuf writes out although it is not set."""
    return holds == "number" or bool(value) or holds == "int-or-string"


def _value(holds: Any, raw: Any, path: str) -> Any:
    if isinstance(holds, dict):
        return _message(raw, holds, path)
    match holds:
        case "text":
            return raw.decode()
        case "bytes":
            return base64.b64encode(raw).decode()
        case "bool":
            return bool(raw)
        case "int-or-string":
            parts = _message(raw, {1: F("type", "int"), 2: F("int", "int"), 3: F("text")}, path)
            return parts.get("text", "") if parts.get("type") == 1 else parts.get("int", 0)
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _empty(raw: Any) -> bool:
    """True for a message that says nothing: empty, or made of empty messages."""
    if not isinstance(raw, bytes):
        return False
    try:
        return not _message(raw, {}, "")
    except (StatusError, IndexError):
        return False


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise IndexError("a number is too long")
