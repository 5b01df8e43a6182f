"""Limits against clients that try to get round them. Each is in docs/gateway-limits.md."""

import asyncio
import socket
from contextlib import suppress

import anyio
import pytest

from tests.fakes.routed import HOST, Cluster, HttpClient, Routed, routed
from tests.fakes.strict import answers
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream

GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
POST = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n\r\n".encode()
UPGRADE = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n".encode()


async def switch(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    await reader.read()
    return None


async def refusal(gw: Routed) -> bytes:
    """What a new connection is told before it has said anything."""
    client = await gw.client()
    with anyio.fail_after(30):
        said = await client.reader.read()
    await client.close()
    return said


async def shut(*clients: HttpClient) -> None:
    for client in clients:
        client.writer.transport.abort()
    await anyio.sleep(0)


class TestConnections:
    async def test_of_one_client_are_limited_with_429_and_free_again_when_they_end(self) -> None:
        async with upstream() as instance, routed(connections_per_client=3) as gw:
            gw.cluster.instance(instance.port)
            clients = [await gw.client() for _ in range(3)]
            for client in clients:
                assert (await client.ask("GET")).status == 200
            (told,) = answers(await refusal(gw))
            assert (told.status, told.headers[b"retry-after"], told.headers[b"connection"]) == (429, b"1", b"close")
            assert (await clients[0].ask("GET")).status == 200, "those before go on"
            await shut(*clients)
            await gw.until(lambda: not gw.gateway.chain.connections)  # type: ignore[union-attr]
            assert (await gw.get()).status == 200
            await gw.until(lambda: gw.gateway.chain.census.clients == {})  # type: ignore[union-attr]

    async def test_that_became_tunnels_still_count(self) -> None:
        async with upstream(switch) as instance, routed(connections_per_client=2) as gw:
            gw.cluster.instance(instance.port)
            clients = [await gw.client() for _ in range(2)]
            for client in clients:
                await client.send(UPGRADE)
                assert (await client.answer()).status == 101
            assert (await refusal(gw)).startswith(b"HTTP/1.1 429 ")
            await shut(*clients)
            await gw.until(lambda: gw.gateway.chain.census.total == 0)  # type: ignore[union-attr]

    async def test_far_over_the_limit_of_all_are_closed_without_a_word(self) -> None:
        async with routed(connections=5, linger=30) as gw:
            clients = [await gw.client() for _ in range(40)]
            chain = gw.gateway.chain
            assert chain is not None
            with anyio.fail_after(30):
                said = []
                for client in clients[5:]:
                    with suppress(ConnectionError):
                        said.append(await client.reader.readline())
            assert said[0].startswith(b"HTTP/1.1 503 ")
            await gw.until(lambda: chain.census.total <= 5 * 1.1 + 17)
            await shut(*clients)
            await gw.until(lambda: chain.census.total == 0)


class TestRequestsOnOneConnection:
    async def test_that_come_in_one_piece_are_not_all_held_in_memory(self) -> None:
        async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await anyio.sleep(0.2)
            return ok()

        async with upstream(slow) as instance, routed() as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            client.writer.write(GET * 3000)
            chain = gw.gateway.chain
            assert chain is not None
            await gw.until(lambda: bool(chain.active))
            await anyio.sleep(0.05)
            (connection,) = chain.connections
            assert len(connection._ahead) <= 101  # type: ignore[attr-defined]
            await shut(client)
            await gw.until(lambda: not chain.connections)

    async def test_behind_the_limit_are_told_429_after_those_before_are_answered(self) -> None:
        async with upstream() as instance, routed() as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            client.writer.write(GET * 300)
            with anyio.fail_after(30):
                got = answers(await client.reader.read())
            statuses = [answer.status for answer in got]
            assert statuses == [200] * (len(got) - 1) + [429]
            assert 101 <= len(got) < 300
            await client.close()


class TestABody:
    async def test_that_stops_coming_is_408_and_gives_its_place_back(self) -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(container_concurrency=1)
        async with upstream() as instance, routed(cluster, read_body=0.5) as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            await client.send(POST + b"some")
            with anyio.fail_after(30):
                (told,) = answers(await client.reader.read(), [b"POST"])
            assert (told.status, told.headers[b"connection"]) == (408, b"close")
            assert gw.line().meter.concurrency == 0
            assert (await gw.get()).status == 200
            await client.close()

    async def test_that_comes_slowly_is_taken(self) -> None:
        async with upstream() as instance, routed(read_body=2.5) as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            await client.send(POST)
            for _ in range(4):
                await anyio.sleep(1)
                await client.send(b"x" * 25)
            assert (await client.answer()).status == 200
            await client.close()

    @pytest.mark.parametrize("waits", ["for-100-continue", "for-its-answer-to-go-on"])
    async def test_that_need_not_come_now_is_waited_for(self, waits: str) -> None:
        async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            if waits == "for-its-answer-to-go-on":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await anyio.sleep(3)
            if waits == "for-100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await reader.readexactly(100)
            return b"0\r\n\r\n" if waits == "for-its-answer-to-go-on" else ok()

        async with upstream(answer, read_body=False) as instance, routed(read_body=0.5) as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            await client.send(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") if waits == "for-100-continue" else POST)
            if waits == "for-100-continue":
                with anyio.fail_after(30):
                    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            else:
                await anyio.sleep(3)
            await client.send(b"x" * 100)
            assert (await client.answer()).status == 200
            await client.close()


class TestAnAnswer:
    @pytest.mark.parametrize("last", [False, True], ids=["kept", "last"])
    async def test_that_nobody_reads_is_given_up_after_a_while(self, last: bool) -> None:
        async def large(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            return ok(b"x" * 50_000_000)

        async with upstream(large) as instance, routed(write_stall=0.5, linger=0.1) as gw:
            gw.cluster.instance(instance.port)
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sock, ("127.0.0.1", gw.gateway.port))
                await loop.sock_sendall(sock, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") if last else GET)
                chain = gw.gateway.chain
                assert chain is not None
                await gw.until(lambda: bool(chain.active))
                await gw.until(lambda: not chain.connections and not chain.active)

    async def test_of_the_last_request_is_not_cut_off_while_its_client_reads_slowly(self) -> None:
        size = 3_000_000

        async def large(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            return ok(b"x" * size)

        async with upstream(large) as instance, routed(linger=0.1) as gw:
            gw.cluster.instance(instance.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port, limit=4096)
            writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await reader.readuntil(b"\r\n\r\n")
            await anyio.sleep(2.5)  # longer than one look of the gateway's at connections that linger
            assert len(await reader.read(-1)) == size
            writer.transport.abort()
            await anyio.sleep(0)
