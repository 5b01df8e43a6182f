"""One stream of a connection, whichever side it is for: bytes out under the peer's windows, bytes in that are acknowledged when they
have been taken. The wire says when windows open; what the bytes mean is `inbound`'s and `upstream`'s affair."""

from collections import deque
from typing import TYPE_CHECKING, Any

from h2.exceptions import ProtocolError

from gateway import heads
from gateway.http2 import flood
from gateway.http2.heads import trailers as kept
from gateway.http2.protocol import GROWN, MOST_GROWN, STREAM_WINDOW, Http2

if TYPE_CHECKING:
    from gateway.http2.wire import Wire

HIGH = 64 * 1024  # of a stream's unsent bytes: more, and its other side is not read from ...
LOW = 16 * 1024  # ... until only so many are left
SMALL = 1024  # a window that is opened by less each time is no way to read
BATCH = 128 * 1024  # handed to the transport at once, so that it can say when it has enough


class Stream:
    __slots__ = ("_grown", "_out", "_queued", "_taken", "_trailers", "_unread", "ending", "held", "id", "wire", "writable")

    def __init__(self, wire: "Wire[Any]", id_: int) -> None:
        self.wire = wire
        self.id = id_
        self.writable = True
        self.ending = False  # nothing more will be written
        self.held = False  # its other side takes no more: what comes is not acknowledged
        self._out: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._trailers: heads.Headers = ()
        self._unread = 0
        self._taken = 0
        self._grown = False

    # What the two kinds of stream say.

    def full(self) -> None:
        """The peer takes less than is written: write no more until `drained`."""

    def drained(self) -> None: ...

    # Out.

    def write(self, data: bytes) -> None:
        if data:
            self._out.append(data)
            self._queued += len(data)

    def finish(self, trailers: heads.Headers = ()) -> None:
        self.ending = True
        if trailers:
            self._trailers = kept(trailers)

    def push(self) -> None:
        """Hand over as much as the windows and the transport take."""
        wire = self.wire
        if self._out or self.ending:
            try:
                self._send(wire.http2)
            except ProtocolError:  # the peer has closed the stream; the event that says so comes next
                self._out.clear()
                self._queued = 0
        if self._queued > HIGH:
            if self.writable:
                self.writable = False
                self.full()
        elif not self.writable and self._queued <= LOW:
            self.writable = True
            self.drained()
        wire.touch()

    def _send(self, http2: Http2) -> None:
        wire, out = self.wire, self._out
        while out:
            room = min(http2.local_flow_control_window(self.id), http2.max_outbound_frame_size)
            if room <= 0 or not wire.writable:
                wire.blocked[self.id] = self
                return
            data = out[0]
            if len(data) <= room:
                out.popleft()
                last = self.ending and not out and not self._trailers
                wire.bucket.earn(flood.SENT)
            else:
                view = memoryview(data)
                data, out[0], last = view[:room], view[room:], False
                if room > SMALL:
                    wire.bucket.earn(flood.SENT)
            http2.send_data(self.id, data, end_stream=last)
            self._queued -= len(data)
            wire.moved += len(data)
            if last:
                self.ending = False
                wire.sent(self)
                return
            if http2.pending > BATCH:
                wire.flush()
        if self.ending:
            self.ending = False
            if self._trailers:
                http2.send_headers(self.id, self._trailers, end_stream=True)
            else:
                http2.end_stream(self.id)
            wire.sent(self)

    # In.

    def pause_reading(self) -> None:
        self.held = True

    def resume_reading(self) -> None:
        self.held = False
        if self._unread:
            unread, self._unread = self._unread, 0
            self._acknowledge(unread)
            self.wire.touch()

    def took(self, size: int) -> None:
        """So many bytes of the peer's window were used."""
        if self.held:
            self._unread += size
        else:
            self._acknowledge(size)

    def _acknowledge(self, size: int) -> None:
        wire = self.wire
        if wire.broken:
            return
        wire.http2.acknowledge_received_data(size, self.id)
        self._taken += size
        if not self._grown and self._taken > STREAM_WINDOW and wire.grown < MOST_GROWN and self.id in wire.streams:
            self._grown = True
            wire.grown += 1
            try:
                wire.http2.increment_flow_control_window(GROWN, self.id)
            except ProtocolError:
                pass  # it has sent all it had

    def forget(self) -> None:
        """Hold nothing. What was not acknowledged is given back to the connection's window."""
        self._out.clear()
        self._queued = 0
        if self._grown:
            self._grown = False
            self.wire.grown -= 1
        self.held = False
        if self._unread:
            unread, self._unread = self._unread, 0
            self._acknowledge(unread)
