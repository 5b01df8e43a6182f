"""CPU of the gateway per request over HTTP/2, beside HTTP/1.1 in the same run: `python -m tests.benchmarks.http2 [SECONDS] [PROFILE]`.

An upstream that answers 1 KiB in either protocol, the gateway, and this process, which keeps 16 requests under way: on 16 connections
of HTTP/1.1, or as 4 streams on each of 4 of HTTP/2. Both ends of ours write frames that were made beforehand, so that the gateway is the
busiest of the three. With PROFILE, a file, the gateway writes a profile of its HTTP/2 there.
"""

import asyncio
import cProfile
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, cast

import uvloop

from gateway.http1.read import PREFACE
from gateway.http2.encode import Encoder
from tests.benchmarks._measure import Table, cpu

ROUNDS = 3
BODY = b"x" * 1024
HOST = "hello.default.localhost"
REQUEST = f"GET /path?query=1 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n".encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: bare\r\nContent-Length: 1024\r\n\r\n" + BODY
CONNECTIONS, STREAMS = 4, 4

DATA, HEADERS, SETTINGS, WINDOW = 0, 1, 4, 8
WAYS = {"h1 -> h1": (False, False), "h1 -> h2c": (False, True), "h2 -> h1": (True, False), "h2 -> h2c": (True, True)}


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


WIDE = frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(WINDOW, 0, 0, (2**31 - 65536).to_bytes(4, "big"))
ACK = frame(SETTINGS, 1, 0)

# As real clients do: the first request puts its fields into the table, the others name them by a byte each.
FIELDS = (
    (b":path", b"/path?query=1"), (b":authority", HOST.encode()), (b"user-agent", b"bench"), (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip"),
)  # fmt: skip
FIRST = b"\x82\x86" + b"".join(b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in FIELDS)
NEXT = b"\x82\x86" + bytes(0x80 | (61 + len(FIELDS) - i) for i in range(len(FIELDS)))


class Frames(asyncio.Protocol):
    """Reads frames, and knows nothing of what is in them."""

    held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data, at = self.held + data, 0
        out: list[bytes] = []
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < size + 9:
                break
            self.frame(data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big"), out)
            at += size + 9
        self.held = data[at:]
        if out:
            self.transport.write(b"".join(out))

    def frame(self, kind: int, flags: int, stream: int, out: list[bytes]) -> None:
        raise NotImplementedError


class Bare2(Frames):
    """The upstream in HTTP/2: answers every HEADERS that ends its stream."""

    HEAD = Encoder().encode([(b":status", b"200"), (b"content-type", b"text/plain"), (b"server", b"bare"), (b"content-length", b"1024")])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(WIDE)

    def data_received(self, data: bytes) -> None:
        super().data_received(data.removeprefix(PREFACE))

    def frame(self, kind: int, flags: int, stream: int, out: list[bytes]) -> None:
        if kind == HEADERS:
            out += (frame(HEADERS, 4, stream, self.HEAD), frame(DATA, 1, stream, BODY))
        elif kind == SETTINGS and not flags:
            out.append(ACK)


class Bare1(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Load2(Frames):
    """One connection that keeps STREAMS requests under way until `until`."""

    def __init__(self, until: float, times: list[float]) -> None:
        self.until, self.times = until, times
        self.next = 1
        self.asked: dict[int, float] = {}
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(PREFACE + WIDE + b"".join(self.ask() for _ in range(STREAMS)))

    def ask(self) -> bytes:
        stream, self.next = self.next, self.next + 2
        self.asked[stream] = time.perf_counter()
        return frame(HEADERS, 5, stream, FIRST if stream == 1 else NEXT)

    def frame(self, kind: int, flags: int, stream: int, out: list[bytes]) -> None:
        if kind == SETTINGS and not flags:
            out.append(ACK)
        elif kind in (DATA, HEADERS) and flags & 1:
            now = time.perf_counter()
            self.times.append(now - self.asked.pop(stream))
            if now < self.until:
                out.append(self.ask())
            elif not self.asked:
                self.transport.close()
        elif kind == 7:
            raise AssertionError("GOAWAY")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Load1(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, until: float, times: list[float]) -> None:
        self.until, self.times = until, times
        self.left = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def ask(self) -> None:
        self.asked, self.left = time.perf_counter(), 0
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
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _upstream(tell: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(kind, "127.0.0.1", 0) for kind in (Bare1, Bare2)]
        tell.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    uvloop.run(main())


def _gateway(tell: Connection, port: int, name: str, profile: str) -> None:
    from tests.fakes.routed import Cluster, routed

    async def main() -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(container_concurrency=100)
        cluster.instance(port, name=name)
        async with routed(cluster) as gw:
            tell.send(gw.gateway.port)
            await asyncio.to_thread(tell.recv)

    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    uvloop.run(main())
    if profile:
        profiler.disable()
        profiler.dump_stats(f"{profile}.{name}")


def _start(target: Callable[..., None], *args: Any) -> tuple[Any, Any, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    return process, ours.recv(), ours


async def _round(port: int, http2: bool, seconds: float) -> list[float]:
    times: list[float] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    kind: Any = Load2 if http2 else Load1
    count = CONNECTIONS if http2 else CONNECTIONS * STREAMS
    loads = [(await loop.create_connection(lambda: kind(until, times), "127.0.0.1", port))[1] for _ in range(count)]
    await asyncio.gather(*(load.done for load in loads))
    return sorted(times)


def main(seconds: float = 2.0, profile: str = "") -> None:
    """Each way in turn, `ROUNDS` times: the medians are told."""
    upstream, (one, two), _ = _start(_upstream)
    gateways = {False: _start(_gateway, one, "http", profile), True: _start(_gateway, two, "h2c", profile)}
    told: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    try:
        for measured in [False, *[True] * ROUNDS]:
            for name, (from_http2, to_http2) in WAYS.items():
                if profile and not from_http2:
                    continue
                process, port, _ = gateways[to_http2]
                before = cpu(process.pid)
                times = uvloop.run(_round(port, from_http2, seconds if measured else 0.3))
                cost = (cpu(process.pid) - before) / len(times) * 1e6
                if measured:
                    told[name].append((cost, len(times) / seconds, times[int(len(times) * 0.99)] * 1e3))
    finally:
        for process, _, end in gateways.values():
            end.send("stop")
            process.join(10)
        for process in (upstream, *(gateway for gateway, _, _ in gateways.values())):
            process.terminate()
            process.join()
    table = Table()
    beside = statistics.median(cost for cost, _, _ in told["h1 -> h1"]) if told["h1 -> h1"] else 0.0
    for name, rounds in told.items():
        if rounds:
            cost, rate, late = (statistics.median(column) for column in zip(*rounds, strict=True))
            ratio = cost / beside if beside else None
            table.add(f"gateway's CPU a request, {name}", f"{cost:.1f} µs, {rate:,.0f}/s, p99 {late:.2f} ms", "", "h1 -> h1", ratio)


if __name__ == "__main__":
    main(*(float(arg) for arg in sys.argv[1:2]), *sys.argv[2:3])
