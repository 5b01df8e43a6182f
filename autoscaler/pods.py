"""The pods of all Revisions, on a cluster: says where one that is waited for starts, and marks those that should go first.

One watch in one process does it for all gateways, which need not be allowed to read pods. What gateways cannot do without they
have from EndpointSlices; this is some 10 ms earlier. Which pods go is decided in `costs.py`.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import anyio

from autoscaler import costs
from autoscaler.costs import COST, Candidate
from autoscaler.settings import Settings
from kfn.api import kinds, names
from kfn.api.core import Container, Pod, PodCondition, PodSpec, PodStatus
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.load import RevisionKey
from kfn.load_wire import Downward, Gone, Starting

log = logging.getLogger(__name__)

H2C = "h2c"  # the port's name, as Knative has it


class Gateways(Protocol):
    """Those who report: the `Receiver`."""

    def tell(self, gateway: str, message: Downward) -> bool: ...

    async def busy(self, revision: RevisionKey, within: float) -> Mapping[str, int]: ...


class Waiting(Protocol):
    """Who knows where requests wait: the `Autoscaler`."""

    def waiting_in(self, revision: RevisionKey) -> Collection[str]: ...


class Pods:
    """`run` follows them until it is cancelled; `mark` is what an `Autoscaler` calls before it takes some of several away."""

    def __init__(self, client: Client, gateways: Gateways, waiting: Waiting, settings: Settings) -> None:
        self._client = client
        self._gateways = gateways
        self._waiting = waiting
        self._settings = settings
        self._told: dict[tuple[str, str], tuple[RevisionKey, Collection[str]]] = {}  # of pods that no slice shows ready yet
        self._by_revision: dict[RevisionKey, dict[str, Pod]] = {}
        self._informer = Informer(client, kinds.POD, labels=names.REVISION, keep=kept)
        self._informer.on_change(self._changed)

    @property
    def informers(self) -> tuple[Informer[Pod], ...]:
        return (self._informer,)

    async def run(self) -> None:
        await self._informer.run()

    async def mark(self, revision: RevisionKey, leave: int) -> None:
        """Mark the pods that should go when `leave` of them are kept. What cannot be marked is chosen by Kubernetes alone."""
        if len(self._alive(revision)) <= leave:
            return
        busy = await self._gateways.busy(revision, self._settings.ask)
        candidates = [
            Candidate(pod.metadata.name, is_ready(pod), busy.get(pod.metadata.name, 0), pod.metadata.annotations.get(COST, ""))
            for pod in self._alive(revision)
        ]
        marks = costs.marks(candidates, leave, self._settings.marks)
        limit = anyio.CapacityLimiter(10)
        async with anyio.create_task_group() as tasks:
            for pod, cost in marks.items():
                tasks.start_soon(self._annotate, revision.namespace, pod, cost, limit)

    async def _annotate(self, namespace: str, pod: str, cost: str | None, limit: anyio.CapacityLimiter) -> None:
        async with limit:
            try:
                await self._client.patch(kinds.POD, pod, namespace, {"metadata": {"annotations": {COST: cost}}})
            except errors.NotFound:
                pass  # it has gone by itself
            except errors.KubeError as error:
                log.warning("pod %s/%s: cannot say that it should go first: %s", namespace, pod, error)

    def _alive(self, revision: RevisionKey) -> list[Pod]:
        return [pod for pod in self._by_revision.get(revision, {}).values() if not over(pod)]

    def _changed(self, old: Pod | None, new: Pod | None) -> None:
        meta = (new or old or Pod()).metadata
        revision = RevisionKey(meta.namespace, meta.labels.get(names.REVISION, ""))
        pods = self._by_revision.setdefault(revision, {})
        if new is None:
            pods.pop(meta.name, None)
            if not pods:
                del self._by_revision[revision]
        else:
            pods[meta.name] = kept(new)
        self._tell(revision, new, meta.name, was_ready=old is not None and is_ready(old))

    def _tell(self, revision: RevisionKey, pod: Pod | None, name: str, *, was_ready: bool) -> None:
        """Its address, once, to the gateways in which requests wait; and its end, if it comes before slices call it ready. The kubelet may
        tell in one word that it has an address and is ready."""
        key = (revision.namespace, name)
        if pod is None or over(pod):
            _, gateways = self._told.pop(key, (revision, ()))
            self._say(gateways, Gone(revision.namespace, revision.name, name))
            return
        if pod.status.pod_ip and key not in self._told and not was_ready and (waiting := self._waiting.waiting_in(revision)):
            port, http2 = traffic_port(pod)
            if port:
                self._told[key] = revision, tuple(waiting)
                self._say(waiting, Starting(revision.namespace, revision.name, name, pod.status.pod_ip, port, http2))
        if is_ready(pod):
            self._told.pop(key, None)

    def _say(self, gateways: Iterable[str], message: Downward) -> None:
        for gateway in gateways:
            self._gateways.tell(gateway, message)


def over(pod: Pod) -> bool:
    """It takes no more requests, ever."""
    return bool(pod.metadata.deletion_timestamp) or pod.status.phase in ("Failed", "Succeeded")


def is_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def traffic_port(pod: Pod) -> tuple[int, bool]:
    """Where its requests go, and whether in HTTP/2: the one container with a port, as a Revision has it. 0: there is none."""
    port = next((c.ports[0] for c in pod.spec.containers if c.ports), None)
    return (0, False) if port is None else (port.container_port or 0, port.name == H2C)


def kept(pod: Pod) -> Pod:
    """What must be remembered of a pod; there may be thousands."""
    meta, status = pod.metadata, pod.status
    labels = {names.REVISION: meta.labels[names.REVISION]} if names.REVISION in meta.labels else {}
    notes = {COST: meta.annotations[COST]} if COST in meta.annotations else {}
    return Pod(
        metadata=ObjectMeta(
            name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version,
            deletion_timestamp=meta.deletion_timestamp, labels=labels, annotations=notes,
        ),
        spec=PodSpec(containers=[Container(ports=c.ports[:1]) for c in pod.spec.containers if c.ports][:1]),
        status=PodStatus(
            phase=status.phase, pod_ip=status.pod_ip, conditions=[PodCondition(type="Ready", status="True")] if is_ready(pod) else []
        ),
    )  # fmt: skip
