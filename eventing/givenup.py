"""Events that the NATS server gave up: it does so only when somebody set a limit on a Trigger's consumer by hand, as kfn sets none.

The server says so once, to whoever listens. A stream keeps that, so that it is heard by the leader of now or the next: the event is
stored for its Trigger anew (`subjects.to`), and only then the notice is removed.
"""

import json
import logging

from eventing import errors, stored, streams, subjects
from eventing.bus import Bus

log = logging.getLogger(__name__)

AT_ONCE = 200  # notices of one turn


class GivenUp:
    """`reconcile` is called now and then, by the one that leads."""

    def __init__(self, bus: Bus, replicas: int) -> None:
        self._bus, self._wanted = bus, streams.advisories(replicas)
        self._epoch = -1

    async def reconcile(self) -> None:
        """Raises `BusError`."""
        if self._epoch != self._bus.epoch:
            await self._bus.ensure_stream(self._wanted)
            self._epoch = self._bus.epoch
        for _ in range(AT_ONCE):
            notice = await stored.following(self._bus, streams.ADVISORIES, streams.GIVEN_UP)
            if notice is None:
                return
            await self._restore(notice)
            await stored.remove(self._bus, streams.ADVISORIES, notice.sequence)

    async def _restore(self, notice: stored.Stored) -> None:
        stream, consumer = notice.subject.split(".")[-2:]
        if not (stream.startswith("KFN_") and consumer.startswith("kfn_t_")):
            return  # somebody else's
        sequence = int(json.loads(notice.data)["stream_seq"])
        try:
            event = await stored.following(self._bus, stream, ">", sequence=sequence)
        except errors.NoStream:
            return
        if event is None or event.sequence != sequence:
            return  # it is older than its Broker keeps events
        headers = {name: value for name, value in event.headers.items() if not name.startswith("Nats-")}
        subject = subjects.to_consumer(event.subject, consumer)
        await self._bus.publish(stream, subject, headers, event.data, id=subjects.again_id(consumer, sequence, notice.time))
        log.warning(
            "consumer %s of %s had given up event %d, by a limit that is not kfn's; it is delivered again", consumer, stream, sequence
        )
