"""The reconciler of Channels, and one of InMemoryChannels: streams, address, conditions, and which Subscriptions there are."""

from typing import Any, Protocol

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


Channel = api.Channel | api.InMemoryChannel


def place(subscription: api.Subscription) -> str:
    """Where its channel is; that of a Channel if kfn has no such kind."""
    ref = subscription.spec.channel
    return subjects.channel(ref.name, ref.kind if ref.kind == kinds.IN_MEMORY_CHANNEL.kind else kinds.CHANNEL.kind)


def is_stored(channel: Channel) -> bool:
    """Whether whoever looks after it has said that its stream is there."""
    return is_true(channel.status.conditions, "BackingChannelReady")


def is_on(subscription: api.Subscription, channel: str, kind: str = "Channel") -> bool:
    """Whether it is a Subscription to that channel, of its own namespace."""
    ref = subscription.spec.channel
    return (ref.api_version, ref.kind, ref.name) == (api.API_VERSION, kind, channel)


class Told(Protocol):
    """What delivers to the subscribers of a channel's spec; None of them runs after `stop`."""

    async def ensure(self, channel: api.InMemoryChannel, stored: bool) -> list[api.Subscriber]: ...

    async def stop(self, namespace: str, name: str) -> None: ...


class Channels:
    def __init__(
        self, client: Client, informer: Informer[Any], subscriptions: Informer[api.Subscription], streams: Streams,
        resolver: Resolver, ingress_url: str, gate: Gate, told: Told | None = None,
    ) -> None:  # fmt: skip
        """`told` looks after the subscribers that are in the channel's spec."""
        self._gate = gate
        self._client, self._informer, self._subscriptions, self._streams = client, informer, subscriptions, streams
        self._resolver, self._ingress_url, self._told = resolver, ingress_url, told
        self._kind = informer.kind

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        place = namespace, subjects.channel(name, self._kind.kind)
        channel: Channel | None = self._informer.get(namespace, name)
        if self._told is not None and (channel is None or channel.metadata.deletion_timestamp):
            await self._told.stop(namespace, name)
        if channel is None:
            self._streams.forget(place)
            return Done()
        if channel.metadata.deletion_timestamp:
            return await self._streams.release(self._client, self._kind, channel.metadata, place, FINALIZER)
        try:
            await finalizer.add(self._client, self._kind, channel.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        delivery = channel.spec.delivery
        stored = await self._streams.ensure(place, delivery, "BackingChannelReady")
        sink, resolved = await self._resolver.dead_letters(delivery.dead_letter_sink if delivery else None, namespace)
        allowed = await self._gate.state(*place)
        others = (
            await self._told.ensure(channel, stored.status == "True") if isinstance(channel, api.InMemoryChannel) and self._told else []
        )
        await self._report(channel, [stored, true("Addressable"), resolved, allowed], sink, others)
        if any(one.ready != "True" for one in others):
            return Done(again_after=2.0)
        if stored.status != "True":
            return Done(again_after=1.0)
        if resolved.status != "True" or allowed.status != "True":
            return Done(again_after=5.0)
        return Done(again_after=AGE if self._gate.guards(*place) else RESYNC)

    async def _report(self, channel: Channel, wanted: list[Condition], sink: str, others: list[api.Subscriber]) -> None:
        meta = channel.metadata
        url = subjects.address(self._ingress_url, meta.namespace, subjects.channel(meta.name, self._kind.kind))
        status = msgspec.structs.replace(
            channel.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(channel.status.conditions, wanted, timestamp()),
            address=Addressable(url=url, name="http"),
            subscribers=sorted([*self._subscribers(meta.namespace, meta.name), *others], key=lambda one: one.uid),
            dead_letter_sink_uri=sink,
        )
        if status != channel.status:
            patch = {"status": {"deadLetterSinkUri": None, "subscribers": None, **encode(status)}}
            await self._client.patch(self._kind, meta.name, meta.namespace, patch, subresource="status")

    def _subscribers(self, namespace: str, name: str) -> list[api.Subscriber]:
        found = []
        for one in self._subscriptions.list(namespace):
            if is_on(one, name, self._kind.kind) and not one.metadata.deletion_timestamp:
                added = next((c for c in one.status.conditions if c.type == "AddedToChannel"), Condition(status="Unknown"))
                found.append(api.Subscriber(one.metadata.uid, one.status.observed_generation, added.status, added.message))
        return found
