"""The dispatchers that run: started, updated and stopped with their Triggers."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from eventing.bus import Bus
from eventing.dispatch import Dispatcher
from eventing.match import Filter
from eventing.metrics import Metrics
from eventing.settings import Settings
from eventing.settle import Settler, Subscription

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    dispatcher: Dispatcher
    scope: anyio.CancelScope
    ended: anyio.Event


class Dispatchers:
    """`lost` is called with a Trigger's key when its consumer is gone from the server."""

    def __init__(
        self, bus: Bus, settler: Settler, settings: Settings, metrics: Metrics, tasks: TaskGroup, lost: Callable[[str], None]
    ) -> None:
        self._bus, self._settler, self._settings, self._metrics, self._tasks, self._lost = bus, settler, settings, metrics, tasks, lost
        self._running: dict[str, _Running] = {}

    async def ensure(self, key: str, subscription: Subscription, filter: Filter) -> None:
        """Run this subscription; a running dispatcher takes a change over, unless it is another Trigger or Broker by now."""
        running = self._running.get(key)
        if running:
            now = running.dispatcher.subscription
            if (now.uid, now.broker) == (subscription.uid, subscription.broker):
                running.dispatcher.subscription, running.dispatcher.filter = subscription, filter
                return
            await self.stop(key)
        dispatcher = Dispatcher(self._bus, self._settler, self._settings, self._metrics, subscription, filter, lambda: self._lost(key))
        entry = self._running[key] = _Running(dispatcher, anyio.CancelScope(), anyio.Event())
        self._tasks.start_soon(self._run, entry)

    async def stop(self, key: str) -> None:
        """Return when nothing of it runs; what it had in work is delivered again to whoever comes next."""
        running = self._running.pop(key, None)
        if running:
            running.scope.cancel()
            await running.ended.wait()
            self._metrics.forget(running.dispatcher.subscription)

    def subscriptions(self) -> list[Subscription]:
        return [running.dispatcher.subscription for running in self._running.values()]

    async def _run(self, entry: _Running) -> None:
        try:
            with entry.scope:
                while True:
                    try:
                        await entry.dispatcher.run()
                    except Exception:
                        log.exception("trigger %s: its dispatcher failed; starting it again", entry.dispatcher.subscription.name)
                        await anyio.sleep(1)
        finally:
            entry.ended.set()
