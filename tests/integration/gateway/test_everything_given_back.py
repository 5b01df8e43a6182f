"""Random clients, random instances, all at once: however requests end, every place, byte and connection is given back."""

import asyncio
import random
from contextlib import AsyncExitStack

import anyio
import pytest

from tests.fakes.routed import HOST, Cluster, HttpClient, Routed, routed
from tests.fakes.upstream import Handler, Reader, Received, Upstream, Writer, ok, upstream

CLIENTS, EACH, INSTANCES = 40, 12, 3
LIMIT = 4  # a place that is lost or given back twice shows soon
GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
NOBODY = b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"
UPGRADE = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n".encode()


def _behave(chance: random.Random) -> Handler:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        how = chance.randrange(12)
        if how == 0:
            writer.transport.abort()
            return None
        if how == 1:
            return None  # closes without an answer
        if how == 2:
            await anyio.sleep(30)  # hangs until somebody ends it
        if how == 3:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await writer.drain()
            return None
        if how == 4:
            return b"what is not HTTP\r\n\r\n"
        if how == 5:
            return b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok()
        if "upgrade" in request.headers and how < 10:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
            while data := await reader.read(1000):
                writer.write(data)
            return None
        await anyio.sleep(chance.random() * 0.02)
        return ok(b"x" * chance.choice((1, 1000, 200_000)), extra=chance.choice(("", "Connection: close\r\n")))

    return answer


async def _client(gw: Routed, chance: random.Random) -> None:
    for _ in range(EACH):
        client = await gw.client()
        try:
            await _session(client, chance)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            pass
        if chance.random() < 0.5:
            client.writer.transport.abort()
        await client.close()


async def _session(client: HttpClient, chance: random.Random) -> None:
    size = chance.choice((10, 100_000, 300_000))
    sized = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size
    chunked = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + b"5\r\nhello\r\n0\r\n\r\n"
    what = [chance.choice((GET, GET, NOBODY, sized, chunked, UPGRADE)) for _ in range(chance.choice((1, 1, 2, 12)))]
    data = b"".join(what)
    if chance.random() < 0.2:
        data = data[: chance.randrange(len(data))]
    with anyio.move_on_after(chance.choice((0.001, 0.02, 0.3))):  # then it leaves, wherever that is
        for begin in range(0, len(data), 50_000):
            await client.send(data[begin : begin + 50_000])
            await anyio.sleep(0)
        while await client.reader.read(chance.choice((100, 100_000))):
            await anyio.sleep(chance.random() * 0.002)


async def _churn(gw: Routed, instances: list[Upstream], chance: random.Random) -> None:
    """Instances come, go, refuse and are drained under the requests."""
    there = {one.port for one in instances}
    while True:
        one = chance.choice(instances)
        how = chance.randrange(5)
        if how == 0:
            if one.port in there:
                there.remove(one.port)
                gw.cluster.remove_instance(one.port)
        elif how == 1:
            one.drop_connections()
        elif how == 2:
            gw.cluster.instance(one.port, terminating=True)
            there.add(one.port)
        elif how == 3:
            gw.cluster.instance(1, ready=True)  # where nobody listens
        else:
            gw.cluster.instance(one.port, ready=chance.random() < 0.7)
            there.add(one.port)
        await anyio.sleep(chance.random() * 0.05)


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_clients_and_instances_do_everything_is_given_back(seed: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster()
    cluster.route()
    cluster.revision(container_concurrency=LIMIT, timeout_seconds=1)
    async with AsyncExitStack() as stack:
        instances = [await stack.enter_async_context(upstream(_behave(chance))) for _ in range(INSTANCES)]
        gw = await stack.enter_async_context(routed(cluster, linger=0.1, unreachable=0.5, waiting_memory=3_000_000))
        chain = gw.gateway.chain
        assert chain is not None
        for one in instances:
            gw.cluster.instance(one.port)
        line = gw.line()
        seen = set(line.instances.values())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_churn, gw, instances, chance)
            async with anyio.create_task_group() as clients:
                for _ in range(CLIENTS):
                    clients.start_soon(_client, gw, chance)
            seen.update(line.instances.values())
            tasks.cancel_scope.cancel()
        await gw.until(lambda: not chain.active and not chain.connections and chain.census.total == 0, seconds=20)
        assert line.meter.concurrency == 0
        assert {instance.name: instance.active for instance in seen if instance.active} == {}
        assert (chain.shared.waiting, chain.shared.held, len(line.waiting)) == (0, 0, 0)
        assert line.meter.codes[200] > 20, "nearly nothing was answered: this test tests nothing"
