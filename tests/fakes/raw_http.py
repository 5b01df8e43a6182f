"""A small HTTP/1.1 server on asyncio streams whose handler holds the connection itself, so that it can answer wrongly or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.accepting import end, stop

MAX_HEAD = 65536


class Hangup(Exception):
    """Raised by a handler: close the connection without an answer."""


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    reader: asyncio.StreamReader
    left: int  # bytes of the body not read yet; -1 if it comes in chunks
    _ended: bool = False

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    def parameter(self, name: str) -> str:
        return next((value for key, value in self.query if key == name), "")

    async def body(self, limit: int = -1) -> bytes:
        """The rest of the body, or `limit` bytes of it."""
        if self.left < 0:
            return await self._chunks()
        data = await self.reader.readexactly(self.left if limit < 0 else min(limit, self.left))
        self.left -= len(data)
        return data

    async def _chunks(self) -> bytes:
        parts = []
        while not self._ended:
            length = int((await self.reader.readline()).split(b";")[0], 16)
            parts.append(await self.reader.readexactly(length))
            await self.reader.readline()
            self._ended = length == 0
        return b"".join(parts)


@dataclass
class Response:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = -1  # send so many bytes of the body and hang up
    pause: float = 0.0  # seconds before each 16 KiB

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> "Response":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


Handler = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[str]:
    """Run `handler` on a port of loopback that the kernel chooses; gives `127.0.0.1:<port>`."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            while await _one(handler, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, Hangup):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=MAX_HEAD)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await stop(server)
        await end(tasks)


async def _one(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:] if line)}
    left = -1 if "chunked" in headers.get("transfer-encoding", "") else int(headers.get("content-length", 0))
    request = Request(method, target, headers, reader, left)
    response = await handler(request)
    unread = request.left != 0 and not request._ended
    fields = {"Content-Length": str(len(response.body)), **({"Connection": "close"} if unread else {}), **response.headers}
    lines = [f"HTTP/1.1 {response.status} Told", *(f"{key}: {value}" for key, value in fields.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if method != "HEAD":
        body = response.body if response.cut < 0 else response.body[: response.cut]
        for start in range(0, len(body), 16384):
            if response.pause:
                await asyncio.sleep(response.pause)
            writer.write(body[start : start + 16384])
            await writer.drain()
        if response.cut >= 0:
            await writer.drain()
            raise Hangup
    await writer.drain()
    return not unread
