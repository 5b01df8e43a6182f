"""The dispatchers that run: started, updated and stopped with their Triggers and Subscriptions."""

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from eventing.bus import Bus
from eventing.dispatch import Dispatcher
from eventing.keyed import Keyed
from eventing.match import Filter
from eventing.metrics import Metrics
from eventing.ordered import Ordered
from eventing.settings import Settings
from eventing.settle import Settles, Subscription

log = logging.getLogger(__name__)


class Dispatchers:
    """`lost` is called with a key when the consumer is gone from the server."""

    def __init__(
        self, bus: Bus, settler: Settles, settings: Settings, metrics: Metrics, tasks: TaskGroup, lost: Callable[[str], None]
    ) -> None:
        self._bus, self._settler, self._settings, self._metrics, self._lost = bus, settler, settings, metrics, lost
        self._running: Keyed[Dispatcher] = Keyed(tasks)

    async def ensure(self, key: str, subscription: Subscription, filter: Filter) -> None:
        """Run this subscription; a running dispatcher takes a change over, unless it is another object or place by now."""
        running = self._running.get(key)
        if running is not None:
            now = running.subscription
            if (now.uid, now.broker, now.ordered) == (subscription.uid, subscription.broker, subscription.ordered):
                running.subscription, running.filter = subscription, filter
                return
            await self.stop(key)
        kind = Ordered if subscription.ordered else Dispatcher
        dispatcher = kind(self._bus, self._settler, self._settings, self._metrics, subscription, filter, lambda: self._lost(key))
        self._running.start(key, dispatcher, _run)

    async def stop(self, key: str) -> None:
        """Return when nothing of it runs; what it had in work is delivered again to whoever comes next."""
        stopped = await self._running.stop(key)
        if stopped is not None:
            self._metrics.forget(stopped.subscription)

    def runs(self, key: str) -> bool:
        return self._running.get(key) is not None

    def doubt(self, subscription: Subscription) -> None:
        """Its consumer is not as it should be."""
        self._lost(subscription.key)

    def subscriptions(self) -> list[Subscription]:
        return [dispatcher.subscription for dispatcher in self._running.all()]


async def _run(dispatcher: Dispatcher) -> None:
    while True:
        try:
            await dispatcher.run()
        except Exception:
            log.exception("%s: its dispatcher failed; starting it again", dispatcher.subscription.what)
            await anyio.sleep(1)
