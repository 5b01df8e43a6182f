"""What eventing looks at: the objects of each kind, which of them are to be looked at again, and whom else a change concerns.

A change dirties the object itself, the Triggers of a Broker, the Subscriptions of a Channel and the other way round, the flow that the
object is of, and whatever names the object as a destination. What is then done is
the reconcilers'.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from eventing import subjects
from eventing.channel import Channel, is_on
from eventing.pipelines.names import pipeline_at
from eventing.subscription import subscribed
from eventing.told import name_of
from eventing.trigger import broker_name
from kfn.api import eventing as api
from kfn.api import kinds, messaging, names
from kfn.api.apiserversource import ApiServerSource
from kfn.api.containersource import ContainerSource
from kfn.api.kafkasource import KafkaSource
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta
from kfn.api.natssource import NatsSource
from kfn.api.pipeline import Pipeline
from kfn.api.serving import Service, ServiceStatus
from kfn.api.sinkbinding import SinkBinding
from kfn.api.sources import PingSource
from kfn.api.webhooksource import WebhookSource
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Keys

T = TypeVar("T")
Destinations = Iterable[Destination | None]


@dataclass(frozen=True, slots=True)
class Watched(Generic[T]):
    """The objects of one kind, the keys of those that are dirty, and where such an object sends events."""

    informer: Informer[T]
    destinations: Callable[[T], Destinations]
    keys: Keys = field(default_factory=Keys)

    def dirty(self, obj: T) -> None:
        self.keys.add(key(obj))


class World:
    """Build it, `watch` it, and run its informers."""

    def __init__(self, client: Client) -> None:
        self.services = Informer(client, kinds.SERVICE, keep=_addressed)
        self.brokers = Watched(Informer(client, kinds.BROKER), _of_broker)
        self.triggers = Watched(Informer(client, kinds.TRIGGER), _of_trigger)
        self.channels = Watched(Informer(client, kinds.CHANNEL), _of_broker)
        self.in_memory = Watched(Informer(client, kinds.IN_MEMORY_CHANNEL), _of_broker)
        self.subscriptions = Watched(Informer(client, kinds.SUBSCRIPTION), _of_subscription)
        self.sequences = Watched(Informer(client, kinds.SEQUENCE), _of_flow)
        self.parallels = Watched(Informer(client, kinds.PARALLEL), _of_flow)
        self.kafkas = Watched(Informer(client, kinds.KAFKA_SOURCE), _of_queue)
        self.nats = Watched(Informer(client, kinds.NATS_SOURCE), _of_queue)
        self.pings = Watched(Informer(client, kinds.PING_SOURCE), _of_source)
        self.api_servers = Watched(Informer(client, kinds.API_SERVER_SOURCE), _of_source)
        self.job_sinks = Watched(Informer(client, kinds.JOB_SINK), _of_flow)
        self.webhooks = Watched(Informer(client, kinds.WEBHOOK_SOURCE), _of_source)
        self.pipelines = Watched(Informer(client, kinds.PIPELINE), _of_pipeline)
        self.namespaces = Keys()  # whose part of NATS may have changed
        self.bindings = Watched(Informer(client, kinds.SINK_BINDING), _of_source)
        self.containers = Watched(Informer(client, kinds.CONTAINER_SOURCE), _of_source)

    @property
    def reconciled(self) -> tuple[Watched[Any], ...]:
        eventing = self.brokers, self.triggers, self.channels, self.in_memory, self.subscriptions, self.sequences, self.parallels
        sources = self.nats, self.kafkas, self.pings, self.api_servers, self.job_sinks, self.webhooks, self.bindings, self.containers
        return *eventing, *sources, self.pipelines

    @property
    def by_kind(self) -> dict[str, Watched[Any]]:
        """The kinds of channels."""
        return {one.informer.kind.kind: one for one in (self.channels, self.in_memory)}

    @property
    def channel_informers(self) -> dict[str, Informer[Any]]:
        return {kind: one.informer for kind, one in self.by_kind.items()}

    def channel_at(self, namespace: str, place: str) -> Channel | None:
        return self.channel_informers[subjects.kind_at(place)].get(namespace, subjects.channel_at(place))

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return self.services, *(one.informer for one in self.reconciled)

    def watch(self) -> None:
        """Dirty what a change concerns, from now on."""
        for one in self.reconciled:
            one.informer.on_change(_itself(one))
        self.brokers.informer.on_change(self._broker_changed)
        for kind, one in self.by_kind.items():
            one.informer.on_change(partial(self._channel_changed, kind))
        self.subscriptions.informer.on_change(self._subscription_changed)
        self.services.on_change(lambda old, new: self._address_changed("Service", old, new))
        self.services.on_change(self._granted)
        for places in (self.brokers, self.channels, self.triggers):
            places.informer.on_change(self._granted)
        self.sequences.informer.on_change(lambda old, new: self._address_changed("Sequence", old, new))
        self.job_sinks.informer.on_change(lambda old, new: self._address_changed("JobSink", old, new))
        self.parallels.informer.on_change(lambda old, new: self._address_changed("Parallel", old, new))
        self.pipelines.informer.on_change(lambda old, new: self._address_changed("Pipeline", old, new))

    @property
    def addressed(self) -> tuple[Informer[Any], ...]:
        """What can be a destination."""
        flows = self.brokers, self.channels, self.in_memory, self.sequences, self.parallels, self.pipelines, self.job_sinks
        return self.services, *(one.informer for one in flows)

    def suspect(self, place: str) -> None:
        """The stream of NAMESPACE/PLACE may be gone."""
        namespace, _, name = place.partition("/")
        kind = subjects.kind_at(name)
        watched: Watched[Any] = self.by_kind[kind] if kind else self.brokers
        watched.keys.add(f"{namespace}/{subjects.channel_at(name) or name}")

    def lost(self, dispatcher: str) -> None:
        """The consumer of a dispatcher may be gone."""
        namespace, _, name = dispatcher.partition("/")
        subscription = subscribed(name)
        channel, told, _ = subscription.partition("/")
        watched: Watched[Any] = self.in_memory if told else self.subscriptions if subscription else self.triggers
        watched.keys.add(f"{namespace}/{channel if told else subscription or name}")

    def consuming(self) -> list[str]:
        """The uids of all that have a consumer."""
        entered = [subscriber.uid for one in self.in_memory.informer.list() for subscriber in one.spec.subscribers]
        consuming = self.triggers, self.subscriptions, self.pipelines
        return [one.metadata.uid for watched in consuming for one in watched.informer.list()] + entered

    def all_dirty(self) -> None:
        for watched in self.reconciled:
            for one in watched.informer.list():
                watched.dirty(one)

    def uid_of(self, namespace: str, broker: str, trigger: str) -> str | None:
        """A Broker's Trigger, or a channel's subscriber, unless it is being deleted."""
        if channel := subjects.channel_at(broker):
            one = self.subscriptions.informer.get(namespace, trigger)
            if one is not None and not one.metadata.deletion_timestamp and is_on(one, channel, subjects.kind_at(broker)):
                return one.metadata.uid
            entered = self.channel_at(namespace, broker)
            told = entered.spec.subscribers if isinstance(entered, messaging.InMemoryChannel) else []
            return next((one.uid for one in told if name_of(channel, one.uid) == trigger), None)
        if pipeline := pipeline_at(trigger):
            reader = self.pipelines.informer.get(namespace, pipeline)
            return reader.metadata.uid if reader is not None and reader.spec.on and (reader.spec.on.broker or "default") == broker else None
        found = self.triggers.informer.get(namespace, trigger)
        if found is None or found.metadata.deletion_timestamp or broker_name(found) != broker:
            return None
        return found.metadata.uid

    def secret_of(self, namespace: str, place: str) -> str:
        """The Secret whose tokens a Broker, Channel or Pipeline asks its publishers for; empty for none."""
        one: Any
        if pipeline := pipeline_at(place):
            one = self.pipelines.informer.get(namespace, pipeline)
        else:
            is_channel = bool(subjects.channel_at(place))
            one = self.channel_at(namespace, place) if is_channel else self.brokers.informer.get(namespace, place)
        return one.metadata.annotations.get(names.AUTH, "") if one is not None else ""

    def revision_of(self, namespace: str, service: str) -> str:
        """The newest Revision of a function that is ready; empty if that is not known."""
        found = self.services.get(namespace, service)
        return found.status.latest_ready_revision_name if found is not None else ""

    def touch_triggers(self, namespace: str, broker: str) -> None:
        """A Broker has changed, or what stands behind it."""
        for pipeline in self.pipelines.informer.list(namespace):
            if broker in _brokers_of(pipeline):
                self.pipelines.dirty(pipeline)
        for trigger in self.triggers.informer.list(namespace):
            if broker_name(trigger) == broker:
                self.triggers.dirty(trigger)

    def _broker_changed(self, old: api.Broker | None, new: api.Broker | None) -> None:
        one = new or old
        if one is None:
            return
        if old is None or new is None or old.spec != new.spec or old.status != new.status or old.metadata != new.metadata:
            self.touch_triggers(one.metadata.namespace, one.metadata.name)
            self._touch("Broker", one.metadata)

    def touch_subscriptions(self, kind: str, namespace: str, channel: str) -> None:
        for one in self.subscriptions.informer.list(namespace):
            if is_on(one, channel, kind):
                self.subscriptions.dirty(one)

    def _channel_changed(self, kind: str, old: Channel | None, new: Channel | None) -> None:
        one = new or old
        if one is not None:
            self.touch_subscriptions(kind, one.metadata.namespace, one.metadata.name)
            self._touch_flow(one.metadata)
            self._address_changed(kind, old, new)

    def _subscription_changed(self, old: messaging.Subscription | None, new: messaging.Subscription | None) -> None:
        one = new or old
        if one is not None:
            self.by_kind.get(one.spec.channel.kind, self.channels).keys.add(f"{one.metadata.namespace}/{one.spec.channel.name}")
            self._touch_flow(one.metadata)

    def _touch_flow(self, meta: ObjectMeta) -> None:
        """The Sequence or Parallel that the object is of."""
        for ref in meta.owner_references:
            for watched, kind in ((self.sequences, "Sequence"), (self.parallels, "Parallel")):
                if ref.kind == kind:
                    watched.keys.add(f"{meta.namespace}/{ref.name}")

    def _granted(self, old: Any, new: Any) -> None:
        """What may be done by NATS follows from what there is, and what functions ask for."""
        one = new or old
        if one is not None and not (old and new and old.metadata.annotations == new.metadata.annotations):
            self.namespaces.add(one.metadata.namespace, after=0.02)

    def _address_changed(self, kind: str, old: Any, new: Any) -> None:
        one = new or old
        if one is not None and not (old and new and old.status.address == new.status.address):
            self._touch(kind, one.metadata)

    def _touch(self, kind: str, meta: ObjectMeta) -> None:
        """Whoever sends events to that object."""
        for watched in self.reconciled:
            for one in watched.informer.list():
                if any(_is_for(to, one.metadata.namespace, kind, meta.namespace, meta.name) for to in watched.destinations(one)):
                    watched.dirty(one)


def key(obj: Any) -> str:
    return f"{obj.metadata.namespace}/{obj.metadata.name}"


def _itself(watched: Watched[T]) -> Callable[[T | None, T | None], None]:
    def changed(old: T | None, new: T | None) -> None:
        one = new if new is not None else old
        if one is not None:
            watched.dirty(one)

    return changed


def _addressed(service: Service) -> Service:
    """What must be remembered of a function: where it is, what it asks of NATS. Its template may be large, and there may be thousands."""
    meta = service.metadata
    asked = {k: v for k, v in service.spec.template.metadata.annotations.items() if k in (names.NATS_PUBLISH, names.NATS_PULL)}
    kept = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version, annotations=asked)
    return Service(
        metadata=kept,
        status=ServiceStatus(address=service.status.address, latest_ready_revision_name=service.status.latest_ready_revision_name),
    )


def _of_broker(one: api.Broker | Channel) -> Destinations:
    return ()  # its dead-letter sink is looked at again by time


def _of_trigger(one: api.Trigger) -> Destinations:
    return one.spec.subscriber, _sink(one.spec.delivery)


def _of_subscription(one: messaging.Subscription) -> Destinations:
    return one.spec.subscriber, one.spec.reply, _sink(one.spec.delivery)


def _of_flow(one: Any) -> Destinations:
    return ()  # its Subscriptions look at them


def _of_source(one: PingSource | ApiServerSource | WebhookSource | SinkBinding | ContainerSource) -> Destinations:
    return (one.spec.sink,)


def _of_queue(one: NatsSource | KafkaSource) -> Destinations:
    return one.spec.sink, _sink(one.spec.delivery)


def _of_pipeline(one: Pipeline) -> Destinations:
    return [Destination(KReference(kind="Service", name=step.fn) if step.fn else step.ref) for step in one.spec.steps.values()]


def _brokers_of(one: Pipeline) -> set[str]:
    """Where its events come from and go to."""
    on = (one.spec.on.broker or "default") if one.spec.on else ""
    return {on, *(step.broker or on or "default" for step in one.spec.steps.values() if step.emit)}


def _sink(delivery: DeliverySpec | None) -> Destination | None:
    return delivery.dead_letter_sink if delivery else None


def _is_for(destination: Destination | None, own: str, kind: str, namespace: str, name: str) -> bool:
    """Whether a destination in the namespace `own` names that object."""
    ref = destination.ref if destination else None
    return ref is not None and (ref.kind, ref.name, ref.namespace or own) == (kind, name, namespace)
