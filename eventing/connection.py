"""nats-py's connection, made to leave nothing behind: neither the socket of an attempt that failed, nor a task, once it is ended.

Whom to connect to, and what is sent, is the bus's.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import nats
import nats.errors

log = logging.getLogger(__name__)

_ROUND = 0.1  # seconds until a task that swallowed its cancellation is cancelled again
_ROUNDS = 10


class Connection(nats.NATS):  # type: ignore[misc]
    """The methods with an underscore are nats-py's own: each notes the task it runs in, or clears up after the attempt before."""

    def __init__(self) -> None:
        super().__init__()
        self._attempting: set[asyncio.Task[Any]] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._listening: set[asyncio.Task[Any]] = set()  # one for each subscription
        self._ended = False
        self.tls: Callable[[], ssl.SSLContext] | None = None  # makes what secures an attempt, from files that may be replaced

    async def end(self, patience: float) -> None:
        """Send what is pending, close, and wait until every task is over."""
        self._ended = True
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience):
                await self._tried(self.flush(1) if self.is_connected else None)
                await self._tried(self.close())
            for _ in range(_ROUNDS):
                tasks = self._attempting | self._serving | self._listening
                if not tasks:
                    break
                _cancel(tasks)
                await asyncio.wait(tasks, timeout=_ROUND)
            self._cut()

    async def _tried(self, work: Awaitable[object] | None) -> None:
        try:
            if work is not None:
                await work
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.debug("while closing: %s", error)  # what is not flushed is delivered again

    async def _attempt_reconnect(self) -> None:
        await _noted(self._attempting, super()._attempt_reconnect())

    async def _read_loop(self) -> None:
        await _noted(self._serving, super()._read_loop())

    async def _ping_interval(self) -> None:
        await _noted(self._serving, super()._ping_interval())

    async def _flusher(self) -> None:
        await _noted(self._serving, super()._flusher())

    async def _send_subscribe(self, sub: Any) -> None:
        task = sub._wait_for_msgs_task
        if task is not None:
            self._listening.add(task)
            task.add_done_callback(self._listening.discard)
        await super()._send_subscribe(sub)

    async def _connect_to_server(self, s: Any) -> None:
        if self._ended:
            raise asyncio.CancelledError  # the cancellation that asyncio.wait_for swallows when it comes with the answer
        _cancel(self._serving)  # of an attempt that failed after they were started: they would serve beside the new ones
        if self._transport is not None:
            self._transport.close()  # else the new socket takes its place, and it stays open
        if self.tls is not None:
            self.options["tls"] = self.tls()
        await super()._connect_to_server(s)

    def _connect_command(self) -> bytes:
        if self.tls is not None and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server offers no TLS, and is told nothing: not who we are either")
        command: bytes = super()._connect_command()
        return command

    def _cut(self) -> None:
        """Close the socket of a peer that does not read any more: a close alone waits for it to take what is written."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


async def _noted(tasks: set[asyncio.Task[Any]], work: Awaitable[None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    tasks.add(task)
    try:
        await work
    finally:
        tasks.discard(task)


def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
