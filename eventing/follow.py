"""Triggers where another replica looks after them: deliver what it has prepared, as it says so in their status, and write nothing.

Replicas share each Trigger's durable consumer: JetStream gives every event to one of them, and to another when that one goes silent.
"""

from eventing.broker import is_ours
from eventing.conditions import is_true
from eventing.running import Dispatchers
from eventing.settle import Subscription
from eventing.trigger import broker_name, parsed
from kfn.api import eventing as api
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
        elif is_true(status.conditions, "Ready"):
            filter, how, _ = parsed(trigger, broker)
            uid, sink = meta.uid, status.dead_letter_sink_uri
            await self._dispatchers.ensure(
                key, Subscription(namespace, broker_name(trigger), name, uid, status.subscriber_uri, sink, how), filter
            )
        else:
            await self._dispatchers.stop(key)  # events wait in the stream
        return Done()
