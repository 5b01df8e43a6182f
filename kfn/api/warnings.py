"""What is accepted and has no effect here: told to whoever wrote it, as a `Warning`, because Knative's manifests may carry it."""

from collections.abc import Iterator, Mapping
from typing import Any

from kfn.api import annotations, names
from kfn.api.base import Json
from kfn.api.eventing import BROKER_CLASS
from kfn.api.kinds import BROKER, CHANNEL, CONFIGURATION, PARALLEL, REVISION, ROUTE, SEQUENCE, SERVICE, Kind

LONGEST = 250  # characters of a warning; clients and API servers cut longer ones
_NO_SIDECAR = "there is no sidecar beside a function"
_GATEWAY = "every request goes through kfn's gateway"

# An annotation, or the beginning of some, and why it does nothing.
_NOTES = {
    "queue.sidecar.serving.knative.dev/": _NO_SIDECAR,
    "features.knative.dev/queueproxy-podinfo": _NO_SIDECAR,
    "features.knative.dev/http-full-duplex": "requests and answers always go both ways at once",
    f"{names.AUTOSCALING}target-burst-capacity": _GATEWAY,
    f"{names.AUTOSCALING}targetBurstCapacity": _GATEWAY,
    "networking.knative.dev/ingress.class": _GATEWAY,
    "networking.knative.dev/certificate.class": "certificates are the gateway's affair",
    "networking.knative.dev/disable-external-domain-tls": "certificates are the gateway's affair",
    names.ROLLOUT_DURATION: "traffic moves at once; split it by spec.traffic to move it slowly",
}


def warnings(kind: Kind[Any], obj: Json) -> list[str]:
    """One line for each field that does nothing; `obj` was admitted before."""
    found: list[str] = []
    if kind in (SERVICE, CONFIGURATION, ROUTE, REVISION):
        found += _notes(_map(obj, "metadata", "annotations"), "metadata.annotations")
        found += _notes(_map(obj, "spec", "template", "metadata", "annotations"), "spec.template.metadata.annotations")
    if kind is BROKER:
        chosen = _map(obj, "metadata", "annotations").get(names.BROKER_CLASS, BROKER_CLASS)
        if chosen != BROKER_CLASS:
            at = annotations.path("metadata.annotations", names.BROKER_CLASS)
            found.append(f"{at}: kfn serves the class {BROKER_CLASS!r} only; {chosen!r} waits for another controller")
    if kind in (CHANNEL, SEQUENCE, PARALLEL):
        template = _map(obj, "spec", "channelTemplate")
        if template and (template.get("apiVersion"), template.get("kind")) != (CHANNEL.api_version, CHANNEL.kind):
            found.append(f"spec.channelTemplate: has no effect; every channel is kept in NATS JetStream, not in a {template.get('kind')}")
    found += _destinations(obj.get("spec"), "spec")
    return [text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..." for text in found]


def _notes(notes: Mapping[str, Any], base: str) -> Iterator[str]:
    for key in notes:
        why = _NOTES.get(key) or next((said for start, said in _NOTES.items() if start.endswith("/") and key.startswith(start)), "")
        if why:
            yield f"{annotations.path(base, key)}: has no effect; {why}"


def _destinations(value: Any, path: str) -> Iterator[str]:
    """Where events go: over HTTP, and no token goes along yet."""
    for steps in (("subscriber",), ("sink",), ("reply",), ("delivery", "deadLetterSink")):
        one = _map(value, *steps)
        at = ".".join((path, *steps))
        uri = str(one.get("uri") or "")
        if "://" in uri and not uri.startswith(("http://", "https://")):
            yield f"{at}.uri: events are delivered over http and https only; everything that goes to {uri!r} fails"
        for field in ("audience", "CACerts"):
            if one.get(field):
                yield f"{at}.{field}: has no effect; events are delivered without it"


def _map(obj: Any, *steps: str) -> Json:
    for step in steps:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj if isinstance(obj, dict) else {}
