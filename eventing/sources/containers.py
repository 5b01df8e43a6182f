"""The ContainerSource reconciler: its sink's address, its Deployment, and whether that runs.

What the Deployment is to be is `adapter.py`'s; it goes with its owner. Until the sink has an address there is none: a program that is
told nothing would fail again and again.
"""

from eventing.conditions import false, true, unknown
from eventing.resolve import Resolver
from eventing.sources import adapter
from eventing.sources.report import report, trusted_sink
from kfn.api import kinds
from kfn.api.containersource import ContainerSource
from kfn.api.meta import Addressable, Condition
from kfn.api.podspecable import DEPLOYMENT, PodSpecable
from kfn.kube import errors as kube
from kfn.kube.client import JSON_PATCH, Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

BINDING, ADAPTER = "SinkBindingReady", "ReceiveAdapterReady"
RESYNC = 30.0  # seconds; between two looks at a Deployment that runs
AGAIN = 1.0  # seconds; at one that does not run yet
GRANT = "give it by the chart's value eventing.containerSources.enabled, or in this namespace only: docs/bindings.md"


class Containers:
    def __init__(self, client: Client, informer: Informer[ContainerSource], resolver: Resolver) -> None:
        self._client, self._informer, self._resolver = client, informer, resolver

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            return Done()
        sink, provided = await trusted_sink(self._resolver, source)
        bound = true(BINDING) if sink.url else false(BINDING, provided.reason, provided.message)
        try:
            runs = await self._run(source, sink)
        except (kube.Conflict, kube.AlreadyExists):
            return Done(again_after=0.1)
        found = [bound, runs]
        await report(self._client, kinds.CONTAINER_SOURCE, source, found, sink_uri=sink.url, sink_ca_certs=sink.ca_certs)
        if runs.reason in ("Forbidden", "Invalid"):
            return Done(again_after=10.0)
        return Done(again_after=RESYNC if all(one.status == "True" for one in found) else AGAIN)

    async def _run(self, source: ContainerSource, sink: Addressable) -> Condition:
        namespace = source.metadata.namespace
        try:
            there = await self._deployment(source)
            if there is not None and not adapter.is_of(there, source):
                said = f"Deployment {there.metadata.name} is not of this source; rename one of them, or delete the Deployment"
                return false(ADAPTER, "DeploymentNotOwned", said)
            if sink.url:
                body = adapter.wanted(source, sink)
                if there is None:
                    there = await self._client.create(DEPLOYMENT, body, namespace)
                elif steps := adapter.change(there, body):
                    there = await self._client.patch(DEPLOYMENT, there.metadata.name, namespace, steps, type=JSON_PATCH)
            if there is None:
                return unknown(ADAPTER, "SinkMissing", "Nothing is started until the sink has an address.")
            return await self._state(there)
        except kube.Forbidden as error:
            return false(ADAPTER, "Forbidden", f"{error}; {GRANT}")
        except kube.Invalid as error:
            return false(ADAPTER, "Invalid", f"spec.template: {error}")

    async def _deployment(self, source: ContainerSource) -> PodSpecable | None:
        try:
            return await self._client.get(DEPLOYMENT, adapter.name(source), source.metadata.namespace)
        except kube.NotFound:
            return None

    async def _state(self, deployment: PodSpecable) -> Condition:
        """As its Deployment says; a pod that cannot start says more."""
        status, meta = deployment.status, deployment.metadata
        conditions = {one.get("type"): one for one in status.get("conditions") or ()}
        available, starting = (
            conditions.get("Available"),
            unknown(ADAPTER, "DeploymentUnavailable", f"Deployment {meta.name} is being started."),
        )
        if available is None or status.get("observedGeneration") != meta.generation:
            return starting
        if available.get("status") == "True":
            return true(ADAPTER)
        if why := await self._why(deployment):
            return why
        progress = conditions.get("Progressing", {})
        if progress.get("status") == "True" and progress.get("reason") != "NewReplicaSetAvailable":
            return starting  # an image may take its time to be pulled
        return false(ADAPTER, available.get("reason", ""), available.get("message", ""))

    async def _why(self, deployment: PodSpecable) -> Condition | None:
        """What a container of its pods ended with, or waits for."""
        labels = ",".join(f"{name}={value}" for name, value in deployment.spec["selector"]["matchLabels"].items())
        try:
            pods, _ = await self._client.list(kinds.POD, deployment.metadata.namespace, labels=labels, lenient=True)
        except kube.Forbidden:
            return None
        for pod in pods:
            for one in (*pod.status.init_container_statuses, *pod.status.container_statuses):
                waiting, ended = one.state.waiting, one.state.terminated or one.last_state.terminated
                where = f"container {one.name} of pod {pod.metadata.name}"
                if ended is not None and ended.exit_code and one.state.running is None:
                    why = ended.message or ended.reason
                    return false(ADAPTER, ended.reason or "Error", f"{where} ended with code {ended.exit_code}: {why}")
                if waiting is not None and waiting.message:
                    return false(ADAPTER, waiting.reason, f"{where}: {waiting.message}")
        return None
