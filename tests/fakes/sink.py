"""A small HTTP subscriber: records the CloudEvents it gets and answers as the test says. Real sockets, one asyncio server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from kfn.cloudevents import Event, http
from tests.fakes import accepting


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Event:
        return http.parse([(k.encode("latin-1"), v.encode("latin-1")) for k, v in self.headers.items()], self.body)[0]

    @property
    def id(self) -> str:
        return self.event.id


@dataclass(frozen=True)
class Say:
    """One answer; `event` turns it into a CloudEvent in binary mode."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def reply(event: Event) -> Say:
    headers, body = http.binary(event)
    return Say(200, dict(headers), body)


Handler = Callable[[Got], Awaitable[Say]]


class Sink:
    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Handler = self._fine
        self.port = 0
        self.open = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        return [got.id for got in self.got]

    async def wait(self, count: int, seconds: float = 40) -> list[Got]:
        """Until so many requests have come."""
        with anyio.move_on_after(seconds):
            while len(self.got) < count:
                await anyio.sleep(0.005)
        assert len(self.got) >= count, f"{len(self.got)} of {count} came: {self.ids}"
        return self.got

    async def _fine(self, got: Got) -> Say:
        return Say()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                headers: dict[str, str] = {}
                while raw := (await reader.readline()).strip():
                    name, _, value = raw.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                got = Got(path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
                self.got.append(got)
                say = await self.answer(got)
                head = [f"HTTP/1.1 {say.status} X", *(f"{k}: {v}" for k, v in say.headers.items())]
                if say.status != 204:
                    head.append(f"content-length: {len(say.body)}")
                writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + say.body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # a close waits until what is written was read
            raise
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def sink(port: int = 0) -> AsyncIterator[Sink]:
    """A listening sink."""
    one = Sink()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(one._serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await accepting.end(tasks)
        await server.wait_closed()
