"""One connection and the exchange on it: bytes out, one parsed response in. Knows nothing of pools or URLs."""

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools

from kfn.http1.errors import Disconnected, HttpError, TooLarge


@dataclass(frozen=True, slots=True)
class Response:
    """A finished answer. Header names are lower case, in the order received."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name), b"")


class Connection(asyncio.Protocol):
    """One socket. `reused` is true once an answer was read on it; `open` while another request may go out."""

    def __init__(self, max_body: int) -> None:
        self.reused = False
        self.open = False
        self.began = False
        self.idle_since = 0.0
        self._max_body = max_body
        self._answer: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None

    async def send(self, request: bytes, *, head: bool) -> Response:
        """Write a request and wait for its whole answer. Raises `Disconnected` or `TooLarge`; the caller sets the time limit."""
        if self._transport is None or not self.open:
            raise Disconnected("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size, self.began, self._head = 0, False, head
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self.close()  # the rest of the answer must not meet the next request
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # bytes that nobody asked for
            return
        self.began = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Disconnected(f"the answer is not HTTP/1.1: {error}"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer is None or self._answer.done():
            return
        if self.began and self._headers_done and not self._framed:
            self._finish()  # a body that ends with the connection
        else:
            self._fail(Disconnected(f"the connection ended before the answer{f': {exc}' if exc else ''}"))

    # Called by the parser.

    _headers_done = False
    _framed = False

    def on_message_begin(self) -> None:
        self._headers_done = self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        self._headers.append((lower, value))
        if lower in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._headers = []
            return
        self._headers_done = True
        if self._head or status in (204, 304):
            self._finish()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._max_body:
            self._fail(TooLarge(f"the answer is larger than {self._max_body} bytes"))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._headers_done:
            self._finish()

    def _finish(self) -> None:
        if self._answer is None or self._answer.done():
            return
        self.reused = True
        if not self._parser.should_keep_alive() or (self._head and self._framed):
            self.open = False
            if self._transport is not None:
                self._transport.close()
        self._answer.set_result(Response(self._parser.get_status_code(), tuple(self._headers), b"".join(self._body)))

    def _fail(self, error: HttpError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()
