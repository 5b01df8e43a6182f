"""The two streams of a Broker or a Channel: its events and its dead letters."""

from eventing import errors, streams, subjects
from eventing.attached import Place
from eventing.bus import Bus
from eventing.conditions import false, true, unknown
from eventing.delivery import DeliveryError, policy
from eventing.settings import Settings
from kfn.api.meta import Condition, DeliverySpec


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

    async def remove(self, place: Place) -> None:
        """With all that is in them. Raises `BusError`."""
        await self._bus.delete_stream(subjects.stream(*place))
        await self._bus.delete_stream(subjects.dead_stream(*place))
