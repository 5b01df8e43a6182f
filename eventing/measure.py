"""What is measured of each Trigger every few seconds: how much waits for it, since when, and what of it died."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from eventing import errors, stored, subjects
from eventing.bus import Bus
from eventing.metrics import Metrics
from eventing.settle import Subscription
from kfn.clock import utcnow

log = logging.getLogger(__name__)


class Measure:
    """`wrong` is called for a Trigger whose consumer is not as kfn makes it: somebody changed it by hand."""

    def __init__(self, bus: Bus, metrics: Metrics, wrong: Callable[[Subscription], None]) -> None:
        self._bus, self._metrics, self._wrong = bus, metrics, wrong

    async def all(self, subscriptions: Iterable[Subscription]) -> None:
        dead: dict[tuple[str, str], dict[str, int]] = {}
        for one in subscriptions:
            try:
                await self._consumer(one)
            except errors.NoStream:
                continue
            broker = (one.namespace, one.broker)
            if broker not in dead:
                dead[broker] = await self._dead(*broker)
            self._metrics.dead(one, dead[broker].get(subjects.token(one.name), 0))

    async def _consumer(self, one: Subscription) -> None:
        stream = subjects.stream(one.namespace, one.broker)
        info = await self._bus.consumer_info(stream, subjects.consumer(one.uid))
        if info["config"].get("max_deliver", -1) != -1:
            self._wrong(one)
        waiting = info["num_pending"] + info["num_ack_pending"]
        self._metrics.lag(one, waiting)
        self._metrics.oldest(one, await self._age(stream, info) if waiting else 0.0)

    async def _age(self, stream: str, info: dict[str, Any]) -> float:
        """Seconds since the first event was stored that is not settled."""
        config, floor = info["config"], info["ack_floor"]["stream_seq"]
        filters = config.get("filter_subjects") or [config["filter_subject"]]
        found = [await stored.following(self._bus, stream, subject, sequence=floor + 1) for subject in filters]
        first = min((one for one in found if one is not None), key=lambda one: one.sequence, default=None)
        return max(0.0, (utcnow() - first.at).total_seconds()) if first else 0.0

    async def _dead(self, namespace: str, broker: str) -> dict[str, int]:
        """How many dead letters there are, by the Trigger's token."""
        wanted = {"subjects_filter": subjects.dead_letters(namespace, broker)}
        try:
            state = (await self._bus.api(f"STREAM.INFO.{subjects.dead_stream(namespace, broker)}", wanted))["state"]
        except errors.NoStream:
            return {}
        counts: dict[str, int] = {}
        for subject, count in (state.get("subjects") or {}).items():
            trigger = subject.split(".")[-2]
            counts[trigger] = counts.get(trigger, 0) + count
        return counts
