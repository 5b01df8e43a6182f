"""Real processes that share instances: gateways, the keeper of slots, and instances that know when too many requests are inside.

Each is a process of its own, started by fork from a server that has imported what they need, told what to do through a pipe, and killed
as the kernel kills.
"""

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, cast

import anyio
import uvloop

from tests.fakes.routed import HOST

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["gateway.app", "gateway.slots.keeper", "tests.fakes.routed", "tests.fakes.crew"])


class Strict(asyncio.Protocol):
    """An instance: a request stays inside for a while; one that finds `limit` inside already is answered 500."""

    inside = most = served = overlaps = 0
    limit = 1
    lasts = 0.005

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.handle: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /stats"):
            body = f"{Strict.most} {Strict.served} {Strict.overlaps}".encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        assert self.handle is None, "a second request on the connection before the first was answered"
        Strict.inside += 1
        Strict.most = max(Strict.most, Strict.inside)
        too_many = Strict.inside > Strict.limit
        Strict.overlaps += too_many
        status = b"500 Overlap" if too_many else b"200 OK"
        if Strict.lasts:
            self.handle = asyncio.get_running_loop().call_later(Strict.lasts, self.answer, status)
        else:
            self.answer(status)

    def answer(self, status: bytes) -> None:
        self.handle = None
        Strict.inside -= 1
        Strict.served += 1
        self.transport.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nok" % status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.handle is not None:
            self.handle.cancel()
            Strict.inside -= 1


def _instance(tell: Connection, limit: int, lasts: float) -> None:
    async def main() -> None:
        Strict.limit, Strict.lasts = limit or 1_000_000, lasts
        server = await asyncio.get_running_loop().create_server(Strict, "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await _orphaned(tell, lambda told: None)

    uvloop.run(main())


def _keeper(tell: Connection, address: str, token: str, ttl: float, fresh: bool) -> None:
    from gateway.slots import keeper

    async def main() -> None:
        async with keeper.serving(address, token=token, ttl=ttl, fresh=fresh) as one:
            tell.send(one.address)
            await _orphaned(tell, lambda told: None)

    uvloop.run(main())


def _gateway(tell: Connection, limit: int, ports: Sequence[int], settings: dict[str, Any]) -> None:
    from tests.fakes.routed import Cluster, routed

    async def main() -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(container_concurrency=limit)
        here = set(ports)
        for port in ports:
            cluster.instance(port)

        def told(now: Any) -> None:
            if now == "slots":
                slots = gw.gateway.chain.shared.slots  # type: ignore[union-attr]
                assert slots is not None
                tell.send((slots.trips, slots.said))
                return
            for port in here - set(now):
                cluster.remove_instance(port)
            for port in set(now) - here:
                cluster.instance(port)
            here.clear()
            here.update(now)

        async with routed(cluster, **settings) as gw:
            tell.send(gw.gateway.port)
            await _orphaned(tell, told)

    uvloop.run(main())


async def _orphaned(tell: Connection, told: Callable[[Any], None]) -> None:
    """Listen to the pipe until its other end is gone."""
    gone = asyncio.Event()

    def read() -> None:
        try:
            told(tell.recv())
        except (EOFError, OSError):
            gone.set()

    asyncio.get_running_loop().add_reader(tell.fileno(), read)
    await gone.wait()
    asyncio.get_running_loop().remove_reader(tell.fileno())


@dataclass
class Process:
    process: Any
    pipe: Connection
    said: Any

    @classmethod
    async def start(cls, target: Callable[..., None], *args: Any) -> "Process":
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=target, args=(theirs, *args), daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        return cls(process, ours, await asyncio.to_thread(ours.recv))

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.join)
        self.pipe.close()

    async def ask(self, what: Any) -> Any:
        self.pipe.send(what)
        return await asyncio.to_thread(self.pipe.recv)


@dataclass
class Crew:
    limit: int
    address: str
    ttl: float
    token: str = ""
    lasts: float = 0.005
    instances: list[Process] = field(default_factory=list)
    gateways: list[Process] = field(default_factory=list)
    keeper: Process | None = None

    async def add_instance(self) -> Process:
        one = await Process.start(_instance, self.limit, self.lasts)
        self.instances.append(one)
        return one

    async def add_gateway(self) -> Process:
        settings = {"slots": self.address, "slots_token": self.token} if self.address else {}
        one = await Process.start(_gateway, self.limit, [i.said for i in self.instances], settings)
        self.gateways.append(one)
        return one

    async def start_keeper(self, *, fresh: bool) -> None:
        self.keeper = await Process.start(_keeper, self.address, self.token, self.ttl, fresh)
        self.address = self.keeper.said

    def tell_instances(self, instances: Sequence[Process]) -> None:
        for gateway in self.gateways:
            gateway.pipe.send([one.said for one in instances])

    async def stats(self) -> tuple[int, int, int]:
        """The most that were inside one instance, and over all: requests served, and those that found too many."""
        most = served = overlaps = 0
        for one in self.instances:
            reader, writer = await asyncio.open_connection("127.0.0.1", one.said)
            writer.write(b"GET /stats HTTP/1.1\r\n\r\n")
            text = (await reader.readuntil(b"\r\n\r\n"), await reader.readexactly(0))[0]
            body = await reader.readexactly(int(text.partition(b"Content-Length: ")[2].split(b"\r")[0]))
            writer.close()
            m, s, o = (int(part) for part in body.split())
            most, served, overlaps = max(most, m), served + s, overlaps + o
        return most, served, overlaps

    async def load(self, seconds: float, connections: int = 24, path: str = "/") -> Counter[int]:
        """Answers by status, asked for as fast as they come, from many connections to all gateways. 0: the gateway went away."""
        found: Counter[int] = Counter()
        until = anyio.current_time() + seconds

        async def client(number: int) -> None:
            while anyio.current_time() < until:
                port = self.gateways[number % len(self.gateways)].said
                number += 1
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    found[0] += 1
                    await anyio.sleep(0.01)
                    continue
                try:
                    while anyio.current_time() < until:
                        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                        head = await reader.readuntil(b"\r\n\r\n")
                        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]))
                        found[int(head.split(b" ", 2)[1])] += 1
                except (OSError, asyncio.IncompleteReadError):
                    found[0] += 1
                finally:
                    writer.close()

        async with anyio.create_task_group() as tasks:
            for number in range(connections):
                tasks.start_soon(client, number)
        return found


@asynccontextmanager
async def crew(
    address: str, *, limit: int = 1, instances: int = 2, gateways: int = 2, ttl: float = 0.5, token: str = "", keeper: bool = True,
    lasts: float = 0.005,
) -> AsyncIterator[Crew]:  # fmt: skip
    """So many processes, which are gone at the end. A request `lasts` so many seconds in an instance."""
    one = Crew(limit, address, ttl, token, lasts)
    try:
        if keeper:
            await one.start_keeper(fresh=True)
        for _ in range(instances):
            await one.add_instance()
        for _ in range(gateways):
            await one.add_gateway()
        yield one
    finally:
        with anyio.CancelScope(shield=True):
            for process in (*one.gateways, *one.instances, one.keeper):
                if process is not None and process.process.is_alive():
                    process.signal(signal.SIGCONT)
                    await process.kill()
