"""Clients that read slowly: they get all of it, and hold nothing that others need."""

import asyncio
import socket

import anyio
import pytest

from tests.fakes.routed import HOST, HttpClient, Routed, routed
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream

BODY = b"x" * 400_000
LAST = b"x" * 60_000  # fits into the gateway, and not into the sockets


async def _narrow(gw: Routed) -> HttpClient:
    """A client to which little fits at a time, so that the end of every answer waits in the gateway."""
    ours = socket.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ours.setblocking(False)
    await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", gw.gateway.port))
    client = HttpClient(*await asyncio.open_connection(sock=ours, limit=2048))
    chain = gw.gateway.chain
    assert chain is not None
    await gw.until(lambda: bool(chain.connections))
    (connection,) = chain.connections
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return client


async def test_an_instances_connection_is_read_from_again_after_a_slow_client() -> None:
    async def large(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(BODY)

    async with upstream(large) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await _narrow(gw)
        for _ in range(3):
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await anyio.sleep(0.05)
            assert (await client.answer(seconds=10)).body == BODY
        quick = await gw.client()
        assert (await quick.ask("GET")).body == BODY
        await quick.close()
        await client.close()
        assert instance.connections == 1


async def test_the_last_answer_of_a_connection_is_not_cut_for_a_slow_client() -> None:
    async def large(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(LAST)

    async with upstream(large) as instance, routed(linger=0.1) as gw:
        gw.cluster.instance(instance.port)
        client = await _narrow(gw)
        await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        await gw.until(lambda: gw.line().meter.codes[200] == 1)
        await anyio.sleep(2.5)  # the gateway looks once a second
        assert (await client.answer(seconds=20)).body == LAST
        await client.close()


@pytest.mark.parametrize("head", ["HTTP/1.1\r\nConnection: close", "HTTP/1.0"])
async def test_one_that_takes_nothing_of_its_last_answer_is_closed_in_the_end(head: str) -> None:
    async def large(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(LAST)

    async with upstream(large) as instance, routed(linger=0.1, write_stall=0.5) as gw:
        gw.cluster.instance(instance.port)
        client = await _narrow(gw)
        await client.send(f"GET / {head}\r\nHost: {HOST}\r\n\r\n".encode())
        chain = gw.gateway.chain
        assert chain is not None
        await gw.until(lambda: gw.line().meter.codes[200] == 1)
        assert gw.line().meter.concurrency == 0  # its place was free at once
        await gw.until(lambda: not chain.connections)
        client.writer.transport.abort()
        await client.close()
