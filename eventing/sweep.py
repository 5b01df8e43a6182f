"""What is looked at every few seconds: each Trigger's lag, streams that run full, consumers whose Trigger is gone."""

import logging
from collections.abc import Callable, Iterable

import anyio

from eventing import errors, reclaim, subjects
from eventing.bus import Bus
from eventing.givenup import GivenUp
from eventing.measure import Measure
from eventing.metrics import Metrics
from eventing.running import Dispatchers

log = logging.getLogger(__name__)

PERIOD = 10.0


class Sweep:
    def __init__(
        self,
        bus: Bus,
        metrics: Metrics,
        dispatchers: Dispatchers,
        brokers: set[tuple[str, str]],
        triggers: Callable[[], Iterable[str]],
        suspect: Callable[[str], None],
    ) -> None:
        """`brokers` is read anew each time: those whose streams are there; one whose stream is not is taken out, and `suspect` told.
        `triggers` gives the uids of all Triggers."""
        self._suspect = suspect
        self._bus, self._dispatchers, self._brokers, self._triggers = bus, dispatchers, brokers, triggers
        self._given_up = GivenUp(bus, bus.replicas)
        self._measure = Measure(bus, metrics, dispatchers.doubt)
        self._orphans: set[tuple[str, str]] = set()
        self._now = anyio.Event()

    def now(self) -> None:
        """Do not wait for the next turn: a stream is full."""
        self._now.set()

    async def run(self) -> None:
        while True:
            self._now = anyio.Event()
            try:
                for namespace, broker in list(self._brokers):
                    await self._look_at(namespace, broker)
                await self._remove_orphans()
                await self._given_up.reconcile()
                await self._measure.all(self._dispatchers.subscriptions())
            except errors.BusError as error:
                log.debug("sweep: %s", error)
            with anyio.move_on_after(PERIOD):
                await self._now.wait()
            await anyio.sleep(0.5)  # at most so often, however many publishers are refused

    async def _look_at(self, namespace: str, broker: str) -> None:
        try:
            await self._reclaim(subjects.stream(namespace, broker))
        except errors.NoStream:
            log.warning("the stream of %s/%s is gone; it is made anew", namespace, broker)
            self._brokers.discard((namespace, broker))
            self._suspect(f"{namespace}/{broker}")

    async def _remove_orphans(self) -> None:
        """Remove consumers that no Trigger has twice in a row: left by one deleted past its finalizer, they would keep a stream full."""
        known = {subjects.consumer(uid) for uid in self._triggers()}
        found: set[tuple[str, str]] = set()
        for namespace, broker in list(self._brokers):
            stream = subjects.stream(namespace, broker)
            names = (await self._bus.api(f"CONSUMER.NAMES.{stream}")).get("consumers") or []
            found |= {(stream, name) for name in names if name.startswith("kfn_t_") and name not in known}
        for stream, name in found & self._orphans:
            await self._bus.delete_consumer(stream, name)
            log.info("removed consumer %s of %s: its trigger is gone", name, stream)
        self._orphans = found - self._orphans

    async def _reclaim(self, stream: str) -> None:
        info = await self._bus.api(f"STREAM.INFO.{stream}")
        state = info["state"]
        seen = reclaim.Stream(state["bytes"], info["config"].get("max_bytes", 0), state["first_seq"], state["last_seq"])
        if reclaim.purge_below(seen, ()) is None:
            return
        consumers: list[reclaim.Consumer] = []
        while True:
            page = await self._bus.api(f"CONSUMER.LIST.{stream}", {"offset": len(consumers)})
            consumers += [
                reclaim.Consumer(c["ack_floor"]["stream_seq"], c["num_pending"], c["num_ack_pending"]) for c in page["consumers"] or []
            ]
            if not page["consumers"] or len(consumers) >= page["total"]:
                break
        below = reclaim.purge_below(seen, consumers)
        if below is None:
            log.warning("stream %s is %d %% full and no event in it is settled by every trigger", stream, 100 * seen.size // seen.limit)
            return
        await self._bus.api(f"STREAM.PURGE.{stream}", {"seq": below})
        log.info("stream %s was nearly full: events before %d, settled by every trigger, are removed", stream, below)
