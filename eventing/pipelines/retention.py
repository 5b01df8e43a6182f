"""Removes runs some time after their end, oldest first, sooner where a stream runs full; then plans that no run follows any more."""

import logging
from collections.abc import Callable, Iterable
from itertools import pairwise

import anyio

from eventing import errors
from eventing.bus import Bus
from eventing.pipelines import state
from eventing.pipelines.store import Store
from eventing.settings import Settings
from kfn.clock import utcnow

log = logging.getLogger(__name__)

PERIOD = 10.0
FULL, ENOUGH = 0.7, 0.5  # of a stream: from here on ended runs are removed, down to there
AT_ONCE = 2000  # records of one turn
DAY = 86400.0


class Retention:
    """Of the replica that writes. `pipelines` gives (namespace, name) of all that are stored."""

    def __init__(self, bus: Bus, settings: Settings, pipelines: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._bus, self._settings, self._pipelines = bus, settings, pipelines

    async def run(self) -> None:
        while True:
            for namespace, name in list(self._pipelines()):
                try:
                    await self.turn(Store(self._bus, namespace, name))
                except errors.BusError as error:
                    log.debug("pipeline %s/%s: %s", namespace, name, error)
            await anyio.sleep(PERIOD)

    async def turn(self, store: Store) -> int:
        """Remove what is over; how many runs that were. Raises `BusError`."""
        used = await self._used(store)
        is_full, removed, looked = used > FULL, 0, 0
        oldest = utcnow().timestamp() - self._settings.pipeline_retention
        async for one in store.records():
            looked += 1
            if looked > AT_ONCE or (one.at.timestamp() > oldest and not is_full):
                break
            run = state.loads(one.data)
            if not run.is_over:
                continue
            await store.forget(run.id)
            removed += 1
            if is_full and removed % 20 == 0:
                is_full = await self._used(store) > ENOUGH
        if removed:
            log.info("pipeline %s/%s: removed %d runs%s", store.namespace, store.name, removed, ", as it ran full" if used > FULL else "")
        await self._starts(store, oldest)
        await self._plans(store, oldest)
        return removed

    async def _starts(self, store: Store, oldest: float) -> None:
        """Those of runs that never began: something died before the record. Not sooner, for the same event may come again and begin it."""
        looked = 0
        async for one in store.starts():
            looked += 1
            if looked > AT_ONCE or one.at.timestamp() > oldest:
                return
            id = store.runs.id_of(one.subject)
            if await store.record(id) is None:
                await store.forget(id)

    async def _plans(self, store: Store, oldest: float) -> None:
        """A run ends within its timeout, and is kept for a while; what was replaced before that is over."""
        kept = [one async for one in store.plans()]
        for one, following in pairwise(kept):
            if following.at.timestamp() < oldest - 2 * DAY:
                await store.forget_plan(int(one.subject.rpartition(".")[2]))

    async def _used(self, store: Store) -> float:
        info = await self._bus.api(f"STREAM.INFO.{store.stream}")
        return float(info["state"]["bytes"] / max(1, info["config"]["max_bytes"]))
