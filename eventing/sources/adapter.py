"""The Deployment of a ContainerSource: what it is to be, and whether the one that is there is that. Pure."""

import hashlib
import json

from kfn import binding
from kfn.api import names
from kfn.api.base import Json, encode
from kfn.api.containersource import ContainerSource
from kfn.api.meta import Addressable, OwnerReference
from kfn.api.podspecable import PodSpecable

LABEL = "sources.knative.dev/containerSource"
MARK = "sources.kfn.dev/template"  # annotation: the digest of the template that was written, before the API server filled in defaults


def name(source: ContainerSource) -> str:
    return names.deployment(source.metadata.name)


def wanted(source: ContainerSource, sink: Addressable) -> Json:
    meta = source.metadata
    labels = {LABEL: names.child(meta.name, "")}
    given = source.spec.template
    about: Json = given["metadata"] if isinstance(given.get("metadata"), dict) else {}
    kept = {field: about[field] for field in ("labels", "annotations") if isinstance(about.get(field), dict)}
    template = {"metadata": {**kept, "labels": {**kept.get("labels", {}), **labels}}, "spec": given.get("spec") or {}}
    template = binding.inject(template, sink.url, source.spec.ce_overrides, sink.ca_certs)
    owner = encode(OwnerReference(source.api_version, source.kind, meta.name, meta.uid, controller=True, block_owner_deletion=True))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name(source), "namespace": meta.namespace, "labels": labels, "annotations": {MARK: digest(template)},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


def digest(template: Json) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def is_of(deployment: PodSpecable, source: ContainerSource) -> bool:
    return any(owner.controller and owner.uid == source.metadata.uid for owner in deployment.metadata.owner_references)


def change(deployment: PodSpecable, body: Json) -> list[Json]:
    """The JSON patch that gives it the wanted template; empty if it has it. What the user scales it to is the user's."""
    meta, mark = deployment.metadata, body["metadata"]["annotations"][MARK]
    if meta.annotations.get(MARK) == mark:
        return []
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version},
        {"op": "add", "path": "/metadata/annotations", "value": {**meta.annotations, MARK: mark}},
        {"op": "replace", "path": "/spec/template", "value": body["spec"]["template"]},
    ]
