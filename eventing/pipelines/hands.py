"""Takes messages from one durable consumer of a Pipeline's stream, has them worked on, and settles them: as dispatch.py does for events.

A message that is worked on is kept alive; one that comes again meanwhile is not worked on twice. What is done with it is `work`'s.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup
from nats.aio.msg import Msg

from eventing.bus import Bus
from eventing.dispatch import ACK, ALIVE, NAK
from eventing.pull import Puller
from eventing.settings import Settings

log = logging.getLogger(__name__)

Work = Callable[[Msg], Awaitable[float | None]]
"""None: done with. A number: once more after so many seconds."""


class Hands:
    """Runs until cancelled."""

    def __init__(self, bus: Bus, settings: Settings, stream: str, consumer: str, work: Work, lost: Callable[[], None]) -> None:
        self._bus, self._settings, self._work, self.what = bus, settings, work, f"{stream} {consumer}"
        self._replies: dict[int, str] = {}  # by the message's sequence: where it is settled; a redelivery changes it
        self._tasks: TaskGroup | None = None
        self._puller = Puller(
            bus, stream, consumer, receive=self._receive, lost=lost, free=lambda: settings.in_flight - len(self._replies)
        )  # fmt: skip

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._puller.run)
                self._tasks.start_soon(self._keep_alive)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                for reply in self._replies.values():
                    await self._bus.send(reply, NAK)  # so that who comes next need not wait for ack_wait
            self._replies.clear()

    async def _receive(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        known = sequence in self._replies
        self._replies[sequence] = message.reply
        if not known and self._tasks is not None:
            self._tasks.start_soon(self._do, sequence, message)

    async def _do(self, sequence: int, message: Msg) -> None:
        delay: float | None = 1.0
        try:
            delay = await self._work(message)
        except Exception:
            log.exception("%s: %s could not be worked on; it comes again", self.what, message.subject)
        reply = self._replies[sequence]
        await self._bus.send(reply, ACK if delay is None else NAK + b' {"delay": %d}' % int(delay * 1e9))
        del self._replies[sequence]
        self._puller.more()

    async def _keep_alive(self) -> None:
        while True:
            await anyio.sleep(self._settings.ack_wait / 3)
            for reply in list(self._replies.values()):
                await self._bus.send(reply, ALIVE)
