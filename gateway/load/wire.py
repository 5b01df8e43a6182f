"""One connection to the autoscaler: a request whose body and whose answer last as long as both live. What is said on it is `report`'s."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools
from msgspec import json

from kfn import load_wire

REASON = 500  # bytes of what a refusal says that are logged


class Wire(asyncio.Protocol):
    """`opened` is called when the autoscaler has taken us in, and each time when it has caught up with what was sent; `heard` with
    what it says, if that is understood."""

    def __init__(
        self, head: bytes, opened: Callable[[], None], silence: float, heard: Callable[[load_wire.Downward], None] = lambda message: None
    ) -> None:
        self.accepted = False
        self._head = head
        self._opened = opened
        self._tell = heard
        self._lines = load_wire.Lines()
        self._silence = silence
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._sent = self._loop.time()
        self._status = 0
        self._body = b""
        self._full = False

    # What `report` asks for.

    @property
    def open(self) -> bool:
        """What is sent now has a good chance to be heard."""
        return self.accepted and not self._full and not self._end.done() and not self._transport.is_closing()

    def send(self, line: bytes) -> None:
        self._sent = self._loop.time()
        self._transport.write(b"%x\r\n%b\r\n" % (len(line), line))

    async def ended(self) -> str:
        """Wait until the connection is of no use any more. Returns why."""
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        """Say that this was all, and wait until it has left."""
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")
            self._transport.close()
        await asyncio.shield(self._lost)

    def abort(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)
        self._timer = self._loop.call_later(load_wire.BEAT, self._beat)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._lost.done():
            self._lost.set_result(None)
        self._over(str(exc) if exc else self._reason() or "it closed the connection")

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._over(f"what answers there speaks no HTTP: {error}")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._opened()

    # The parser's side.

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status == 200:
            self.accepted = True
            self._opened()

    def on_body(self, body: bytes) -> None:
        if not self.accepted:
            self._body = (self._body + body.strip())[:REASON]
            return
        try:
            lines = self._lines.feed(body)
        except load_wire.BadMessage as error:
            self._over(str(error))
            return
        for line in lines:
            message = load_wire.answer(line)
            if message is None:
                self._body = line.strip()[:REASON]  # why it stops listening; or something that only a newer gateway understands
            else:
                self._tell(message)

    def on_message_complete(self) -> None:
        self._over(self._reason() or "it ended the connection")

    # Inside.

    def _beat(self) -> None:
        now = self._loop.time()
        if now - self._heard > self._silence:
            self._over(f"it has said nothing for {self._silence:g} s")
            return
        if self.open and now - self._sent >= load_wire.BEAT:
            self.send(load_wire.ALIVE)
        self._timer = self._loop.call_later(load_wire.BEAT, self._beat)

    def _over(self, why: str) -> None:
        if not self._end.done():
            self._end.set_result(why)

    def _reason(self) -> str:
        text = (self._lines.rest.strip()[:REASON] or self._body).decode("utf-8", "replace").strip()
        if self.accepted:
            try:
                return f"it refused a message: {json.decode(text)['error']}" if text else ""
            except (ValueError, KeyError, TypeError):
                return text
        return f"it answered {self._status}: {text}" if self._status else ""
