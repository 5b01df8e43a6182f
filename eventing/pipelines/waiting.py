"""Who waits for the end of a run. It is told on core NATS, so any replica can wait; behind it the record is looked at now and then."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from nats.aio.msg import Msg

from eventing.bus import Bus
from eventing.pipelines.names import ENDED, ended
from eventing.pipelines.state import Run

LOOK = 2.0  # seconds; a word that was lost costs so much


class Waiters:
    """Of all Pipelines."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, set[anyio.Event]] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        subscription = await self._bus.client.subscribe(f"{ENDED}.>", cb=self._heard)
        try:
            yield
        finally:
            if self._bus.is_up:
                await subscription.unsubscribe()

    async def tell(self, namespace: str, name: str, run: str) -> None:
        subject = ended(namespace, name, run)
        self._wake(subject)
        await self._bus.send(subject)

    async def end(self, namespace: str, name: str, run: str, read: Callable[[], Awaitable[Run | None]], patience: float) -> Run | None:
        """The run once it is over, or as it is when patience is; None if there is no such run."""
        subject, until = ended(namespace, name, run), anyio.current_time() + patience
        while True:
            event = anyio.Event()
            self._waiting.setdefault(subject, set()).add(event)
            try:
                found = await read()
                left = until - anyio.current_time()
                if found is None or found.is_over or left <= 0:
                    return found
                with anyio.move_on_after(min(LOOK, left)):
                    await event.wait()
            finally:
                waiting = self._waiting[subject]
                waiting.discard(event)
                if not waiting:
                    del self._waiting[subject]

    async def _heard(self, message: Msg) -> None:
        self._wake(message.subject)

    def _wake(self, subject: str) -> None:
        for event in self._waiting.get(subject, ()):
            event.set()
