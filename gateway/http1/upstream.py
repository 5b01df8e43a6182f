"""One connection to an instance: reads responses, one at a time, and hands their parts to the exchange that it serves.

Whether it may be used again is decided here; by whom is the instance's and the exchange's affair.
"""

import asyncio
import select
from typing import TYPE_CHECKING, Any, cast

import httptools

from gateway import heads, strict
from gateway.http1.repeated import KnownResponse, known_response, worth_keeping
from gateway.instance import Instance
from gateway.settings import MAX_INTERIM, MAX_REPLY_HEAD

if TYPE_CHECKING:
    from gateway.exchange import Exchange

ARRIVED = select.POLLIN | getattr(select, "POLLRDHUP", 0)  # an end or a reset is always told


END = b"\r\n\r\n"


class UpstreamConnection(asyncio.Protocol):
    __slots__ = (
        "_begun", "_chunked", "_done", "_headers", "_interim", "_interims", "_known", "_misses", "_parser", "_poll", "_quiet", "_reason",
        "_said", "_status", "_switch", "_trailers", "exchange", "idle_since", "instance", "open", "transport",
    )  # fmt: skip

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.exchange: Exchange | None = None
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.open = False
        self.idle_since = 0.0
        self._poll = select.poll()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._status = 0
        self._quiet = 0  # bytes since anything was handed on: of a head, or of trailers
        self._interims = 0
        self._interim = self._switch = self._done = self._chunked = False
        self._begun = False  # bytes of this response have been given to the parser
        self._said = b""  # the last reason
        self._known: KnownResponse | None = None
        self._misses = 0  # since a response began as the one before

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if sock := transport.get_extra_info("socket"):
            self._poll.register(sock.fileno(), ARRIVED)
        self.open = True

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()  # it speaks unasked
            return
        whole = not self._begun
        if whole:
            known = self._known
            if known is not None and (body := known.body(data)):
                self.exchange = None
                if exchange.response_again(known, data, body):
                    self._misses = 0
                    return
                self.exchange = exchange
            self._begun = True
        self._quiet += len(data)
        parser = self._parser
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._switch:
                exchange.switch(self, data[upgrade.args[0] :])
                return
            self._broken(exchange, "switched protocols without being asked")
            return
        except httptools.HttpParserError as error:
            if not self._done:
                self._broken(exchange, f"sent what is not HTTP: {error.__context__ or error}")
                return
            self.open = False  # more bytes than the response has: never use this connection again
        if self._done:
            if self._parser is not parser and not (whole and data.find(END) == len(data) - len(END)):
                self.open = False  # an answer to HEAD, and perhaps an end of chunks behind it
            if whole and self.open:
                self._keep(exchange, data)
            self._finish(exchange)
        elif self._quiet > MAX_REPLY_HEAD:
            self._broken(exchange, f"sent a head or trailers over {MAX_REPLY_HEAD} bytes")
        elif self.exchange is exchange:
            exchange.flush()

    def eof_received(self) -> None:
        self.open = False  # and the transport closes itself: no instance half-closes and waits

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.upstream_lost(exc)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause_reading()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.resume_reading()

    # The exchange's side.

    @property
    def silent(self) -> bool:
        return not self._poll.poll(0)  # one system call, 0.4 µs

    @property
    def closing(self) -> bool:
        return self.transport.is_closing()

    def send(self, exchange: "Exchange", ahead: list[bytes]) -> None:
        self.exchange = exchange
        self._done = self._begun = False
        self._quiet = self._interims = 0
        head = exchange.head
        if head.length == 0:
            self._chunked = False  # the request before this one may have been: its end must not be written again behind this one
            self.transport.write(head.wire)
            return
        self._chunked = head.length == heads.CHUNKED
        out = [head.wire]
        for data in ahead:
            self._frame(data, out)
        if exchange.body_done and self._chunked:
            out.append(b"0\r\n%b\r\n" % heads.trailers(exchange.trailers))
        self.transport.write(b"".join(out))  # in one write: each is a system call

    def body(self, data: bytes) -> None:
        if self._chunked:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self.transport.write(data)

    def end(self, trailers: heads.Headers) -> None:
        if self._chunked:
            self.transport.write(b"0\r\n%b\r\n" % heads.trailers(trailers))

    def pause_reading(self) -> None:
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    def close(self) -> None:
        """Close for good, at once: what it was doing is of no use to anyone."""
        self.open = False
        self.exchange = None
        if self.transport is not None:
            self.transport.abort()

    # The parser's side.

    def on_message_begin(self) -> None:
        if self._done:
            raise ValueError("bytes after the response")
        self._headers = []

    def on_status(self, reason: bytes) -> None:
        strict.reason(reason)
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        (self._trailers if self._status else self._headers).append((name, value))

    def on_headers_complete(self) -> None:
        exchange = self.exchange
        status = self._parser.get_status_code()
        if exchange is None:
            raise ValueError("a response without a request")
        if status < 100:
            raise ValueError(f"status {status}")
        self._quiet = 0
        reason, self._reason = self._reason, b""
        self._said = reason
        if status == 101:
            if not exchange.head.upgrade:
                raise ValueError("switched protocols without being asked")
            self._switch = True
        elif status < 200:
            self._interim = True
            self._interims += 1
            if self._interims > MAX_INTERIM:
                raise ValueError(f"more than {MAX_INTERIM} interim answers")
            if any(name.lower() == b"transfer-encoding" for name, _ in self._headers):
                raise ValueError("an interim answer with Transfer-Encoding")  # RFC 9112 6.1: never, and parsers differ on what follows
            exchange.interim(status, reason, self._headers)
            return
        self._status = status
        exchange.response_head(status, reason, self._headers)
        if exchange.head.method == b"HEAD" and status != 101:
            # The parser expects the body that the head announces and that does not come.
            self._done = True
            if not self._parser.should_keep_alive():
                self.open = False
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        if self._done or self._interim or self.exchange is None:
            raise ValueError("a body where there is none")
        self._quiet = 0
        self.exchange.reply.add(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        if self._switch or self._done:
            return
        self._done = True
        if not self._parser.should_keep_alive():
            self.open = False

    def _keep(self, exchange: "Exchange", data: bytes) -> None:
        """This response came whole and alone: the next may begin with the same head."""
        self._misses += 1
        if worth_keeping(self._misses) and not (self._interims or self._trailers) and exchange.head.method != b"HEAD":
            self._known = known_response(self._status, self._said, self._headers, data)

    def _finish(self, exchange: "Exchange") -> None:
        trailers = self._trailers
        self._status = 0
        if trailers:
            self._trailers = []
        self.exchange = None
        exchange.response_done(trailers)

    def _broken(self, exchange: "Exchange", what: str) -> None:
        self.close()
        exchange.upstream_broken(what)

    def _frame(self, data: bytes, out: list[bytes]) -> None:
        if self._chunked:
            out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            out.append(data)
