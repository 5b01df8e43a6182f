"""From an object that was added, changed or removed to an event, with the attributes that Knative's have. Pure."""

import msgspec

from eventing.apiserver.config import Config, Owner
from kfn.api.apiserversource import RESOURCE, type_of
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta
from kfn.api.raw import Raw
from kfn.cloudevents import Event


def event(config: Config, kind: Kind[Raw], verb: str, obj: Raw, time: str) -> Event:
    """`verb` is add, update or delete. The same change gives the same id, however often it is told: a Broker stores it once."""
    meta = obj.metadata
    place = {"namespace": meta.namespace} if meta.namespace else {}
    attributes = {
        "specversion": "1.0",
        "id": f"{meta.uid}-{meta.resource_version}-{verb}-{config.salt}",
        "source": config.source,
        "type": type_of(config.mode, verb),
        "subject": f"/apis/{kind.api_version}/namespaces/{meta.namespace}/{kind.plural}/{meta.name}",
        "time": time,
        "datacontenttype": "application/json",
        "apiversion": kind.api_version,
        "kind": kind.kind,
        "name": meta.name,
        **place,
        **config.extensions,
    }
    if config.mode == RESOURCE:
        return Event(attributes, obj.body)
    return Event(attributes, msgspec.json.encode({"kind": kind.kind, **place, "name": meta.name, "apiVersion": kind.api_version}))


def is_owned(owner: Owner | None, meta: ObjectMeta) -> bool:
    """Whether the object's controller is of the kind that is asked for."""
    if owner is None:
        return True
    of = next((one for one in meta.owner_references if one.controller), None)
    return of is not None and owner.api_version in ("", of.api_version) and owner.kind in ("", of.kind)


def without_body(obj: Raw) -> Raw:
    """All that must be remembered of an object whose events only name it."""
    meta = obj.metadata
    kept = ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        owner_references=meta.owner_references,
    )
    return Raw(kept, b"")
