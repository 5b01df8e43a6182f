"""Requests cut, joined and spoilt at random, at an instance that misbehaves: each is answered, and nothing is left behind."""

import asyncio
import random

import anyio
import pytest

from tests.fakes.routed import HOST, Cluster, Routed, routed
from tests.fakes.upstream import Handler, Reader, Received, Writer, ok, upstream

H = f"Host: {HOST}\r\n".encode()
SEEDS = [
    b"GET / HTTP/1.1\r\n" + H + b"\r\n",
    b"POST /a HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab",
    b"GET / HTTP/1.0\r\n" + H + b"\r\n",
    b"HEAD / HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: nope\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
]


def _misbehaving(rng: random.Random) -> Handler:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        dice = rng.random()
        if dice < 0.1:
            return None
        if dice < 0.15:
            writer.write(b"HT")
            return None
        if dice < 0.2:
            return ok() + b"junk"
        if dice < 0.3:
            return b"HTTP/1.1 100 Continue\r\n\r\n" + ok()
        if dice < 0.4:
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        await anyio.sleep(0.002 if dice < 0.5 else 0)
        return ok(b"" if request.line.startswith("HEAD") else b"hello")

    return answer


async def _one(gw: Routed, rng: random.Random) -> None:
    data = b"".join(rng.choice(SEEDS) for _ in range(rng.randint(1, 5)))
    spoilt = rng.random() < 0.4
    for _ in range(rng.randint(1, 3) if spoilt else 0):
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + rng.choice([0, 1]) :]
    client = await gw.client()
    try:
        left = data
        while left and not client.writer.transport.is_closing():
            size = rng.choice([1, 7, 50, 1000, 5000])
            client.writer.write(left[:size])
            left = left[size:]
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        with anyio.move_on_after(0.05 if spoilt else 10) as wait:  # a spoilt one may rightly wait for more
            await client.reader.read(10)
        assert spoilt or not wait.cancelled_caught, f"no answer to {data!r}"
    except ConnectionError:
        pass
    finally:
        client.writer.transport.abort()


@pytest.mark.parametrize("seed", range(4))
async def test_random_bytes_leave_nothing_behind(seed: int) -> None:
    rng = random.Random(seed)
    cluster = Cluster()
    cluster.route()
    cluster.revision(container_concurrency=3)
    wrong: list[object] = []
    async with upstream(_misbehaving(rng)) as instance, routed(cluster, tick=0.02) as gw:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: wrong.append(context))
        cluster.instance(instance.port)
        for _ in range(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(_one, gw, rng)
        chain = gw.gateway.chain
        assert chain is not None
        await gw.until(lambda: not chain.active and not chain.connections)
        assert (gw.line().meter.concurrency, len(gw.line().waiting), chain.shared.held, chain.shared.waiting) == (0, 0, 0, 0)
        assert [i.active for i in gw.line().instances.values()] == [0]
        assert not chain.refused.get(500)
    assert wrong == []
