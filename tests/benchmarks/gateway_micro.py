"""The Python in a warm request, without a kernel: bytes through the gateway's real classes, over transports that do nothing.

    python -m tests.benchmarks.gateway_micro           # µs of CPU per request, the least of several rounds
    python -m tests.benchmarks.gateway_micro --where   # and in which functions and lines they are spent

The difference to what `tests.benchmarks.gateway` finds for a whole request is the kernel's and uvloop's: two reads, two sends, one wait.
`--where` asks a timer's signal every millisecond of CPU where the program is: a profiler's hooks would cost more than what they measure.
A signal is seen between two calls, so time in C shows at the line that called it.
"""

import asyncio
import gc
import linecache
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

from gateway.chain import Chain
from gateway.listen import ClientConnection
from gateway.settings import Settings
from gateway.upstream import UpstreamConnection
from kfn.api import kinds
from kfn.load import RevisionKey
from tests.benchmarks._measure import Table
from tests.fakes.routed import HOST, Cluster, Sink

ROUNDS, REQUESTS = 9, 5000
GET = f"GET /1024 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
POST = f"POST /1024 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Length: 1024\r\n\r\n".encode() + b"x" * 1024
BROWSER = (
    f"GET /path?query=1 HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCookie: session=0123456789abcdef\r\n\r\n"
).encode()
SIZED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: bare\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"


class Null:
    """A transport that takes everything and keeps the last of it."""

    def __init__(self) -> None:
        self.last = b""

    def write(self, data: bytes) -> None:
        self.last = data

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name == "peername" else default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    close = abort


class Joined:
    """One client's connection and one to an instance, with a chain between them."""

    def __init__(self, chain: Chain) -> None:
        self.client, self.instance = Null(), Null()
        self.near = ClientConnection(chain)
        self.near.connection_made(self.client)  # type: ignore[arg-type]
        (line,) = [line for line in chain.lines.values() if line.instances]
        (instance,) = line.instances.values()
        self.far = UpstreamConnection(instance)
        self.far.connection_made(self.instance)  # type: ignore[arg-type]
        instance.put(self.far, chain.clock())

    def times(self, request: bytes, response: bytes, requests: int) -> float:
        """CPU seconds of so many, one after the other."""
        near, far = self.near.data_received, self.far.data_received
        begin = time.process_time()
        for _ in range(requests):
            near(request)
            far(response)
        return time.process_time() - begin

    def check(self, request: bytes, response: bytes) -> None:
        self.times(request, response, 3)
        assert self.instance.last.startswith(request[:9]) and b"X-Request-Id: " in self.instance.last, self.instance.last
        assert self.client.last.startswith(b"HTTP/1.1 200 OK\r\n") and b"x" * 1024 in self.client.last, self.client.last


async def main(where: bool) -> None:
    cases = {
        "GET, 1 KiB back": (GET, SIZED),
        "POST 1 KiB, 1 KiB back": (POST, SIZED),
        "GET as a browser sends it": (BROWSER, SIZED),
        "GET, 1 KiB back in a chunk": (GET, CHUNKED),
    }
    table = Table()
    async with anyio.create_task_group() as tasks:
        chain = chained(tasks)
        joined = Joined(chain)
        gc.collect()
        gc.freeze()
        for name, (request, response) in cases.items():
            joined.check(request, response)
            took = [joined.times(request, response, REQUESTS) / REQUESTS * 1e6 for _ in range(ROUNDS)]
            table.add(f"Python in a warm request: {name}", f"{min(took):.2f} µs, median {statistics.median(took):.2f} µs")
        if where:
            spent(lambda: joined.times(GET, SIZED, REQUESTS))
        tasks.cancel_scope.cancel()


def chained(tasks: anyio.abc.TaskGroup) -> Chain:
    """A chain that knows one function with one instance and a limit."""
    cluster = Cluster()
    cluster.route()
    cluster.revision(container_concurrency=100)
    cluster.instance(1)
    chain = Chain(tasks, Sink(), Settings(), time.monotonic)
    for kind, changed in (
        (kinds.REVISION, chain.revision_changed),
        (kinds.ENDPOINT_SLICE, chain.slice_changed),
        (kinds.ROUTE, chain.route_changed),
    ):
        for found in cluster.api.all(kind):
            changed(None, found)  # type: ignore[operator]
    assert RevisionKey("default", "hello-00001") in chain.lines
    return chain


def spent(do: Callable[[], object], seconds: float = 4.0) -> None:
    """Samples of where the program is while it does that again and again: functions, then lines."""
    functions: Counter[str] = Counter()
    lines: Counter[tuple[str, int]] = Counter()

    def sample(number: int, frame: FrameType | None) -> None:
        assert frame is not None
        name = Path(frame.f_code.co_filename)
        functions[f"{name.parent.name}/{name.name} {frame.f_code.co_qualname}"] += 1
        lines[frame.f_code.co_filename, frame.f_lineno] += 1

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    until = time.process_time() + seconds
    while time.process_time() < until:
        do()
    signal.setitimer(signal.ITIMER_PROF, 0, 0)
    every = functions.total()
    print(f"\n{every} samples; functions:")
    for what, times in functions.most_common(24):
        print(f"{times / every:6.1%}  {what}")
    print("lines:")
    for (file, number), times in lines.most_common(40):
        print(f"{times / every:6.1%}  {Path(file).name}:{number}  {linecache.getline(file, number).strip()}")


if __name__ == "__main__":
    asyncio.run(main("--where" in sys.argv[1:]))
