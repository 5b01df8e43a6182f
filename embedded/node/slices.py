"""EndpointSlices: where the pods of each Service are reached. One slice a pod, because every pod here has a port of its own."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from anyio.abc import TaskGroup

from embedded.node.mirror import Mirror
from kfn.api import kinds, names
from kfn.api.base import encode
from kfn.api.core import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference, Pod, Service
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.kube.client import Client
from kfn.kube.errors import AlreadyExists

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "kfn-node"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a pod is reached, and whether it should be."""

    ip: str
    port: int
    ready: bool
    terminating: bool
    serving: bool


@dataclass
class _Entry:
    mirror: Mirror[EndpointSlice | None]
    last: EndpointSlice | None = None
    exists: bool = False


@dataclass
class _Known:
    pod: Pod
    address: Address
    slices: dict[str, _Entry] = field(default_factory=dict)  # by name of the Service


def selects(service: Service, pod: Pod) -> bool:
    """A Service without a selector selects nothing."""
    selector = service.spec.selector
    return bool(selector) and service.metadata.namespace == pod.metadata.namespace and selector.items() <= pod.metadata.labels.items()


def build(service: Service, pod: Pod, address: Address, node: str) -> EndpointSlice:
    meta, owner = pod.metadata, service.metadata
    labels = {names.SERVICE_NAME: owner.name, MANAGED_BY: MANAGER}
    for source in (owner.labels, meta.labels):
        labels |= {k: v for k, v in source.items() if k.startswith("serving.knative.dev/")}
    suffix = meta.name.rpartition("-")[2] or meta.name
    endpoint = Endpoint(
        addresses=[address.ip],
        conditions=EndpointConditions(ready=address.ready, serving=address.serving, terminating=address.terminating),
        node_name=node,
        target_ref=ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid),
    )
    ports = [EndpointPort(p.name, address.port, p.protocol or "TCP", p.app_protocol) for p in service.spec.ports]
    references = [OwnerReference("v1", "Service", owner.name, owner.uid, True), OwnerReference("v1", "Pod", meta.name, meta.uid)]
    return EndpointSlice(
        metadata=ObjectMeta(name=f"{owner.name}-{suffix}", namespace=owner.namespace, labels=labels, owner_references=references),
        address_type="IPv6" if ":" in address.ip else "IPv4",
        endpoints=[endpoint],
        ports=ports or [EndpointPort("http", address.port, "TCP")],
    )


class Slices:
    """Writes them as pods and Services come, change and go."""

    def __init__(self, client: Client, tasks: TaskGroup, node: str, services: Iterable[Service] = ()) -> None:
        self._client = client
        self._tasks = tasks
        self._node = node
        self._services: dict[tuple[str, str], Service] = {_key(s): s for s in services}
        self._pods: dict[str, _Known] = {}

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        if new is not None:
            self._services[_key(new)] = new
        elif old is not None:
            self._services.pop(_key(old), None)
        name = (new or old).metadata.name  # type: ignore[union-attr]
        for known in self._pods.values():
            if new is not None and selects(new, known.pod):
                self._write(known, new)
            elif (entry := known.slices.get(name)) and old and old.metadata.namespace == known.pod.metadata.namespace:
                entry.mirror.set(None)
                del known.slices[name]

    def publish(self, pod: Pod, address: Address) -> None:
        known = self._pods.get(pod.metadata.uid)
        if known is None:
            known = self._pods[pod.metadata.uid] = _Known(pod, address)
        known.address = address
        for service in self._services.values():
            if selects(service, pod):
                self._write(known, service)

    async def remove(self, pod: Pod) -> None:
        """Delete the pod's slices; returns when that is done."""
        known = self._pods.pop(pod.metadata.uid, None)
        for entry in known.slices.values() if known else ():
            entry.mirror.set(None)
        for entry in known.slices.values() if known else ():
            await entry.mirror.settled()

    def _write(self, known: _Known, service: Service) -> None:
        wanted = build(service, known.pod, known.address, self._node)
        entry = known.slices.get(service.metadata.name)
        if entry is None:
            entry = known.slices[service.metadata.name] = self._entry(wanted.metadata.namespace, wanted.metadata.name)
        if entry.last != wanted:
            entry.last = wanted
            entry.mirror.set(wanted)

    def _entry(self, namespace: str, name: str) -> _Entry:
        async def write(value: EndpointSlice | None) -> None:
            if value is None:
                if entry.exists:
                    await self._client.delete(kinds.ENDPOINT_SLICE, name, namespace)
                    entry.exists = False
                return
            if not entry.exists:
                try:
                    await self._client.create(kinds.ENDPOINT_SLICE, value, namespace)
                    entry.exists = True
                    return
                except AlreadyExists:
                    entry.exists = True
            body = encode(value)
            patch = {"metadata": {"labels": body["metadata"]["labels"]}, "endpoints": body["endpoints"], "ports": body["ports"]}
            await self._client.patch(kinds.ENDPOINT_SLICE, name, namespace, patch)

        entry = _Entry(Mirror(self._tasks, f"EndpointSlice {namespace}/{name}", write))
        return entry


def _key(service: Service) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name
