"""A client's HTTP/2 connection. Each of its streams is the client of an ordinary exchange and the reply to it, so that routing, limits,
waiting and time limits are those of HTTP/1.1."""

import asyncio
from random import getrandbits
from typing import TYPE_CHECKING

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from gateway import answers
from gateway.answers import Answer
from gateway.errors import BodyTimeout, Refusal
from gateway.exchange import Exchange
from gateway.heads import Headers
from gateway.http2 import flood, heads
from gateway.http2.heads import Malformed
from gateway.http2.protocol import LAST_STREAM, STREAMS, Http2
from gateway.http2.stream import Stream
from gateway.http2.wire import Wire

if TYPE_CHECKING:
    from gateway.chain import Chain

AT_LEAST = 5.0  # seconds: `overdue` is called every second; after a longer gap nothing is known of the time between
GOODBYE = 1.0  # seconds for a client to hear that the connection ends, before its last requests are counted


class ClientStream(Stream):
    """The `Client` and the `Reply` of one exchange."""

    __slots__ = (
        "_fields", "_gathered", "_grpc", "_method", "_received", "_seen", "_since", "current", "length", "local", "size", "transport",
        "until_close",
    )  # fmt: skip

    wire: "Http2Connection"
    version = "2"

    def __init__(self, wire: "Http2Connection", id_: int, method: bytes, *, grpc: bool) -> None:
        super().__init__(wire, id_)
        self.transport = wire.transport
        self.local = wire.local
        self.current: Exchange | None = None
        self.length = 0
        self.size = 0
        self.until_close = False
        self._method = method
        self._grpc = grpc
        self._fields: list[tuple[bytes, bytes]] | None = None  # of an answer that has begun, until they are sent
        self._gathered: list[bytes] = []
        self._received = 0  # bytes of the request's body
        self._seen = (0, 0, 0)  # how far it was when `stuck` looked last: received, sent, and sent on the whole connection ...
        self._since = wire.clock()  # ... and since when it is no further

    # The client.

    @property
    def peer(self) -> bytes:
        return self.wire.peer

    def full(self) -> None:
        if self.current is not None:
            self.current.pause_upstream()

    def drained(self) -> None:
        if self.current is not None:
            self.current.resume_upstream()

    def finished(self, exchange: Exchange) -> None:
        self.current = None
        self.resume_reading()

    def detach(self) -> bytes:
        raise AssertionError("HTTP/2 streams do not become tunnels")

    def tunnel_closed(self) -> None:
        raise AssertionError("HTTP/2 streams do not become tunnels")

    def gone(self) -> None:
        if self.current is not None:
            self.current.client_gone()

    def stuck(self, now: float, *, looked: bool) -> float:
        """For how long the client has owed us a piece of the request's body, or a window for the answer. `looked`: a moment ago, too."""
        exchange, queued, moved = self.current, self._queued, self.wire.moved
        seen, self._seen = self._seen, (self._received, self.size - queued, moved)
        if queued:  # if its own window is open, it waits its turn on the connection
            on = seen[1] != self._seen[1] or (seen[2] != moved and self.wire.http2.local_flow_control_window(self.id) > 0)
        elif exchange is None or exchange.body_done or exchange.first_byte is not None or self.held or self._grpc:
            on = True  # nothing is owed: if the answer has begun, the two are in a conversation; a gRPC call may be one from the start
        else:
            on = seen[0] != self._received or (exchange.head.expects and not self._received)
        if on or not looked:
            self._since = now
        return now - self._since

    # The request's body.

    def received(self, data: bytes) -> bool:
        """False: it is longer than was told."""
        exchange = self.current
        if exchange is None:
            return True  # answered already; what still comes is taken and forgotten
        self._received += len(data)
        if 0 <= exchange.head.length < self._received:
            return False
        exchange.request_body(data)
        return True

    def complete(self, trailers: Headers) -> bool:
        """False: it is shorter than was told."""
        exchange = self.current
        if exchange is None or exchange.body_done:
            return True
        if exchange.head.length > self._received:
            return False
        exchange.request_done(trailers)
        return True

    # The reply.

    def interim(self, status: int, reason: bytes, headers: Headers) -> None:
        self.wire.send_head(self, heads.interim(status, headers))

    def begin(self, status: int, reason: bytes, headers: Headers, *, keep_alive: bool) -> bytes:
        head = heads.response(status, headers, method=self._method)
        self._fields = head.fields
        self.length = head.length
        self.until_close = not head.ends_by_length
        return head.start

    def field(self, name: bytes, value: bytes) -> None:
        assert self._fields is not None
        self._fields.append((name.lower(), value))

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._gathered.append(data)

    def end(self, trailers: Headers = ()) -> None:
        self.finish(trailers)

    def too_late(self) -> Headers | None:
        if self.length >= 0:
            return None
        if self._grpc:
            return heads.grpc_status(4, b"request timeout")
        self.add(b"request timeout")
        return ()

    def flush(self) -> bool:
        fields, gathered = self._fields, self._gathered
        if fields is None and not gathered and not self.ending:
            return False
        if fields is not None:
            self._fields = None
            if not gathered and self.ending and not self._trailers:
                self.ending = False
                self.wire.send_head(self, fields, last=True)
                return True
            self.wire.send_head(self, fields)
        if gathered:
            self._gathered = []
            self.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))
        self.push()
        return True

    def whole(self, answer: Answer, *, keep_alive: bool) -> None:
        self._fields, body = heads.answer(answer, grpc=self._grpc)
        if body and self._method != b"HEAD":
            self.add(body)
        self.end()
        self.flush()

    def take_back(self) -> bool:
        if self._fields is None:
            return False
        self._fields = None
        self._gathered = []
        self.size = 0
        return True

    def cut(self, *, at_once: bool) -> None:
        self.wire.reset(self, ErrorCodes.INTERNAL_ERROR)


class Http2Connection(Wire[ClientStream]):
    version = "2"

    def __init__(self, chain: "Chain", *, local: bool = True, scheme: bytes = b"http") -> None:
        settings = chain.settings
        super().__init__(Http2(client=False, max_head=settings.max_head), chain.clock, settings.max_head)
        self._chain = chain
        self.local = local
        self._scheme = scheme
        self.peer = b"unknown"
        self._sampler = settings.tracing.sampler if settings.tracing else None
        self._unstarted: list[Exchange] = []
        self._idle_since = self._looked = self._since = chain.clock()
        self._unsent = 0  # in the transport, when `overdue` looked last; not less since _since
        self._stopping = False
        self._last = LAST_STREAM  # streams beyond are not served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        chain = self._chain
        if chain.closed:
            self.transport.abort()
            return
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = str(name[0]).encode()
        why = chain.census.enter(self.peer)
        chain.connections.add(self)
        if why is not None:
            self.http2.goaway(0, ErrorCodes.ENHANCE_YOUR_CALM, why.detail.encode())
            self.fail(ConnectionRefusedError())
        elif chain.stopping:
            self.stop()

    # The wire's side.

    def request(self, event: events.RequestReceived) -> None:
        id_ = event.stream_id
        if id_ > self._last or len(self.streams) >= STREAMS:
            self.spend(flood.RESET)
            self.reset_id(id_, ErrorCodes.REFUSED_STREAM)
            return
        chain = self._chain
        try:
            head, grpc = heads.request(
                event.headers or (), ended=event.stream_ended is not None, peer=self.peer, entropy=getrandbits(192),
                most=chain.settings.max_headers, sampler=self._sampler, scheme=self._scheme,
            )  # fmt: skip
        except Malformed:
            self.spend(flood.RESET)
            self.reset_id(id_, ErrorCodes.PROTOCOL_ERROR)
            return
        except Refusal as why:
            chain.turned_away(self.peer, why)
            self.spend(flood.RESET)
            stream = self.streams[id_] = ClientStream(self, id_, b"", grpc=False)
            stream.whole(answers.refusal(why), keep_alive=True)
            return
        stream = self.streams[id_] = ClientStream(self, id_, head.method, grpc=grpc)
        exchange = stream.current = Exchange(chain, stream, head, stream, keep_alive=True)
        if event.stream_ended is not None:
            exchange.start()
        else:
            self._unstarted.append(exchange)  # its body may be in the same bytes, and can then go out in one write with the head

    def data(self, stream: ClientStream, data: bytes) -> None:
        if not stream.received(data):
            self._wrong_length(stream)

    def ended(self, stream: ClientStream, trailers: Headers) -> None:
        if not stream.complete(trailers):
            self._wrong_length(stream)

    def was_reset(self, stream: ClientStream, code: int) -> None:
        stream.gone()

    def sent(self, stream: Stream) -> None:
        if stream.id in self.streams:
            self._over(self.streams[stream.id])

    def pong(self) -> None:
        if self._stopping:
            self._say_last()

    def going(self, last: int, code: int, why: bytes) -> None:
        """It opens no more streams."""
        self._stopping = True
        self._last = self.http2.highest_inbound_stream_id
        self._rest()

    def fed(self) -> None:
        unstarted, self._unstarted = self._unstarted, []
        for exchange in unstarted:
            exchange.start()

    def lost(self, error: Exception | None) -> None:
        streams = list(self.streams.values())
        self.streams.clear()
        self.blocked.clear()
        self._unstarted.clear()
        for stream in streams:
            stream.forget()
            stream.gone()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._chain.connections:
            self._chain.connections.discard(self)
            self._chain.census.leave(self.peer)
        super().connection_lost(exc)

    # The streams' side.

    def send_head(self, stream: ClientStream, fields: Headers, *, last: bool = False) -> None:
        if self.broken or stream.id not in self.streams:
            return
        try:
            self.http2.send_headers(stream.id, fields, end_stream=last)
        except ProtocolError:
            return  # the client has ended the stream; the event that says so comes next
        if last:
            self._over(stream)
        self.touch()

    # The chain's side.

    @property
    def busy(self) -> bool:
        return bool(self.streams)  # answered ones too, until the client has taken all of it

    def overdue(self, now: float) -> None:
        """Close what idles or dawdles."""
        settings = self._chain.settings
        looked, self._looked = now - self._looked <= AT_LEAST, now
        if not self.broken:
            self._cut_stuck(now, looked=looked)
        left = 0 if self.writable and not self.broken else self.transport.get_write_buffer_size()
        if left != self._unsent or not left or not looked:
            self._unsent, self._since = left, now
        if left and now - self._since > settings.write_stall:
            self.transport.abort()
        elif self.broken:
            if not left and now - self.heard > settings.linger:
                self.transport.abort()
        elif self.head_since and now - self.head_since > settings.read_head:
            self.http2.goaway(self.http2.highest_inbound_stream_id, ErrorCodes.ENHANCE_YOUR_CALM, b"a head did not arrive in time")
            self.fail(TimeoutError())
        elif self.busy:
            self._idle_since = 0.0
        elif not self._idle_since:
            self._idle_since = now
        elif now - max(self._idle_since, self.heard) > settings.keep_alive:
            self._close()

    def stop(self) -> None:
        """First say that no more is wanted, then, when the client must have heard it, which streams are the last that are served."""
        if self.broken or self._stopping:
            return
        self._stopping = True
        self.http2.goaway(LAST_STREAM)
        self.http2.ping(b"stopping")
        self.flush()
        asyncio.get_running_loop().call_later(GOODBYE, self._say_last)

    # Inside.

    def _cut_stuck(self, now: float, *, looked: bool) -> None:
        """A stream may wait for its client no longer than a connection of HTTP/1.1."""
        settings = self._chain.settings
        for stream in list(self.streams.values()):
            since = stream.stuck(now, looked=looked)
            if stream._queued:
                if since > settings.write_stall:
                    stream.gone()
                    self.reset(stream, ErrorCodes.CANCEL)
            elif since > settings.read_body and stream.current is not None:
                stream.current.refuse(BodyTimeout())

    def _wrong_length(self, stream: ClientStream) -> None:
        self.spend(flood.RESET)
        stream.gone()  # the instance must not take a part of the body for the whole
        self.reset(stream, ErrorCodes.PROTOCOL_ERROR)

    def _over(self, stream: ClientStream) -> None:
        """Our side of the stream is complete. A request that is not is not needed any more (RFC 9113 8.1)."""
        self.drop(stream)
        h2_stream = self.http2.streams.get(stream.id)
        if h2_stream is not None and not h2_stream.closed:
            self.reset_id(stream.id, ErrorCodes.NO_ERROR)
        self._rest()

    def _say_last(self) -> None:
        if self.broken or self._last != LAST_STREAM:
            return
        self._last = self.http2.highest_inbound_stream_id
        self.http2.goaway(self._last)
        self.touch()
        self._rest()

    def _rest(self) -> None:
        """Close when nothing is under way any more."""
        if self._stopping and self._last != LAST_STREAM and not self.streams:
            self._close()

    def _close(self) -> None:
        self.http2.goaway(self.http2.highest_inbound_stream_id)
        self.fail(ConnectionAbortedError())
