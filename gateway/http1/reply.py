"""The answer to one request of HTTP/1: framed as the client can read it, gathered until the instance's bytes have been read, then written.

It decides nothing about connections: the exchange says what is answered, the connection what follows.
"""

import asyncio

from gateway import answers, heads
from gateway.answers import Answer
from gateway.http1.repeated import KnownResponse

LARGE = 4096  # bytes of which a second copy costs more than a memoryview


class Http1Reply:
    __slots__ = ("_first", "_method", "_modern", "_out", "_transport", "length", "size", "until_close")

    def __init__(self, transport: asyncio.Transport, head: heads.RequestHead) -> None:
        self._transport = transport
        self._method = head.method
        self._modern = head.modern
        self._out: list[bytes] = []
        self._first: list[bytes] | None = None  # what `begin` gathered; it is `_out` until it is sent
        self.length = 0
        self.size = 0
        self.until_close = False

    def interim(self, status: int, reason: bytes, headers: heads.Headers) -> None:
        if self._modern and not self._transport.is_closing():
            fields = b"".join(b"%b: %b\r\n" % (n, v) for n, v in headers if n.lower() not in heads.RESPONSE_FIELDS)
            self._transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, fields))

    def begin(self, status: int, reason: bytes, headers: heads.Headers, *, keep_alive: bool) -> bytes:
        head = heads.response(status, reason, headers, method=self._method, modern=self._modern, keep_alive=keep_alive)
        self.length = head.length
        self.until_close = not head.ends_by_length
        self._out = self._first = head.wire
        self._out.append(b"\r\n")
        return head.start

    def field(self, name: bytes, value: bytes) -> None:
        self._out[-1:] = (name, b": ", value, b"\r\n\r\n")

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.length == heads.CHUNKED:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def end(self, trailers: heads.Headers = ()) -> None:
        if self.length == heads.CHUNKED:
            self._out.append(b"0\r\n%b\r\n" % heads.trailers(trailers) if trailers else b"0\r\n\r\n")

    def too_late(self) -> heads.Headers | None:
        if self.length not in (heads.CHUNKED, heads.UNTIL_CLOSE):
            return None  # the client waits for the rest of a sized body
        self.add(b"request timeout")
        return ()

    def flush(self) -> bool:
        out = self._out
        if not out:
            return False
        self._out = []
        if self._transport.is_closing():
            return False
        self._transport.write(b"".join(out))
        return True

    def again(self, known: KnownResponse, data: bytes, body: int) -> bool:
        """A whole response whose head is known, and whose body begins there. False: not for this client."""
        if not self._modern or self._method == b"HEAD":
            return False
        self.size = size = len(data) - body
        if not self._transport.is_closing():
            head = known.head(size)
            self._transport.write(head + data[body:] if size < LARGE else b"".join((head, memoryview(data)[body:])))
        return True

    def whole(self, answer: Answer, *, keep_alive: bool) -> None:
        self.size = len(answer.body)
        if not self._transport.is_closing():
            self._transport.write(answers.http1(answer, keep_alive=keep_alive, head_only=self._method == b"HEAD"))

    def take_back(self) -> bool:
        if self._out is not self._first:
            return False
        self._out = []
        self.size = 0
        return True

    def cut(self, *, at_once: bool) -> None:
        """`at_once` resets the connection: where a body is ended by the connection's end, an orderly end would look like the body's."""
        if at_once:
            self._transport.abort()
        else:
            self._transport.close()
