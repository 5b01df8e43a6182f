"""The Channel reconciler: its streams, its address, its conditions, and which Subscriptions it has."""

import msgspec

from eventing import conditions, finalizer, subjects
from eventing.conditions import is_true, true
from eventing.gate import AGE, Gate
from eventing.kept import Streams
from eventing.resolve import Resolver
from kfn.api import kinds
from kfn.api import messaging as api
from kfn.api.base import encode
from kfn.api.meta import Addressable, Condition
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

RESYNC = 300.0  # seconds; a stream that somebody removed or changed is put right
FINALIZER = "channels.eventing.kfn.dev"


def is_stored(channel: api.Channel) -> bool:
    """Whether whoever looks after it has said that its stream is there."""
    return is_true(channel.status.conditions, "BackingChannelReady")


def is_on(subscription: api.Subscription, channel: str) -> bool:
    """Whether it is a Subscription to that Channel, of its own namespace."""
    ref = subscription.spec.channel
    return (ref.api_version, ref.kind, ref.name) == (api.API_VERSION, "Channel", channel)


class Channels:
    def __init__(
        self, client: Client, informer: Informer[api.Channel], subscriptions: Informer[api.Subscription], streams: Streams,
        resolver: Resolver, ingress_url: str, gate: Gate,
    ) -> None:  # fmt: skip
        self._gate = gate
        self._client, self._informer, self._subscriptions, self._streams = client, informer, subscriptions, streams
        self._resolver, self._ingress_url = resolver, ingress_url

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        channel = self._informer.get(namespace, name)
        if channel is None:
            self._streams.forget((namespace, subjects.channel(name)))
            return Done()
        if channel.metadata.deletion_timestamp:
            return await self._streams.release(
                self._client, kinds.CHANNEL, channel.metadata, (namespace, subjects.channel(name)), FINALIZER
            )
        try:
            await finalizer.add(self._client, kinds.CHANNEL, channel.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        delivery = channel.spec.delivery
        stored = await self._streams.ensure((namespace, subjects.channel(name)), delivery, "BackingChannelReady")
        sink, resolved = await self._resolver.dead_letters(delivery.dead_letter_sink if delivery else None, namespace)
        allowed = await self._gate.state(namespace, subjects.channel(name))
        await self._report(channel, stored, sink, resolved, allowed)
        if stored.status != "True":
            return Done(again_after=1.0)
        if resolved.status != "True" or allowed.status != "True":
            return Done(again_after=5.0)
        return Done(again_after=AGE if self._gate.guards(namespace, subjects.channel(name)) else RESYNC)

    async def _report(self, channel: api.Channel, stored: Condition, sink: str, resolved: Condition, allowed: Condition) -> None:
        meta = channel.metadata
        wanted = [
            stored,
            true("Addressable"),
            resolved,
            allowed,
        ]
        status = msgspec.structs.replace(
            channel.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(channel.status.conditions, wanted, timestamp()),
            address=Addressable(url=subjects.address(self._ingress_url, meta.namespace, subjects.channel(meta.name)), name="http"),
            subscribers=self._subscribers(meta.namespace, meta.name),
            dead_letter_sink_uri=sink,
        )
        if status != channel.status:
            patch = {"status": {"deadLetterSinkUri": None, "subscribers": None, **encode(status)}}
            await self._client.patch(kinds.CHANNEL, meta.name, meta.namespace, patch, subresource="status")

    def _subscribers(self, namespace: str, name: str) -> list[api.Subscriber]:
        found = []
        for one in self._subscriptions.list(namespace):
            if is_on(one, name) and not one.metadata.deletion_timestamp:
                added = next((c for c in one.status.conditions if c.type == "AddedToChannel"), Condition(status="Unknown"))
                found.append(api.Subscriber(one.metadata.uid, one.status.observed_generation, added.status, added.message))
        return sorted(found, key=lambda one: one.uid)
