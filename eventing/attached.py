"""The durable consumer of a Trigger or a Subscription, as a condition of it: from its making on, every matching event is kept until
it is settled. How it is made is in consumers.py."""

from collections.abc import Callable, Sequence

from eventing import consumers, errors, ordering, pause, streams, subjects
from eventing.bus import Bus
from eventing.conditions import false, is_true, true, unknown
from eventing.settings import Settings
from kfn.api.meta import Condition, ObjectMeta
from kfn.clock import utcnow

Place = tuple[str, str]


class Consumers:
    """`ready` holds the places whose streams are there; one whose stream turns out to be gone is taken out, and `suspect` told."""

    def __init__(self, bus: Bus, settings: Settings, ready: set[Place], suspect: Callable[[str], None]) -> None:
        self._bus, self._settings, self.ready, self._suspect = bus, settings, ready, suspect

    async def ensure(self, place: Place, meta: ObjectMeta, only: tuple[str, ...], condition: str, before: Sequence[Condition]) -> Condition:
        """Make it, change it, pause it; `condition` says whether it is there, `before` are the object's conditions."""
        try:
            ordered = ordering.wanted(meta.annotations)
            config = streams.consumer(self._settings, meta.uid, only, f"{meta.namespace}/{meta.name}", ordered=ordered)
            await consumers.ensure(
                self._bus, subjects.stream(*place), config, pause.until(meta.annotations, utcnow()), meta.creation_timestamp
            )
        except pause.PauseError as error:
            return false(condition, "InvalidPause", str(error))
        except ordering.OrderingError as error:
            return false(condition, "InvalidOrdering", str(error))
        except errors.NoStream:
            self.ready.discard(place)
            self._suspect("/".join(place))
            what = "channel" if subjects.channel_at(place[1]) else "broker"
            return unknown(condition, "NoStream", f"The {what}'s stream is being made.")
        except errors.Unavailable as error:
            if is_true(before, condition):
                return true(condition)  # it was made; NATS is away for a moment
            return unknown(condition, "NatsUnavailable", str(error))
        except errors.BusError as error:
            return false(condition, "ConsumerRefused", str(error))
        return true(condition)

    async def remove(self, place: Place, uid: str) -> None:
        """Raises `BusError`."""
        await self._bus.delete_consumer(subjects.stream(*place), subjects.consumer(uid))
        await self._bus.purge(subjects.stream(*place), subjects.to(*place, uid))

    async def progress(self, place: Place, uid: str) -> tuple[int, int, int]:
        """What it was given and what it has settled, as sequences, and how many events wait or are in work. Raises `BusError`."""
        info = await self._bus.consumer_info(subjects.stream(*place), subjects.consumer(uid))
        left = info["num_pending"] + info["num_ack_pending"]
        given = info["delivered"]["stream_seq"]
        return given, info["ack_floor"]["stream_seq"] if info["num_ack_pending"] else given, left
