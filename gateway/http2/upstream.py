"""A connection to an instance that speaks HTTP/2, shared by many requests; each has a stream, which is its exchange's upstream.

Which connection a request goes on, and when there are more of them, is `pool`'s affair.
"""

import asyncio
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from h2 import events
from h2.errors import ErrorCodes

from gateway.heads import Headers
from gateway.http2 import heads
from gateway.http2.heads import Malformed
from gateway.http2.protocol import LAST_STREAM, Http2
from gateway.http2.stream import Stream
from gateway.http2.wire import Wire
from gateway.settings import KIB, MAX_INTERIM, MAX_REPLY_HEAD

if TYPE_CHECKING:
    from gateway.exchange import Exchange

ENDED = getattr(select, "POLLRDHUP", 0)  # with that, an end that has arrived and has not been read yet
KEPT = 64 * KIB  # of a request's body is kept until the answer begins: an instance may say that it has not looked at the request
QUIET = 15.0  # seconds without a byte on a connection with requests under way, before it is asked whether it is there
PATIENCE = 5.0  # for its answer
ASK_AGAIN = 310.0  # while it says nothing of its own: gRPC servers hang up on those who ask more often than every 5 minutes


class InstanceStream(Stream):
    __slots__ = ("_interims", "_kept", "_kept_size", "_received", "exchange")

    wire: "InstanceConnection"
    open = False  # for another request
    silent = True  # the pool has looked
    idle_since = 0.0

    def __init__(self, wire: "InstanceConnection") -> None:
        super().__init__(wire, 0)
        self.exchange: Exchange | None = None
        self._kept: list[bytes] | None = []
        self._kept_size = 0
        self._interims = 0
        self._received = 0  # of the answer's body

    # The exchange's side.

    @property
    def closing(self) -> bool:
        return self.wire.broken or self.id not in self.wire.streams

    def send(self, exchange: "Exchange", ahead: list[bytes]) -> None:
        self.exchange = exchange
        head = exchange.head
        self.wire.begin(self, heads.to_instance(head), last=head.length == 0)
        if head.length:
            for data in ahead:
                self._queue(data)
            if exchange.body_done:
                self.finish(exchange.trailers)
            self.push()

    def body(self, data: bytes) -> None:
        self._queue(data)
        self.push()

    def end(self, trailers: Headers) -> None:
        if self.exchange is not None and self.exchange.head.length:  # else the head has ended it
            self.finish(trailers)
            self.push()

    def close(self) -> None:
        """What it was doing is of no use to anyone; or all is done."""
        self.exchange = None
        if self.id in self.wire.streams:
            self.wire.reset(self, ErrorCodes.CANCEL)

    def full(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause_reading()

    def drained(self) -> None:
        if self.exchange is not None:
            self.exchange.client.resume_reading()

    def _queue(self, data: bytes) -> None:
        self.write(data)
        if self._kept is not None:
            self._kept.append(data)
            self._kept_size += len(data)
            if self._kept_size > KEPT:
                self._kept = None

    # The instance's side.

    def interim(self, fields: Headers) -> None:
        exchange, read = self.exchange, self._head(fields)
        if exchange is None or read is None:
            return
        status, rest = read
        self._interims += 1
        if status == 101 or self._interims > MAX_INTERIM:
            self.broken("sent too many interim answers, or switched protocols")
        else:
            exchange.interim(status, heads.REASONS.get(status, b""), rest)

    def response(self, fields: Headers) -> None:
        exchange, read = self.exchange, self._head(fields)
        if exchange is None or read is None:
            return
        self._kept = None
        status, rest = read
        exchange.response_head(status, heads.REASONS.get(status, b""), rest)

    def _head(self, fields: Headers) -> tuple[int, Headers] | None:
        """Status and fields; None when nobody waits for them, or when they are none, which ends the stream."""
        if self.exchange is None:
            return None
        try:
            return heads.from_instance(fields)
        except Malformed as error:
            self.broken(f"sent a head that is none: {error}")
            return None

    def received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        self._received += len(data)
        if 0 <= exchange.reply.length < self._received:
            self.broken("sent a body that is longer than it said")
        else:
            exchange.reply.add(data)

    def done(self, trailers: Headers) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if exchange.reply.length > self._received:
            self._kept = None
            exchange.upstream_broken("sent a body that is shorter than it said")
        else:
            exchange.response_done(trailers)

    def flush(self) -> None:
        if self.exchange is not None:
            self.exchange.flush()

    def refused(self) -> None:
        """The instance has certainly not looked at it."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.upstream_refused(self._kept)

    def lost(self, what: str, kind: str = "reset") -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.upstream_broken(what, kind)

    def broken(self, what: str) -> None:
        """The answer breaks its protocol."""
        self.wire.reset(self, ErrorCodes.PROTOCOL_ERROR)
        self.lost(what, "broken")


class Owner(Protocol):
    """Who looks after the connection: the pool."""

    def room(self) -> None:
        """There is a place for one more request."""
        ...

    def gone(self, wire: "InstanceConnection") -> None: ...


class InstanceConnection(Wire[InstanceStream]):
    def __init__(self, owner: Owner, clock: Callable[[], float]) -> None:
        super().__init__(Http2(client=True, max_head=MAX_REPLY_HEAD), clock, MAX_REPLY_HEAD)
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # its settings came: it does speak HTTP/2
        self.leaving = False  # takes no more requests
        self._owner = owner
        self._poll = select.poll()
        self._most = 0
        self._touched: list[InstanceStream] = []
        self._idle_since = clock()
        self._useful = 0.0  # when it last sent anything of an answer
        self._asked = 0.0  # whether it is there

    @property
    def free(self) -> bool:
        return len(self.streams) < self._most and not self.leaving and not self.broken

    @property
    def ended_unread(self) -> bool:
        """The kernel has an end or a reset from the instance: what is written now is lost."""
        return bool(self._poll.poll(0))

    @property
    def takes_any(self) -> bool:
        return self._most > 0

    def begin(self, stream: InstanceStream, fields: Headers, *, last: bool) -> None:
        http2 = self.http2
        stream.id = http2.get_next_available_stream_id()
        if stream.id > LAST_STREAM - 1000:
            self.leaving = True  # numbers run out after a billion requests
        self.streams[stream.id] = stream
        http2.send_headers(stream.id, fields, end_stream=last)
        self.touch()

    # The wire's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._poll.register(sock.fileno(), ENDED)

    def settled(self) -> None:
        self._most = self.http2.most_outbound
        if not self.greeted.done():
            self.greeted.set_result(None)
        elif self.free:
            self._owner.room()

    def response(self, event: events.ResponseReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self._useful = self.heard
            stream.response(event.headers or ())
            if event.stream_ended is not None and event.stream_id in self.streams:
                self.ended(stream, ())
            else:
                self._touched.append(stream)

    def interim(self, event: events.InformationalResponseReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.interim(event.headers or ())

    def data(self, stream: InstanceStream, data: bytes) -> None:
        self._useful = self.heard
        stream.received(data)
        self._touched.append(stream)

    def ended(self, stream: InstanceStream, trailers: Headers) -> None:
        self.over(stream)
        stream.done(trailers)
        self._next()

    def was_reset(self, stream: InstanceStream, code: int) -> None:
        if code == ErrorCodes.REFUSED_STREAM:
            stream.refused()
        else:
            name = ErrorCodes(code).name if code in ErrorCodes._value2member_map_ else str(code)
            stream.lost(f"reset the stream ({name})")

    def going(self, last: int, code: int, why: bytes) -> None:
        self.leaving = True
        for stream in [stream for id_, stream in self.streams.items() if id_ > last]:
            self.drop(stream)
            stream.refused()
        self._next()

    def fed(self) -> None:
        touched, self._touched = self._touched, []
        for stream in touched:
            stream.flush()

    def lost(self, error: Exception | None) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError(f"it does not speak HTTP/2: {error or 'it closed the connection'}"))
        streams = list(self.streams.values())
        self.streams.clear()
        self.blocked.clear()
        self._touched.clear()
        self._owner.gone(self)
        for stream in streams:
            stream.forget()
            stream.lost(f"closed the connection{f' ({error})' if error else ''}")

    def drop(self, stream: Stream) -> None:
        super().drop(stream)
        if not self.streams:
            self._idle_since = self.clock()

    def reset(self, stream: Stream, code: int) -> None:
        super().reset(stream, code)
        self._next()

    # The pool's side.

    def over(self, stream: InstanceStream) -> None:
        """The answer is complete. A request that is not is not needed any more."""
        h2_stream: Any = self.http2.streams.get(stream.id)
        self.drop(stream)
        if h2_stream is not None and not h2_stream.closed:
            self.reset_id(stream.id, ErrorCodes.NO_ERROR)

    def check(self, now: float, idle_for: float) -> None:
        """Close it when nothing has used it for long; find out whether it is there when it is quiet."""
        if self.broken:
            if now - self.heard > PATIENCE:
                self.transport.abort()
        elif not self.streams:
            if self.leaving or now - self._idle_since >= idle_for:
                self.close()
        elif self._asked > self.heard:
            if now - self._asked > PATIENCE:
                self.fail(TimeoutError("it does not answer a PING"))
        elif now - self.heard > QUIET and (self._useful > self._asked or now - self._asked > ASK_AGAIN or not self._asked):
            self._asked = now
            self.http2.ping(b"kfn-ping")
            self.touch()

    def leave(self) -> None:
        """Nothing new; close when what runs is done."""
        self.leaving = True
        if not self.streams:
            self.close()

    def close(self) -> None:
        if not self.broken:
            self.http2.goaway(0)
            self.fail(ConnectionAbortedError("it is not used any more"))

    def _next(self) -> None:
        if self.leaving:
            if not self.streams:
                self.close()
        elif self.free:
            self._owner.room()
