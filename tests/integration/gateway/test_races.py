"""Connections that an instance closes just when a request is on its way to it: what nobody has seen is sent again, nothing else is."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.fakes.routed import HOST, Cluster, HttpClient, routed
from tests.fakes.upstream import Reader, Received, Upstream, Writer, ok, upstream

GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
POST = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nbody".encode()


class Bare:
    """An instance whose sockets the test uses itself, also in moments in which the loop does not run."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    async def accept(self) -> socket.socket:
        connection, _ = await asyncio.get_running_loop().sock_accept(self.socket)
        return connection

    @staticmethod
    async def answer(connection: socket.socket) -> bytes:
        """Read one request and answer it."""
        loop = asyncio.get_running_loop()
        got = b""
        while b"\r\n\r\n" not in got or (got.startswith(b"POST") and not got.endswith(b"body")):
            data = await loop.sock_recv(connection, 65536)
            assert data, f"the connection ended after {got!r}"
            got += data
        await loop.sock_sendall(connection, ok())
        return got


@asynccontextmanager
async def bare() -> AsyncIterator[Bare]:
    instance = Bare()
    try:
        yield instance
    finally:
        instance.socket.close()


def _close(connection: socket.socket) -> None:
    connection.close()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _say_goodbye(connection: socket.socket) -> None:
    connection.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    connection.close()


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("end", [_close, _reset, _say_goodbye])
async def test_an_end_that_has_arrived_but_was_not_read_is_seen_before_a_request_is_written(end, request_: bytes) -> None:  # type: ignore[no-untyped-def]
    async with bare() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = socket.create_connection(("127.0.0.1", gw.gateway.port))
        with client, anyio.fail_after(30):
            client.sendall(GET)
            first = await instance.accept()
            await instance.answer(first)
            pooled = next(iter(gw.line().instances.values()))
            await gw.until(lambda: len(pooled.idle) == 1)
            client.recv(65536)
            client.sendall(request_)  # from here to the end of `end` the gateway's loop does not run
            end(first)
            second = await instance.accept()
            got = await instance.answer(second)
            assert got.startswith(request_[:4])
            client.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(client, 65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            second.close()
        assert not gw.line().meter.failures


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_an_instance_has_read_is_never_sent_again(method: str) -> None:
    async def dies(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        if len(instance.received) == 1:
            return ok()
        return None

    async with upstream(dies) as instance, upstream() as other, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        assert (await client.ask("GET")).status == 200
        gw.cluster.instance(other.port, ready=False)
        assert (await client.ask(method, body=b"" if method == "POST" else None)).status == 502
        await client.close()
        assert len(instance.received) + len(other.received) == 2


async def test_instances_that_close_unused_connections_whenever_they_like_cost_no_request() -> None:
    rng = random.Random()
    seed = rng.randrange(2**32)
    print(f"seed {seed}")
    rng.seed(seed)
    cluster = Cluster()
    cluster.route()
    cluster.revision()

    async def closes(instance: Upstream, until: anyio.Event) -> None:
        while not until.is_set():
            await anyio.sleep(rng.random() * 0.004)
            instance.close_unused()

    async def asks(port: int, times: int) -> list[int]:
        client = await HttpClient.connect(port)
        found = []
        for _ in range(times):
            found.append((await client.ask(rng.choice(["GET", "POST"]))).status)
            if rng.random() < 0.3:
                await anyio.sleep(rng.random() * 0.004)
        await client.close()
        return found

    async with upstream() as one, upstream() as two, routed(cluster) as gw:
        over = anyio.Event()
        for instance in (one, two):
            cluster.instance(instance.port)
        async with anyio.create_task_group() as tasks:
            for instance in (one, two):
                tasks.start_soon(closes, instance, over)
            found = await asyncio.gather(*(asks(gw.gateway.port, 150) for _ in range(8)))
            over.set()
        assert {status for statuses in found for status in statuses} == {200}
        assert one.connections + two.connections > 50, "connections were closed"
