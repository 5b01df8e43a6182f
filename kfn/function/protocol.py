"""HTTP/1.1 on one connection: bytes in, exchanges in order, bytes out. Reads no further than the handler does.

It parses with httptools, answers what is not HTTP, and leaves every exchange to `serve`, one at a time.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol, cast

import httptools

from kfn.function.errors import BadRequest, HeadTooLarge, RequestError
from kfn.function.exchange import Exchange
from kfn.function.head import examine
from kfn.function.settings import Settings

LINGER = 2.0  # seconds in which a client may read an answer that was given before its request was complete


class Server(Protocol):
    """What a connection asks of the server it belongs to."""

    settings: Settings
    stopping: bool
    connections: "set[Connection]"

    def serve(self, exchange: Exchange) -> "asyncio.Task[None] | None":
        """Begin to answer; the task is cancelled if the client goes away."""
        ...

    def refuse(self, exchange: Exchange, error: RequestError) -> None:
        """Answer a request that cannot be served."""
        ...

    def extra_headers(self, exchange: Exchange) -> Iterable[bytes]:
        """Header lines that the server adds."""
        ...


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()  # complete heads that wait for their turn
        self._active: Exchange | None = None  # the one being answered
        self._task: asyncio.Task[None] | None = None
        self._parsing: Exchange | None = None  # the one whose body arrives
        self._refusal: RequestError | None = None
        self._in_head = True
        self._head_size = 0
        self._between = 0  # bytes received since the last piece of body: chunk sizes, extensions, trailers
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._since = loop.time()  # of the last sign of life
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._closing = False  # take no more requests
        self._lingering = False
        self._discarded = 0

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._closing = True
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        for exchange in (*self._queue, *filter(None, (self._active, self._parsing))):
            exchange.lose()
        self._queue.clear()
        if self._task is not None and self._active is not None and not self._active.complete:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._lingering or self._refusal:
            return
        self._since = self._loop.time()
        within = self._in_head and self._head_size > 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closing = True  # the exchange is answered as plain HTTP/1.1, and nothing after it can be understood
        except httptools.HttpParserError as error:
            if self._refusal is None:
                self._refusal = BadRequest(f"This is not a valid HTTP request: {error}.")
        if self._in_head:
            # What is inside a header not yet complete is not counted by the callbacks: bound it here.
            self._head_size += len(data) if within else 1
            if self._head_size > self._server.settings.max_head and self._refusal is None:
                self._refusal = HeadTooLarge(f"The request's head is over {self._server.settings.max_head} bytes.")
        else:
            self._between += len(data)
            if self._between > 2**20 and self._refusal is None:
                self._refusal = HeadTooLarge("What stands between the pieces of the request's body is over 1 MiB.")
        if self._refusal is not None:
            self._refuse(self._refusal)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # From the parser

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._head_size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._in_head:
            self._headers.append((name.lower(), value))
        elif self._head_size > self._server.settings.max_head and self._refusal is None:
            # Trailers are read and dropped: nothing in them may pass for a header.
            self._refusal = HeadTooLarge(f"The request's trailers are over {self._server.settings.max_head} bytes.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self._parser
        exchange = Exchange(self, parser.get_method(), self._url, parser.get_http_version(), self._headers)
        if self._head_size > self._server.settings.max_head:
            self._refusal = HeadTooLarge(f"The request's head is over {self._server.settings.max_head} bytes.")
        self._head_size = 0
        if self._closing or self._refusal is not None:
            return
        try:
            about = examine(exchange.method, exchange.target, exchange.version, exchange.headers)
        except BadRequest as error:
            self._refusal = error
            return
        exchange.target = about.target
        exchange.length = about.length
        exchange.expects_continue = about.expects_continue
        exchange.keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        if not exchange.keep_alive:
            self._closing = True
        self._parsing = exchange
        if self._active is None:
            self._begin(exchange)
        else:
            self._queue.append(exchange)
            self.hold()

    def on_body(self, body: bytes) -> None:
        self._between = 0
        exchange = self._parsing
        if exchange is None:
            return
        if exchange.complete:
            self._discarded += len(body)
            if self._discarded > self._server.settings.max_body:
                self._parsing = None
                self._linger()
            return
        exchange.feed(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_size = self._between = 0
        exchange, self._parsing = self._parsing, None
        self._discarded = 0
        if exchange is None:
            return
        exchange.feed_end()
        if exchange.complete and exchange is self._active:
            self._next()

    # For the exchange

    @property
    def stopping(self) -> bool:
        """No request is taken after those that have begun."""
        return self._server.stopping

    def write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the client does not read what was written."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def hold(self) -> None:
        """Stop reading."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read on, unless a request waits behind the one being answered."""
        if self._paused and not self._queue and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def extra_headers(self, exchange: Exchange) -> Iterable[bytes]:
        return self._server.extra_headers(exchange)

    def address(self, which: str) -> tuple[str, int] | None:
        """`peername` or `sockname`, as host and port."""
        found = self._transport.get_extra_info(which)
        return (found[0], found[1]) if found else None

    def finished(self, exchange: Exchange) -> None:
        """The response is complete: go on to the next request, or close."""
        self._since = self._loop.time()
        if not exchange.keep_alive or self._server.stopping:
            if exchange.body_complete or self._transport.is_closing():
                self._active = self._task = None
                self._transport.close()
            else:
                self._linger()
        elif exchange.body_complete:
            self._next()
        else:
            self.release()  # what is left of its body is read and dropped; on_message_complete goes on

    # For the server

    def close_idle(self) -> None:
        """Stop taking requests; close now if none is being answered."""
        self._closing = True
        if self._active is None and not self._lingering:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def expire(self, now: float) -> None:
        """Close a connection that has been silent for too long."""
        silent = now - self._since
        if self._active is not None or self._lingering:
            if self._parsing is not None and not self._paused and silent > self._server.settings.idle_timeout:
                self._transport.abort()  # a body that was begun and never goes on
            return
        limit = self._server.settings.head_timeout if self._head_size else self._server.settings.idle_timeout
        if silent > limit:
            self._transport.close()

    def _begin(self, exchange: Exchange) -> None:
        self._active = exchange
        self._task = self._server.serve(exchange)

    def _next(self) -> None:
        self._active = self._task = None
        if self._queue:
            exchange = self._queue.popleft()
            self._loop.call_soon(self._begin_queued, exchange)
            self._active = exchange
            return
        if self._refusal is not None:
            self._refuse(self._refusal)
        elif self._server.stopping:
            self._transport.close()
        else:
            self.release()

    def _begin_queued(self, exchange: Exchange) -> None:
        # Through the loop, so that a long pipeline does not nest.
        if not self._transport.is_closing():
            self._begin(exchange)

    def _refuse(self, error: RequestError) -> None:
        """Answer what is not HTTP, after all that came before it."""
        self._closing = True
        broken, self._parsing = self._parsing, None
        if broken is not None and broken in self._queue:
            self._queue.remove(broken)
        if self._active is not None:
            if broken is self._active:
                self._active.lose()  # its own body is what cannot be understood
                if self._task is not None:
                    self._task.cancel()
                self._transport.close()
            return
        exchange = Exchange(self, b"GET", b"", "1.1", [])
        exchange.keep_alive = False
        self._active = exchange
        self._server.refuse(exchange, error)

    def _linger(self) -> None:
        """Close so that the client can still read the answer: end our side, then drop what it sends for a while."""
        self._lingering = True
        self._active = self._task = None
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        try:
            if not self._transport.is_closing():
                self._transport.write_eof()
        except OSError:  # it has gone already
            self._transport.abort()
            return
        self._loop.call_later(LINGER, self._transport.close)
