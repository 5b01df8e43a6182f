"""One client's connection: reads requests, keeps them in order, and hands each to the gateway as an Exchange.

It guards what a connection may cost (head size, time, pipelining, idling) and refuses what is not HTTP/1.1; it knows nothing of routes.
"""

import asyncio
import logging
from collections import deque
from random import getrandbits
from typing import TYPE_CHECKING, Any, cast

import httptools

from gateway import answers, heads
from gateway.errors import BadRequest, HeadTimeout, HeadTooLarge, InternalError, Refusal
from gateway.exchange import Exchange

if TYPE_CHECKING:
    from gateway.chain import Chain

log = logging.getLogger(__name__)

PIPELINE = 8  # requests read ahead on one connection; behind that the client is not read from


class ClientConnection(asyncio.Protocol):
    __slots__ = (
        "_ahead", "_chain", "_head_bytes", "_headers", "_parser", "_paused", "_raw", "_reading", "_reusable", "_stripped", "_target",
        "_trailers", "_unstarted", "current", "head_since", "idle_since", "lingering", "peer", "transport", "writable",
    )  # fmt: skip

    def __init__(self, chain: "Chain") -> None:
        self._chain = chain
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.peer = b"unknown"
        self.current: Exchange | None = None  # the one being answered
        self.idle_since = chain.clock()
        self.head_since = 0.0  # when an unfinished head began
        self.lingering = False
        self.writable = True
        self._ahead: deque[Exchange | Refusal] = deque()
        self._reading: Exchange | None = None  # the one whose body is being read
        self._reusable = True
        self._paused = False
        self._raw = b""  # what a client that asked for an upgrade sent before it was answered
        self._unstarted: Exchange | None = None
        self._stripped = False  # the request asks for an upgrade that is not passed on
        self._begin_parser()

    def _begin_parser(self) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._head_bytes = 0

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = str(name[0]).encode()
        self._chain.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._chain.connections.discard(self)
        self._reusable = False
        self._ahead.clear()
        if self.current is not None:
            self.current.client_gone()

    def data_received(self, data: bytes) -> None:
        if self.lingering or not self._reusable:
            return
        if self._reading is None:
            self._head_bytes += len(data)
            if not self.head_since:
                self.head_since = self._chain.clock()
        elif self._reading.head.upgrade:
            self._hold(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._start()
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._reusable and self._reading is None:
                return  # bytes behind the connection's last request mean nothing
            self._start(complete=True)
            self._refuse(_reason(error))
        else:
            if self._unstarted is not None:
                self._start()
            if self._reading is None and self._head_bytes > self._chain.settings.max_head and not self.lingering:
                self._refuse(HeadTooLarge(f"The request's head is over {self._chain.settings.max_head} bytes."))

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

    # The parser's side.

    def on_message_begin(self) -> None:
        if not self._reusable:
            raise ValueError("bytes after the last request")
        self._headers = []
        self._target = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        (self._headers if self._reading is None else self._trailers).append((name, value))

    def on_headers_complete(self) -> None:
        parser, chain = self._parser, self._chain
        if self._head_bytes > chain.settings.max_head and self._head_size() > chain.settings.max_head:
            raise HeadTooLarge(f"The request's head is over {chain.settings.max_head} bytes.")
        head = heads.request(
            parser.get_method(), self._target, parser.get_http_version(), self._headers, self.peer, getrandbits(192),
            chain.settings.max_headers,
        )  # fmt: skip
        self._head_bytes = 0
        self.head_since = 0.0
        self._stripped = not head.upgrade and parser.should_upgrade()
        if not head.keep_alive or chain.stopping:
            self._reusable = False
        exchange = self._reading = Exchange(chain, self, head, keep_alive=self._reusable)
        if self.current is None:
            self.current = exchange
            self.idle_since = 0.0
            if head.length:
                self._unstarted = exchange  # its body may be in the same bytes, and can then go out in one write with the head
            else:
                exchange.start()
        else:
            self._ahead.append(exchange)
            if len(self._ahead) >= PIPELINE:
                self.pause_reading()

    def on_body(self, data: bytes) -> None:
        if self._reading is not None:
            self._reading.request_body(data)

    def on_message_complete(self) -> None:
        exchange = self._reading
        if exchange is None or self._stripped:
            return
        if not exchange.head.upgrade:
            self._reading = None
        trailers = self._trailers
        if trailers:
            self._trailers = []
        exchange.request_done(trailers)

    # The exchange's side.

    def finished(self, exchange: Exchange) -> None:
        """The exchange has been answered to the last byte, or refused."""
        self.current = None
        if self.transport.is_closing():
            return
        if not exchange.body_done:
            self._linger()  # answered before the request was read to its end
            return
        if not exchange.keep_alive:
            self.transport.close()
            return
        self.idle_since = self._chain.clock()
        if exchange.head.upgrade:
            self._reading = None
            self._begin_parser()
            held, self._raw = self._raw, b""
            self.resume_reading()
            if held:
                self.data_received(held)
            return
        if self._ahead:
            self._next()
        elif self._chain.stopping:
            self.transport.close()
        if self._paused and len(self._ahead) < PIPELINE and self.current is not self._reading:
            self.resume_reading()

    def pause_reading(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def detach(self) -> bytes:
        """The connection becomes a tunnel: what the client has sent behind its head, for the other side."""
        self._chain.connections.discard(self)
        held, self._raw = self._raw, b""
        self.resume_reading()
        return held

    def overdue(self, now: float) -> bool:
        """Close what idles or dawdles. True when it was closed."""
        settings = self._chain.settings
        if self.lingering:
            if now - self.idle_since > settings.linger:
                self.transport.abort()
            return True
        if self.head_since and self.current is None and now - self.head_since > settings.read_head:
            self._refuse(HeadTimeout())
            return True
        if self.idle_since and not self.head_since and now - self.idle_since > settings.keep_alive:
            self.transport.close()
            return True
        return False

    def stop(self) -> None:
        """The gateway stops: go now if nothing is under way, else after the answer."""
        if self.current is None:
            self.transport.close()
        else:
            self.current.keep_alive = False

    # Inside.

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
        self._reusable = False
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.refuse(why)  # the instance must not take a part of the body for the whole
        elif self.current is None:
            self._answer(why)
        else:
            self._ahead.append(why)
            self.pause_reading()

    def _answer(self, why: Refusal) -> None:
        self._chain.refused[why.status] += 1
        self.transport.write(answers.refusal(why, as_json=False, keep_alive=False, head_only=False))
        self._linger()

    def _linger(self) -> None:
        """Close so that the answer arrives: a close with unread bytes would reset the connection and destroy it."""
        self.lingering = True
        self.idle_since = self._chain.clock()
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _head_size(self) -> int:
        return len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _hold(self, data: bytes) -> None:
        self._raw += data
        if len(self._raw) > self._chain.settings.waiting_body:
            self.pause_reading()

    def _upgrade(self, rest: bytes) -> None:
        exchange = self._reading
        if self._stripped and exchange is not None:
            # The parser stops at a request for an upgrade, but this one goes on as plain HTTP: show a new parser how its body is framed.
            self._stripped = False
            self._begin_parser()
            if exchange.head.length == 0:
                self._reading = None
                exchange.request_done(())
            else:
                self._prime(exchange)
            if rest:
                self.data_received(rest)
        elif rest and exchange is None:
            self.data_received(rest)  # it was refused at once; the connection goes on
        elif rest:
            self._hold(rest)

    def _prime(self, exchange: Exchange) -> None:
        framing = b"Transfer-Encoding: chunked" if exchange.head.length < 0 else b"Content-Length: %d" % exchange.head.length
        parser = self._parser = httptools.HttpRequestParser(_Body(self))
        parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)


def _reason(error: Exception) -> Refusal:
    """What went wrong in the parser, or in what it called."""
    why = error.__context__
    if isinstance(why, Refusal):
        return why
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(why, ValueError):
        log.error("a request could not be handled", exc_info=why)
        return InternalError()
    return BadRequest(f"The request is not valid HTTP/1.1: {error}.")


class _Body:
    """What a parser of a body alone calls."""

    def __init__(self, connection: ClientConnection) -> None:
        self.on_body = connection.on_body
        self.connection = connection
        self.begun = False

    def on_message_begin(self) -> None:
        if self.begun:
            raise BadRequest("Requests may not follow at once on one that asked for an upgrade.")
        self.begun = True

    def on_message_complete(self) -> None:
        self.connection.on_message_complete()
        self.connection._begin_parser()
