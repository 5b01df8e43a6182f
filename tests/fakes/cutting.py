"""A wire between a client and a real server that is cut when so many bytes have gone one way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.accepting import end, stop


@dataclass
class Wire:
    """`cuts`: for each connection in turn, after how many bytes upwards and downwards it breaks; 0 is never."""

    server: str
    cuts: list[tuple[int, int]]
    host: str = ""
    connections: int = 0
    dead: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def die(self) -> None:
        """Cut what is connected, and let nothing through any more."""
        self.dead = True
        for task in self._tasks:
            task.cancel()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        if self.dead:
            self._tasks.discard(task)
            writer.transport.abort()
            return
        up, down = self.cuts.pop(0) if self.cuts else (0, 0)
        self.connections += 1
        host, _, port = self.server.rpartition(":")
        there, here = await asyncio.open_connection(host, int(port))
        try:
            ways = [asyncio.create_task(_pump(reader, here, up)), asyncio.create_task(_pump(there, writer, down))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            for side in (here, writer):
                side.transport.abort()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int) -> None:
    """Until the source ends, or `limit` bytes have gone."""
    gone = 0
    while data := await source.read(65536):
        if limit and gone + len(data) >= limit:
            target.write(data[: limit - gone])
            await target.drain()
            return
        target.write(data)
        await target.drain()
        gone += len(data)


@asynccontextmanager
async def wire(server: str, *cuts: tuple[int, int]) -> AsyncIterator[Wire]:
    made = Wire(server, list(cuts))
    listener = await asyncio.start_server(made.connected, "127.0.0.1", 0)
    made.host = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        await stop(listener)
        await end(made._tasks)
