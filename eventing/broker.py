"""The Broker reconciler: a stream for its events, one for its dead letters, its address and its conditions."""

import logging
from urllib.parse import quote

import msgspec

from eventing import conditions, errors, finalizer, streams, subjects
from eventing.bus import Bus
from eventing.conditions import false, true, unknown
from eventing.delivery import DeliveryError, policy
from eventing.resolve import Resolver, Unresolved
from eventing.settings import Settings
from kfn.api import eventing as api
from kfn.api import kinds, names
from kfn.api.base import encode
from kfn.api.meta import Addressable, Condition
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)

RESYNC = 300.0  # seconds; a stream that somebody removed or changed is put right
FINALIZER = "brokers.eventing.kfn.dev"


def is_ours(broker: api.Broker) -> bool:
    """A Broker of class `kfn`, or without a class."""
    return broker.metadata.annotations.get(names.BROKER_CLASS, "") in ("", api.BROKER_CLASS)


def has_channel(broker: api.Broker) -> bool:
    """Whether whoever looks after it has said that its stream is there."""
    return conditions.is_true(broker.status.conditions, "TriggerChannelReady")


class Brokers:
    """`ready` holds the Brokers whose streams are there in this run."""

    def __init__(self, client: Client, informer: Informer[api.Broker], bus: Bus, resolver: Resolver, settings: Settings) -> None:
        self._client, self._informer, self._bus, self._resolver, self._settings = client, informer, bus, resolver, settings
        self.ready: set[tuple[str, str]] = set()
        self.ingress_url = settings.ingress_url

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        broker = self._informer.get(namespace, name)
        if broker is None or not is_ours(broker):
            self.ready.discard((namespace, name))
            return Done()
        if broker.metadata.deletion_timestamp:
            return await self._remove(broker)
        try:
            await finalizer.add(self._client, kinds.BROKER, broker.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        channel = await self._channel(broker)
        sink, resolved = await self._dead_letter_sink(broker)
        await self._report(broker, channel, sink, resolved)
        if channel.status != "True":
            return Done(again_after=1.0)
        return Done(again_after=RESYNC if resolved.status == "True" else 5.0)

    async def _channel(self, broker: api.Broker) -> Condition:
        """Make the streams; the condition says whether they are there."""
        meta = broker.metadata
        try:
            if broker.spec.delivery:
                policy(broker.spec.delivery)
            await self._bus.ensure_stream(streams.events(self._settings, meta.namespace, meta.name))
            await self._bus.ensure_stream(streams.dead_letters(self._settings, meta.namespace, meta.name))
        except DeliveryError as error:
            return false("TriggerChannelReady", "InvalidDelivery", str(error))
        except errors.Full as error:
            return false("TriggerChannelReady", "NoStorage", f"NATS has no room for another broker's stream: {error}")
        except errors.BusError as error:
            if (meta.namespace, meta.name) in self.ready and isinstance(error, errors.Unavailable):
                return true("TriggerChannelReady")  # a restart of NATS takes a moment; publishers are told themselves
            return unknown("TriggerChannelReady", "NatsUnavailable", str(error))
        self.ready.add((meta.namespace, meta.name))
        return true("TriggerChannelReady")

    async def _dead_letter_sink(self, broker: api.Broker) -> tuple[str, Condition]:
        sink = broker.spec.delivery.dead_letter_sink if broker.spec.delivery else None
        if sink is None:
            return "", true("DeadLetterSinkResolved", "DeadLetterSinkNotConfigured", "No dead letter sink is configured.")
        try:
            url = await self._resolver.url(sink, broker.metadata.namespace, "spec.delivery.deadLetterSink")
        except Unresolved as error:
            return "", false("DeadLetterSinkResolved", error.reason, str(error))
        return url, true("DeadLetterSinkResolved")

    async def _report(self, broker: api.Broker, channel: Condition, sink: str, resolved: Condition) -> None:
        meta = broker.metadata
        address = Addressable(url=f"{self.ingress_url}/{quote(meta.namespace)}/{quote(meta.name)}", name="http")
        wanted = [
            true("IngressReady"),
            channel,
            true("FilterReady"),
            true("Addressable"),
            resolved,
            true("EventPoliciesReady", "DefaultAuthorizationMode", "Anyone who reaches the ingress may publish."),
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

    async def _remove(self, broker: api.Broker) -> Done:
        """Delete what the Broker holds, its events and dead letters included, then let it go."""
        meta = broker.metadata
        self.ready.discard((meta.namespace, meta.name))
        if FINALIZER not in meta.finalizers:
            return Done()
        try:
            await self._bus.delete_stream(subjects.stream(meta.namespace, meta.name))
            await self._bus.delete_stream(subjects.dead_stream(meta.namespace, meta.name))
        except errors.BusError as error:
            log.warning("broker %s/%s waits to be deleted: %s", meta.namespace, meta.name, error)
            return Done(again_after=1.0)
        try:
            await finalizer.remove(self._client, kinds.BROKER, meta, FINALIZER)
        except kube.NotFound:
            pass
        except kube.Conflict:
            return Done(again_after=0.05)
        return Done()
