"""Triggers and Subscriptions where another replica looks after them: deliver what it has prepared, as it says in their status, and write
nothing.

Replicas share each durable consumer: JetStream gives every event to one of them, and to another when that one goes silent.
"""

from collections.abc import Mapping
from typing import Any

from eventing.broker import is_ours
from eventing.conditions import is_true
from eventing.running import Dispatchers
from eventing.subscription import ALL, channel_of, delivery, dispatcher_key, wanted
from eventing.trigger import broker_name, is_pulled, parsed, to_run
from kfn.api import eventing as api
from kfn.api import messaging
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done


class Follower:
    def __init__(self, triggers: Informer[api.Trigger], brokers: Informer[api.Broker], dispatchers: Dispatchers) -> None:
        self._triggers, self._brokers, self._dispatchers = triggers, brokers, dispatchers

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        trigger = self._triggers.get(namespace, name)
        if trigger is None or trigger.metadata.deletion_timestamp:
            await self._dispatchers.stop(key)
            return Done()
        broker = self._brokers.get(namespace, broker_name(trigger))
        status, meta = trigger.status, trigger.metadata
        if broker is None or not is_ours(broker):
            await self._dispatchers.stop(key)
        elif status.observed_generation != meta.generation:
            return Done()  # the leader is about to look at it; what runs, runs on
        elif is_true(status.conditions, "Ready") and not is_pulled(trigger):
            filter, how, _ = parsed(trigger, broker)
            await self._dispatchers.ensure(key, to_run(trigger, status.subscriber_uri, status.dead_letter_sink_uri, how), filter)
        else:
            await self._dispatchers.stop(key)  # events wait in the stream
        return Done()


class SubscriptionFollower:
    def __init__(
        self, subscriptions: Informer[messaging.Subscription], channels: Mapping[str, Informer[Any]], dispatchers: Dispatchers
    ) -> None:
        self._subscriptions, self._channels, self._dispatchers = subscriptions, channels, dispatchers

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        one = self._subscriptions.get(namespace, name)
        channel = channel_of(one, self._channels) if one is not None else None
        if one is None or channel is None or one.metadata.deletion_timestamp:
            await self._dispatchers.stop(dispatcher_key(key))
        elif one.status.observed_generation != one.metadata.generation:
            return Done()  # the leader is about to look at it; what runs, runs on
        elif is_true(one.status.conditions, "Ready"):
            how, _ = delivery(one, channel)
            await self._dispatchers.ensure(dispatcher_key(key), wanted(one, how, one.status.physical_subscription), ALL)
        else:
            await self._dispatchers.stop(dispatcher_key(key))
        return Done()
