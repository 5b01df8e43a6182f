"""Back-pressure through HTTP/2 on either side: who does not read stops who sends, and nobody else on the same connection."""

import asyncio
from typing import Any

import anyio
import pytest

from tests.fakes.http2 import Request, h2_client, h2_upstream
from tests.fakes.routed import HOST, routed
from tests.fakes.upstream import Received, upstream

MIB = 1024 * 1024
SIZE = 32 * MIB
BLOCK = b"x" * 65536
BETWEEN = 6 * MIB  # the most that may lie between sender and reader: kernel buffers of four sockets (some 4 MiB) and ours

KERNEL = 24 * MIB  # the same where both hops are HTTP/1.1 and fast: the kernel lets four buffers grow to 4 or 6 MiB each


class Counted:
    """Sends SIZE bytes, in both protocols, and counts what has left."""

    def __init__(self) -> None:
        self.sent = 0

    async def http1(self, request: Received, reader: Any, writer: asyncio.StreamWriter) -> bytes | None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        while self.sent < SIZE:
            writer.write(BLOCK)
            await writer.drain()
            self.sent += len(BLOCK)
        return b""

    async def http2(self, request: Request) -> None:
        request.head(content_length=str(SIZE))
        while self.sent < SIZE:
            await request.data(BLOCK)
            self.sent += len(BLOCK)
        request.end()

    async def stalls(self) -> None:
        """Wait until nothing leaves any more."""
        before = -1
        while before != self.sent or not self.sent:
            before = self.sent
            await anyio.sleep(0.15)


@pytest.mark.parametrize("instance_speaks", ["http/1.1", "h2c"])
class TestDownwards:
    async def test_a_client_that_does_not_read_stops_the_instance(self, instance_speaks: str) -> None:
        source = Counted()
        at = upstream(source.http1) if instance_speaks == "http/1.1" else h2_upstream(source.http2)
        async with at as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="http" if instance_speaks == "http/1.1" else "h2c")
            client.h2.increment_flow_control_window(MIB)
            client.acknowledge = False
            stream = client.begin()
            await source.stalls()
            assert source.sent < BETWEEN
            assert len(client.streams[stream].body) == 65535
            other = client.begin(host="nobody")
            assert (await client.answer(other)).status == 404, "other streams go on"
            client.acknowledge = True
            client.h2.acknowledge_received_data(65535, stream)
            client.flush()
            got = await client.answer(stream)
            assert (len(got.body), got.ended) == (SIZE, True)

    async def test_a_client_whose_socket_is_full_stops_the_instance(self, instance_speaks: str) -> None:
        """Its windows are open as wide as can be; it is TCP that says no."""
        source = Counted()
        at = upstream(source.http1) if instance_speaks == "http/1.1" else h2_upstream(source.http2)
        async with at as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="http" if instance_speaks == "http/1.1" else "h2c")
            client.h2.update_settings({4: 2**31 - 1})
            client.h2.increment_flow_control_window(2**31 - 1 - 65535)
            stream = client.begin()
            await client.until(lambda: bool(client.streams[stream].body))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await source.stalls()
            assert source.sent - len(client.streams[stream].body) < BETWEEN + 4 * MIB
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            got = await client.answer(stream)
            assert (len(got.body), got.ended) == (SIZE, True)

    async def test_a_client_of_http_1_that_does_not_read_stops_the_instance(self, instance_speaks: str) -> None:
        source = Counted()
        at = upstream(source.http1) if instance_speaks == "http/1.1" else h2_upstream(source.http2)
        async with at as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="http" if instance_speaks == "http/1.1" else "h2c")
            client = await gw.client()
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await source.stalls()
            assert source.sent < BETWEEN + 4 * MIB
            assert len((await client.answer()).body) == SIZE
            await client.close()


@pytest.mark.parametrize("client_speaks", ["http/1.1", "h2"])
@pytest.mark.parametrize("instance_speaks", ["http/1.1", "h2c"])
async def test_an_instance_that_does_not_read_stops_the_client(client_speaks: str, instance_speaks: str) -> None:
    sent = read = 0
    go = asyncio.Event()

    async def one(request: Received, reader: asyncio.StreamReader, writer: Any) -> bytes | None:
        nonlocal read
        await go.wait()
        while read < SIZE:
            read += len(await reader.read(65536))
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def two(request: Request) -> None:
        nonlocal read
        request.peer.acknowledge = False
        await go.wait()
        while read < SIZE:
            if len(request.body) == read:
                await request.peer.changed.wait()
            size = len(request.body) - read
            if size:
                request.peer.h2.acknowledge_received_data(size, request.id)
                request.peer.flush()
                read += size
        request.head()
        await request.data(b"ok", end=True)

    at: Any = upstream(one, read_body=False) if instance_speaks == "http/1.1" else h2_upstream(two)
    async with at as instance, routed() as gw, h2_client(gw.gateway.port) as second:
        first = await gw.client()

        async def push() -> bytes:
            nonlocal sent
            if client_speaks == "h2":
                stream = second.begin("/", "POST", end=False, content_length=str(SIZE))
                while sent < SIZE:
                    await second.send(stream, BLOCK)
                    sent += len(BLOCK)
                await second.send(stream, b"", end=True)
                return bytes((await second.answer(stream)).body)
            await first.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {SIZE}\r\n\r\n".encode())
            while sent < SIZE:
                await first.send(BLOCK)
                sent += len(BLOCK)
            return (await first.answer()).body

        pushing = asyncio.ensure_future(push())
        await gw.until(lambda: len(gw.line().waiting) == 1)
        await anyio.sleep(0.1)  # as much is read ahead as may be: handed over at once it is more than the instance's connection takes
        gw.cluster.instance(instance.port, name="http" if instance_speaks == "http/1.1" else "h2c")
        before = -1
        while before != sent or not sent:
            before = sent
            await anyio.sleep(0.15)
        assert sent < KERNEL
        if client_speaks == "h2":
            assert (await second.ask(host="nobody")).status == 404, "other streams go on"
        go.set()
        assert await pushing == b"ok"
        await first.close()


class TestSharing:
    """A hundred streams on one connection, some of which nobody reads: the others go on."""

    async def test_uploads_beside_a_hundred_that_stall(self) -> None:
        async def stall(request: Received, reader: Any, writer: Any) -> bytes | None:
            if "/stall" in request.line:
                await asyncio.Event().wait()
            size = int(request.headers["content-length"])
            await reader.readexactly(size)
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        async with upstream(stall, read_body=False) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            await client.until(lambda: client.h2.outbound_flow_control_window > 4 * MIB)
            for _ in range(100):
                stream = client.begin("/stall", "POST", end=False)
                client.h2.send_data(stream, b"x" * 16384)
                client.h2.send_data(stream, b"x" * 16384)
                client.flush()
            for _ in range(5):
                got = await client.ask("/", "POST", body=b"y" * 3_000_000, content_length="3000000")
                assert got.body == b"ok"

    async def test_downloads_beside_one_that_is_not_read(self) -> None:
        async def large(request: Request) -> None:
            request.head()
            await request.data(b"x" * 1_000_000, end=True)

        async with h2_upstream(large) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            client.h2.increment_flow_control_window(16 * MIB)
            stalled = client.begin()
            acknowledge = client.h2.acknowledge_received_data

            def not_that_one(size: int, stream: int) -> None:
                if stream != stalled:
                    acknowledge(size, stream)

            client.h2.acknowledge_received_data = not_that_one  # type: ignore[method-assign]
            streams = [client.begin() for _ in range(99)]
            for stream in streams:
                assert len((await client.answer(stream)).body) == 1_000_000
            assert len(client.streams[stalled].body) == 65535
