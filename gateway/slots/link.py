"""The connection to the keeper of slots: opened, kept alive, and opened again elsewhere when it breaks. What is said on it is `lease`'s."""

import asyncio
import logging
from itertools import cycle
from typing import cast
from uuid import uuid4

import anyio

from gateway.settings import Settings
from gateway.slots import wire as slotwire
from gateway.slots.lease import Slots

log = logging.getLogger(__name__)

FIRST = 0.01  # seconds until the first try again; a keeper that was restarted gives out nothing before it has heard from us
CONNECT = 1.0  # seconds for one attempt, the keeper's Welcome included
UNSENT = 4 * 1024 * 1024  # bytes that wait to be sent, at most: a keeper that reads no more is gone


class Link:
    """This process's one link to a keeper. `run` looks after it, `close` ends it: requests may still be under way when `run` has ended."""

    def __init__(self, slots: Slots, settings: Settings) -> None:
        self._slots = slots
        self._token = settings.slots_token
        self._most = settings.slots_retry
        self._addresses = slotwire.addresses(settings.slots)
        self._name = uuid4().hex
        self._wire: _Wire | None = None

    async def run(self) -> None:
        pause = FIRST
        told: set[str] = set()
        for address in cycle(self._addresses):
            try:
                wire = await self._connect(address)
            except (OSError, slotwire.BadFrame) as error:
                why = f"{address}: {error or type(error).__name__}"
                (log.debug if why in told else log.warning)("no keeper of slots at %s; trying on", why)
                told.add(why)
            else:
                log.info("slots are leased from the keeper at %s", address)
                pause, told = FIRST, set()
                await asyncio.shield(wire.lost)
                log.warning("the keeper of slots at %s is gone: %s", address, wire.why or "it closed the connection")
            await anyio.sleep(pause)
            pause = min(pause * 2, self._most)

    def sweep(self) -> None:
        self._slots.sweep()
        if self._slots.silent and self._wire is not None:
            self._wire.end("it does not answer")

    def close(self) -> None:
        """At the end of all requests: what is not in use is given back, so that others need not wait for it."""
        if self._wire is not None:
            self._slots.give_all()
            self._wire.end("", at_once=False)

    async def _connect(self, address: slotwire.Address) -> "_Wire":
        loop = asyncio.get_running_loop()

        def make() -> _Wire:
            return _Wire(self._slots, slotwire.Hello(self._token, self._name))

        if self._wire is not None:
            self._wire.end("another one is tried")
        with anyio.fail_after(CONNECT):
            if address.path:
                _, wire = await loop.create_unix_connection(make, address.path)
            else:
                _, wire = await loop.create_connection(make, address.host, address.port)
            self._wire = wire
            try:
                await asyncio.shield(wire.welcome)
            except asyncio.CancelledError:
                if not wire.welcome.done():
                    wire.end("it does not answer")
                raise
        return wire


class _Wire(asyncio.Protocol):
    def __init__(self, slots: Slots, hello: slotwire.Hello) -> None:
        self.why = ""
        loop = asyncio.get_running_loop()
        self.welcome: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._slots = slots
        self._hello = hello
        self._frames = slotwire.Frames(slotwire.MAX_FRAME)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._out: list[bytes] = []
        self._over = False

    def tell(self, frame: slotwire.Frame) -> None:
        """All of one turn of the loop in one write: each is a system call."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(slotwire.encode(frame))

    def end(self, why: str, *, at_once: bool = True) -> None:
        if self._over:
            return
        self.why = why
        self._flush()
        self._lost()
        if at_once:
            self._transport.abort()
        else:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.tell(self._hello)
        for frame in self._slots.connected(self.tell):
            self.tell(frame)
        self.tell(slotwire.Ready())

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            for line in self._frames.feed(data):
                frame = slotwire.from_keeper(line)
                if not self.welcome.done():
                    self.welcome.set_result(None)
                self._slots.heard(frame)
                if self._over:
                    return
        except ValueError as error:  # msgspec's errors are, and BadFrame
            log.error("the keeper of slots says what is no frame: %s", error)
            self.end(f"it says what is no frame: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self.why = str(exc) if exc else ""
            self._lost()

    def _lost(self) -> None:
        self._over = True
        self._slots.lost()
        if not self.welcome.done():
            self.welcome.set_exception(ConnectionRefusedError("it closed the connection: see its log; is the token right?"))
            self.welcome.exception()  # seen, if nobody waits for it any more
        if not self.lost.done():
            self.lost.set_result(None)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"\n".join([*self._out, b""]))
            if self._transport.get_write_buffer_size() > UNSENT:
                self._out.clear()
                self.end("it reads nothing any more")
        self._out.clear()
