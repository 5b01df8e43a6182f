"""The columns of each kind: Knative's printer columns, and kubectl's usual ones for Kubernetes' own kinds.

A column has a JSONPath where a CRD must say it, and a reader that `kfn.api.tables` calls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kfn.api import cells
from kfn.api.base import Json

Cell = str | int | None
Read = Callable[[Json, datetime], Cell]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `wide` ones are shown by `-o wide` only."""

    name: str
    read: Read
    json_path: str = ""
    type: str = "string"
    wide: bool = False


def at(name: str, *steps: str, type: str = "string", wide: bool = False) -> Column:
    """A column that shows one field."""
    path = "".join(f"['{s.replace('.', chr(92) + '.')}']" if "." in s else f".{s}" for s in steps)
    empty: Cell = 0 if type == "integer" else ""

    def read(obj: Json, now: datetime) -> Cell:
        value: Any = obj
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return empty if value is None else value if isinstance(value, int) and type == "integer" else str(value)

    return Column(name, read, path, type, wide)


def ready(name: str, field: str) -> Column:
    """A column that shows a field of the Ready condition."""
    return Column(name, lambda obj, now: cells.ready(obj, field), f".status.conditions[?(@.type=='Ready')].{field}")


def succeeded(name: str, field: str) -> Column:
    """A column that shows a field of the Succeeded condition, for what runs once."""
    path = f".status.conditions[?(@.type=='Succeeded')].{field}"
    return Column(name, lambda obj, now: cells.condition(obj, "Succeeded", field), path)


def of(name: str, read: Callable[[Json], Cell], *, type: str = "string", wide: bool = False) -> Column:
    return Column(name, lambda obj, now: read(obj), "", type, wide)


NAME = at("Name", "metadata", "name")
AGE = Column(
    "Age", lambda obj, now: cells.age((obj.get("metadata") or {}).get("creationTimestamp"), now), ".metadata.creationTimestamp", "date"
)
_READY = (ready("Ready", "status"), ready("Reason", "reason"))
_ADDRESSED = (at("URL", "status", "address", "url"), AGE, *_READY)
_LATEST = (at("LatestCreated", "status", "latestCreatedRevisionName"), at("LatestReady", "status", "latestReadyRevisionName"))
_LABEL = "serving.knative.dev/"

# Without Name, which leads every row.
BY_KIND: dict[str, tuple[Column, ...]] = {
    "services.serving.knative.dev": (at("URL", "status", "url"), *_LATEST, *_READY),
    "configurations.serving.knative.dev": (*_LATEST, *_READY),
    "revisions.serving.knative.dev": (
        at("Config Name", "metadata", "labels", f"{_LABEL}configuration"),
        at("Generation", "metadata", "labels", f"{_LABEL}configurationGeneration"),
        *_READY,
        at("Actual Replicas", "status", "actualReplicas", type="integer"),
        at("Desired Replicas", "status", "desiredReplicas", type="integer"),
    ),
    "routes.serving.knative.dev": (at("URL", "status", "url"), *_READY),
    "brokers.eventing.knative.dev": _ADDRESSED,
    "triggers.eventing.knative.dev": (at("Broker", "spec", "broker"), at("Subscriber_URI", "status", "subscriberUri"), AGE, *_READY),
    "channels.messaging.knative.dev": _ADDRESSED,
    "inmemorychannels.messaging.knative.dev": _ADDRESSED,
    "subscriptions.messaging.knative.dev": (AGE, *_READY),
    "sequences.flows.knative.dev": _ADDRESSED,
    "parallels.flows.knative.dev": _ADDRESSED,
    "pingsources.sources.knative.dev": (
        at("Sink", "status", "sinkUri"),
        at("Schedule", "spec", "schedule"),
        AGE,
        *_READY,
    ),
    "sinkbindings.sources.knative.dev": (at("Sink", "status", "sinkUri"), AGE, *_READY),
    "containersources.sources.knative.dev": (at("Sink", "status", "sinkUri"), AGE, *_READY),
    "kafkasources.sources.knative.dev": (
        Column("Topics", lambda o, now: cells.listed(o, "spec", "topics"), ".spec.topics"),
        Column("BootstrapServers", lambda o, now: cells.listed(o, "spec", "bootstrapServers"), ".spec.bootstrapServers"),
        AGE,
        *_READY,
    ),
    "natssources.kfn.dev": (at("Subject", "spec", "subject"), at("Sink", "status", "sinkUri"), AGE, *_READY),
    "apiserversources.sources.knative.dev": (at("Sink", "status", "sinkUri"), AGE, *_READY),
    "jobsinks.sinks.knative.dev": _ADDRESSED,
    "webhooksources.kfn.dev": (at("URL", "status", "address", "url"), at("Sink", "status", "sinkUri"), AGE, *_READY),
    "pipelines.kfn.dev": (at("URL", "status", "address", "url"), at("On", "spec", "on", "type"), AGE, *_READY),
    "builds.kfn.dev": (
        at("Image", "spec", "image", "repository"),
        succeeded("Succeeded", "status"),
        succeeded("Reason", "reason"),
        AGE,
        at("Digest", "status", "digest", wide=True),
        at("Position", "status", "queuePosition", type="integer", wide=True),
    ),
    "jobs.batch": (
        of("Status", cells.job_status),
        of("Completions", lambda o: f"{cells.dig(o, 'status', 'succeeded') or 0}/{cells.dig(o, 'spec', 'completions') or 1}"),
        AGE,
    ),
    "deployments.apps": (
        of("Ready", cells.deployment_ready),
        at("Up-to-date", "status", "updatedReplicas", type="integer"),
        at("Available", "status", "availableReplicas", type="integer"),
        AGE,
        of("Containers", lambda o: cells.containers(o, "name"), wide=True),
        of("Images", lambda o: cells.containers(o, "image"), wide=True),
        of("Selector", lambda o: cells.pairs(cells.dig(o, "spec", "selector", "matchLabels")), wide=True),
    ),
    "pods": (
        of("Ready", cells.pod_ready),
        of("Status", cells.pod_status),
        of("Restarts", cells.pod_restarts),
        AGE,
        of("IP", lambda o: cells.dig(o, "status", "podIP") or "<none>", wide=True),
        of("Node", lambda o: cells.dig(o, "spec", "nodeName") or "<none>", wide=True),
        of("Nominated Node", lambda o: cells.dig(o, "status", "nominatedNodeName") or "<none>", wide=True),
        of("Readiness Gates", lambda o: "<none>", wide=True),
    ),
    "services": (
        of("Type", lambda o: cells.dig(o, "spec", "type") or "ClusterIP"),
        of("Cluster-IP", lambda o: cells.dig(o, "spec", "clusterIP") or "<none>"),
        of("External-IP", lambda o: cells.dig(o, "spec", "externalName") or "<none>"),
        of("Port(s)", cells.service_ports),
        AGE,
        of("Selector", lambda o: cells.pairs(cells.dig(o, "spec", "selector")), wide=True),
    ),
    "endpointslices.discovery.k8s.io": (
        of("AddressType", lambda o: o.get("addressType") or "IPv4"),
        of("Ports", cells.slice_ports),
        of("Endpoints", cells.slice_addresses),
        AGE,
    ),
    "events": (
        Column("Last Seen", cells.event_last_seen),
        at("Type", "type"),
        at("Reason", "reason"),
        of("Object", cells.event_object),
        at("Subobject", "involvedObject", "fieldPath", wide=True),
        of("Source", cells.event_source, wide=True),
        at("Message", "message"),
        Column("First Seen", cells.event_first_seen, wide=True),
        of("Count", lambda o: o.get("count") or 1, type="integer", wide=True),
        at("Name", "metadata", "name", wide=True),
    ),
    "namespaces": (of("Status", lambda o: cells.dig(o, "status", "phase") or "Active"), AGE),
    "configmaps": (of("Data", lambda o: len(o.get("data") or {}) + len(o.get("binaryData") or {}), type="integer"), AGE),
    "secrets": (of("Type", lambda o: o.get("type") or "Opaque"), of("Data", lambda o: len(o.get("data") or {}), type="integer"), AGE),
    "serviceaccounts": (of("Secrets", lambda o: len(o.get("secrets") or []), type="integer"), AGE),
    "leases.coordination.k8s.io": (at("Holder", "spec", "holderIdentity"), AGE),
}
