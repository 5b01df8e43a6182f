"""What a SinkBinding does to a workload: three variables in every container of its pod template, and a label that tells whose they are.

Pure, over JSON. On a cluster eventing's reconciler and the controller's webhook call it, in `kfn up` the API server: all write the same.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kfn.api.base import Json
from kfn.api.podspecable import template_of, with_template
from kfn.api.shapes import Requirement, Selector
from kfn.api.sinkbinding import SinkBinding
from kfn.api.sourced import CloudEventOverrides

SINK, OVERRIDES, CA_CERTS = "K_SINK", "K_CE_OVERRIDES", "K_CA_CERTS"
OURS = frozenset({SINK, OVERRIDES, CA_CERTS})
BOUND_BY = "bindings.kfn.dev/sinkbinding"  # label of a workload: the uid of the SinkBinding whose variables it has
EXCLUDE = "bindings.knative.dev/exclude"  # label of a workload or a namespace that no SinkBinding may touch


def inject(template: Json, sink: str, overrides: CloudEventOverrides | None = None, ca_certs: str = "") -> Json:
    """The pod template with the variables in every container and init container, and all else as it was."""
    said = json.dumps({"extensions": overrides.extensions}, separators=(",", ":"), sort_keys=True) if overrides is not None else ""
    wanted = [_variable(SINK, sink), *([_variable(CA_CERTS, ca_certs)] if ca_certs else []), _variable(OVERRIDES, said)]
    return _with(template, wanted)


def remove(template: Json) -> Json:
    """The pod template without the variables."""
    return _with(template, [])


def bind(obj: Json, binding: SinkBinding) -> Json:
    """The workload with what the binding says. The binding knows its sink's address."""
    status = binding.status
    template = inject(template_of(obj), status.sink_uri, binding.spec.ce_overrides, status.sink_ca_certs)
    return with_template(_labelled(obj, binding.metadata.uid), template)


def on_the_way(bindings: Iterable[SinkBinding], operation: str, obj: Json) -> Json:
    """What becomes of a workload that somebody creates or updates. It stays as it is if no binding whose sink is known has it."""
    if obj.get("kind") == "Job" and operation != "CREATE":
        return obj  # its template cannot change any more, and what else somebody writes must not fail for it
    if not template_of(obj) or (obj.get("metadata") or {}).get("deletionTimestamp"):
        return obj
    found = chosen(bindings, obj)
    return bind(obj, found) if found is not None and found.status.sink_uri else obj


def unbind(obj: Json) -> Json:
    return with_template(_labelled(obj, ""), remove(template_of(obj)))


def chosen(bindings: Iterable[SinkBinding], obj: Json) -> SinkBinding | None:
    """Which of a namespace's bindings has the workload: one that names it before those that select it, and of these the oldest."""
    meta = obj.get("metadata") or {}
    if (meta.get("labels") or {}).get(EXCLUDE) == "true":
        return None
    rivals = [one for one in bindings if not one.metadata.deletion_timestamp and is_for(one, obj)]
    return min(rivals, key=lambda one: (not one.spec.subject.name, one.metadata.creation_timestamp, one.metadata.name), default=None)


def is_for(binding: SinkBinding, obj: Json) -> bool:
    """Whether the workload, of the same namespace, is the binding's subject."""
    subject, meta = binding.spec.subject, obj.get("metadata") or {}
    if (subject.api_version, subject.kind) != (obj.get("apiVersion"), obj.get("kind")):
        return False
    if subject.name:
        return bool(subject.name == meta.get("name"))
    return subject.selector is not None and selects(subject.selector, meta.get("labels") or {})


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    if any(labels.get(name) != value for name, value in selector.match_labels.items()):
        return False
    return all(_holds(one, labels) for one in selector.match_expressions)


def query(selector: Selector) -> str:
    """The selector as a list takes it."""
    return ",".join([*(f"{name}={value}" for name, value in selector.match_labels.items()), *map(_term, selector.match_expressions)])


def _term(one: Requirement) -> str:
    match one.operator:
        case "Exists":
            return one.key
        case "DoesNotExist":
            return f"!{one.key}"
    return f"{one.key} {one.operator.lower()} ({','.join(one.values)})"


def _holds(one: Requirement, labels: Mapping[str, str]) -> bool:
    match one.operator:
        case "In":
            return labels.get(one.key) in one.values
        case "NotIn":
            return labels.get(one.key) not in one.values  # absent counts as not in, as in Kubernetes
        case "Exists":
            return one.key in labels
        case "DoesNotExist":
            return one.key not in labels
    return False


def _variable(name: str, value: str) -> Json:
    """As an API server writes it down: an empty value is left out."""
    return {"name": name, "value": value} if value else {"name": name}


def _with(template: Json, wanted: list[Json]) -> Json:
    spec = template.get("spec")
    if not isinstance(spec, dict):
        return template
    changed = {
        field: [_container(one, wanted) for one in spec[field]]
        for field in ("initContainers", "containers")
        if isinstance(spec.get(field), list)
    }
    return {**template, "spec": {**spec, **changed}}


def _container(container: Any, wanted: list[Json]) -> Any:
    if not isinstance(container, dict):
        return container
    given = container.get("env") or []
    env = [one for one in given if not (isinstance(one, dict) and one.get("name") in OURS)]
    mine = [one for one in given if one not in env]
    if [_plain(one) for one in mine] == wanted:
        return container  # wherever they stand: to move them would make a new revision
    kept = {name: value for name, value in container.items() if name != "env"}
    return {**kept, "env": [*env, *wanted]} if env or wanted else kept


def _plain(variable: Json) -> Json:
    return {name: value for name, value in variable.items() if value != ""}


def _labelled(obj: Json, uid: str) -> Json:
    meta = obj.get("metadata") or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != BOUND_BY}
    if uid:
        labels[BOUND_BY] = uid
    kept = {name: value for name, value in meta.items() if name != "labels"}
    return {**obj, "metadata": {**kept, "labels": labels} if labels else kept}
