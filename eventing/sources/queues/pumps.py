"""The pumps of all sources of one kind: each started once, kept while what it reads is the same, stopped to its end.

What a pump reads, and how, is its own; when one is wanted is the reconciler's.
"""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from anyio.abc import TaskGroup

from eventing.courier import Courier
from eventing.keyed import Keyed
from eventing.metrics import Metrics
from eventing.sources.carrier import Carrier, Route


class Pump(Protocol):
    """`reading` is what it was made for; `route` and `made` (what becomes of a message) may be replaced while it runs."""

    reading: Any
    route: Route
    made: Any

    async def run(self) -> None: ...


P = TypeVar("P", bound=Pump)
Make = Callable[[Carrier, Metrics, Any, Route, Any, Callable[[], None]], P]
"""A pump's constructor: the carrier, metrics, `reading`, `route`, `made`, and what it calls when it has something to tell."""


class Pumps(Generic[P]):
    """`tasks` is where they run; `changed` is called with the key of a source whose pump has something to tell."""

    def __init__(self, make: Make[P], courier: Courier, metrics: Metrics, tasks: TaskGroup, changed: Callable[[str], None]) -> None:
        self._make, self._carrier, self._metrics, self._changed = make, Carrier(courier, metrics), metrics, changed
        self._running: Keyed[P] = Keyed(tasks)

    async def ensure(self, key: str, reading: Any, route: Route, made: Any) -> P:
        """The one that reads that: it goes on, or another takes its place."""
        pump = self._running.get(key)
        if pump is not None and pump.reading == reading:
            pump.route, pump.made = route, made
            return pump
        await self.stop(key)
        pump = self._make(self._carrier, self._metrics, reading, route, made, lambda: self._changed(key))
        self._running.start(key, pump, lambda it: it.run())
        return pump

    async def stop(self, key: str) -> None:
        """Return when nothing of it runs; what is not acknowledged or committed comes again to whoever comes next."""
        stopped = await self._running.stop(key)
        if stopped is not None:
            self._metrics.forget_source(stopped.route)
