"""The two streams of a Broker or a Channel: its events and its dead letters."""

import logging
from typing import Any

from eventing import errors, finalizer, streams, subjects
from eventing.attached import Place
from eventing.bus import Bus
from eventing.conditions import false, true, unknown
from eventing.delivery import DeliveryError, policy
from eventing.settings import Settings
from kfn.api.kinds import Kind
from kfn.api.meta import Condition, DeliverySpec, ObjectMeta
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)


class Streams:
    """`ready` holds the places whose streams are there in this run."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._bus, self._settings = bus, settings
        self.ready: set[Place] = set()

    async def ensure(self, place: Place, delivery: DeliverySpec | None, condition: str) -> Condition:
        """Make them; the condition says whether they are there, and `delivery` can be used."""
        try:
            if delivery:
                policy(delivery)
            await self._bus.ensure_stream(streams.events(self._settings, *place))
            await self._bus.ensure_stream(streams.dead_letters(self._settings, *place))
        except DeliveryError as error:
            return false(condition, "InvalidDelivery", str(error))
        except errors.Full as error:
            what = "channel" if subjects.channel_at(place[1]) else "broker"
            return false(condition, "NoStorage", f"NATS has no room for another {what}'s stream: {error}")
        except errors.BusError as error:
            if place in self.ready and isinstance(error, errors.Unavailable):
                return true(condition)  # a restart of NATS takes a moment; publishers are told themselves
            return unknown(condition, "NatsUnavailable", str(error))
        self.ready.add(place)
        return true(condition)

    def forget(self, place: Place) -> None:
        self.ready.discard(place)

    async def release(self, client: Client, kind: Kind[Any], meta: ObjectMeta, place: Place, held_by: str) -> Done:
        """Delete what a Broker or Channel holds, its events and dead letters included, then take off the finalizer that holds it."""
        self.forget(place)
        if held_by not in meta.finalizers:
            return Done()
        try:
            await self._bus.delete_stream(subjects.stream(*place))
            await self._bus.delete_stream(subjects.dead_stream(*place))
            await finalizer.remove(client, kind, meta, held_by)
        except errors.BusError as error:
            log.warning("%s %s/%s waits to be deleted: %s", kind.kind.lower(), meta.namespace, meta.name, error)
            return Done(again_after=1.0)
        except kube.NotFound:
            pass
        except kube.Conflict:
            return Done(again_after=0.05)
        return Done()
