"""CPU per warm request in the gateway, beside the bare upstream: `python -m tests.benchmarks.gateway_overhead [SECONDS]`.

Three processes: an upstream that answers 1 KiB, the gateway, and this one, which keeps 16 connections busy, first straight at the
upstream and then through the gateway. CPU time is the kernel's, per process. The load comes from Python too and shares the machine's
cores, so requests/s is a lower bound; CPU per request is not affected by that.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, cast

import uvloop

from tests.benchmarks._measure import Table, cpu

CONNECTIONS = 16
ROUNDS = 3
BODY = b"x" * 1024
HOST = "hello.default.localhost"
REQUEST = f"GET /path?query=1 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n".encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: bare\r\nContent-Length: 1024\r\n\r\n" + BODY


class Bare(asyncio.Protocol):
    """The upstream: answers every head it sees."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Load(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until `until`."""

    def __init__(self, until: float, times: list[float]) -> None:
        self.until = until
        self.times = times
        self.left = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self.asked = time.perf_counter()
        self.left = 0
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if not self.left:
            assert data.startswith(b"HTTP/1.1 200"), data[:200]
            self.left = data.index(b"\r\n\r\n") + 4 + len(BODY)
        self.left -= len(data)
        if self.left:
            return
        now = time.perf_counter()
        self.times.append(now - self.asked)
        if now < self.until:
            self._ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _upstream(tell: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(main())


def _gateway(tell: Connection, upstream: int) -> None:
    from tests.fakes.routed import Cluster, routed

    async def main() -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(container_concurrency=100)
        cluster.instance(upstream)
        async with routed(cluster) as gw:
            tell.send(gw.gateway.port)
            await asyncio.Event().wait()

    uvloop.run(main())


def _start(target: Callable[..., None], *args: Any) -> tuple[Any, int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    return process, ours.recv()


async def _round(port: int, seconds: float) -> list[float]:
    times: list[float] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    loads = [(await loop.create_connection(lambda: Load(until, times), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    await asyncio.gather(*(load.done for load in loads))
    return sorted(times)


def main(seconds: float = 2.0) -> None:
    """Bare and through the gateway in turn, `ROUNDS` times: the medians are told."""
    upstream, upstream_port = _start(_upstream)
    gateway, gateway_port = _start(_gateway, upstream_port)
    told: dict[str, list[tuple[float, float, float, float]]] = {"bare": [], "gateway": []}
    try:
        uvloop.run(_round(gateway_port, 0.5))
        for _ in range(ROUNDS):
            for name, process, port in (("bare", upstream, upstream_port), ("gateway", gateway, gateway_port)):
                before = cpu(process.pid)
                times = uvloop.run(_round(port, seconds))
                cost = (cpu(process.pid) - before) / len(times) * 1e6
                told[name].append((len(times) / seconds, times[len(times) // 2] * 1e3, times[int(len(times) * 0.99)] * 1e3, cost))
    finally:
        for process in (gateway, upstream):
            process.terminate()
            process.join()
    table = Table()
    bare, ours = ([statistics.median(column) for column in zip(*told[name], strict=True)] for name in ("bare", "gateway"))
    table.add("warm request, gateway's CPU", f"{ours[3]:.1f} µs", "45 µs", f"bare upstream in Python: {bare[3]:.1f} µs", ours[3] / bare[3])
    table.add(
        f"warm requests, {CONNECTIONS} connections", f"{ours[0]:,.0f}/s, p50 {ours[1]:.2f} ms, p99 {ours[2]:.2f} ms", "18,000/s, 3 ms",
        f"straight to the upstream: {bare[0]:,.0f}/s, p99 {bare[2]:.2f} ms", ours[0] / bare[0],
    )  # fmt: skip


if __name__ == "__main__":
    main(*(float(arg) for arg in sys.argv[1:2]))
