"""JetStream's acknowledgements of what is published: one inbox for all of them, and one timer for all that wait.

nats-py's own request makes a task's timeout and a cancel scope of each, which is a third of what a publish costs.
"""

import asyncio
from itertools import count

import nats.errors
from nats.aio.msg import Msg

from eventing.connection import Connection

TICK = 0.25  # seconds; a publisher may be told so much too late that NATS did not answer


class Again(Exception):
    """The connection was made anew: the acknowledgement may have been lost with the old one."""


class Acks:
    def __init__(self, client: Connection) -> None:
        self._client = client
        self._inbox = ""
        self._numbers = count(1)
        self._waiting: dict[str, tuple[asyncio.Future[bytes | Exception], float]] = {}  # by subject, each with its end
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Once connected."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str], timeout: float) -> bytes:
        """What JetStream answers. Raises `TimeoutError`, `Again` and what nats-py raises."""
        loop = asyncio.get_running_loop()
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[bytes | Exception] = loop.create_future()
        self._waiting[reply] = answer, loop.time() + timeout
        if self._timer is None:
            self._timer = loop.call_later(TICK, self._look)
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
            said = await answer
        finally:
            self._waiting.pop(reply, None)
        if isinstance(said, Exception):
            raise said
        return said

    def again(self) -> None:
        """After a reconnect."""
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_result(Again())

    async def _on_answer(self, message: Msg) -> None:
        found = self._waiting.get(message.subject)
        if found is None or found[0].done():
            return
        if not message.data and message.headers and message.headers.get("Status") == "503":
            found[0].set_result(nats.errors.NoRespondersError())
        else:
            found[0].set_result(message.data)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for answer, end in self._waiting.values():
            if now >= end and not answer.done():
                answer.set_result(TimeoutError())
        self._timer = loop.call_later(TICK, self._look) if self._waiting else None
