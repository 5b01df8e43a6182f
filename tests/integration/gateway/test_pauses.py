"""A connection to an instance that was not read from for a client's sake is read from again for the next one."""

import asyncio
import socket

import anyio

from tests.fakes.routed import HOST, HttpClient, Routed, routed
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream

BODY = b"x" * 400_000


async def _narrow(gw: Routed) -> HttpClient:
    """A client to which little fits at a time, so that the end of every answer waits in the gateway."""
    ours = socket.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ours.setblocking(False)
    await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", gw.gateway.port))
    client = HttpClient(*await asyncio.open_connection(sock=ours))
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
