"""Feed the gateway spoilt messages until something breaks: `python -m tests.fuzz.gateway [SECONDS] [SEED]`, or `make fuzz`.

Both sides: requests at a client's connection, answers at an instance's. A finding prints its seed, its case's number and the bytes; run
`python -m tests.fuzz.gateway SECONDS SEED` again for the same cases, and put the bytes into the corpus once it is mended.
"""

import asyncio
import random
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import anyio

from tests.conformance.gateway.corpus import get
from tests.conformance.gateway.corpus.chunks import CHUNKS
from tests.conformance.gateway.corpus.fields import FIELDS
from tests.conformance.gateway.corpus.framing import FRAMING
from tests.conformance.gateway.corpus.instance import ANSWERS, STRAY
from tests.conformance.gateway.corpus.lines import REQUEST_LINES
from tests.conformance.gateway.corpus.unusual import TAKEN
from tests.fuzz import check
from tests.fuzz.mutate import Mutator
from tests.fuzz.world import World

REQUESTS = [row.data for row in (*TAKEN, *TAKEN, *TAKEN, *FRAMING, *CHUNKS, *REQUEST_LINES, *FIELDS)]  # the good ones more often
SAID = [row.data for row in (*ANSWERS, *STRAY, *STRAY, *STRAY)] + [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
]
ASKED = [b"GET", b"GET", b"GET", b"HEAD", b"POST"]


class Finding(Exception):
    """One case broke a promise."""


def requests(world: World, mutator: Mutator) -> Iterator[bytes]:
    """Endless: each message is sent on a connection of its own, some several times behind each other on one."""
    while True:
        data = mutator.message()
        yield data
        try:
            check.of_a_request(data, world.run(mutator.pieces(data)))
            if mutator.random.random() < 0.1:  # on a connection that knows this head already
                again = [data] * 4
                world.run(again)
        except Exception as error:
            raise Finding(f"a request: {data!r}") from error


def said(world: World, mutator: Mutator) -> Iterator[bytes]:
    """Endless: each message is what an instance answers."""
    while True:
        data, method = mutator.message(), mutator.random.choice(ASKED)
        yield data
        try:
            world.say = mutator.pieces(data)
            check.of_an_answer(data, method, world.run([get(first=method + b" / HTTP/1.1")]))
        except Exception as error:
            raise Finding(f"an answer to {method.decode()}: {data!r}") from error


async def fuzz(seed: int, *, seconds: float = 1e9, cases: int = 1 << 62, **settings: Any) -> int:
    """How many cases were tried. Raises Finding."""
    until = time.monotonic() + seconds
    done = 0
    async with anyio.create_task_group() as tasks:
        for kind, rows in ((requests, REQUESTS), (said, SAID)):
            mutator = Mutator(rows, seed)
            endless = kind(World(tasks, random.Random(seed), **settings), mutator)
            end = time.monotonic() + (until - time.monotonic()) / (2 if kind is requests else 1)
            for number in range(cases // 2):
                if number % 64 == 0:
                    if time.monotonic() > end:
                        break
                    await asyncio.sleep(0)
                try:
                    next(endless)
                except Finding as finding:
                    raise Finding(f"seed {seed}, case {number}: {finding}") from finding.__cause__
                done += 1
        tasks.cancel_scope.cancel()
    return done


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}, {seconds:g} s", flush=True)
    try:
        done = asyncio.run(fuzz(seed, seconds=seconds))
    except BaseExceptionGroup as group:
        findings = group.subgroup(Finding)
        if findings is None:
            raise
        for finding in findings.exceptions:
            print(finding)
            traceback.print_exception(finding.__cause__)
        return 1
    print(f"{done} messages, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
