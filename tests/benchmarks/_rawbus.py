"""The limit beside which the event bus stands: nats-py publishing to a stream of the same nats-server, in turn with the ingress."""

import asyncio
import base64
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import nats
from nats.js import JetStreamContext

from cli.verifybus.platform import nats_secret
from kfn.busauth import claims
from kfn.busauth.keys import Keys
from kfn.http1 import Client
from tests.benchmarks._measure import Table, cpu
from tests.e2e.harness import Platform

BODY = b"x" * 512
ROUNDS, ONE_BY_ONE, AT_ONCE, TOGETHER = 5, 100, 600, 64
STREAM, SUBJECT = "BENCH", "bench.raw"


@asynccontextmanager
async def raw(platform: Platform) -> AsyncIterator[JetStreamContext]:
    """A stream with the settings of a Broker's, as far as they cost something: on disk, synced at every message."""
    keys = Keys(nats_secret(platform.data))
    key = keys.user("bench")
    token = claims.user(keys.platform, "bench", key.public, claims.Permissions((">",), (">",)), int(time.time()))
    client = await nats.connect(
        platform.facts["nats"], user_jwt_cb=token.encode, signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode()))
    )
    try:
        jetstream = client.jetstream()
        await jetstream.add_stream(name=STREAM, subjects=[SUBJECT], max_bytes=64 << 20, duplicate_window=120)
        yield jetstream
        await jetstream.delete_stream(STREAM)
    finally:
        await client.close()


async def beside(table: Table, platform: Platform, url: str) -> None:
    """Acknowledged events a second into a Broker without Triggers, and into the bare stream. The client's own CPU is in both rates: it is
    kfn's small HTTP client here and nats-py there. The CPU given is the platform's process's alone."""
    number = 0

    def fresh() -> str:
        nonlocal number
        number += 1
        return f"raw-{number}"

    async def ingress() -> None:
        await publish(http, url, fresh(), "bench", BODY)

    async with raw(platform) as jetstream, posting() as http:

        async def bare() -> None:
            await jetstream.publish(SUBJECT, BODY, headers={"Nats-Msg-Id": fresh()})

        for what, count, width in (("one by one", ONE_BY_ONE, 1), (f"{TOGETHER} at once", AT_ONCE, TOGETHER)):
            ours, theirs, busy = [], [], []
            for _ in range(ROUNDS):
                before = cpu(platform.facts["pid"])
                ours.append(count / await timed(ingress, count, width))
                busy.append((cpu(platform.facts["pid"]) - before) / count)
                theirs.append(count / await timed(bare, count, width))
            mine, limit, cost = (statistics.median(values) for values in (ours, theirs, busy))
            figure = f"{mine:.0f}/s, {cost * 1e6:.0f} µs CPU"
            table.add(f"published over HTTP, {what}", figure, "", f"bare JetStream: {limit:.0f}/s", mine / limit)


@asynccontextmanager
async def posting() -> AsyncIterator[Client]:
    """A client that costs a tenth of httpx's CPU, which would be most of what is measured."""
    client = Client(keep=TOGETHER)
    try:
        yield client
    finally:
        await client.aclose()


async def publish(http: Client, url: str, id_: str, type_: str, body: bytes = b"") -> None:
    headers = [("ce-specversion", "1.0"), ("ce-id", id_), ("ce-source", "/bench"), ("ce-type", type_), ("content-type", "text/plain")]
    answer = await http.request("POST", url, headers=headers, body=body)
    assert answer.status == 202, answer.body


async def timed(work: Callable[[], Awaitable[None]], count: int, width: int) -> float:
    """Seconds for so many, of which `width` are under way at a time."""
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await work()

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(width)))
    return time.perf_counter() - begin
