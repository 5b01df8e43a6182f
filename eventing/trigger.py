"""The Trigger reconciler, of the one replica that writes (follow.py is for the others): its consumer on the Broker's stream, its
subscriber's address, its dispatcher and its conditions."""

import logging
from dataclasses import dataclass

import msgspec

from eventing import broker as brokers
from eventing import conditions, errors, finalizer, match, ordering, pause, subjects
from eventing.attached import Consumers
from eventing.conditions import false, true, unknown
from eventing.delivery import DeliveryError, Policy, effective, policy
from eventing.resolve import Resolver, Unresolved
from eventing.running import Dispatchers
from eventing.settle import Subscription
from eventing.stored import moment
from kfn.api import eventing as api
from kfn.api import kinds, names
from kfn.api.base import encode
from kfn.api.meta import Condition
from kfn.clock import timestamp, utcnow
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)

FINALIZER = "triggers.eventing.kfn.dev"
DEPENDENCY = "knative.dev/dependency"
BAD = match.AllOf(), Policy()


def broker_name(trigger: api.Trigger) -> str:
    return trigger.spec.broker or (trigger.spec.broker_ref.name if trigger.spec.broker_ref else "") or "default"


@dataclass(frozen=True, slots=True)
class _Findings:
    """Everything a reconcile learnt, for the status and the dispatcher."""

    broker: Condition
    subscription: Condition
    dependency: Condition
    subscriber: Condition
    dead_letter_sink: Condition
    subscriber_url: str = ""
    dead_letter_url: str = ""
    paused: str = ""

    @property
    def all(self) -> list[Condition]:
        return [self.broker, self.subscription, self.dependency, self.subscriber, self.dead_letter_sink, *paused(self.paused)]


class Triggers:
    def __init__(
        self, client: Client, triggers: Informer[api.Trigger], broker_informer: Informer[api.Broker], consumers: Consumers,
        resolver: Resolver, dispatchers: Dispatchers,
    ) -> None:  # fmt: skip
        self._client, self._triggers, self._brokers, self._consumers = client, triggers, broker_informer, consumers
        self._resolver, self._dispatchers = resolver, dispatchers

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        trigger = self._triggers.get(namespace, name)
        if trigger is None:
            await self._dispatchers.stop(key)
            return Done()
        if trigger.metadata.deletion_timestamp:
            return await self._remove(key, trigger)
        broker = self._brokers.get(namespace, broker_name(trigger))
        if broker is not None and not brokers.is_ours(broker):
            await self._dispatchers.stop(key)
            return Done()  # another class's controller has it
        try:
            await finalizer.add(self._client, kinds.TRIGGER, trigger.metadata, FINALIZER)
        except kube.Conflict:
            return Done(again_after=0.05)
        filter, how, subscription = parsed(trigger, broker)
        found = await self._find(trigger, broker, filter, subscription)
        if all(condition.status == "True" for condition in found.all) and not is_pulled(trigger):
            wanted = to_run(trigger, found.subscriber_url, found.dead_letter_url, how)
            await self._dispatchers.ensure(key, wanted, filter)
        else:
            await self._dispatchers.stop(key)  # events wait in the stream
        await self._report(trigger, found)
        if not all(condition.status == "True" for condition in found.all):
            return Done(again_after=2.0)
        return Done(again_after=left(found.paused)) if found.paused else Done()

    async def _find(self, trigger: api.Trigger, broker: api.Broker | None, filter: match.Filter, subscription: Condition) -> _Findings:
        namespace = trigger.metadata.namespace
        of_broker = self._broker_ready(trigger, broker)
        if of_broker.status == "True" and subscription.status == "True":
            subscription = await self._consumer(trigger, filter)
        subscriber, subscriber_url = true("SubscriberResolved"), ""
        try:
            subscriber_url = await self._resolver.url(trigger.spec.subscriber, namespace, "spec.subscriber")
        except Unresolved as error:
            subscriber = false("SubscriberResolved", error.reason, str(error))
        wanted = effective(trigger.spec.delivery, broker.spec.delivery if broker else None).dead_letter_sink
        sink_url, sink = await self._resolver.dead_letters(wanted, namespace)
        until = _paused(trigger) if subscription.status == "True" else ""
        return _Findings(of_broker, subscription, await self._dependency(trigger), subscriber, sink, subscriber_url, sink_url, until)

    def _broker_ready(self, trigger: api.Trigger, broker: api.Broker | None) -> Condition:
        name = broker_name(trigger)
        if broker is None or broker.metadata.deletion_timestamp:
            return false("BrokerReady", "BrokerDoesNotExist", f'Broker "{name}" does not exist in namespace {trigger.metadata.namespace}.')
        if (trigger.metadata.namespace, name) in self._consumers.ready:
            return true("BrokerReady")
        failed = next((c for c in broker.status.conditions if c.type == "Ready" and c.status != "True"), None)
        return unknown(
            "BrokerReady", failed.reason if failed else "BrokerNotReady", failed.message if failed else f'Broker "{name}" is not ready yet.'
        )

    async def _consumer(self, trigger: api.Trigger, filter: match.Filter) -> Condition:
        meta, broker = trigger.metadata, broker_name(trigger)
        only = (*subjects.of_types(meta.namespace, broker, match.types(filter)), subjects.to(meta.namespace, broker, meta.uid))
        return await self._consumers.ensure((meta.namespace, broker), meta, only, "SubscriptionReady", trigger.status.conditions)

    async def _dependency(self, trigger: api.Trigger) -> Condition:
        annotation = trigger.metadata.annotations.get(DEPENDENCY)
        if not annotation:
            return true("DependencyReady")
        try:
            ready = await self._resolver.dependency(annotation, trigger.metadata.namespace)
        except Unresolved as error:
            return false("DependencyReady", error.reason, str(error))
        if ready is None:
            return false("DependencyReady", "DependencyDoesNotExist", f"The object in annotation {DEPENDENCY} does not exist.")
        return Condition(type="DependencyReady", status=ready.status, reason=ready.reason, message=ready.message)

    async def _report(self, trigger: api.Trigger, found: _Findings) -> None:
        meta = trigger.metadata
        status = msgspec.structs.replace(
            trigger.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(trigger.status.conditions, found.all, timestamp()),
            subscriber_uri=found.subscriber_url,
            dead_letter_sink_uri=found.dead_letter_url,
        )
        if status != trigger.status:
            patch = {"status": {"subscriberUri": None, "deadLetterSinkUri": None, **encode(status)}}
            await self._client.patch(kinds.TRIGGER, meta.name, meta.namespace, patch, subresource="status")

    async def _remove(self, key: str, trigger: api.Trigger) -> Done:
        meta = trigger.metadata
        await self._dispatchers.stop(key)
        if FINALIZER not in meta.finalizers:
            return Done()
        try:
            await self._consumers.remove((meta.namespace, broker_name(trigger)), meta.uid)
            await finalizer.remove(self._client, kinds.TRIGGER, meta, FINALIZER)
        except kube.NotFound:
            pass
        except (errors.BusError, kube.Conflict) as error:
            log.info("trigger %s waits to be deleted: %s", key, error)
            return Done(again_after=0.5)
        return Done()


def to_run(trigger: api.Trigger, subscriber_url: str, dead_letter_url: str, how: Policy) -> Subscription:
    """What its dispatcher shall do."""
    meta, ordered = trigger.metadata, ordering.is_wanted(trigger.metadata.annotations)
    return Subscription(
        meta.namespace, broker_name(trigger), meta.name, meta.uid, subscriber_url, dead_letter_url, how, ordered=ordered
    )  # fmt: skip


def is_pulled(trigger: api.Trigger) -> bool:
    """Whether somebody else takes its events from its consumer."""
    return trigger.metadata.annotations.get(names.PULLED, "").lower() == "true"


def parsed(trigger: api.Trigger, broker: api.Broker | None) -> tuple[match.Filter, Policy, Condition]:
    """The filter and the delivery policy, and whether they can be used."""
    try:
        filter = match.parse(trigger.spec)
        how = policy(effective(trigger.spec.delivery, broker.spec.delivery if broker else None))
    except match.FilterError as error:
        return *BAD, false("SubscriptionReady", "InvalidFilter", str(error))
    except DeliveryError as error:
        return *BAD, false("SubscriptionReady", "InvalidDelivery", str(error))
    return filter, how, true("SubscriptionReady")


def paused(until: str) -> list[Condition]:
    """The condition that says so; it is there only while it holds, and the Trigger is Ready all the same: somebody wants it so."""
    if not until:
        return []
    how_long = "until it is resumed" if until == pause.FOREVER else f"until {until}"
    return [true("Paused", "Paused", f"Events wait {how_long}: annotation {names.PAUSED}.")]


def _paused(trigger: api.Trigger) -> str:
    try:
        return pause.until(trigger.metadata.annotations, utcnow())
    except pause.PauseError:
        return ""


def left(until: str) -> float:
    """Seconds until the status is out of date."""
    return min(3600.0, max(0.0, (moment(until) - utcnow()).total_seconds()) + 0.1)
