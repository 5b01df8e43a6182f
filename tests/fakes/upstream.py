"""A function's instance, as plain as can be: a TCP server that reads one request at a time and answers as its handler says.

`answer(request)` returns raw bytes, or is a coroutine that writes to the stream itself. What was received is kept, raw.
"""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes import accepting

Writer = asyncio.StreamWriter
Reader = asyncio.StreamReader


@dataclass
class Received:
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


Handler = Callable[["Received", Reader, Writer], Awaitable[bytes | None]]


def ok(body: bytes = b"hello", *, extra: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


async def hello(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    return ok()


@dataclass
class Upstream:
    """`concurrent` is the largest number of requests that were inside at once."""

    handler: Handler = hello
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    inside: int = 0
    concurrent: int = 0
    read_body: bool = True
    _writers: set[Writer] = field(default_factory=set)
    _unused: dict[Writer, Reader] = field(default_factory=dict)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while True:
                self._unused[writer] = reader
                head = await reader.readuntil(b"\r\n\r\n")
                self._unused.pop(writer, None)
                first, *lines = head.decode("latin-1").split("\r\n")[:-2]
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                self.inside += 1
                self.concurrent = max(self.concurrent, self.inside)
                try:
                    body = await _body(reader, headers) if self.read_body else b""
                    request = Received(first, headers, body, number)
                    self.received.append(request)
                    answer = await self.handler(request, reader, writer)
                finally:
                    self.inside -= 1
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    @property
    def open(self) -> int:
        """Connections that are open."""
        return sum(not writer.is_closing() for writer in self._writers)

    def close_unused(self) -> None:
        """Close the connections on which nothing has come since the last answer, as servers do after a while: now, and not in a turn
        of the loop to come, when something may have arrived."""
        for writer, reader in list(self._unused.items()):
            if writer.transport.is_closing() or writer.transport.get_write_buffer_size() or reader._buffer:  # type: ignore[attr-defined]
                continue
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
                arrived = select.poll()
                arrived.register(same, select.POLLIN)
                if not arrived.poll(0):
                    same.shutdown(socket.SHUT_RDWR)
                    writer.close()

    def drop_connections(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


async def _body(reader: Reader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while await reader.readline() != b"\r\n":
            pass
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


@asynccontextmanager
async def upstream(handler: Handler = hello, *, port: int = 0, read_body: bool = True) -> AsyncIterator[Upstream]:
    """A listening instance. At the end it and all its connections are gone."""
    one = Upstream(handler, read_body=read_body)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await one.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        await accepting.stop(server)
        await accepting.end(tasks)
        one.drop_connections()
        await asyncio.sleep(0)
