"""The Subscription reconciler, of the one replica that writes (follow.py is for the others): its consumer on the Channel's stream, its
addresses, its dispatcher and its conditions."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from eventing import conditions, errors, finalizer, ordering, pause, subjects, told
from eventing.attached import Consumers
from eventing.channel import Channel, place
from eventing.conditions import false, true, unknown
from eventing.delivery import DeliveryError, Policy, effective, policy
from eventing.match import AllOf
from eventing.resolve import Resolver, Unresolved
from eventing.running import Dispatchers
from eventing.settle import Subscription, subscription_key
from eventing.trigger import left, paused
from kfn.api import kinds
from kfn.api import messaging as api
from kfn.api.base import encode
from kfn.api.meta import Condition, Destination
from kfn.clock import timestamp, utcnow
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)

FINALIZER = "subscriptions.eventing.kfn.dev"
ALL = AllOf()


def dispatcher_key(key: str) -> str:
    """Under which its dispatcher runs: a Trigger may have the same name."""
    namespace, _, name = key.partition("/")
    return subscription_key(namespace, name)


def subscribed(name: str) -> str:
    """The Subscription's name, if a dispatcher's key ends so; empty for a Trigger's."""
    return name.removeprefix("subscriptions/") if "/" in name else ""


def wanted(subscription: api.Subscription, how: Policy, where: api.PhysicalSubscription) -> Subscription:
    """What its dispatcher shall do."""
    meta = subscription.metadata
    return Subscription(
        meta.namespace, place(subscription), meta.name, meta.uid, where.subscriber_uri, where.dead_letter_sink_uri, how,
        reply=where.reply_uri, ordered=ordering.is_wanted(meta.annotations),
    )  # fmt: skip


def channel_of(subscription: api.Subscription, channels: Mapping[str, Informer[Any]]) -> Channel | None:
    """Its channel, of the kinds that there are."""
    ref = subscription.spec.channel
    informer = channels.get(ref.kind) if ref.api_version == api.API_VERSION else None
    return informer.get(subscription.metadata.namespace, ref.name) if informer is not None else None


class Subscriptions:
    def __init__(
        self, client: Client, informer: Informer[api.Subscription], channels: Mapping[str, Informer[Any]], consumers: Consumers,
        resolver: Resolver, dispatchers: Dispatchers,
    ) -> None:  # fmt: skip
        self._client, self._informer, self._channels, self._consumers = client, informer, channels, consumers
        self._resolver, self._dispatchers = resolver, dispatchers

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        subscription = self._informer.get(namespace, name)
        if subscription is None:
            await self._dispatchers.stop(dispatcher_key(key))
            return Done()
        if subscription.metadata.deletion_timestamp:
            return await self._remove(key, subscription)
        try:
            await finalizer.add(self._client, kinds.SUBSCRIPTION, subscription.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        channel = channel_of(subscription, self._channels)
        there = self._channel_ready(subscription, channel)
        how, added = delivery(subscription, channel)
        if there.status == "True" and added.status == "True":
            added = await self._consumer(subscription)
        elif added.status == "True":
            added = unknown("AddedToChannel", there.reason, there.message)
        where, resolved = await self._resolve(subscription, channel)
        if isinstance(channel, api.InMemoryChannel) and resolved.status == "True" and not channel.metadata.deletion_timestamp:
            try:
                await told.enter(self._client, channel, told.entry(subscription, where))
            except (kube.Conflict, kube.NotFound):
                return Done(again_after=0.05)
        try:
            until = pause.until(subscription.metadata.annotations, utcnow()) if added.status == "True" else ""
        except pause.PauseError:
            until = ""  # the consumer says so
        found = [there, added, resolved, *paused(until)]
        fine = all(condition.status == "True" for condition in found)
        if fine:
            await self._dispatchers.ensure(dispatcher_key(key), wanted(subscription, how, where), ALL)
        else:
            await self._dispatchers.stop(dispatcher_key(key))  # events wait in the stream
        await self._report(subscription, found, where)
        if not fine:
            return Done(again_after=2.0)
        return Done(again_after=left(until)) if until else Done()

    def _channel_ready(self, subscription: api.Subscription, channel: Channel | None) -> Condition:
        ref, namespace = subscription.spec.channel, subscription.metadata.namespace
        if ref.api_version != api.API_VERSION or ref.kind not in self._channels:
            said = f"spec.channel: kfn has no {ref.api_version} {ref.kind}; use a Channel of {api.API_VERSION}"
            return false("ChannelReady", "UnknownChannel", said)
        if channel is None or channel.metadata.deletion_timestamp:
            return false("ChannelReady", "ChannelDoesNotExist", f'{ref.kind} "{ref.name}" does not exist in namespace {namespace}.')
        if (namespace, place(subscription)) in self._consumers.ready:
            return true("ChannelReady")
        failed = next((c for c in channel.status.conditions if c.type == "Ready" and c.status != "True"), None)
        said = failed.message if failed else f'{ref.kind} "{ref.name}" is not ready yet.'
        return unknown("ChannelReady", failed.reason if failed else "ChannelNotReady", said)

    async def _consumer(self, subscription: api.Subscription) -> Condition:
        meta = subscription.metadata
        at = meta.namespace, place(subscription)
        only = (*subjects.of_types(*at, None), subjects.to(*at, meta.uid))
        return await self._consumers.ensure(at, meta, only, "AddedToChannel", subscription.status.conditions)

    async def _resolve(self, subscription: api.Subscription, channel: Channel | None) -> tuple[api.PhysicalSubscription, Condition]:
        """The addresses, and `ReferencesResolved`, which names the first field that has none."""
        spec, namespace = subscription.spec, subscription.metadata.namespace
        problem: Unresolved | None = None

        async def url(destination: Destination | None, field: str) -> str:
            nonlocal problem
            if destination is None or (destination.ref is None and not destination.uri):
                return ""
            try:
                return await self._resolver.url(destination, namespace, field)
            except Unresolved as error:
                problem = problem or error
                return ""

        sink = effective(spec.delivery, channel.spec.delivery if channel else None).dead_letter_sink
        where = api.PhysicalSubscription(
            await url(spec.subscriber, "spec.subscriber"),
            await url(spec.reply, "spec.reply"),
            await url(sink, "spec.delivery.deadLetterSink"),
        )
        if problem is not None:
            return where, false("ReferencesResolved", problem.reason, str(problem))
        return where, true("ReferencesResolved")

    async def _report(self, subscription: api.Subscription, found: list[Condition], where: api.PhysicalSubscription) -> None:
        meta = subscription.metadata
        status = msgspec.structs.replace(
            subscription.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(subscription.status.conditions, found, timestamp()),
            physical_subscription=where,
        )
        if status != subscription.status:
            uris = {"subscriberUri": None, "replyUri": None, "deadLetterSinkUri": None, **encode(where)}
            patch = {"status": {**encode(status), "physicalSubscription": uris}}
            await self._client.patch(kinds.SUBSCRIPTION, meta.name, meta.namespace, patch, subresource="status")

    async def _remove(self, key: str, subscription: api.Subscription) -> Done:
        meta = subscription.metadata
        await self._dispatchers.stop(dispatcher_key(key))
        if FINALIZER not in meta.finalizers:
            return Done()
        try:
            if subscription.spec.channel.kind == told.KIND.kind:
                await told.take_out(self._client, meta.namespace, subscription.spec.channel.name, meta.uid)
            await self._consumers.remove((meta.namespace, place(subscription)), meta.uid)
            await finalizer.remove(self._client, kinds.SUBSCRIPTION, meta, FINALIZER)
        except kube.NotFound:
            pass
        except (errors.BusError, kube.Conflict) as error:
            log.info("subscription %s waits to be deleted: %s", key, error)
            return Done(again_after=0.5)
        return Done()


def delivery(subscription: api.Subscription, channel: Channel | None) -> tuple[Policy, Condition]:
    """The delivery policy, and whether it can be used."""
    try:
        how = policy(effective(subscription.spec.delivery, channel.spec.delivery if channel else None))
    except DeliveryError as error:
        return Policy(), false("AddedToChannel", "InvalidDelivery", str(error))
    return how, true("AddedToChannel")
