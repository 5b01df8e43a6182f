"""One HTTP/2 connection, whichever side it is for: streams by number, windows both ways, floods, and as few writes as can be.

What its events mean to a request is said by `inbound` and `upstream`, which each derive a wire and a stream from the two classes here.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from gateway import heads
from gateway.http2 import flood
from gateway.http2.flood import Bucket
from gateway.http2.heads import Malformed, check
from gateway.http2.protocol import FRAME, Http2
from gateway.http2.stream import Stream

PIECE = 32 * 1024  # read at once: a flood of 9-byte frames is seen after 3,600 of them
MOST_UNSENT = 4 * 1024 * 1024  # in the transport: heads, and answers to pings and settings, for a peer that does not read


S = TypeVar("S", bound=Stream)


class Wire(asyncio.Protocol, Generic[S]):
    def __init__(self, http2: Http2, clock: Callable[[], float], max_head: int) -> None:
        self.http2 = http2
        self.clock = clock
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.streams: dict[int, S] = {}
        self.blocked: dict[int, Stream] = {}  # have something to send, and wait for a window or the transport, in this order
        self.bucket = Bucket(clock())
        self.writable = True
        self.broken = False  # nothing more is read or written
        self.grown = 0
        self.moved = 0  # bytes of DATA that were sent
        self.heard = clock()  # when bytes last came
        self.head_since = 0.0  # when a head or a frame began that has not come whole
        self._max_head = max_head
        self._silent = 0  # bytes since anything was understood
        self._feeding = False
        self._scheduled = False

    # What the two kinds of wire say.

    def request(self, event: events.RequestReceived) -> None: ...

    def response(self, event: events.ResponseReceived) -> None: ...

    def interim(self, event: events.InformationalResponseReceived) -> None: ...

    def data(self, stream: S, data: bytes) -> None: ...

    def ended(self, stream: S, trailers: heads.Headers) -> None:
        """The peer has sent all of it."""

    def was_reset(self, stream: S, code: int) -> None: ...

    def sent(self, stream: Stream) -> None:
        """Our side of the stream is complete."""

    def settled(self) -> None:
        """The peer's settings came."""

    def going(self, last: int, code: int, why: bytes) -> None:
        """The peer takes no more streams."""

    def pong(self) -> None: ...

    def fed(self) -> None:
        """What came with one read has been gone through."""

    def lost(self, error: Exception | None) -> None:
        """Nothing comes or goes any more. Called once."""

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.broken:
            return
        self.heard = self.clock()
        self._feeding = True
        try:
            for start in range(0, len(data), PIECE):
                self._feed(data if len(data) <= PIECE else data[start : start + PIECE])
                if self.broken:
                    return
            self.fed()
        finally:
            self._feeding = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.broken:
            self.broken = True
            self.lost(exc)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._unblock()

    # The streams' side.

    def touch(self) -> None:
        """There may be something to send: at the end of this read, or of this turn of the loop, with all else that there is by then."""
        if not self._feeding and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_now)

    def flush(self) -> None:
        if not self.http2.pending:
            return
        data = self.http2.data_to_send()
        if self.transport.is_closing():
            return
        self.transport.write(data)
        if not self.writable and self.transport.get_write_buffer_size() > MOST_UNSENT:
            self.transport.abort()  # it makes us answer, and does not read

    def drop(self, stream: Stream) -> None:
        """The stream is over."""
        if self.streams.pop(stream.id, None) is not None:
            self.blocked.pop(stream.id, None)
            stream.forget()

    def reset(self, stream: Stream, code: int) -> None:
        self.reset_id(stream.id, code)
        self.drop(stream)

    def reset_id(self, id_: int, code: int) -> None:
        if self.broken:
            return
        try:
            self.http2.reset_stream(id_, code)
        except ProtocolError:
            pass  # the peer was first
        self.touch()

    def spend(self, points: float) -> None:
        if not self.bucket.spend(points, self.clock()):
            self.http2.goaway(self.http2.highest_inbound_stream_id, ErrorCodes.ENHANCE_YOUR_CALM, b"too much that leads to nothing")
            self.fail(ProtocolError("flooded the connection"))

    def fail(self, error: Exception) -> None:
        """The peer cannot be talked with: say goodbye, and close."""
        if self.broken:
            return
        self.broken = True
        self.heard = self.clock()
        self.flush()
        self.transport.close()
        self.lost(error)

    # Inside.

    def _flush_now(self) -> None:
        self._scheduled = False
        self.flush()

    def _feed(self, data: bytes) -> None:
        try:
            happened = self.http2.receive_data(data)
        except ProtocolError as error:
            self.fail(error)
            return
        if happened:
            self._silent = 0
            self.head_since = 0.0
            for event in happened:
                handler = _HANDLERS.get(event.__class__)
                if handler is not None:
                    handler(self, event)
                    if self.broken:
                        return
        else:
            self._silent += len(data)
        http2 = self.http2
        if http2.in_head:
            self.head_since = self.head_since or self.heard
            if self._silent > self._max_head + FRAME:
                http2.goaway(http2.highest_inbound_stream_id, ErrorCodes.ENHANCE_YOUR_CALM, b"the head is too large")
                self.fail(ProtocolError("sent a head that does not end"))
        elif http2.partial and not self.streams:
            self.head_since = self.head_since or self.heard

    def _unblock(self) -> None:
        blocked, self.blocked = self.blocked, {}
        for id_, stream in blocked.items():
            if self.writable and self.http2.outbound_flow_control_window > 0:
                stream.push()
            else:
                self.blocked.setdefault(id_, stream)

    # What the library tells.

    def _on_data(self, event: events.DataReceived) -> None:
        id_, size, data = event.stream_id, event.flow_controlled_length or 0, event.data or b""
        stream = self.streams.get(id_)
        if stream is None:
            self.http2.acknowledge_received_data(size, id_)
            return
        if data:
            self.data(stream, data)
        elif event.stream_ended is None:
            self.spend(flood.EMPTY)
        if size and not self.broken:
            stream.took(size)
        if event.stream_ended is not None and id_ in self.streams:
            self.ended(stream, ())

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        try:
            check(event.headers or ())
        except Malformed:
            self.spend(flood.RESET)
            self.was_reset(stream, ErrorCodes.PROTOCOL_ERROR)
            self.reset(stream, ErrorCodes.PROTOCOL_ERROR)
        else:
            self.ended(stream, event.headers or ())

    def _on_reset(self, event: events.StreamReset) -> None:
        self.spend(flood.RESET)
        stream = self.streams.get(event.stream_id)
        if stream is not None and not self.broken:
            self.was_reset(stream, event.error_code or 0)
            self.drop(stream)

    def _on_window(self, event: events.WindowUpdated) -> None:
        self.spend(flood.WINDOW)
        if not event.stream_id:
            self._unblock()
        elif event.stream_id in self.blocked:
            self.blocked.pop(event.stream_id).push()

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self.spend(flood.SETTINGS)
        if not self.broken:
            self._unblock()  # windows may have grown
            self.settled()

    def _on_ping(self, event: events.PingReceived) -> None:
        self.spend(flood.PING)

    def _on_pong(self, event: events.PingAckReceived) -> None:
        self.pong()

    def _on_empty(self, event: events.Event) -> None:
        self.spend(flood.EMPTY)

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        self.going(event.last_stream_id or 0, event.error_code or 0, event.additional_data or b"")

    def _on_request(self, event: events.RequestReceived) -> None:
        if event.priority_updated is not None:
            self.bucket.earn(flood.EMPTY)  # said with the head, it is no frame of its own
        self.request(event)

    def _on_response(self, event: events.ResponseReceived) -> None:
        self.response(event)

    def _on_interim(self, event: events.InformationalResponseReceived) -> None:
        self.interim(event)


_HANDLERS: dict[type[events.Event], Callable[[Wire[Any], Any], None]] = {
    events.RequestReceived: Wire._on_request,
    events.ResponseReceived: Wire._on_response,
    events.InformationalResponseReceived: Wire._on_interim,
    events.DataReceived: Wire._on_data,
    events.TrailersReceived: Wire._on_trailers,
    events.StreamReset: Wire._on_reset,
    events.WindowUpdated: Wire._on_window,
    events.RemoteSettingsChanged: Wire._on_settings,
    events.PingReceived: Wire._on_ping,
    events.PingAckReceived: Wire._on_pong,
    events.PriorityUpdated: Wire._on_empty,
    events.UnknownFrameReceived: Wire._on_empty,
    events.ConnectionTerminated: Wire._on_goaway,
}
