"""The subscribers that stand in an InMemoryChannel's spec: Subscriptions are entered and taken out there, and what somebody else has
entered is delivered to, as to a Subscription."""

from typing import Any

from eventing import subjects
from eventing.attached import Consumers
from eventing.channel import is_on
from eventing.conditions import true
from eventing.delivery import DeliveryError, effective, policy
from eventing.match import AllOf
from eventing.resolve import Resolver, Unresolved
from eventing.running import Dispatchers
from eventing.settle import Subscription, subscription_key
from kfn.api import kinds
from kfn.api import messaging as api
from kfn.api.base import encode
from kfn.api.meta import ObjectMeta
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

KIND = kinds.IN_MEMORY_CHANNEL
_ALL = AllOf()


class _NotReady(Exception):
    pass


async def enter(client: Client, channel: api.InMemoryChannel, entry: api.SubscriberSpec) -> None:
    """Let the channel's spec name this subscriber so. Raises `Conflict` if the channel has changed meanwhile, and `NotFound`."""
    if entry not in channel.spec.subscribers:
        await _write(client, channel, [*_others(channel, entry.uid), entry])


async def take_out(client: Client, namespace: str, name: str, uid: str) -> None:
    """As the API server has it, for what is in the spec when its Subscription is gone is somebody else's. Raises `Conflict`."""
    try:
        channel = await client.get(KIND, name, namespace)
        if any(one.uid == uid for one in channel.spec.subscribers):
            await _write(client, channel, _others(channel, uid))
    except kube.NotFound:
        return


def _others(channel: api.InMemoryChannel, uid: str) -> list[api.SubscriberSpec]:
    return [one for one in channel.spec.subscribers if one.uid != uid]


async def _write(client: Client, channel: api.InMemoryChannel, subscribers: list[api.SubscriberSpec]) -> None:
    meta = channel.metadata
    told = [encode(one) for one in sorted(subscribers, key=lambda one: one.uid)]
    patch = {"metadata": {"resourceVersion": meta.resource_version}, "spec": {"subscribers": told or None}}
    await client.patch(KIND, meta.name, meta.namespace, patch)


def others(channel: api.InMemoryChannel, subscriptions: Informer[api.Subscription]) -> list[api.SubscriberSpec]:
    """The subscribers that are no Subscriptions."""
    meta = channel.metadata
    known = {one.metadata.uid for one in subscriptions.list(meta.namespace) if is_on(one, meta.name, KIND.kind)}
    return [one for one in channel.spec.subscribers if one.uid not in known]


def name_of(channel: str, uid: str) -> str:
    """Under which such a subscriber is known; no Subscription is called so."""
    return f"{channel}/{uid}"


class Subscribers:
    """Those that are no Subscriptions, of all InMemoryChannels: a consumer and a dispatcher for each. The consumer of one that is taken out
    is removed by the sweep."""

    def __init__(
        self, client: Client, subscriptions: Informer[api.Subscription], consumers: Consumers, resolver: Resolver, dispatchers: Dispatchers
    ) -> None:
        self._client, self._subscriptions, self._consumers = client, subscriptions, consumers
        self._resolver, self._dispatchers = resolver, dispatchers

    async def ensure(self, channel: api.InMemoryChannel, stored: bool) -> list[api.Subscriber]:
        """Deliver to those that are there, and to no other. How each is."""
        wanted = others(channel, self._subscriptions)
        await _stop_others(self._dispatchers, channel, {one.uid for one in wanted})
        return [await self._one(channel, one, stored) for one in wanted]

    async def stop(self, namespace: str, name: str) -> None:
        await _stop_others(self._dispatchers, api.InMemoryChannel(metadata=ObjectMeta(name=name, namespace=namespace)), set())

    async def _one(self, channel: api.InMemoryChannel, one: api.SubscriberSpec, stored: bool) -> api.Subscriber:
        try:
            if not stored:
                raise _NotReady("the channel's stream is being made")
            run = await subscription(channel, one, self._resolver)
            if await self._is_over(run.key, channel, one):
                raise _NotReady("its Subscription is being deleted")
            place = run.namespace, run.broker
            meta = ObjectMeta(name=run.name, namespace=run.namespace, uid=one.uid)
            only = (*subjects.of_types(*place, None), subjects.to(*place, one.uid))
            there = await self._consumers.ensure(place, meta, only, "AddedToChannel", [true("AddedToChannel")])
            if there.status != "True":
                raise _NotReady(there.message)
        except _NotReady as error:
            meta = channel.metadata
            await self._dispatchers.stop(subscription_key(meta.namespace, name_of(meta.name, one.uid)))
            return api.Subscriber(one.uid, one.generation, "False", str(error))
        await self._dispatchers.ensure(run.key, run, _ALL)
        return api.Subscriber(one.uid, one.generation, "True")

    async def _is_over(self, key: str, channel: api.InMemoryChannel, one: api.SubscriberSpec) -> bool:
        """A Subscription that is gone may stand in the channel still, as we have seen it last. Asked before anything is begun."""
        if self._dispatchers.runs(key):
            return False
        try:
            now = await self._client.get(KIND, channel.metadata.name, channel.metadata.namespace)
        except kube.NotFound:
            return True
        return all(other.uid != one.uid for other in now.spec.subscribers)


class SubscribersFollower:
    """Where another replica looks after the channel: deliver to those that its status says are ready, and write nothing."""

    def __init__(
        self, channels: Informer[Any], subscriptions: Informer[api.Subscription], resolver: Resolver, dispatchers: Dispatchers
    ) -> None:
        self._channels, self._subscriptions, self._resolver, self._dispatchers = channels, subscriptions, resolver, dispatchers

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        channel: api.InMemoryChannel | None = self._channels.get(namespace, name)
        if channel is None or channel.metadata.deletion_timestamp:
            channel = api.InMemoryChannel(metadata=ObjectMeta(name=name, namespace=namespace))
        elif channel.status.observed_generation != channel.metadata.generation:
            return Done()  # the leader is about to look at it; what runs, runs on
        ready = {one.uid for one in channel.status.subscribers if one.ready == "True"}
        wanted = [one for one in others(channel, self._subscriptions) if one.uid in ready]
        await _stop_others(self._dispatchers, channel, {one.uid for one in wanted})
        for one in wanted:
            try:
                run = await subscription(channel, one, self._resolver)
            except _NotReady:
                continue
            await self._dispatchers.ensure(run.key, run, _ALL)
        return Done()


async def subscription(channel: api.InMemoryChannel, one: api.SubscriberSpec, resolver: Resolver) -> Subscription:
    """What its dispatcher shall do. Raises `_NotReady`."""
    meta = channel.metadata
    how = effective(one.delivery, channel.spec.delivery)
    try:
        sink = await resolver.url(how.dead_letter_sink, meta.namespace, "delivery.deadLetterSink") if how.dead_letter_sink else ""
        how_often = policy(how, "delivery")
    except (Unresolved, DeliveryError) as error:
        raise _NotReady(str(error)) from None
    place = subjects.channel(meta.name, KIND.kind)
    return Subscription(
        meta.namespace, place, name_of(meta.name, one.uid), one.uid, one.subscriber_uri, sink, how_often, reply=one.reply_uri
    )


async def _stop_others(dispatchers: Dispatchers, channel: api.InMemoryChannel, uids: set[str]) -> None:
    meta = channel.metadata
    place, stays = subjects.channel(meta.name, KIND.kind), {name_of(meta.name, uid) for uid in uids}
    for run in dispatchers.subscriptions():
        if (run.namespace, run.broker) == (meta.namespace, place) and "/" in run.name and run.name not in stays:
            await dispatchers.stop(run.key)


def entry(subscription: api.Subscription, where: api.PhysicalSubscription) -> api.SubscriberSpec:
    """A Subscription as its channel's spec names it."""
    meta = subscription.metadata
    return api.SubscriberSpec(meta.uid, meta.generation, meta.name, where.subscriber_uri, where.reply_uri, subscription.spec.delivery)
