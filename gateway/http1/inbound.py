"""One client's connection: its requests in order, each an Exchange, and what the connection may cost while nothing happens on it.

It knows nothing of routes. Reading is `read`, answering is the exchange's; here is whose turn it is, and when the connection ends.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from gateway import answers, heads
from gateway.errors import BodyTimeout, HeadTimeout, Refusal, TooManyConnections
from gateway.exchange import Exchange
from gateway.http1.read import PREFACE, Http2Preface, RequestReader
from gateway.http1.reply import Http1Reply

if TYPE_CHECKING:
    from gateway.chain import Chain

PIPELINE = 8  # requests read ahead on one connection; behind that the client is not read from
MOST_AHEAD = 100  # in what has been read already: one read of 256 KB can hold 6,000, each of which costs 1 KB
AT_LEAST = 5.0  # seconds: `overdue` is called every second; after a longer gap nothing is known of the time between


class ClientConnection(asyncio.Protocol):
    version = "1.1"
    __slots__ = (
        "_ahead", "_chain", "_held", "_looked", "_paused", "_progress", "_reader", "_reading", "_reusable", "_since", "_unstarted",
        "_upgrading", "current", "head_since", "idle_since", "lingering", "local", "transport", "writable",
    )  # fmt: skip

    def __init__(self, chain: "Chain", *, local: bool = True, scheme: bytes = b"http") -> None:
        self._chain = chain
        self.local = local
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.current: Exchange | None = None  # the one being answered
        self.idle_since = chain.clock()
        self.head_since = 0.0  # when an unfinished head began
        self.lingering = False
        self.writable = True
        self._reader = RequestReader(self, chain.settings)
        self._reader.scheme = scheme
        self._reading: Exchange | None = None  # the one whose body is being read
        self._unstarted: Exchange | None = None  # the current one, while the bytes that its head came with are being read
        self._upgrading: Exchange | None = None  # one that asks for another protocol; nothing behind it is read until it is answered
        self._held = b""  # what the client sent behind such a request
        self._ahead: deque[Exchange | Refusal] = deque()
        self._reusable = True
        self._paused = False
        self._progress = (0, 0)  # what went on when `overdue` looked last, and how far it was ...
        self._since = self._looked = 0.0  # ... since when it has stood there, and when that was

    @property
    def peer(self) -> bytes:
        return self._reader.peer

    @property
    def busy(self) -> bool:
        return self.current is not None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._chain.closed:  # it was being accepted when everything was closed
            self.transport.abort()
            return
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self._reader.peer = str(name[0]).encode()
        census = self._chain.census
        why = census.enter(self.peer)
        self._chain.connections.add(self)
        if why is not None and census.flooded:
            self.transport.abort()
        elif why is not None:
            self._answer(why)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._chain.connections:
            self._chain.connections.discard(self)
            self._chain.census.leave(self.peer)
        self._reusable = False
        for exchange in self._ahead:
            if isinstance(exchange, Exchange):
                exchange.forget_body()
        self._ahead.clear()
        if self.current is not None:
            self.current.client_gone()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        while data:  # again for what is behind a request for an upgrade that was answered at once or is not passed on
            if self._upgrading is not None:
                self._hold(data)
                return
            if self.lingering or not (self._reusable or reader.in_body):
                return  # nothing that comes now means anything
            try:
                data = reader.feed(data)
            except Refusal as why:
                if isinstance(why, Http2Preface) and self._chain.settings.http2:
                    self._speak_http2(why.rest)
                    return
                self._start(complete=True)
                if self._reusable or reader.in_body:
                    self._refuse(why)  # else these are bytes behind the last request, and mean nothing
                return
            if reader.in_head and not self.head_since:
                self.head_since = self._chain.clock()
            if self._unstarted is not None:
                self._start()

    def eof_received(self) -> None:
        """A client that ends its side has gone: nothing tells that from a client that only has no more to say. See ADR 3."""

    def pause_writing(self) -> None:
        self.writable = False
        if self.current is not None:
            self.current.pause_upstream()

    def resume_writing(self) -> None:
        self.writable = True
        if self.current is not None:
            self.current.resume_upstream()

    # The reader's side.

    def request_begun(self, head: heads.RequestHead) -> None:
        self.head_since = 0.0
        if self.current is not None and len(self._ahead) >= MOST_AHEAD:
            raise TooManyConnections(
                f"{MOST_AHEAD} requests before the first is answered are the limit here.", self._chain.settings.retry_after
            )
        if not head.keep_alive or self._chain.stopping:
            self._reusable = False
        exchange = self._reading = Exchange(self._chain, self, head, Http1Reply(self.transport, head), keep_alive=self._reusable)
        if head.upgrade:
            self._upgrading = exchange
        if self.current is not None:
            self._ahead.append(exchange)
            if len(self._ahead) >= PIPELINE:
                self.pause_reading()
            return
        self.current = exchange
        self.idle_since = 0.0
        if head.length:
            self._unstarted = exchange  # its body may be in the same bytes, and can then go out in one write with the head
        else:
            exchange.start()

    def request_body(self, data: bytes) -> None:
        if self._reading is not None:
            self._reading.request_body(data)

    def request_done(self, trailers: heads.Headers) -> None:
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.request_done(trailers)

    # The exchange's side.

    def finished(self, exchange: Exchange) -> None:
        """The exchange has been answered to the last byte, or refused."""
        self.current = None
        if self._upgrading is exchange:
            self._upgrading = None
        if self.transport.is_closing():
            return
        if not exchange.body_done:
            self._linger()  # answered before the request was read to its end
            return
        if not exchange.keep_alive:
            self._close()
            return
        self.idle_since = self._chain.clock()
        if exchange.head.upgrade:
            self._go_on_without_upgrade()
            return
        if self._ahead:
            self._next()
        elif self._chain.stopping:
            self.transport.close()
        if self._paused and len(self._ahead) < PIPELINE and (self.current is None or self.current is not self._reading):
            self.resume_reading()  # of a request whose body is being read, the exchange says when

    def pause_reading(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def detach(self) -> bytes:
        """The connection becomes a tunnel: what the client has sent behind its head, for the other side. It is still counted."""
        self._chain.connections.discard(self)
        held, self._held = self._held, b""
        self.resume_reading()
        return held

    def tunnel_closed(self) -> None:
        self._chain.census.leave(self.peer)

    # The chain's side.

    def overdue(self, now: float) -> None:
        """Close what idles or dawdles."""
        settings = self._chain.settings
        closing = self.transport.is_closing()
        if (closing or self.lingering or not self.writable) and (left := self.transport.get_write_buffer_size()):
            if self._stuck(0, left, now, settings.write_stall):
                self.transport.abort()
        elif closing:
            pass
        elif self.lingering:
            if now - self.idle_since > settings.linger:
                self.transport.abort()
        elif (reading := self._reading) is not None and self._due(reading):
            if self._stuck(id(reading), reading.received, now, settings.read_body):
                self._refuse(BodyTimeout())
        elif self.head_since and self.current is None and now - self.head_since > settings.read_head:
            self._refuse(HeadTimeout())
        elif self.idle_since and not self.head_since and now - self.idle_since > settings.keep_alive:
            self.transport.close()

    def stop(self) -> None:
        """The gateway stops: go after the answer, or now if the client sends nothing. One that has just been answered may be about to
        send the next request, which a close would destroy on its way: it gets a moment for that, and the answer says goodbye."""
        if self.current is not None:
            self.current.keep_alive = False
        elif (moment := self.idle_since + self._chain.settings.stop_idle - self._chain.clock()) <= 0:
            self.transport.close()
        else:
            asyncio.get_running_loop().call_later(moment, self._stop_idle)

    # Inside.

    def _due(self, reading: Exchange) -> bool:
        """Whether the client has to send more of this body now: it is read from, is not waiting for 100 Continue, and is not in a
        conversation with an instance that answers already."""
        return not self._paused and reading.first_byte is None and not (reading.head.expects and not reading.received)

    def _stuck(self, what: int, size: int, now: float, most: float) -> bool:
        """Whether what goes on, a write or the body of a request, has stood at the same size for too long."""
        if (what, size) != self._progress or now - self._looked > AT_LEAST:
            self._progress, self._since = (what, size), now
        self._looked = now
        return now - self._since > most

    def _stop_idle(self) -> None:
        if self.current is None and not self.head_since:
            self.transport.close()

    def _start(self, *, complete: bool = False) -> None:
        """Start the request whose bytes have been read; if `complete`, only when they were all of it."""
        exchange, self._unstarted = self._unstarted, None
        if exchange is not None and not (complete and self._reading is exchange):
            exchange.start()

    def _next(self) -> None:
        following = self._ahead.popleft()
        if isinstance(following, Refusal):
            self._answer(following)
            return
        self.current = following
        self.idle_since = 0.0
        following.start()

    def _refuse(self, why: Refusal) -> None:
        """The bytes cannot be understood: answer after everything before them has been answered, and read no more."""
        self._reusable = self._reader.in_body = False  # nothing that still comes means anything
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.refuse(why)  # the instance must not take a part of the body for the whole
        elif self.current is None:
            self._answer(why)
        else:
            self._ahead.append(why)
            self.pause_reading()

    def _speak_http2(self, rest: bytes) -> None:
        from gateway.http2.inbound import Http2Connection  # takes 13 ms, which only those pay who use it

        self._chain.connections.discard(self)
        self._chain.census.leave(self.peer)
        connection = Http2Connection(self._chain, local=self.local, scheme=self._reader.scheme)
        self.transport.set_protocol(connection)
        connection.connection_made(self.transport)
        connection.data_received(PREFACE + rest)

    def _answer(self, why: Refusal) -> None:
        self._chain.turned_away(self.peer, why)
        self.transport.write(answers.http1(answers.refusal(why), keep_alive=False, head_only=False))
        self._linger()

    def _close(self) -> None:
        """After the last answer: let the client read it and go first, where the transport can say that nothing more comes."""
        if self.transport.can_write_eof() and not self._chain.stopping:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Close so that the answer arrives: a close with unread bytes would reset the connection and destroy it."""
        self.lingering = True
        self._reusable = False
        self._reader.last = True  # what is behind it in the bytes being read is not a request any more
        self.idle_since = self._chain.clock()
        self.resume_reading()
        if self.transport.can_write_eof():
            try:
                self.transport.write_eof()
            except OSError:  # asyncio's own loop: the client has reset the connection, and we have not heard of it yet
                self.transport.abort()

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._chain.settings.waiting_body:
            self.pause_reading()

    def _go_on_without_upgrade(self) -> None:
        """The upgrade was declined: what the client sent behind it are requests."""
        self._reading = None
        self._reader.restart()
        held, self._held = self._held, b""
        self.resume_reading()
        if held:
            self.data_received(held)
