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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import anyio

from tests.benchmarks._measure import Table
from tests.fakes.routed import HOST
from tests.fakes.wired import Notes, Wired

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
VARIED, TURNS = b"", range(1000, 2000)
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"


class Null(Notes):
    """Keeps only the last of what it takes."""

    def write(self, data: bytes) -> None:
        self.took = data  # type: ignore[assignment]


def times(wired: Wired, requests: Sequence[bytes], response: bytes, count: int) -> float:
    """CPU seconds of so many, one after the other. VARIED is not a response but says that each has a head of its own."""
    near, far = wired.near.data_received, wired.far.data_received
    pairs = [(request, response or SIZED.replace(b"bare", b"%d" % n)) for n, request in enumerate(requests)]
    begin = time.process_time()
    for _ in range(count // len(pairs)):
        for request, answer in pairs:
            near(request)
            far(answer)
    return time.process_time() - begin


def check(wired: Wired, requests: Sequence[bytes], response: bytes) -> None:
    times(wired, requests, response, len(requests))
    asked, answered = bytes(wired.server.took), bytes(wired.client.took)
    assert asked.startswith(requests[-1][:9]) and b"X-Request-Id: " in asked, asked
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n") and b"x" * 1024 in answered, answered


async def main(where: bool) -> None:
    cases = {
        "GET": ([GET], SIZED),
        "POST of 1 KiB": ([POST], SIZED),
        "GET as a browser sends it": ([BROWSER], SIZED),
        "GET, answered in a chunk": ([GET], CHUNKED),
        "GET, another path each time": ([GET.replace(b"/1024", b"/%4d" % n) for n in TURNS], SIZED),
        "GET, no two heads alike": ([GET.replace(b"*/*", b"x/%d" % n) for n in TURNS], VARIED),
    }
    table = Table()
    async with anyio.create_task_group() as tasks:
        wired = Wired(tasks, time.monotonic, transport=Null)
        gc.collect()
        gc.freeze()
        for name, (requests, response) in cases.items():
            check(wired, requests, response)
            took = [times(wired, requests, response, REQUESTS) / REQUESTS * 1e6 for _ in range(ROUNDS)]
            table.add(f"Python: {name}", f"{min(took):.2f} µs, median {statistics.median(took):.2f} µs")
            if where and name.startswith(("GET, no ", "GET as")):
                spent(lambda r=requests, a=response: times(wired, r, a, REQUESTS))
        tasks.cancel_scope.cancel()


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
