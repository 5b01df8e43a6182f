"""What eventing looks at: the objects of each kind, which of them are to be looked at again, and whom else a change concerns.

A change dirties the object itself, the Triggers of a Broker, and whatever names the object as a destination. What is then done is
the reconcilers'.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from eventing.trigger import broker_name
from kfn.api import eventing as api
from kfn.api import kinds
from kfn.api.meta import DeliverySpec, Destination, ObjectMeta
from kfn.api.serving import Service, ServiceStatus
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
        self.pings = Watched(Informer(client, kinds.PING_SOURCE), _of_source)
        self.webhooks = Watched(Informer(client, kinds.WEBHOOK_SOURCE), _of_source)

    @property
    def reconciled(self) -> tuple[Watched[Any], ...]:
        return self.brokers, self.triggers, self.pings, self.webhooks

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        return self.services, *(one.informer for one in self.reconciled)

    def watch(self) -> None:
        """Dirty what a change concerns, from now on."""
        for one in self.reconciled:
            one.informer.on_change(_itself(one))
        self.brokers.informer.on_change(self._broker_changed)
        self.services.on_change(self._service_changed)

    def all_dirty(self) -> None:
        for watched in self.reconciled:
            for one in watched.informer.list():
                watched.dirty(one)

    def uid_of(self, namespace: str, broker: str, trigger: str) -> str | None:
        """A Broker's Trigger, unless it is being deleted."""
        found = self.triggers.informer.get(namespace, trigger)
        if found is None or found.metadata.deletion_timestamp or broker_name(found) != broker:
            return None
        return found.metadata.uid

    def touch_triggers(self, namespace: str, broker: str) -> None:
        """A Broker has changed, or what stands behind it."""
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

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        one = new or old
        if one is None or (old and new and old.status.address == new.status.address):
            return
        self._touch("Service", one.metadata)

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
    """What must be remembered of a function: where it is. Its template may be large, and there may be thousands."""
    meta = service.metadata
    kept = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version)
    return Service(metadata=kept, status=ServiceStatus(address=service.status.address))


def _of_broker(one: api.Broker) -> Destinations:
    return ()  # its dead-letter sink is looked at again by time


def _of_trigger(one: api.Trigger) -> Destinations:
    return one.spec.subscriber, _sink(one.spec.delivery)


def _of_source(one: PingSource | WebhookSource) -> Destinations:
    return (one.spec.sink,)


def _sink(delivery: DeliverySpec | None) -> Destination | None:
    return delivery.dead_letter_sink if delivery else None


def _is_for(destination: Destination | None, own: str, kind: str, namespace: str, name: str) -> bool:
    """Whether a destination in the namespace `own` names that object."""
    ref = destination.ref if destination else None
    return ref is not None and (ref.kind, ref.name, ref.namespace or own) == (kind, name, namespace)
