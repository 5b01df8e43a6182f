"""The Broker reconciler: a stream for its events, one for its dead letters, its address and its conditions."""

import msgspec

from eventing import conditions, finalizer, subjects
from eventing.conditions import true
from eventing.gate import AGE, Gate
from eventing.kept import Streams
from eventing.resolve import Resolver
from kfn.api import eventing as api
from kfn.api import kinds, names
from kfn.api.base import encode
from kfn.api.meta import Addressable, Condition
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

RESYNC = 300.0  # seconds; a stream that somebody removed or changed is put right
FINALIZER = "brokers.eventing.kfn.dev"


def is_ours(broker: api.Broker) -> bool:
    """A Broker of class `kfn`, or without a class."""
    return broker.metadata.annotations.get(names.BROKER_CLASS, "") in ("", api.BROKER_CLASS)


def has_channel(broker: api.Broker) -> bool:
    """Whether whoever looks after it has said that its stream is there."""
    return conditions.is_true(broker.status.conditions, "TriggerChannelReady")


class Brokers:
    def __init__(
        self, client: Client, informer: Informer[api.Broker], streams: Streams, resolver: Resolver, ingress_url: str, gate: Gate
    ) -> None:
        self._gate = gate
        self._client, self._informer, self._streams, self._resolver, self._ingress_url = client, informer, streams, resolver, ingress_url

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        broker = self._informer.get(namespace, name)
        if broker is None or not is_ours(broker):
            self._streams.forget((namespace, name))
            return Done()
        if broker.metadata.deletion_timestamp:
            return await self._streams.release(self._client, kinds.BROKER, broker.metadata, (namespace, name), FINALIZER)
        try:
            await finalizer.add(self._client, kinds.BROKER, broker.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        channel = await self._streams.ensure((namespace, name), broker.spec.delivery, "TriggerChannelReady")
        delivery = broker.spec.delivery
        sink, resolved = await self._resolver.dead_letters(delivery.dead_letter_sink if delivery else None, namespace)
        allowed = await self._gate.state(namespace, name)
        await self._report(broker, channel, sink, resolved, allowed)
        if channel.status != "True":
            return Done(again_after=1.0)
        if resolved.status != "True" or allowed.status != "True":
            return Done(again_after=5.0)
        return Done(again_after=AGE if self._gate.guards(namespace, name) else RESYNC)

    async def _report(self, broker: api.Broker, channel: Condition, sink: str, resolved: Condition, allowed: Condition) -> None:
        meta = broker.metadata
        address = Addressable(url=subjects.address(self._ingress_url, meta.namespace, meta.name), name="http")
        wanted = [
            true("IngressReady"),
            channel,
            true("FilterReady"),
            true("Addressable"),
            resolved,
            allowed,
        ]
        status = msgspec.structs.replace(
            broker.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(broker.status.conditions, wanted, timestamp()),
            address=address,
            dead_letter_sink_uri=sink,
        )
        if status != broker.status:
            patch = {"status": {"deadLetterSinkUri": None, **encode(status)}}
            await self._client.patch(kinds.BROKER, meta.name, meta.namespace, patch, subresource="status")
