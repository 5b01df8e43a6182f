"""One request and its response on a connection: the body read with back-pressure, the response framed and written.

It knows HTTP's framing and nothing of handlers; the connection gives it the bytes and takes over when it is complete.
"""

import asyncio
from collections.abc import Iterable
from time import time
from typing import TYPE_CHECKING

from kfn.function.errors import BadResponse, BodyTooLarge, Disconnected
from kfn.function.status import NO_BODY, REASON, date_line, header_line
from kfn.function.trace import Trace

if TYPE_CHECKING:
    from kfn.function.protocol import Connection

Pairs = Iterable[tuple[bytes, bytes]]

HIGH_WATER = 64 * 1024  # bytes of unread body after which the connection stops reading


class Exchange:
    """A request being served. `receive` and `read` take its body, `start`, `send` and `respond` answer it."""

    __slots__ = (
        "_buffered",
        "_chunked",
        "_chunks",
        "_connection",
        "_left",
        "_pending_head",
        "_waiter",
        "arrived",
        "body_complete",
        "complete",
        "disconnected",
        "expects_continue",
        "headers",
        "keep_alive",
        "length",
        "method",
        "sent",
        "status",
        "target",
        "trace",
        "version",
    )

    def __init__(self, connection: "Connection", method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.keep_alive = True
        self.expects_continue = False
        self.arrived = time()
        self.trace: Trace | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self.body_complete = False
        self.length: int | None = None  # Content-Length of the request
        self.disconnected = False
        self.status = 0  # of the response; 0 until it has started
        self.sent = 0  # bytes of response body
        self._chunked = False
        self._left: int | None = None  # bytes that a sized response still owes; None when it is not sized
        self._pending_head = b""
        self.complete = False

    # The request's body, as the connection feeds it

    def feed(self, data: bytes) -> None:
        """Take a piece of the body; when too much is unread, the connection stops reading."""
        if self.complete:
            return
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH_WATER:
            self._connection.hold()
        self._wake()

    def feed_end(self) -> None:
        self.body_complete = True
        self._wake()

    def lose(self) -> None:
        """The client has gone."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _change(self) -> None:
        """Wait until something happens to this exchange; several tasks of one handler may wait."""
        if self._waiter is None or self._waiter.done():
            self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiter)

    # The request's body, as the handler reads it

    async def receive(self) -> bytes:
        """The next piece of the body; empty at its end."""
        while not self._chunks:
            if self.body_complete:
                return b""
            if self.disconnected:
                raise Disconnected("the client went away before its request was complete")
            if self.expects_continue:
                self.expects_continue = False
                if not self.status:
                    self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._connection.release()
            await self._change()
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self._buffered = 0
        return data

    async def read(self, limit: int) -> bytes:
        """The whole body, or BodyTooLarge as soon as it is known to be over the limit."""
        if self.length is not None and self.length > limit:
            raise BodyTooLarge(f"The body has {self.length} bytes; this function accepts {limit}. KFN_MAX_BODY sets the limit.")
        if self.body_complete and len(self._chunks) <= 1:
            return self._chunks.pop() if self._chunks else b""
        parts: list[bytes] = []
        size = 0
        while data := await self.receive():
            size += len(data)
            if size > limit:
                raise BodyTooLarge(f"The body has more than {limit} bytes, which this function accepts. KFN_MAX_BODY sets the limit.")
            parts.append(data)
        return b"".join(parts)

    async def closed(self) -> None:
        """Return when the client has gone or the response is complete."""
        while not (self.disconnected or self.complete):
            await self._change()

    # The response

    def respond(self, status: int, headers: Pairs, body: bytes) -> None:
        """A whole response in one write."""
        head = self._head(status, headers, len(body))
        self.sent = 0 if self._bodiless else len(body)
        self._connection.write(head + body if self.sent else head)
        self._finish()

    def start(self, status: int, headers: Pairs) -> None:
        """Begin a response of unknown or declared length. The head goes out with the first piece of the body."""
        self._pending_head = self._head(status, headers, None)

    async def send(self, data: bytes, more: bool) -> None:
        """A piece of the body, or its end; waits while the client does not read."""
        if self.complete:
            if data and not self._bodiless:
                raise BadResponse("a piece of body was sent after the response was complete")
            return
        head, self._pending_head = self._pending_head, b""
        self._connection.write(head + self._frame(data, more))
        if not more:
            if self._left:
                raise BadResponse(f"the response ended {self._left} bytes short of its content-length")
            self._finish()
        await self._connection.drain()
        if self.disconnected:
            raise Disconnected("the client went away before the response was complete")

    def _frame(self, data: bytes, more: bool) -> bytes:
        if self._bodiless:
            return b""
        self.sent += len(data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise BadResponse("the response has more body than its content-length")
        if not self._chunked:
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed if more else framed + b"0\r\n\r\n"

    @property
    def _bodiless(self) -> bool:
        return self.method == b"HEAD" or self.status in NO_BODY

    def _head(self, status: int, headers: Pairs, length: int | None) -> bytes:
        if self.status:
            raise BadResponse("the response has already started")
        reason = REASON.get(status) or _unknown(status)
        lines = [reason, date_line(time())]
        for name, value in headers:
            lowered = name.lower()
            if lowered == b"content-length":
                if not value.isdigit():
                    raise BadResponse(f"content-length is {value!r}, not a number")
                if length is None or self.method == b"HEAD":
                    length = int(value)
            elif lowered == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
            elif lowered not in (b"transfer-encoding", b"keep-alive"):
                lines.append(header_line(lowered, value))
        self.status = status
        if status not in NO_BODY:
            if length is not None:
                lines.append(b"content-length: %d\r\n" % length)
                self._left = length
            elif self.version == "1.1":
                lines.append(b"transfer-encoding: chunked\r\n")
                self._chunked = True
            else:
                self.keep_alive = False  # HTTP/1.0 ends a body of unknown length by closing
        if self._bodiless:
            self._left = None
        lines.extend(self._connection.extra_headers(self))
        if not self.keep_alive or self._connection.stopping or (self.expects_continue and not self.body_complete):
            self.keep_alive = False  # the client may or may not send the body it announced: only closing is safe
            lines.append(b"connection: close\r\n")
        elif self.version == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def withdraw(self) -> bool:
        """Take back a response that was begun but not yet written; False if some of it is on its way."""
        if not self._pending_head:
            return False
        self._pending_head = b""
        self.status = 0
        self._chunked = False
        self._left = None
        return True

    def abort(self) -> None:
        """Cut the connection, so that what was sent is not taken for the whole."""
        self._connection.abort()

    def peer(self) -> tuple[str, int] | None:
        """The client's address."""
        return self._connection.address("peername")

    def local(self) -> tuple[str, int] | None:
        """The address that the client reached."""
        return self._connection.address("sockname")

    def _finish(self) -> None:
        self.complete = True
        self._chunks.clear()
        self._wake()
        self._connection.finished(self)


def _unknown(status: int) -> bytes:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise BadResponse(f"{status!r} is not a response status; it must be a number from 200 to 599")
    return b"HTTP/1.1 %d \r\n" % status
