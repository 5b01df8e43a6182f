"""The connection to NATS leaves nothing behind: a server played by the test sees what becomes of each attempt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from eventing.connection import Connection

INFO = b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"headers":true}\r\n'


class Played:
    """Answers the first connection, and from the third on; the second gets no INFO."""

    def __init__(self) -> None:
        self.port = 0
        self.began: list[asyncio.StreamWriter] = []
        self.over: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.began.append(writer)
        number = len(self.began)
        try:
            if number != 2:
                writer.write(INFO)
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        except ConnectionError:
            pass
        finally:
            self.over.append(number)
            writer.close()


@asynccontextmanager
async def played() -> AsyncIterator[Played]:
    one = Played()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        for writer in one.began:
            writer.transport.abort()
        await until(lambda: len(one.over) == len(one.began))


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not true():
            await anyio.sleep(0.01)


async def connect(server: Played) -> Connection:
    async def quiet(error: Exception) -> None: ...

    client = Connection()
    await client.connect(
        f"nats://127.0.0.1:{server.port}", max_reconnect_attempts=-1, reconnect_time_wait=0.05, connect_timeout=1, error_cb=quiet
    )
    return client


async def test_an_attempt_that_failed_is_hung_up_when_the_next_one_begins() -> None:
    async with played() as server:
        client = await connect(server)
        server.began[0].transport.abort()
        await until(lambda: len(server.began) == 3 and client.is_connected)
        await until(lambda: 2 in server.over)
        await client.end(3)
        await until(lambda: server.over == [1, 2, 3])


async def test_it_ends_in_the_middle_of_an_attempt_and_makes_no_other() -> None:
    async with played() as server:
        client = await connect(server)

        async def take(message: object) -> None: ...

        await client.subscribe("a", cb=take)
        server.began[0].transport.abort()
        await until(lambda: len(server.began) == 2)
        await client.end(3)
        await until(lambda: server.over == [1, 2])
        assert client.is_closed
